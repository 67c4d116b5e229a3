#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod context;
mod framing;
mod http;
mod listen;
mod lock_order;
mod model;
mod peer;
mod protocol;
mod server;
mod stdio;
mod tools;

pub use context::{AskError, RequestContext};
pub use freehold;
pub use http::{HttpBody, HttpListener, HttpOptions, HttpService, ServeError};
pub use model::{CallToolResult, Content, LogLevel, ResourceContents};
pub use protocol::{Implementation, SESSION_VERSIONS, STATELESS_VERSIONS};
pub use server::{BuildServerError, McpServer, McpServerBuilder};
pub use stdio::StdioError;
pub use tools::{
    Annotations, DuplicateTool, Json, Tool, ToolContext, ToolError, ToolHandler, ToolOutput, ToolTable,
};

/// Compiles the code of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeOfTheRepository;
