//! The leaves below the nodes of laggs and ports, from the driver's tables.
//!
//! `sysctl_add_oid` would allocate four times for each leaf, and compare names with all its siblings twice. So a
//! node is made in one piece, with all below it. Only its top is in the kernel's tree, by one step, and so are
//! the others as soon and as long as it is.

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr;

use super::bindings as c;
use super::memory::Pinned;
use super::misc::Line;
use super::sysctl::{read_leaf, read_setting};
use crate::kpi::{Driver, Holds, IFNAMSIZ, Leaf, Module, Name, Result, Setting, Shows};

/// The node of laggs of one name.
pub(super) type LaggTree = Tree<{ 1 + Module::LEAVES.len() + Module::SETTINGS.len() }>;

/// The node of their ports of one name.
pub(super) type PortTree = Tree<{ 1 + Module::PORT_LEAVES.len() }>;

/// A node with all below it. To drop it is to wait for its readers, and sleeps.
///
/// # Invariants
/// The kernel's tree has the first of the oids, and this is what removes it. The others are below that.
pub(super) struct Tree<const N: usize>(Pinned<Block<N>>);

/// Its memory.
struct Block<const N: usize> {
    oids: [c::sysctl_oid; N],
    whose: Whose,
    /// The name of the first.
    name: Line<{ 3 * IFNAMSIZ }>,
}

/// Whose leaves they are.
#[derive(Clone, Copy)]
pub(super) struct Whose {
    pub lagg: Name,
    pub port: Option<Name>,
}

// SAFETY: the memory belongs to no thread. The kernel's own lock guards what the kernel changes.
unsafe impl<const N: usize> Send for Tree<N> {}

impl LaggTree {
    /// Makes the node of laggs of this name. No other has it. Sleeps.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new(lagg: Name) -> Result<Self> {
        let leaves = Module::LEAVES.iter().enumerate().map(|(place, leaf)| Row::of(leaf, place));
        let settings = Module::SETTINGS.iter().enumerate();
        let rows = leaves.chain(settings.map(|(place, setting)| Row::of_setting(setting, place)));
        // SAFETY: the kernel's list of laggs' nodes is there while the module is.
        unsafe { Tree::make(c::lagg_rs_nodes(), Whose { lagg, port: None }, Module::LEAVES, rows) }
    }

    /// The list of ports' nodes.
    pub(super) fn ports(&self) -> *mut c::sysctl_oid_list {
        let (place, _) = above(Module::LEAVES, c"port.");
        let oids = self.0.get().cast::<c::sysctl_oid>();
        // SAFETY: the block begins with its oids, of which this is one.
        unsafe { &raw mut (*oids.add(place)).oid_children }
    }
}

impl PortTree {
    /// Makes the node of ports of this name in the list of their laggs' [`LaggTree::ports`]. No other there has
    /// it. Sleeps.
    ///
    /// # Errors
    /// ENOMEM.
    ///
    /// # Safety
    /// That is dropped later.
    pub(super) unsafe fn try_new(
        list: *mut c::sysctl_oid_list,
        lagg: Name,
        port: Name,
    ) -> Result<Self> {
        let leaves = Module::PORT_LEAVES;
        let rows = leaves.iter().enumerate().map(|(place, leaf)| Row::of(leaf, place));
        // SAFETY: the caller promises that the list stays.
        unsafe { Tree::make(list, Whose { lagg, port: Some(port) }, leaves, rows) }
    }
}

impl<const N: usize> Tree<N> {
    /// Whose it is.
    pub(super) fn whose(&self) -> &Whose {
        // SAFETY: the block is there as long as this, and nothing changes the names in it.
        unsafe { &(*self.0.get()).whose }
    }

    /// Makes a node below `list`, whose `rows` begin with `leaves`.
    ///
    /// # Errors
    /// ENOMEM.
    ///
    /// # Safety
    /// `list` is there until this is dropped.
    unsafe fn make(
        list: *mut c::sysctl_oid_list,
        whose: Whose,
        leaves: &[Leaf],
        rows: impl Iterator<Item = Row>,
    ) -> Result<Self> {
        const { assert!(N < c::CTL_AUTO_START as usize) };
        let init = |block: *mut Block<N>| {
            let mut name = Line::new();
            // There is room: an interface has 15 bytes at most.
            let _ = write!(name, "{}", whose.port.unwrap_or(whose.lagg).node());
            // SAFETY: the block was allocated just now.
            let (oids, whose) = unsafe {
                (&raw mut (*block).whose).write(whose);
                (&raw mut (*block).name).write(name);
                ((&raw mut (*block).oids).cast::<c::sysctl_oid>(), &raw mut (*block).whose)
            };
            // SAFETY: the first oid is in the block, and so is the name that was written above.
            unsafe {
                let top = if (*whose).port.is_some() { &TOP_OF_PORT } else { &TOP_OF_LAGG };
                oids.write(top.oid(list, c::OID_AUTO, (*block).name.as_ptr(), whose));
            }
            for (number, row) in (1..N).zip(rows) {
                let (above, name) = above(leaves, row.name);
                // SAFETY: there are N oids, and at most N - 1 leaves. What is above was written before.
                unsafe {
                    let list = &raw mut (*oids.add(above)).oid_children;
                    oids.add(number).write(row.oid(list, number as i32, name, whose));
                    c::lagg_rs_oid_insert(list, oids.add(number));
                }
            }
        };
        // SAFETY: `init` writes the name, and zeros are an oid.
        let block = unsafe { Pinned::try_new(init) }?;
        // SAFETY: the oids were written above, and the caller promises the list. The caller may sleep.
        unsafe { c::lagg_rs_oid_register(block.get().cast()) };
        // INVARIANT: it was registered just now; no other node has its name.
        Ok(Tree(block))
    }
}

