#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod ask;
mod batch;
mod context;
mod framing;
mod http;
mod listen;
mod lock_order;
mod model;
mod mrtr;
mod peer;
mod protocol;
mod server;
mod stdio;
mod tools;

pub use ask::{
    AskError, Capability, Choice, CreateMessage, CreateMessageResult, Elicited, Field, Form, IncludeContext,
    Keyed, ListRoots, ModelPreferences, NotAccepted, Question, RawQuestion, Role, Root, SamplingContent,
    SamplingMessage, SamplingTool, TextFormat, Together, ToolChoice, TypedForm, UnfitForm, UrlElicitation,
    UrlElicitationRequired,
};
pub use context::RequestContext;
pub use freehold;
pub use http::{
    EventLimits, EventStore, EventStoreError, HttpBody, HttpListener, HttpOptions, HttpService,
    MemoryEventStore, Resumption, ServeError, StoredEvent, StreamId, StreamKey,
};
pub use model::{CallToolResult, Content, LogLevel, ResourceContents, TraceContext};
pub use mrtr::{RequestStateKey, ShortKey};
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
