//! Several locks taken together, in one order for everybody.

use crate::{
    context::Context,
    error::LockError,
    level::LockLevel,
    mutex::{Lock, Mutex, MutexGuard},
    permit_pool::{AcquirePermits, Permit},
    raw::RawLock,
    report::LockName,
    rwlock::{Read, RwLockReadGuard, RwLockWriteGuard, Write},
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

type Site = &'static Location<'static>;

/// What can be in a [`LockSet`]: `&mutex` (also of an `Arc`), or a wait of any kind that has not begun: `ctx.lock(..)` with a
/// limit of its own, `ctx.read(..)`, `ctx.write(..)`, `ctx.permits(..)`. No other types can have it.
pub trait Lockable<'a>: Sealed {
    /// The wait for it.
    type Wait: LockWait;

    #[doc(hidden)]
    fn wait(self, context: &'a Context, site: Site) -> Self::Wait;
}

/// What can be taken together with [`Context::lock_all`]: an array, a `Vec` or a slice of one kind of [`Lockable`], or a
/// tuple of up to six of any kinds. No other types can have it.
pub trait LockSet<'a>: Sealed {
    /// The waits for all of it.
    type Waits: LockWaits;

    #[doc(hidden)]
    fn waits(self, context: &'a Context, site: Site) -> Self::Waits;
}

/// The traits behind [`LockAll`]. They have no lifetime of their own, so that the compiler can see that a task with a
/// `LockAll` in it is `Send` whatever the lifetimes of its locks.
mod waits {
    use super::{Future, LockError, LockName, Place, Poll, TaskContext};

    pub trait Sealed {}

    /// One wait, as far as its kind does not matter.
    pub trait Member {
        fn place(&self) -> Place;
        fn name(&self) -> LockName;
        /// It is not the first of a set.
        fn follow(&mut self);
    }

    /// One wait.
    pub trait LockWait: Sealed + Member + Future<Output = Result<Self::Guard, LockError>> + Unpin {
        type Guard;
    }

    /// Several, by their indices.
    pub trait LockWaits: Sealed {
        type Guards;
        /// The guards there are already.
        type Got;
        type Order: AsMut<[usize]>;

        fn indices(&self) -> Self::Order;
        fn nothing(&self) -> Self::Got;
        fn member(&mut self, index: usize) -> &mut dyn Member;
        fn poll(
            &mut self,
            index: usize,
            got: &mut Self::Got,
            cx: &mut TaskContext<'_>,
        ) -> Poll<Result<(), LockError>>;
        fn all(got: Self::Got) -> Self::Guards;
    }
}
use waits::{LockWait, LockWaits, Member, Sealed};

/// Where a lock comes in the order of everybody: by level, those without one last, and then by address.
///
/// With the lowest level first, that one alone has to be above what is held already, and the others of the set follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    no_level: bool,
    level: Option<LockLevel>,
    address: usize,
}

impl Place {
    fn of(lock: &RawLock) -> Self {
        // A class that is not known yet was not named, so it has no level.
        let level = lock.class_ref().known().and_then(crate::LockClass::level);
        Self { no_level: level.is_none(), level, address: lock.address() }
    }
}

/// Waits for a whole set; see [`Context::lock_all`].
#[must_use = "futures do nothing unless polled"]
pub struct LockAll<W: LockWaits> {
    waits: W,
    got: W::Got,
    order: W::Order,
    next: usize,
    twice: Option<LockName>,
}

impl<W: LockWaits> LockAll<W> {
    pub(crate) fn new(mut waits: W) -> Self {
        let mut order = waits.indices();
        let indices = order.as_mut();
        indices.sort_unstable_by_key(|index| waits.member(*index).place());
        let twice =
            indices.windows(2).find(|pair| waits.member(pair[0]).place() == waits.member(pair[1]).place());
        let twice = twice.map(|pair| waits.member(pair[0]).name());
        indices.iter().skip(1).for_each(|index| waits.member(*index).follow());
        Self { got: waits.nothing(), waits, order, next: 0, twice }
    }
}

// Nothing in it is pinned in place: the waits it polls can be moved.
impl<W: LockWaits> Unpin for LockAll<W> {}

impl<W: LockWaits> Future for LockAll<W> {
    type Output = Result<W::Guards, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(lock) = this.twice.take() {
            return Poll::Ready(Err(LockError::Twice(Box::new(lock))));
        }
        while let Some(index) = this.order.as_mut().get(this.next) {
            if let Err(error) = ready!(this.waits.poll(*index, &mut this.got, cx)) {
                this.got = this.waits.nothing();
                return Poll::Ready(Err(error));
            }
            this.next += 1;
        }
        Poll::Ready(Ok(W::all(std::mem::replace(&mut this.got, this.waits.nothing()))))
    }
}

impl<W: LockWaits> fmt::Debug for LockAll<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockAll").field("locked", &self.next).finish_non_exhaustive()
    }
}

// ---- one lock ------------------------------------------------------------------------------------------------------

impl<T: ?Sized> Sealed for &Mutex<T> {}
impl<T: ?Sized> Sealed for &Arc<Mutex<T>> {}

impl<'a, T: ?Sized> Lockable<'a> for &'a Mutex<T> {
    type Wait = Lock<'a, T>;

    fn wait(self, context: &'a Context, site: Site) -> Lock<'a, T> {
        Lock::new(self, Some(context.slot()), site)
    }
}

impl<'a, T: ?Sized> Lockable<'a> for &'a Arc<Mutex<T>> {
    type Wait = Lock<'a, T>;

    fn wait(self, context: &'a Context, site: Site) -> Lock<'a, T> {
        Lock::new(self, Some(context.slot()), site)
    }
}

