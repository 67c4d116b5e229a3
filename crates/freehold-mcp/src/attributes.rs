//! The attributes that write tools, with their documentation, and what their code needs.

use crate::tools::ToolContext;
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
