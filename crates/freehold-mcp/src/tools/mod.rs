//! Tools: documented asynchronous functions that a client's model may call.

mod annotations;
mod call;
mod context;
mod degraded;
mod handler;
mod layered;
mod mirrored;
mod name;
mod output;
mod schema;
mod table;
mod tool;
mod validation;

pub use annotations::ToolAnnotations;
pub(crate) use call::{CallTool, write};
pub use context::ToolContext;
pub(crate) use degraded::mark_degraded;
pub use handler::{ToolHandler, ToolMethod};
pub use layered::ToolCall;
pub(crate) use mirrored::{MirroredArgument, mirrored_arguments};
pub use name::InvalidToolName;
pub(crate) use name::check as check_name;
pub(crate) use output::Failure;
pub use output::{Json, ToolError, ToolOutput};
pub(crate) use schema::input_schema_of;
pub(crate) use schema::schema_of;
pub use table::{AddToolError, DuplicateTool, ToolTable};
pub use tool::{InvalidTool, Tool};
pub use validation::SchemaError;
