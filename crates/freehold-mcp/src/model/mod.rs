//! The payloads of tools, as the protocol writes them.
//!
//! Own types instead of those of the `rmcp` crate: revisions differ in which fields a result carries, which rmcp's
//! constructors fix, and its model alone brings fifty crates with it.

mod annotations;
mod content;
mod icon;
mod log;
mod meta;
mod resource_link;
mod trace;

pub use annotations::{Annotations, Role};
pub(crate) use content::ServerMeta;
pub use content::{CallToolResult, Content, ResourceContents};
pub use icon::{Icon, IconTheme};
pub use log::LogLevel;
pub(crate) use meta::{Capabilities, Meta, RequestMeta};
pub use resource_link::ResourceLink;
pub use trace::TraceContext;
