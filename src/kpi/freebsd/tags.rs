//! Send tags (`struct m_snd_tag`, `sys/mbuf.h`, `net/if_var.h`): a port's own, and the lagg's, which wrap
//! those.
//!
//! They exist whatever the kernel's options are: layouts and functions do not depend on options, and a
//! port's driver refuses what it was built without.

use core::alloc::Layout;
use core::ffi::c_int;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::{self, NonNull};

use super::bindings as c;
use super::epoch::{EPOCH_CONTEXT, EpochContext, epoch_call};
use super::ifnet::Ifnet;
use super::memory;
use crate::kpi::gate::{self, Inside};
use crate::kpi::{Errno, Result, TagHeader, TagRequest, TagType};

/// The parameters of a request for a tag.
pub type TagParams = c::if_snd_tag_alloc_params;

impl<'a> TagRequest<'a> {
    /// # Safety
    /// For `'a`, `params` are those of a request for a send tag, and nothing else uses them.
    pub(super) unsafe fn from_ptr(params: *mut TagParams) -> Option<Self> {
        // SAFETY: the caller promises the parameters of a request, which begin with the header, for all
        // types. It is read first: through the reference, which is the caller's alone for `'a`, it is not
        // read again.
        let (header, params) = unsafe { ((*params).hdr, &mut *params) };
        let (kind, flow_id, flow_kind) = (header.type_, header.flowid, header.flowtype);
        let header = TagHeader { kind, flow_id, flow_kind, numa_domain: header.numa_domain };
        TagRequest::new(header, params)
    }
}

/// A counted reference to a send tag.
///
/// # Invariants
/// The kernel has counted it.
#[repr(transparent)]
pub struct SendTag(NonNull<c::m_snd_tag>);

impl SendTag {
    /// Takes over a reference.
    ///
    /// # Safety
    /// The caller gives away a counted reference.
    pub(super) unsafe fn from_ptr(tag: NonNull<c::m_snd_tag>) -> Self {
        // INVARIANT: the caller gives away a reference that the kernel has counted.
        SendTag(tag)
    }

    /// Gives the reference away.
    pub(super) fn into_ptr(self) -> *mut c::m_snd_tag {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// The interface whose driver made it.
    pub fn ifp(&self) -> &Ifnet {
        // SAFETY: a tag has a counted reference to its interface, always the same.
        unsafe { Ifnet::from_ptr((*self.0.as_ptr()).ifp) }
    }

    /// The port's tag that this one wraps; none if this is not a lagg's tag.
    pub fn inner(&self) -> Option<&SendTag> {
        // SAFETY: by the invariant the tag is there; its methods are always the same.
        let methods = unsafe { (*self.0.as_ptr()).sw };
        let ours = METHODS.iter().any(|ours| ptr::eq(ours, methods));
        // SAFETY: only `TagWrapper::wrap` makes tags with these methods.
        ours.then(|| unsafe { inner(self.0.as_ptr()) })
    }
}

impl Clone for SendTag {
    fn clone(&self) -> Self {
        // SAFETY: by the invariant the tag is there with a count that is not 0, so another may be added.
        unsafe { c::lagg_rs_tag_ref(self.0.as_ptr()) };
        // INVARIANT: m_snd_tag_ref has counted it just now.
        SendTag(self.0)
    }
}

impl Drop for SendTag {
    fn drop(&mut self) {
        // SAFETY: by the invariant one count is ours to give back, and it is not used after. A driver frees
        // its tags in any context, so any is right here.
        unsafe { c::lagg_rs_tag_rele(self.0.as_ptr()) };
    }
}

impl Ifnet {
    /// Asks its driver for a send tag (m_snd_tag_alloc).
    ///
    /// # Errors
    /// What the driver returned; EOPNOTSUPP if it makes none.
    pub fn allocate_tag(&self, request: &mut TagRequest<'_>) -> Result<SendTag> {
        let mut made = ptr::null_mut();
        // SAFETY: `TagRequest::from_ptr` was promised the parameters of such a request, which are handed on
        // unchanged. The tag is written to a place of ours.
        Errno::check(unsafe {
            c::m_snd_tag_alloc(self.as_ptr(), request.params(), &raw mut made)
        })?;
        // INVARIANT: what the driver made has a reference, which is ours.
        NonNull::new(made).map(SendTag).ok_or(Errno::EOPNOTSUPP)
    }
}

/// A lagg's send tag. The kernel knows the first field.
#[repr(C)]
struct Wrapper {
    tag: c::m_snd_tag,
    inner: SendTag,
    context: EpochContext,
}

/// Memory for a lagg's send tag.
///
/// # Invariants
/// It is from `memory`, for a [`Wrapper`], and not shared.
pub struct TagWrapper(NonNull<Wrapper>);

impl TagWrapper {
    /// Does not sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        let memory = memory::allocate_at_once(Layout::new::<Wrapper>()).ok_or(Errno::ENOMEM)?;
        // INVARIANT: new.
        Ok(TagWrapper(memory.cast()))
    }

