//! What sections of [`ScopedMutex`](crate::ScopedMutex)es are called, and where they stand in the order.

use crate::level::LockLevel;

/// What the sections of a [`ScopedMutex`](crate::ScopedMutex) are for. A lock has it as a type, so it costs nothing;
/// declare some with [`sections!`](crate::sections).
///
/// In debug builds and with the feature `held-check`, entering a section is checked against the section that the thread
/// is in; see [`ScopedMutex::with`](crate::ScopedMutex::with).
pub trait Section: 'static {
    /// Its name, in messages and in [`held::take_entries`](crate::held::take_entries).
    const NAME: &'static str;
    /// Its place in the order; without one it is exempt, but may not be entered inside a section that has one.
    const LEVEL: Option<LockLevel>;
}

/// The section of a [`ScopedMutex`](crate::ScopedMutex) that was not given one.
#[derive(Debug)]
pub enum Unlisted {}

impl Section for Unlisted {
    const NAME: &'static str = "unlisted";
    const LEVEL: Option<LockLevel> = None;
}

/// Declares [`Section`](crate::Section)s, each a type, with their names and all at one level.
///
/// # Examples
///
/// ```
/// use freehold_sync::{LockLevel, ScopedMutex, sections};
///
/// sections! {
///     at LockLevel::INNERMOST;
///     /// The names of those who are here.
///     pub Guests = "guests";
/// }
/// struct House {
///     guests: ScopedMutex<Vec<String>, Guests>,
/// }
/// let house = House { guests: ScopedMutex::of(Vec::new()) };
/// house.guests.with(|guests| guests.push("Ada".to_owned()));
/// ```
#[macro_export]
macro_rules! sections {
    (at $level:expr; $($(#[$meta:meta])* $vis:vis $section:ident = $name:literal;)+) => {$(
        $(#[$meta])*
        $vis enum $section {}

        impl $crate::Section for $section {
            const NAME: &'static str = $name;
            const LEVEL: ::core::option::Option<$crate::LockLevel> = ::core::option::Option::Some($level);
        }
    )+};
}
