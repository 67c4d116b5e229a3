//! The attributes that write tools, prompts and resources, with their documentation, and what their code needs.

use crate::{
    context::RequestContext, prompts::PromptOutput, request::RequestError, resources::ResourceOutput,
    tools::ToolContext,
};
use freehold::State;

/// Makes a tool of a documented function. The function stays as it is, to be called by others; the tool of `add` is
/// `add::tool()`.
///
/// ```
/// use freehold_mcp::{McpServer, tool};
///
/// /// Adds two numbers.
/// #[tool(read_only)]
/// async fn add(
///     /// The first.
///     a: i64,
///     /// The second.
///     #[default(1)] b: i64,
/// ) -> i64 {
///     a + b
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = McpServer::builder("calculator", "1.0.0").tool(add::tool()).build()?;
/// # Ok(())
/// # }
/// ```
///
/// * Its **description** is the doc comment, which models read. Without one it does not compile.
/// * Its **arguments** are the parameters, described by *their* doc comments. Their types are read with `serde` and have a
///   schema by `schemars`, whose attributes can stand at a parameter, as at a field: `#[serde(rename = "from")]`,
///   `#[schemars(range(min = 1))]`. `Option` may be left out by the caller; `#[default(10)]` says what an absent argument is.
///   Arguments that the tool does not have are refused, unless one is `#[serde(flatten)]`.
/// * `#[arguments]` at the only parameter says that its type is that of all arguments.
/// * Its **context**, if it wants one, is a parameter `&ToolContext` or `&ToolContext<YourState>`.
/// * It returns any [`ToolOutput`](crate::ToolOutput): text, a number, [`Json`](crate::Json), or a `Result` of these.
/// * It is an `async fn`, or a plain one if it is quick: that has the thread for itself while it runs.
///
/// Its options are those of [`Tool`](crate::Tool); whatever is not among them can be said of `add::tool()`:
///
/// | Option | |
/// |---|---|
/// | `name = ".."` | otherwise that of the function |
/// | `title = ".."`, `icons = [..]` | for people |
/// | `description = ".."` | instead of the doc comment |
/// | `read_only`, `idempotent` | hints, and it is run again after a deadlock |
/// | `destructive`, `open_world`, or `= false` | hints |
/// | `timeout = "30s"`, `soft_limit = "5s"` | also an expression of a `Duration` |
/// | `retry = RetryPolicy::..`, `breaker = BreakerOptions::..` | as the methods of these names |
/// | `task_support = TaskSupport::..`, `task_start = TaskStart::..` | as the methods |
/// | `crate = path::to::freehold_mcp` | where this crate is, if not at `::freehold_mcp` |
///
/// ```
/// use freehold_mcp::{Json, McpServer, ToolContext, ToolError, tool};
///
/// #[derive(Clone, Default)]
/// struct Notes(Vec<String>);
///
/// #[derive(serde::Serialize, schemars::JsonSchema)]
/// struct Count { notes: usize }
///
/// /// Takes a note down, for this session.
/// #[tool(title = "Take a note", destructive = false, timeout = "5s")]
/// async fn note(
///     ctx: &ToolContext<Notes>,
///     /// What to write.
///     text: String,
/// ) -> Result<Json<Count>, ToolError> {
///     let notes = ctx.update(|notes| { notes.0.push(text.clone()); notes.0.len() }).await?;
///     Ok(Json(Count { notes }))
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = McpServer::builder_with_state("notes", "1.0.0", Notes::default()).tool(note::tool()).build()?;
/// # Ok(())
/// # }
/// ```
///
/// What does not fit is refused where it stands:
///
/// ```compile_fail
/// # use freehold_mcp::tool;
/// #[tool] // models read what a tool does; write a doc comment above it
/// async fn add(a: i64, b: i64) -> i64 { a + b }
/// ```
///
/// ```compile_fail,E0277
/// # use freehold_mcp::tool;
/// struct Account;
///
/// /// Finds an account.
/// #[tool] // a tool cannot return `Account`
/// async fn find(name: String) -> Account { Account }
/// ```
///
/// ```compile_fail,E0277
/// # use freehold_mcp::tool;
/// /// Finds an account.
/// #[tool] // `std::string::String` is no context of a tool
/// async fn find(name: &String) -> String { name.clone() }
/// ```
///
/// ```compile_fail
/// # use freehold_mcp::tool;
/// /// Waits.
/// #[tool] // future cannot be sent between threads safely
/// async fn wait() {
///     let held = std::rc::Rc::new(1);
///     std::future::ready(()).await;
///     drop(held);
/// }
/// ```
pub use freehold_macros::tool;

