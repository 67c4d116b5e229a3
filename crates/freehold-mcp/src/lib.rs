#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod ask;
mod attributes;
mod batch;
mod cache;
mod catalog;
mod changes;
mod completion;
mod context;
mod delegate;
mod framing;
mod http;
mod limits;
mod listen;
mod lock_order;
mod memory;
mod model;
mod mrtr;
mod offer;
mod operators;
mod owner;
mod peer;
mod prompts;
mod protocol;
mod request;
mod resources;
mod server;
mod stdio;
mod tasks;
mod text_arguments;
mod tools;

pub use ask::{
    AskError, Capability, Choice, CreateMessage, CreateMessageResult, Elicited, Field, Form, IncludeContext,
    Keyed, ListRoots, ModelPreferences, NotAccepted, Question, RawQuestion, Root, SamplingContent,
    SamplingMessage, SamplingTool, TextFormat, Together, ToolChoice, TypedForm, UnfitForm, UrlElicitation,
    UrlElicitationRequired,
};
pub use cache::{CacheHint, CacheScope, Cacheable};
pub use completion::{Completion, CompletionLimits, CompletionOutput, CompletionRequest};
pub use context::RequestContext;
pub use delegate::{Delegate, Kept, accept_client, has_client};
pub use freehold;
pub use http::{
    Audience, Authorization, AuthorizationTarget, AuthorizeError, Authorizer, EventLimits, EventStore,
    EventStoreError, HttpBody, HttpListener, HttpOptions, HttpService, InvalidAuthorization,
    MemoryEventStore, Principal, Resumption, ServeError, StoredEvent, StreamId, StreamKey,
};
pub use model::{
    Annotations, CallToolResult, Content, Icon, IconTheme, LogLevel, ResourceContents, ResourceLink, Role,
    TraceContext,
};
pub use mrtr::{RequestStateKey, ShortKey};
pub use offer::RegisterError;
pub use operators::{Asker, Operators};
pub use prompts::{GetPromptResult, Prompt, PromptMessage, PromptOutput, PromptTable};
pub use protocol::{Implementation, SESSION_VERSIONS, STATELESS_VERSIONS};
pub use request::{RequestError, RequestHandler};
pub use resources::{
    InvalidUriTemplate, NoRelativePath, ReadResourceResult, RelativePath, Resource, ResourceOutput,
    ResourceTable, ResourceTemplate,
};
pub use server::{BuildServerError, McpServer, McpServerBuilder};
pub use stdio::StdioError;
pub use tasks::{TaskLimits, TaskStart, TaskSupport};
pub use tools::{
    AddToolError, DuplicateTool, InvalidTool, InvalidToolName, Json, SchemaError, Tool, ToolAnnotations,
    ToolCall, ToolContext, ToolError, ToolHandler, ToolMethod, ToolOutput, ToolTable,
};

pub use attributes::{prompt, resource, tool, tools};

#[doc(hidden)]
pub mod __private {
    pub use crate::attributes::{ContextOfRequest, ContextOfTool, PromptReturn, ResourceReturn};
    pub use schemars;
    pub use serde;
}

/// Compiles the code of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeOfTheRepository;
