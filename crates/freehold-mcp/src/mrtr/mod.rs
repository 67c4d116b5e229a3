//! Multi round-trip requests of the stateless revisions: a handler that asks its client something.
//!
//! A stateless request cannot be asked back. A handler that asks what is not answered yet ends its request with a result
//! of type `input_required`: the questions, and a `requestState` that only this server can write. The client sends the
//! request again with the answers and that state; the handler runs again from its start, and this time its questions
//! return at once. What was answered in earlier rounds is in the state.
//!
//! Who handles one of the three methods that may do so calls [`Rounds::begin`], makes the handler's future with the
//! context, and lets [`End::of`] drive it.
//!
//! # Invariants
//!
//! 1. A question without an answer is listed before its future is first pending, and never completes: its handler is not
//!    polled again once a poll of it has left such a question behind.
//! 2. A question whose future is dropped before its handler's poll is over is no longer listed: nobody wants the answer.
//! 3. The handler's future is dropped, with all that it holds, inside of its own activity's poll and before the call gets
//!    its outcome; so a lock that it held is free when the client reads the questions.
//! 4. Nothing of a `requestState` is looked at before its integrity has been verified.
//!
//! *Deadlock safety*: the section of a round moves entries; user values are neither made nor dropped in it.

mod digest;
mod end;
mod fields;
mod limits;
mod options;
mod round;
mod seal;
mod state;
mod unanswered;

pub(crate) use end::End;
pub(crate) use options::RequestStateOptions;
pub use options::{RequestStateKey, ShortKey};
pub(crate) use round::{Request, Round, Rounds};
