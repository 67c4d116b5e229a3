//! Completion: what the argument of a prompt, or the variable of a template, may be.

mod complete;
mod handler;
mod limits;
mod output;
mod rates;

pub(crate) use complete::CompleteArgument;
pub use handler::CompletionRequest;
pub(crate) use handler::{Completers, erased};
pub use limits::CompletionLimits;
pub use output::{Completion, CompletionOutput};
pub(crate) use rates::CompletionRates;
