use super::output::ToolError;
use crate::{
    context::RequestContext,
    protocol::{key, method},
};
use freehold::{CallTarget, State, runtime::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt, ops::Deref};

/// The context of one tool call: everything of a [`RequestContext`], and calls of other tools.
pub struct ToolContext<S: State = ()>(RequestContext<S>);

impl<S: State> ToolContext<S> {
    pub(crate) fn new(request: RequestContext<S>) -> Self {
        Self(request)
    }

    /// The tool's name.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.subject()
    }

    /// Calls a tool of this server in another session, or in this one, and waits for its result: its structured part if it has
    /// one, else its text, else its content. See [`Context::call`](freehold::Context::call) for what the call inherits and how it ends.
    /// In the session of a stateless request the called tool cannot ask the client
    /// ([`AskError::InNestedCall`](crate::AskError::InNestedCall)): ask before, and pass the answer on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// [`ToolError`]: that of the tool, with its text; or that of the call.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Tool, ToolContext, ToolError};
    ///
    /// /// Asks the same of itself, once.
    /// async fn twice(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ///     let once = ctx.call_tool(ctx.session(), "once", &serde_json::json!({})).await?;
    ///     Ok(format!("{once} and again"))
    /// }
    /// let tool: Tool<()> = Tool::new("twice", "Says it twice.", twice);
    /// ```
    pub fn call_tool(
        &self,
        target: impl Into<CallTarget<S>>,
        tool: &str,
        arguments: &impl Serialize,
    ) -> BoxFuture<'_, Result<Value, ToolError>> {
        #[derive(Serialize)]
        struct Params<'a, A> {
            name: &'a str,
            arguments: &'a A,
            #[serde(rename = "_meta", skip_serializing_if = "Map::is_empty")]
            meta: Map<String, Value>,
        }
        let target = target.into();
        let params = Params { name: tool, arguments, meta: self.meta_for(&target) };
        let called = self.call_about::<Called>(target, method::TOOLS_CALL, tool, &params);
        Box::pin(async move { called.await?.into_value() })
    }

    /// What a tool that is called there has to know of this request.
    fn meta_for(&self, target: &CallTarget<S>) -> Map<String, Value> {
        let trace = self.trace().and_then(|trace| serde_json::to_value(trace).ok());
        let mut meta = match trace {
            Some(Value::Object(trace)) => trace,
            _ => Map::new(),
        };
        // Another session has its own client, who can be asked.
        if self.is_of_stateless() && target.id() == self.session().id() {
            meta.insert(key::OF_STATELESS.to_owned(), Value::Bool(true));
        }
        meta
    }
}

/// The result of a tool that another tool called.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Called {
    #[serde(default)]
    content: Vec<Value>,
    structured_content: Option<Value>,
    #[serde(default)]
    is_error: bool,
}

impl Called {
    fn into_value(self) -> Result<Value, ToolError> {
        let text = self.content.first().and_then(|content| content["text"].as_str());
        if self.is_error {
            return Err(ToolError::new(text.unwrap_or("the tool failed and says nothing")));
        }
        let text = text.map(Value::from);
        Ok(self.structured_content.or(text).unwrap_or(Value::Array(self.content)))
    }
}

impl<S: State> Deref for ToolContext<S> {
    type Target = RequestContext<S>;

    fn deref(&self) -> &RequestContext<S> {
        &self.0
    }
}

impl<S: State> fmt::Debug for ToolContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolContext").field("tool", &self.tool()).finish_non_exhaustive()
    }
}
