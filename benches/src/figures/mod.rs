//! What each program measures: its figures, as they are written with `--json`, the tables of them, and what they say.

pub mod designs;
pub mod flood;
pub mod http;
pub mod idle;
pub mod page;
pub mod process;
pub mod slow;
pub mod sync;
