//! mutex(9), condvar(9), and the stack's own sx(9) locks, over std and checked by `witness`.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::memory;
use super::sync::{Condvar, Mutex, lazy, thread};
use super::witness::{self, Kind, lock};
use crate::kpi::{Errno, Result};

/// A lock that records which thread holds it.
struct Raw {
    class: usize,
    name: String,
    holder: Mutex<Option<String>>,
    freed: Condvar,
}

impl Raw {
    fn new(name: &str) -> Self {
        Raw {
            class: witness::class(name),
            name: name.into(),
            holder: Mutex::new(None),
            freed: Condvar::new(),
        }
    }

    fn acquire(&self, kind: Kind) {
        self.acquire_unless(kind, || false);
    }

    /// Takes the lock, unless it is not free and `gives_up` returns true. Returns whether it was taken.
    fn acquire_unless(&self, kind: Kind, gives_up: impl Fn() -> bool) -> bool {
        witness::ask(self.class);
        let who = |holder: &Option<String>| format!("{}, held by {holder:?}", self.name);
        let done = |holder: &mut Option<String>| holder.is_none() || gives_up();
        let mut holder = witness::wait_until(&self.freed, lock(&self.holder), done, who);
        if holder.is_some() {
            return false;
        }
        *holder = Some(witness::thread());
        witness::hold(self.class, kind);
        true
    }

    /// Wakes the waiting threads.
    #[cfg(feature = "testing")]
    fn wake(&self) {
        drop(lock(&self.holder));
        self.freed.notify_all();
    }

    fn release(&self) {
        witness::unhold(self.class);
        *lock(&self.holder) = None;
        self.freed.notify_one();
    }
}

/// A mutex over the data that it guards (mutex(9), MTX_DEF). Its holder must not sleep.
pub struct Mtx<T> {
    raw: Raw,
    value: UnsafeCell<T>,
}

// SAFETY: `raw` admits one thread at a time to the value, which may be sent there.
unsafe impl<T: Send> Sync for Mtx<T> {}

/// The mutex, held.
pub struct MtxGuard<'a, T> {
    mtx: &'a Mtx<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T: Send> Mtx<T> {
    /// A mutex over `value`. `name` is its class in witness(4). May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(name: &'static CStr, value: T) -> Result<Self> {
        memory::may_fail()?;
        Ok(Mtx { raw: Raw::new(&name.to_string_lossy()), value: UnsafeCell::new(value) })
    }

    /// Takes the lock. The thread holds neither it nor another one with the same name.
    pub fn lock(&self) -> MtxGuard<'_, T> {
        self.raw.acquire(Kind::Mutex);
        MtxGuard { mtx: self, not_send: PhantomData }
    }
}

impl<T> Deref for MtxGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is there while the thread has the lock.
        unsafe { &*self.mtx.value.get() }
    }
}

impl<T> DerefMut for MtxGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is there while the thread has the lock, and is borrowed uniquely.
        unsafe { &mut *self.mtx.value.get() }
    }
}

impl<T> Drop for MtxGuard<'_, T> {
    fn drop(&mut self) {
        self.mtx.raw.release();
    }
}

/// When a wait must end, however often it is resumed.
pub struct Deadline(Instant);

impl Deadline {
    /// `ms` milliseconds from now.
    pub fn after_ms(ms: u32) -> Self {
        Deadline(Instant::now() + Duration::from_millis(ms.into()))
    }
}

/// A condition that is waited for under a mutex (condvar(9)).
pub struct Cv {
    name: String,
    broadcasts: Mutex<u64>,
    broadcast: Condvar,
}

impl Cv {
    /// A condition; `name` is the wait channel that ps(1) shows. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(name: &'static CStr) -> Result<Self> {
        memory::may_fail()?;
        Ok(Cv {
            name: name.to_string_lossy().into_owned(),
            broadcasts: Mutex::new(0),
            broadcast: Condvar::new(),
        })
    }

    /// Waits for a broadcast, and releases the lock while it waits. When it returns, the value may have
    /// changed again. Sleeps.
    pub fn wait<'a, T: Send>(&self, guard: MtxGuard<'a, T>) -> MtxGuard<'a, T> {
        let mtx = guard.mtx;
        // Read before the mutex is released, under which the condition changes.
        let seen = *lock(&self.broadcasts);
        drop(guard);
        witness::may_sleep(&self.name);
        WAITING.during(|| {
            drop(witness::wait_until(
                &self.broadcast,
                lock(&self.broadcasts),
                |now| *now != seen,
                |_| self.name.clone(),
            ));
        });
        mtx.lock()
    }

    /// As [`Cv::wait`], until `deadline` at the latest. Returns whether that has come.
    pub fn wait_until<'a, T: Send>(
        &self,
        guard: MtxGuard<'a, T>,
        deadline: &Deadline,
    ) -> (MtxGuard<'a, T>, bool) {
        let mtx = guard.mtx;
        let mut now = lock(&self.broadcasts);
        let seen = *now;
        drop(guard);
        witness::may_sleep(&self.name);
        let mut over = false;
        while *now == seen && !over {
            let left = deadline.0.saturating_duration_since(Instant::now());
            let woken = self.broadcast.wait_timeout(now, left);
            now = woken.unwrap_or_else(PoisonError::into_inner).0;
            over = Instant::now() >= deadline.0;
        }
        drop(now);
        (mtx.lock(), over)
    }

    /// Wakes all waiting threads. What they wait for was changed under the lock.
    pub fn broadcast(&self) {
        *lock(&self.broadcasts) += 1;
        self.broadcast.notify_all();
    }
}