impl<const N: usize> Drop for Tree<N> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the kernel has it; whoever drops it may sleep. The block begins with N oids.
        unsafe { c::lagg_rs_oids_remove(self.0.get().cast(), N) };
    }
}

type Handler = unsafe extern "C" fn(
    *mut c::sysctl_oid,
    *mut core::ffi::c_void,
    i64,
    *mut c::sysctl_req,
) -> core::ffi::c_int;

/// What makes an oid.
struct Row {
    name: &'static CStr,
    about: &'static CStr,
    label: Option<&'static CStr>,
    kind: u32,
    format: &'static CStr,
    read: Option<Handler>,
    place: usize,
}

const NODE: u32 = c::CTLTYPE_NODE | c::CTLFLAG_RW;
const STATE: u32 = c::CTLFLAG_RD | c::CTLFLAG_STATS | c::CTLFLAG_VNET;
const SETTING: u32 = c::CTLFLAG_RW | c::CTLFLAG_VNET;

const TOP_OF_LAGG: Row = Row::node(c"", c"Laggs of this name", Some(c"lagg"));
const TOP_OF_PORT: Row = Row::node(c"", c"Ports of this name", Some(c"port"));

impl Row {
    const fn node(name: &'static CStr, about: &'static CStr, label: Option<&'static CStr>) -> Self {
        Row { name, about, label, kind: NODE, format: c"N", read: None, place: 0 }
    }

    const fn of(leaf: &Leaf, place: usize) -> Self {
        let Leaf { name, about, .. } = *leaf;
        let (kind, format, label) = match leaf.shows {
            Shows::Nodes => return Row::node(name, about, None),
            Shows::Number => (c::CTLTYPE_U64 | STATE, c"QU", None),
            Shows::Reason => (c::CTLTYPE_U64 | STATE, c"QU", Some(c"reason")),
            Shows::Text => (c::CTLTYPE_STRING | STATE, c"A", None),
        };
        Row { name, about, label, kind, format, read: Some(read_leaf), place }
    }

    const fn of_setting(setting: &Setting, place: usize) -> Self {
        let Setting { name, about, .. } = *setting;
        let (kind, format) = match setting.holds {
            Holds::Number => (c::CTLTYPE_U32 | SETTING, c"IU"),
            Holds::Text => (c::CTLTYPE_STRING | SETTING, c"A"),
        };
        Row { name, about, label: None, kind, format, read: Some(read_setting), place }
    }

    /// The oid, which is dynamic: the kernel counts its readers.
    fn oid(
        &self,
        list: *mut c::sysctl_oid_list,
        number: i32,
        name: *const c_char,
        whose: *mut Whose,
    ) -> c::sysctl_oid {
        c::sysctl_oid {
            oid_parent: list,
            oid_number: number,
            oid_kind: self.kind | c::CTLFLAG_MPSAFE | c::CTLFLAG_DYN,
            oid_arg1: whose.cast(),
            oid_arg2: self.place as i64,
            oid_name: name,
            oid_handler: self.read,
            oid_fmt: self.format.as_ptr(),
            oid_refcnt: 1,
            oid_descr: self.about.as_ptr(),
            oid_label: self.label.map_or(ptr::null(), CStr::as_ptr),
            // SAFETY: zeros are an oid that is in no list, and has nothing below it.
            ..unsafe { core::mem::zeroed() }
        }
    }
}

/// The place of the oid above one with this name, and the last part of the name, as a string.
fn above(leaves: &[Leaf], name: &'static CStr) -> (usize, *const c_char) {
    let bytes = name.to_bytes();
    let Some(dot) = bytes.iter().rposition(|byte| *byte == b'.') else { return (0, name.as_ptr()) };
    let is_node = |leaf: &Leaf| leaf.shows == Shows::Nodes;
    let node = leaves
        .iter()
        .rposition(|leaf| is_node(leaf) && bytes.get(..dot) == Some(leaf.name.to_bytes()));
    (node.map_or(0, |node| node + 1), name.as_ptr().wrapping_add(dot + 1))
}