macro_rules! wait {
    ([$($generics:tt)*] $wait:ty => $guard:ty) => {
        impl<'a, $($generics)*> Sealed for $wait {}

        impl<'a, $($generics)*> Lockable<'a> for $wait {
            type Wait = Self;

            fn wait(self, _context: &'a Context, _site: Site) -> Self {
                self
            }
        }

        impl<'a, $($generics)*> LockWait for $wait {
            type Guard = $guard;
        }

        impl<'a, $($generics)*> Member for $wait {
            fn place(&self) -> Place {
                Place::of(self.acquire.lock)
            }

            fn name(&self) -> LockName {
                LockName::of(self.acquire.lock)
            }

            fn follow(&mut self) {
                self.acquire.in_set = true;
            }
        }
    };
}

wait!([T: ?Sized] Lock<'a, T> => MutexGuard<'a, T>);
wait!([T: ?Sized] Read<'a, T> => RwLockReadGuard<'a, T>);
wait!([T: ?Sized] Write<'a, T> => RwLockWriteGuard<'a, T>);
wait!([] AcquirePermits<'a> => Permit<'a>);

fn poll_into<W: LockWait>(
    wait: &mut W,
    guard: &mut Option<W::Guard>,
    cx: &mut TaskContext<'_>,
) -> Poll<Result<(), LockError>> {
    *guard = Some(ready!(Pin::new(wait).poll(cx))?);
    Poll::Ready(Ok(()))
}

// ---- sets of one kind ----------------------------------------------------------------------------------------------

impl<L: Sealed, const N: usize> Sealed for [L; N] {}

impl<'a, L: Lockable<'a>, const N: usize> LockSet<'a> for [L; N] {
    type Waits = [L::Wait; N];

    fn waits(self, context: &'a Context, site: Site) -> Self::Waits {
        self.map(|lock| lock.wait(context, site))
    }
}

impl<W: LockWait, const N: usize> LockWaits for [W; N] {
    type Guards = [W::Guard; N];
    type Got = [Option<W::Guard>; N];
    type Order = [usize; N];

    fn indices(&self) -> Self::Order {
        std::array::from_fn(|index| index)
    }

    fn nothing(&self) -> Self::Got {
        std::array::from_fn(|_| None)
    }

    fn member(&mut self, index: usize) -> &mut dyn Member {
        &mut self[index]
    }

    fn poll(
        &mut self,
        index: usize,
        got: &mut Self::Got,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), LockError>> {
        poll_into(&mut self[index], &mut got[index], cx)
    }

    fn all(got: Self::Got) -> Self::Guards {
        got.map(|guard| guard.expect(ONCE))
    }
}

impl<L: Sealed> Sealed for Vec<L> {}

impl<'a, L: Lockable<'a>> LockSet<'a> for Vec<L> {
    type Waits = Vec<L::Wait>;

    fn waits(self, context: &'a Context, site: Site) -> Self::Waits {
        self.into_iter().map(|lock| lock.wait(context, site)).collect()
    }
}

impl<L: Sealed> Sealed for &[L] {}

impl<'a, L: Lockable<'a> + Copy> LockSet<'a> for &[L] {
    type Waits = Vec<L::Wait>;

    fn waits(self, context: &'a Context, site: Site) -> Self::Waits {
        self.iter().map(|lock| lock.wait(context, site)).collect()
    }
}

impl<W: LockWait> LockWaits for Vec<W> {
    type Guards = Vec<W::Guard>;
    type Got = Vec<Option<W::Guard>>;
    type Order = Vec<usize>;

    fn indices(&self) -> Self::Order {
        (0..self.len()).collect()
    }

    fn nothing(&self) -> Self::Got {
        self.iter().map(|_| None).collect()
    }

    fn member(&mut self, index: usize) -> &mut dyn Member {
        &mut self[index]
    }

    fn poll(
        &mut self,
        index: usize,
        got: &mut Self::Got,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), LockError>> {
        poll_into(&mut self[index], &mut got[index], cx)
    }

    fn all(got: Self::Got) -> Self::Guards {
        got.into_iter().map(|guard| guard.expect(ONCE)).collect()
    }
}

const ONCE: &str = "a set of locks is waited for once";

// ---- sets of several kinds -----------------------------------------------------------------------------------------

macro_rules! tuple {
    ($($L:ident $index:tt),+) => {
        impl<$($L: Sealed),+> Sealed for ($($L,)+) {}

        impl<'a, $($L: Lockable<'a>),+> LockSet<'a> for ($($L,)+) {
            type Waits = ($($L::Wait,)+);

            fn waits(self, context: &'a Context, site: Site) -> Self::Waits {
                ($(self.$index.wait(context, site),)+)
            }
        }

        impl<$($L: LockWait),+> LockWaits for ($($L,)+) {
            type Guards = ($($L::Guard,)+);
            type Got = ($(Option<$L::Guard>,)+);
            type Order = [usize; [$($index),+].len()];

            fn indices(&self) -> Self::Order {
                [$($index),+]
            }

            fn nothing(&self) -> Self::Got {
                ($(None::<$L::Guard>,)+)
            }

            fn member(&mut self, index: usize) -> &mut dyn Member {
                match index {
                    $($index => &mut self.$index,)+
                    _ => unreachable!("{index} is in no set of this size"),
                }
            }

            fn poll(
                &mut self,
                index: usize,
                got: &mut Self::Got,
                cx: &mut TaskContext<'_>,
            ) -> Poll<Result<(), LockError>> {
                match index {
                    $($index => poll_into(&mut self.$index, &mut got.$index, cx),)+
                    _ => unreachable!("{index} is in no set of this size"),
                }
            }

            fn all(got: Self::Got) -> Self::Guards {
                ($(got.$index.expect(ONCE),)+)
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