    /// A tag of `lagg` that wraps `inner`, a port's tag.
    pub fn wrap(self, inner: SendTag, kind: TagType, lagg: &Ifnet) -> SendTag {
        let wrapper = ManuallyDrop::new(self).0;
        // Keeps the module loaded until the tag is freed.
        Inside::enter().stay();
        // SAFETY: by the invariant the memory is ours; the kernel writes all of its own part.
        unsafe {
            let to = wrapper.as_ptr();
            (&raw mut (*to).inner).write(inner);
            (&raw mut (*to).context).write(EPOCH_CONTEXT);
            c::m_snd_tag_init(to.cast(), lagg.as_ptr(), &METHODS[kind as usize]);
        }
        // INVARIANT: initialised with one reference.
        SendTag(wrapper.cast())
    }
}

impl Drop for TagWrapper {
    fn drop(&mut self) {
        // SAFETY: by the invariant the memory is from there, of that layout and ours, and it is not used again.
        unsafe { memory::release(self.0.cast(), Layout::new::<Wrapper>()) };
    }
}

/// The methods by type, in the order of the numbers. Tags for receiving are not wrapped.
static METHODS: [c::if_snd_tag_sw; 4] = [
    methods(TagType::RateLimit),
    methods(TagType::Unlimited),
    methods(TagType::Tls),
    methods(TagType::TlsRateLimit),
];

const fn methods(kind: TagType) -> c::if_snd_tag_sw {
    c::if_snd_tag_sw {
        snd_tag_modify: Some(modify),
        snd_tag_query: Some(query),
        snd_tag_free: Some(lagg_rs_tag_free),
        next_snd_tag: Some(next),
        #[cfg(not(freebsd = "14"))]
        snd_tag_status_str: Some(status),
        type_: kind as u32,
    }
}

/// # Safety
/// `tag` is one of [`TagWrapper::wrap`]'s, and referenced for `'a`.
unsafe fn inner<'a>(tag: *mut c::m_snd_tag) -> &'a SendTag {
    // SAFETY: the caller promises a tag of `wrap`, which is the first field of a `Wrapper`, and a reference
    // for `'a`. The inner one stays as it is until the tag is freed.
    unsafe { &(*tag.cast::<Wrapper>()).inner }
}

/// Calls a method of the wrapped tag; EOPNOTSUPP if its driver has none (D-24).
macro_rules! forward {
    ($method:ident, $tag:ident $(, $argument:ident)*) => {{
        // SAFETY: the kernel calls this with a tag of `wrap`'s that is referenced, and by it the inner one is.
        // Methods are always the same, and the inner tag's gets what the kernel has passed for it.
        unsafe {
            let to = inner($tag).0.as_ptr();
            match (*(*to).sw).$method {
                Some(method) => method(to $(, $argument)*),
                None => Errno::EOPNOTSUPP.number(),
            }
        }
    }};
}

/// `snd_tag_modify` of a lagg's tag.
///
/// # Safety
/// The kernel calls it with such a tag that the caller has a reference to.
unsafe extern "C" fn modify(tag: *mut c::m_snd_tag, to: *mut c::if_snd_tag_modify_params) -> c_int {
    forward!(snd_tag_modify, tag, to)
}

/// `snd_tag_query` of a lagg's tag.
///
/// # Safety
/// As for [`modify`].
unsafe extern "C" fn query(tag: *mut c::m_snd_tag, to: *mut c::if_snd_tag_query_params) -> c_int {
    forward!(snd_tag_query, tag, to)
}

/// `snd_tag_status_str` of a lagg's tag, which FreeBSD 14 does not have.
///
/// # Safety
/// As for [`modify`].
#[cfg(not(freebsd = "14"))]
unsafe extern "C" fn status(
    tag: *mut c::m_snd_tag,
    to: *mut core::ffi::c_char,
    len: *mut usize,
) -> c_int {
    forward!(snd_tag_status_str, tag, to, len)
}

/// `next_snd_tag` of a lagg's tag: the wrapped one, without a reference.
///
/// # Safety
/// As for [`modify`].
unsafe extern "C" fn next(tag: *mut c::m_snd_tag) -> *mut c::m_snd_tag {
    // SAFETY: the kernel calls this with a tag of `wrap`'s that is referenced.
    unsafe { inner(tag) }.0.as_ptr()
}

/// `snd_tag_free` of a lagg's tag, in any context.
///
/// # Safety
/// The kernel calls it with such a tag whose last reference has gone.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_tag_free(tag: *mut c::m_snd_tag) {
    let wrapper = tag.cast::<Wrapper>();
    // SAFETY: the last reference has gone, so the tag is ours alone, and the inner one is not used again.
    unsafe { (&raw mut (*wrapper).inner).drop_in_place() };
    // After `reclaim` the module may be unloaded, and no epoch section of this thread prevents that. So
    // this must be a tail call, which check-ko verifies.
    // SAFETY: the memory is kept until then, and the context is in no other use.
    unsafe { epoch_call(&raw mut (*wrapper).context, reclaim) }
}

/// Unloading waits until this has returned: it drains the epoch's callbacks last.
///
/// # Safety
/// `context` is that of a [`Wrapper`] that is no longer in use.
unsafe extern "C" fn reclaim(context: *mut EpochContext) {
    // SAFETY: the epoch calls this with the context of a `Wrapper`, from which its address follows. It is
    // no longer in use, and its memory is from `memory`.
    unsafe {
        let wrapper = context.byte_sub(offset_of!(Wrapper, context)).cast();
        memory::release(NonNull::new_unchecked(wrapper), Layout::new::<Wrapper>());
    }
    gate::leave();
}
