//! Levels: the order in which locks may be taken.

use std::fmt;

/// A place in the order of locks: who holds a lock at one level may only take locks at *higher* ranks.
///
/// Four levels are built in, in this order: [`GLOBAL`](Self::GLOBAL), [`SESSION_REGISTRY`](Self::SESSION_REGISTRY),
/// [`SESSION`](Self::SESSION), [`HANDLER`](Self::HANDLER). Declare your own with [`lock_levels!`](crate::lock_levels).
/// The last one, [`INNERMOST`](Self::INNERMOST), is for sections.
/// Several locks of *one* level are taken together, with [`Context::lock_all`](crate::Context::lock_all).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockLevel {
    rank: u8,
    name: &'static str,
}

impl LockLevel {
    /// Things of the whole process.
    pub const GLOBAL: Self = Self::new("Global", 8);
    /// The table of sessions.
    pub const SESSION_REGISTRY: Self = Self::new("SessionRegistry", 16);
    /// One session.
    pub const SESSION: Self = Self::new("Session", 24);
    /// What a handler of the application takes.
    pub const HANDLER: Self = Self::new("Handler", 32);
    /// Sections inside of which nothing is entered; see [`Section`](crate::Section).
    pub const INNERMOST: Self = Self::new("Innermost", 63);

    /// A level of the given rank, 0 to 63.
    ///
    /// # Panics
    ///
    /// If `rank` is above 63; at compile time where the level is a constant.
    #[must_use]
    pub const fn new(name: &'static str, rank: u8) -> Self {
        assert!(rank < 64, "the rank of a lock level is at most 63");
        Self { rank, name }
    }

    /// Its rank: lower ones are taken first.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self.rank
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// A mask with the bit of this level.
    pub(crate) const fn bit(self) -> u64 {
        1 << self.rank
    }

    /// The bits of this level and all above it: holding one of them, this level must not be taken.
    pub(crate) const fn not_below(self) -> u64 {
        u64::MAX << self.rank
    }
}

impl fmt::Debug for LockLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.rank)
    }
}

/// Declares lock levels of your own, lowest first, all above [`LockLevel::HANDLER`](crate::LockLevel::HANDLER).
///
/// Each declaration begins at the same rank, so have one for a program. There is room for 31 levels; one more does not
/// compile.
///
/// # Examples
///
/// ```
/// use freehold_sync::{LockClass, lock_levels};
///
/// lock_levels! {
///     /// The map of accounts.
///     pub ACCOUNTS;
///     /// One account.
///     pub ACCOUNT;
/// }
/// static MAP: LockClass = LockClass::new("accounts").at(ACCOUNTS);
/// assert!(ACCOUNTS < ACCOUNT);
/// assert_eq!(MAP.level(), Some(ACCOUNTS));
/// ```
#[macro_export]
macro_rules! lock_levels {
    ($($(#[$meta:meta])* $vis:vis $name:ident;)+) => {
        $crate::lock_levels!(@ 1u8; $($(#[$meta])* $vis $name;)+);
    };
    (@ $step:expr; $(#[$meta:meta])* $vis:vis $name:ident; $($rest:tt)*) => {
        $(#[$meta])*
        $vis const $name: $crate::LockLevel =
            $crate::LockLevel::new(stringify!($name), $crate::LockLevel::HANDLER.rank() + $step);
        $crate::lock_levels!(@ $step + 1u8; $($rest)*);
    };
    (@ $step:expr;) => {};
}
