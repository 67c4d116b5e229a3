//! Prompts: messages for a model that a person chooses, with arguments.

mod get;
mod output;
mod prompt;
mod table;

pub(crate) use get::GetPrompt;
pub use output::{GetPromptResult, PromptMessage, PromptOutput};
pub use prompt::Prompt;
pub use table::PromptTable;
