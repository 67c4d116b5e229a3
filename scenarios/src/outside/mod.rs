//! The scenarios as far as they show from outside, driven against any MCP server over Streamable HTTP, so that servers can be
//! compared by what they did: the program `compare`.
//!
//! The server must offer these tools. Each of its handlers counts itself as running from its first to its last
//! instruction, also if it is dropped or fails; `running` and `echo` do not.
//!
//! | Tool | Arguments | What its handler does |
//! |---|---|---|
//! | `echo` | `text` | returns the text |
//! | `running` | | returns how many handlers run, in digits |
//! | `never` | | waits until the SDK tells that its call is cancelled, and returns then |
//! | `stubborn` | | waits for ever, whatever it is told |
//! | `sleep` | `ms` | waits so long without blocking, and returns |
//! | `block` | `ms` | blocks its thread so long, and returns |
//! | `ask` | `n` | asks the client (`elicitation/create`, a form without fields, the message `question N`) and returns the answer's action |
//! | `progress` | `count`, `bytes` | sends so many progress notifications with a message of so many bytes, and returns |
//! | `burst` | `bytes` | returns a text of so many bytes |
//! | `panic` | | panics, or throws |
//! | `join` | | its session is sent what `publish` publishes |
//! | `publish` | `count`, `bytes` | sends so many log messages (`notifications/message`, level `error`) of so many bytes to each session that joined, each with its number in front, one each 5 ms, to each session independently of the others, and returns when all are sent |
//!
//! It speaks MCP 2025-11-25, the newest revision with sessions. [`freehold`] is such a server; those of others are in
//! `benches/peers` and `scripts/compare.d`.

pub mod client;
mod drive;
mod events;
mod facts;
pub mod freehold;
mod process;
mod scenarios;
mod table;

pub use drive::{Drive, Times};
pub use facts::Fact;
pub use process::{Observed, Started};
pub use scenarios::{NOT_VISIBLE, SCENARIOS, Scenario};
pub use table::{Column, Table};
