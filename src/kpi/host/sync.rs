//! The locks and conditions of the model itself: std's, or loom's under the same names and usable in a
//! `static`.

#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(super) use std::{thread, thread_local};

#[cfg(loom)]
pub(super) use explored::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(super) use loom::thread;

/// loom's own types have no const constructors.
#[cfg(loom)]
macro_rules! explored_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const $value:block;)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}
#[cfg(loom)]
pub(super) use explored_thread_local as thread_local;

/// Initialised at its first use: once, or once in each interleaving.
macro_rules! lazy {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {$(
        #[cfg(not(loom))]
        $(#[$attribute])*
        pub(super) static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $value);

        #[cfg(loom)]
        loom::lazy_static! {
            $(#[$attribute])*
            pub(super) static ref $name: $type = $value;
        }
    )*};
}
pub(super) use lazy;

#[cfg(loom)]
mod explored {
    use std::collections::HashMap;
    use std::fmt::{Debug, Formatter};
    use std::ops::{Deref, DerefMut};
    use std::sync::{Arc, LockResult, PoisonError};
    use std::time::Duration;

    use loom::sync::{Condvar as LoomCondvar, Mutex as LoomMutex, MutexGuard as LoomGuard};

    /// loom's counterparts of the locks here, by address. They live for one interleaving, but a `static`
    /// for all of them.
    #[derive(Default)]
    struct Twins {
        mutexes: HashMap<usize, Arc<LoomMutex<()>>>,
        conditions: HashMap<usize, Arc<LoomCondvar>>,
    }

    loom::lazy_static! {
        static ref TWINS: std::sync::Mutex<Twins> = std::sync::Mutex::default();
    }

    fn twins<R>(f: impl FnOnce(&mut Twins) -> R) -> R {
        f(&mut TWINS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[derive(Default)]
    pub struct Mutex<T>(std::sync::Mutex<T>);

    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        // In the order in which they must be dropped.
        value: std::sync::MutexGuard<'a, T>,
        twin: Twin,
    }

    /// # Invariants
    /// The guard is of the mutex.
    struct Twin {
        guard: LoomGuard<'static, ()>,
        mutex: Arc<LoomMutex<()>>,
    }

    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Mutex(std::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let address = std::ptr::from_ref(self).addr();
            let mutex = twins(|twins| twins.mutexes.entry(address).or_default().clone());
            let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the mutex is kept beside its guard, and goes after it.
            // INVARIANT: the guard is of that mutex, which was locked just now.
            let guard =
                unsafe { std::mem::transmute::<LoomGuard<'_, ()>, LoomGuard<'_, ()>>(guard) };
            Ok(MutexGuard { mutex: self, value: self.value(), twin: Twin { guard, mutex } })
        }

        /// The thread that has the twin has this.
        fn value(&self) -> std::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }

    impl<T: Debug> Debug for MutexGuard<'_, T> {
        fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            self.value.fmt(f)
        }
    }

    /// Has a size, for an address of its own.
    #[derive(Default)]
    pub struct Condvar(#[expect(dead_code, reason = "see above")] u8);

    /// Time does not pass.
    pub struct WaitTimeoutResult;

    impl Condvar {
        pub const fn new() -> Self {
            Condvar(0)
        }

        fn twin(&self) -> Arc<LoomCondvar> {
            let address = std::ptr::from_ref(self).addr();
            twins(|twins| twins.conditions.entry(address).or_default().clone())
        }

        pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            let MutexGuard { mutex, value, twin: Twin { guard, mutex: of } } = guard;
            drop(value);
            let guard = self.twin().wait(guard).unwrap_or_else(PoisonError::into_inner);
            // INVARIANT: the same guard.
            Ok(MutexGuard { mutex, value: mutex.value(), twin: Twin { guard, mutex: of } })
        }

        pub fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            self.wait(guard).map(|guard| (guard, WaitTimeoutResult)).map_err(|_| unreachable!())
        }

        pub fn notify_one(&self) {
            self.twin().notify_one();
        }

        pub fn notify_all(&self) {
            self.twin().notify_all();
        }
    }
}
