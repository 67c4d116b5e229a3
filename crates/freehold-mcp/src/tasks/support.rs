use crate::tools::Tool;
use freehold::State;
use serde::Serialize;
use std::time::Duration;

/// Whether a tool may be called as a task: a call that outlives its request, and whose result is fetched later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskSupport {
    /// Never.
    #[default]
    Forbidden,
    /// As a task or not: in revision 2025-11-25 as the client says, in stateless revisions as a task for every client that
    /// declares the extension.
    Optional,
    /// Only as a task; clients that know none are refused.
    Required,
}

/// When a request of a stateless revision is answered with a task instead of the result. (In revision 2025-11-25 always at
/// once, since there the client asks for it.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskStart {
    /// Before its tool has done anything.
    #[default]
    AtOnce,
    /// When the tool has no result after this time; a quick one is answered like any call.
    After(Duration),
    /// When the tool says so ([`RequestContext::become_task`](crate::RequestContext::become_task)): it can ask its client
    /// before. If it never does, its result is answered like any.
    WhenAsked,
}

/// How a tool is called as a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ToolTasks {
    pub(crate) support: TaskSupport,
    pub(crate) start: TaskStart,
}

impl<S: State> Tool<S> {
    /// Says whether it may be called as a task; never at first. A server with such a tool offers tasks to its clients.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{TaskSupport, Tool, ToolContext, ToolError};
    ///
    /// async fn build(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    ///     ctx.progress(0.5, Some(1.0), Some("half way"));
    ///     Ok("built")
    /// }
    /// let tool: Tool<()> = Tool::new("build", "Builds everything.", build).task_support(TaskSupport::Optional);
    /// ```
    #[must_use]
    pub fn task_support(mut self, support: TaskSupport) -> Self {
        self.tasks.support = support;
        self
    }

    /// Says when a request of a stateless revision is answered with a task; at once at first.
    #[must_use]
    pub fn task_start(mut self, start: TaskStart) -> Self {
        self.tasks.start = start;
        self
    }
}
