//! The futures that wait for a lock with a value in it: one shape, of which each lock says what it takes and what guard
//! it gives.

/// Declares the future `$wait` for `$lock`, which is taken as `$of` and then guarded by `$guard`, which `$make` makes.
macro_rules! waits_for {
    (
        $(#[$meta:meta])*
        $wait:ident for $lock:ident as $of:ty, $make:ident -> $guard:ident
    ) => {
        $(#[$meta])*
        #[must_use = "futures do nothing unless polled"]
        pub struct $wait<'a, T: ?Sized> {
            pub(crate) acquire: $crate::acquire::Acquire<'a>,
            lock: &'a $lock<T>,
        }

        impl<'a, T: ?Sized> $wait<'a, T> {
            #[inline]
            pub(crate) fn new(
                lock: &'a $lock<T>,
                slot: Option<&'static $crate::slot::Slot>,
                site: &'static std::panic::Location<'static>,
            ) -> Self {
                let need = <$of as $crate::free::Free>::NEED;
                Self { acquire: $crate::acquire::Acquire::new(lock.raw(), slot, need, site), lock }
            }

            $crate::deadline::limits_of!();

            #[inline(never)]
            fn poll_slowly(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<$guard<'a, T>, $crate::error::LockError>> {
                let lock = self.lock;
                self.acquire.poll(cx).map(|acquired| Ok(lock.$make(acquired?)))
            }
        }

        impl<'a, T: ?Sized> std::future::Future for $wait<'a, T> {
            type Output = Result<$guard<'a, T>, $crate::error::LockError>;

            // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
            #[inline(always)]
            fn poll(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                if let Some(free) = self.acquire.poll_free::<$of>(cx) {
                    return free.map(|acquired| Ok(self.lock.$make(acquired)));
                }
                self.poll_slowly(cx)
            }
        }

        impl<T: ?Sized> std::fmt::Debug for $wait<'_, T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($wait)).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use waits_for;