/// Makes tools of the methods of an `impl` block that carry `#[tool]`; the calls share the value behind an `Arc`. The block
/// gets the function `tools(self: &Arc<Self>) -> Vec<Tool<..>>`.
///
/// ```
/// use freehold_mcp::{McpServer, ToolContext, ToolError, freehold::sync::Mutex, tools};
/// use std::{collections::BTreeMap, sync::Arc};
///
/// #[derive(Default)]
/// struct Ledger {
///     accounts: Mutex<BTreeMap<String, i64>>,
/// }
///
/// #[tools]
/// impl Ledger {
///     /// Puts money into an account.
///     #[tool]
///     async fn deposit(
///         &self,
///         ctx: &ToolContext,
///         /// Whose.
///         account: String,
///         /// How much, in cents.
///         amount: i64,
///     ) -> Result<i64, ToolError> {
///         let mut accounts = ctx.lock(&self.accounts).await?;
///         let balance = accounts.entry(account).or_default();
///         *balance += amount;
///         Ok(*balance)
///     }
///
///     /// Counts the accounts.
///     #[tool(read_only, name = "count_accounts")]
///     async fn count(&self, ctx: &ToolContext) -> Result<usize, ToolError> {
///         Ok(ctx.lock(&self.accounts).await?.len())
///     }
///
///     /// No tool.
///     fn helper(&self) {}
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = Arc::new(Ledger::default());
/// let server = McpServer::builder("ledger", "1.0.0").tools(ledger.tools()).build()?;
/// # ledger.helper();
/// # Ok(())
/// # }
/// ```
///
/// `#[tool]` takes the options of [`macro@tool`], without `crate`, which `#[tools]` takes. `#[tools(name = admin_tools)]`
/// names the function, for a type with several such blocks; `#[tools(vis = pub(crate))]` says who sees it.
pub use freehold_macros::tools;

