//! Tools: documented asynchronous functions that a client's model may call.

mod call;
mod context;
mod degraded;
mod list;
mod output;
mod schema;
mod table;
mod tool;

pub(crate) use call::CallTool;
pub use context::ToolContext;
pub(crate) use degraded::mark_degraded;
pub(crate) use list::list_tools;
pub use output::{Json, ToolError, ToolOutput};
pub(crate) use table::ToolChanges;
pub use table::{DuplicateTool, ToolTable};
pub use tool::{Annotations, Tool, ToolHandler};
