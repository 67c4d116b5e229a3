//! Tasks: tool calls that outlive the request they came from, in the form of revision 2025-11-25 (the client asks for a
//! task) and in that of the extension `io.modelcontextprotocol/tasks` of the stateless revisions (the server decides).
//!
//! A task is a call of the engine's ([`freehold::Engine::begin`]) with an entry in the table of tasks. It has a slot, a
//! deadline and a place among the calls that the watchdog and a drain see, and ends like any call.
//!
//! # Invariants
//!
//! 1. Status and outcome change in the section of the task only, and never once they are terminal.
//! 2. A task is in the table before anybody can know its id, and leaves it when its time to live is over, when its session
//!    is closed, or when nobody was told of it. It is terminal when it is out: who waits for it always sees an end.
//! 3. Every task has one runner, which owns its call. It ends soon after the task is out of the table, and takes the call
//!    with it.
//! 4. A task is found by its id together with its owner only: its session, or the principal of a stateless request.
//!
//! *Deadlock safety*: the sections move entries; signals are set, watchers woken and handles dropped after them, and none
//! is entered inside of another.

mod create;
mod feed;
mod id;
mod limits;
mod messages;
mod methods;
mod runner;
mod support;
mod table;
mod task;
mod waiting;
mod wire;

pub(crate) use create::{Asked, Creation, plan};
pub(crate) use feed::TaskFeed;
pub use limits::TaskLimits;
pub(crate) use methods::register;
pub(crate) use support::ToolTasks;
pub use support::{TaskStart, TaskSupport};
pub(crate) use table::TaskTable;
pub(crate) use task::Task;