/// Makes a prompt of a documented function. The function stays as it is; the prompt of `greet` is `greet::prompt()`.
///
/// ```
/// use freehold_mcp::{McpServer, prompt};
///
/// /// Asks for a greeting.
/// #[prompt]
/// async fn greet(
///     /// Who is greeted.
///     name: String,
///     /// How often.
///     #[default(1)] times: u32,
/// ) -> String {
///     format!("Greet {name} {times} times.")
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = McpServer::builder("greeter", "1.0.0").prompt(greet::prompt()).build()?;
/// # Ok(())
/// # }
/// ```
///
/// * Its **description** is the doc comment, by which people choose it. Without one it does not compile.
/// * Its **arguments** are the parameters, described by *their* doc comments. They come as text; numbers, booleans and plain
///   enums are read from it. `Option` may be left out by the client; `#[default(..)]`, `#[serde(..)]`, `#[schemars(..)]` and
///   `#[arguments]` are as with [`tool`](macro@crate::tool). `#[complete(cities)]` says which function completes the argument
///   ([`Prompt::complete`](crate::Prompt::complete)); a prompt with one takes the context, too, if sessions have a state.
/// * Its **context**, if it wants one, is a parameter `&RequestContext` or `&RequestContext<YourState>`.
/// * It returns any [`PromptOutput`](crate::PromptOutput), or a `Result` of one with an error that becomes a
///   [`RequestError`](crate::RequestError).
///
/// Its options are those of [`Prompt`](crate::Prompt): `name = ".."`, `title = ".."`, `description = ".."`,
/// `icon = Icon::new(..)`, `options = MethodOptions::new()..`; and `crate = path::to::freehold_mcp`.
///
/// ```
/// use freehold_mcp::{Completion, CompletionRequest, PromptMessage, RequestContext, RequestError, prompt};
///
/// async fn cities(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
///     Ok(Completion::of_prefix(["Paris", "Parma", "Rome"], &of.value))
/// }
///
/// /// Plans a visit.
/// #[prompt(title = "Plan a visit")]
/// async fn visit(
///     ctx: &RequestContext,
///     #[complete(cities)] city: String,
///     days: Option<u8>,
/// ) -> Result<Vec<PromptMessage>, RequestError> {
///     let days = days.ok_or_else(|| RequestError::new("say for how many days"))?;
///     Ok(vec![PromptMessage::user(format!("{}: {days} days in {city}.", ctx.subject()))])
/// }
/// # let _ = visit::prompt();
/// ```
///
/// What does not fit is refused where it stands:
///
/// ```compile_fail
/// # use freehold_mcp::prompt;
/// #[prompt] // people choose a prompt by what it does; write a doc comment
/// async fn greet(name: String) -> String { name }
/// ```
///
/// ```compile_fail,E0277
/// # use freehold_mcp::prompt;
/// /// Greets.
/// #[prompt] // a prompt cannot return `u32`
/// async fn greet(name: String) -> u32 { 7 }
/// ```
///
/// ```compile_fail,E0277
/// # use freehold_mcp::{ToolContext, prompt};
/// /// Greets.
/// #[prompt] // `ToolContext` is no context of a prompt or a resource
/// async fn greet(ctx: &ToolContext, name: String) -> String { name }
/// ```
///
/// ```compile_fail
/// # use freehold_mcp::prompt;
/// /// Waits.
/// #[prompt] // future cannot be sent between threads safely
/// async fn wait() -> String {
///     let held = std::rc::Rc::new(1);
///     std::future::ready(()).await;
///     held.to_string()
/// }
/// ```
pub use freehold_macros::prompt;

/// Makes a resource of a documented function, or, if its URI has variables, a template of resources. The function stays as it
/// is; `readme::resource()` or `issue::resource_template()` is what is made.
///
/// ```
/// use freehold_mcp::{McpServer, resource};
///
/// /// What this is.
/// #[resource("notes://readme", mime_type = "text/markdown")]
/// async fn readme() -> std::io::Result<String> {
///     std::fs::read_to_string("README.md")
/// }
///
/// /// An issue.
/// #[resource("issues://{project}/{number}")]
/// async fn issue(project: String, number: u32) -> Option<String> {
///     // `None` is answered as a resource that is not there.
///     (number < 100).then(|| format!("Issue {number} of {project}"))
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = McpServer::builder("notes", "1.0.0")
///     .resource(readme::resource())
///     .resource_template(issue::resource_template())
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// * Its **URI** is one, or a template (see [`ResourceTemplate::new`](crate::ResourceTemplate::new)); then each variable is a
///   parameter of that name, and each parameter a variable. A URI whose variables cannot be read as the parameters' types is
///   that of no resource. `Option` and `#[default(..)]` are for variables that may be absent, such as those of a query;
///   `#[complete(numbers)]` says which function completes the variable.
/// * Its **description** is the doc comment. Without one it does not compile.
/// * Its **context**, if it wants one, is a parameter `&RequestContext` or `&RequestContext<YourState>`.
/// * It returns any [`ResourceOutput`](crate::ResourceOutput), or a `Result` of one with an error that becomes a
///   [`RequestError`](crate::RequestError).
///
/// Its options are those of [`Resource`](crate::Resource) and [`ResourceTemplate`](crate::ResourceTemplate): `name = ".."`
/// (else that of the function), `title = ".."`, `description = ".."`, `mime_type = ".."`, `size = ..` (not of a template),
/// `annotations = ..`, `cache = CacheHint::..`, `icon = Icon::new(..)`, `options = MethodOptions::new()..`; and
/// `crate = path::to::freehold_mcp`.
///
/// What does not fit is refused where it stands:
///
/// ```compile_fail
/// # use freehold_mcp::resource;
/// /// An issue.
/// #[resource("issues://{number}")]
/// async fn issue(id: u32) -> String { id.to_string() } // the URI has no variable `id`; write `{id}` in it
/// ```
///
/// ```compile_fail
/// # use freehold_mcp::resource;
/// /// An issue.
/// #[resource("issues://{project}/{number}")] // no parameter for the variable `project`; add `project: String`
/// async fn issue(number: u32) -> String { number.to_string() }
/// ```
///
/// ```compile_fail
/// # use freehold_mcp::resource;
/// /// An issue.
/// #[resource("issues")] // "issues" is no URI; begin with a scheme
/// async fn issue() -> String { String::new() }
/// ```
///
/// ```compile_fail,E0277
/// # use freehold_mcp::resource;
/// /// An issue.
/// #[resource("issues://all")] // a resource cannot return `u32`
/// async fn issue() -> u32 { 7 }
/// ```
pub use freehold_macros::resource;

