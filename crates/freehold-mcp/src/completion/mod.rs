//! Completion: what the argument of a prompt, or the variable of a template, may be.

mod complete;
mod handler;
mod output;

pub(crate) use complete::CompleteArgument;
pub use handler::CompletionRequest;
pub(crate) use handler::{Completers, erased};
pub use output::{Completion, CompletionOutput};
