//! The guide: how to use this crate, and what it can and cannot tell. Text only; nothing here is code to call.
//!
//! | Question | Page |
//! |---|---|
//! | How do I begin? | [`quick_start`] |
//! | Which lock, when? | [`which_lock`] |
//! | What do PROVEN, SUSPECTED and POTENTIAL mean, and why is PROVEN true? | [`grades`] |
//! | What is *not* detected? | [`not_detected`] |
//! | How do I give a wait a deadline, or cancel it? | [`deadlines`] |
//! | How do I keep locks in order? Why does the compiler not do it? | [`order`] |
//! | What do I do with an error? | [`recovery`] |
//! | What is futurelock, and what is done about it? | [`futurelock`] |
//! | How do I read a report? | [`reports`] |
//! | How do I watch a running program? | [`watching`] |
//! | Which call replaces which of tokio's or parking_lot's? | [`migration`] |
//! | What can be set, what is bounded, what does it cost? | [`settings`] |

pub mod deadlines;
pub mod futurelock;
pub mod grades;
pub mod migration;
pub mod not_detected;
pub mod order;
pub mod quick_start;
pub mod recovery;
pub mod reports;
pub mod settings;
pub mod watching;
pub mod which_lock;