/// The type behind the `&` of a tool's context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no context of a tool",
    label = "write `&ToolContext` or `&ToolContext<YourState>`",
    note = "a parameter with `&` is the context; arguments are read from JSON, so they are owned: leave the `&` out"
)]
pub trait ContextOfTool {
    /// The state of a session.
    type State: State;
}

impl<S: State> ContextOfTool for ToolContext<S> {
    type State = S;
}

/// The type behind the `&` of the context of a prompt or a resource.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no context of a prompt or a resource",
    label = "write `&RequestContext` or `&RequestContext<YourState>`",
    note = "a parameter with `&` is the context; arguments are read from a request, so they are owned: leave the `&` out"
)]
pub trait ContextOfRequest {
    /// The state of a session.
    type State: State;
}

impl<S: State> ContextOfRequest for RequestContext<S> {
    type State = S;
}

/// What the function of a prompt may return.
#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    label = "return what is a `PromptOutput`, or a `Result` of it",
    note = "text is one, and `PromptMessage`, `Vec<PromptMessage>`, `Content` and `GetPromptResult`; an error must become a `RequestError`"
)]
pub trait PromptReturn {
    /// The messages.
    type Output: PromptOutput;

    /// The messages, or why there are none.
    ///
    /// # Errors
    ///
    /// The function's.
    fn into_result(self) -> Result<Self::Output, RequestError>;
}

impl<R: PromptOutput> PromptReturn for R {
    type Output = R;

    fn into_result(self) -> Result<R, RequestError> {
        Ok(self)
    }
}

impl<R: PromptOutput, E: Into<RequestError>> PromptReturn for Result<R, E> {
    type Output = R;

    fn into_result(self) -> Result<R, RequestError> {
        self.map_err(Into::into)
    }
}

/// What the function of a resource may return.
#[diagnostic::on_unimplemented(
    message = "a resource cannot return `{Self}`",
    label = "return what is a `ResourceOutput`, or a `Result` of it",
    note = "text is one, and bytes (`Vec<u8>`), `ResourceContents`, `ReadResourceResult`, and an `Option` of these; an error must become a `RequestError`"
)]
pub trait ResourceReturn {
    /// The contents.
    type Output: ResourceOutput;

    /// The contents, or why there are none.
    ///
    /// # Errors
    ///
    /// The function's.
    fn into_result(self) -> Result<Self::Output, RequestError>;
}

impl<R: ResourceOutput> ResourceReturn for R {
    type Output = R;

    fn into_result(self) -> Result<R, RequestError> {
        Ok(self)
    }
}

impl<R: ResourceOutput, E: Into<RequestError>> ResourceReturn for Result<R, E> {
    type Output = R;

    fn into_result(self) -> Result<R, RequestError> {
        self.map_err(Into::into)
    }
}
