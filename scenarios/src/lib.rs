//! The acceptance scenarios: what makes session servers hang in the field, driven against this one through its public
//! API only.
//!
//! A scenario is a file in `tests/`, named by its number, and runs over each transport, driven by the raw JSON-RPC
//! clients of this crate and, where it speaks of a client, by the official SDK's too. Each ends with
//! [`checks::everything`]. Scenarios wait for events; a period of time is only ever the limit at which they fail.
//!
//! [`outside`] drives any server over HTTP through those that show from outside, to compare what servers do.

#![forbid(unsafe_code)]

pub mod checks;
mod client;
mod http_driver;
mod inbox;
pub mod limits;
pub mod outside;
mod panics;
mod probe;
pub mod race;
mod record;
mod rings;
mod server;
mod stdio_driver;
mod tools;

pub use client::{ALL_CAPABILITIES, Client, Transport};
pub use http_driver::{Connection, Cut, Head, http_request};
pub use inbox::{Inbox, Outcome};
pub use panics::{Bomb, SEEDED_PANIC, hide_seeded_panics};
pub use probe::Probe;
pub use record::{Record, Seen};
pub use rings::Rings;
pub use server::{Builder, Ctx, TestServer};
pub use stdio_driver::{Pace, Random};
pub use tools::{echo, standard_tools};

/// Makes one test for each transport of an `async fn(Transport)`; its time limit is that of [`limits::limited`], or of
/// the function named.
#[macro_export]
macro_rules! over_both_transports {
    ($scenario:path => $http:ident, $stdio:ident) => {
        $crate::over_both_transports!($scenario => $http, $stdio, $crate::limits::limited);
    };
    ($scenario:path => $http:ident, $stdio:ident, $limited:path) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $http() {
            $limited($scenario($crate::Transport::Http)).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $stdio() {
            $limited($scenario($crate::Transport::Stdio)).await;
        }
    };
}
