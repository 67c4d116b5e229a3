//! What the comparison servers have in common: the command line, the runtime and the accept loop.

pub mod arguments;
pub mod http_server;
pub mod rmcp_tools;