/// One of the stack's sx(9) locks. It recurses if the kernel's does.
pub(super) struct Sx {
    raw: Raw,
    recurses: bool,
    depth: Mutex<Option<Depth>>,
}

/// The holder, how it has taken the lock, and how often.
struct Depth {
    holder: thread::ThreadId,
    is_shared: bool,
    times: u32,
}

impl Sx {
    fn new(name: &str, recurses: bool) -> Self {
        Sx { raw: Raw::new(name), recurses, depth: Mutex::new(None) }
    }

    /// Takes the lock. Sleeps.
    pub(super) fn lock(&'static self) -> SxGuard {
        self.lock_unless(false, || false).expect("nobody gives up")
    }

    /// Takes the lock where the kernel shares it. Sleeps. Other threads wait all the same; the holder itself
    /// would wait for ever if it had taken the lock the other way.
    pub(super) fn lock_shared(&'static self) -> SxGuard {
        self.lock_unless(true, || false).expect("nobody gives up")
    }

    /// Takes the lock, unless a signal comes while the calling thread waits for it (sx_xlock_sig). Sleeps.
    fn lock_or_signal(&'static self) -> Option<SxGuard> {
        let me = thread::current().id();
        let guard = self.lock_unless(false, || lock(&SIGNALS).contains(&me));
        lock(&SIGNALS).retain(|thread| *thread != me || guard.is_some());
        guard
    }

    fn lock_unless(&'static self, is_shared: bool, gives_up: impl Fn() -> bool) -> Option<SxGuard> {
        witness::may_sleep(&self.raw.name);
        let me = thread::current().id();
        let mut depth = lock(&self.depth);
        match &mut *depth {
            Some(held) if held.holder == me && self.recurses => {
                let how = |is_shared| if is_shared { "share" } else { "excl" };
                let (had, now) = (how(held.is_shared), how(is_shared));
                assert_eq!(had, now, "{had}->{now} of {}", self.raw.name);
                held.times += 1;
            }
            _ => {
                drop(depth);
                if !self.raw.acquire_unless(Kind::Sleepable, gives_up) {
                    return None;
                }
                *lock(&self.depth) = Some(Depth { holder: me, is_shared, times: 1 });
            }
        }
        Some(SxGuard { sx: self, not_send: PhantomData })
    }

    pub(super) fn class(&self) -> usize {
        self.raw.class
    }

    /// Whether the calling thread has the lock.
    pub(super) fn is_held(&self) -> bool {
        lock(&self.depth).as_ref().is_some_and(|held| held.holder == thread::current().id())
    }
}

/// One of the stack's locks, held.
pub(super) struct SxGuard {
    sx: &'static Sx,
    not_send: PhantomData<*mut ()>,
}

impl Drop for SxGuard {
    fn drop(&mut self) {
        let mut depth = lock(&self.sx.depth);
        let held = depth.as_mut().expect("a guard has the lock");
        held.times -= 1;
        if held.times == 0 {
            *depth = None;
            drop(depth);
            self.sx.raw.release();
        }
    }
}

lazy! {
    /// Serialises attaching, detaching, moving and destroying interfaces.
    static DETACH: Sx = Sx::new("ifnet_detach_sxlock", true);
    /// The configuration of all VLANs.
    static VLAN: Sx = Sx::new("vlan_sx", true);
    /// IPv4's multicast memberships.
    static IN_MULTI: Sx = Sx::new("in_multi_sx", false);
    /// IPv6's multicast memberships.
    static IN6_MULTI: Sx = Sx::new("in6_multi_sx", false);
}

/// `ifnet_detach_sxlock`, held.
pub struct DetachGuard(#[expect(dead_code, reason = "held")] SxGuard);

/// Takes `ifnet_detach_sxlock`, which is recursive. Sleeps while other interfaces detach; the caller holds
/// no lock of a lagg.
///
/// # Errors
/// EINTR, or the code that restarts the system call: a signal came.
///
/// On the host `testing::interrupt` sends the signal.
pub fn detach_lock() -> Result<DetachGuard> {
    DETACH.lock_or_signal().map(DetachGuard).ok_or(Errno::EINTR)
}

/// Threads that wait for something.
pub(super) struct Waiters(Mutex<Vec<thread::ThreadId>>);

impl Waiters {
    pub const fn none() -> Self {
        Waiters(Mutex::new(Vec::new()))
    }

    /// Adds the thread while it waits.
    pub fn during(&self, wait: impl FnOnce()) {
        let me = thread::current().id();
        lock(&self.0).push(me);
        wait();
        lock(&self.0).retain(|thread| *thread != me);
    }

    #[cfg(feature = "testing")]
    pub fn has(&self, thread: thread::ThreadId) -> bool {
        lock(&self.0).contains(&thread)
    }
}

/// The threads that wait for a condition.
pub(super) static WAITING: Waiters = Waiters::none();

/// Threads with a signal that has not interrupted a wait yet.
static SIGNALS: Mutex<Vec<thread::ThreadId>> = Mutex::new(Vec::new());

/// Sends a signal to a thread, which ends its present or next wait for `ifnet_detach_sxlock`.
#[cfg(feature = "testing")]
pub(super) fn interrupt(thread: thread::ThreadId) {
    lock(&SIGNALS).push(thread);
    DETACH.raw.wake();
}

/// The same for the stack itself, without the check of whether it may sleep.
#[cfg(feature = "testing")]
pub(super) fn stack_detach_lock() -> DetachGuard {
    DetachGuard(DETACH.lock())
}
