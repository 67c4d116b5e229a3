use crate::{
    lock_order,
    model::{Capabilities, LogLevel, RequestMeta},
    peer::Peer,
    protocol::{method, missing_capability},
};
use freehold::{CallTarget, Context, QuestionError, State, runtime::BoxFuture};
use freehold_sync::ScopedMutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::{fmt, ops::Deref};

use super::output::ToolError;

/// The context of one tool call: everything of the engine's [`Context`], and what the protocol adds.
pub struct ToolContext<S: State = ()> {
    call: Context<S>,
    tool: std::sync::Arc<str>,
    progress: Option<Progress>,
    /// What a stateless request says of its client; in a session, the session knows.
    stateless: Option<RequestMeta>,
}

struct Progress {
    token: Box<RawValue>,
    /// The protocol wants each figure to be larger than the one before.
    last: ScopedMutex<f64, lock_order::LastProgress>,
}

/// A question to the client failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The client did not declare that it can answer such questions.
    #[error("the client did not declare the capability {0:?}")]
    NotCapable(&'static str),
    /// The request is stateless: a server cannot ask there.
    #[error("a stateless request cannot be asked back; declare the input that the tool needs instead")]
    Stateless,
    /// It was asked, without success.
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl<S: State> ToolContext<S> {
    pub(crate) fn new(
        call: Context<S>,
        tool: std::sync::Arc<str>,
        token: Option<&RawValue>,
        stateless: Option<RequestMeta>,
    ) -> Self {
        let progress = token
            .filter(|token| is_token(token))
            .map(|token| Progress { token: token.to_owned(), last: ScopedMutex::of(f64::NEG_INFINITY) });
        Self { call, tool, progress, stateless }
    }

    /// The tool's name.
    #[must_use]
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Whether the request is of a stateless revision.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        self.stateless.is_some()
    }

    fn capabilities(&self) -> Capabilities {
        match &self.stateless {
            Some(meta) => meta.capabilities,
            None => Peer::of(self.session()).map(|peer| peer.capabilities).unwrap_or_default(),
        }
    }

    /// Reports progress: tells the client, if it asked to be told, and begins the call's timeout anew (up to the cap).
    /// Figures that do not grow are not told. Never waits.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        self.made_progress();
        let Some(Progress { token, last }) = &self.progress else { return };
        let grows = last.with(|last| {
            let grows = progress > *last;
            *last = last.max(progress);
            grows
        });
        if !grows {
            return;
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            progress_token: &'a RawValue,
            progress: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let params = Params { progress_token: token, progress, total, message };
        if let Err(error) = self.notify(method::PROGRESS, &params) {
            tracing::warn!(%error, tool = self.tool(), "progress has no JSON form");
        }
    }

    /// Sends a log message to the client, if it wants messages of this level. Never waits.
    pub fn log(&self, level: LogLevel, data: &impl Serialize) {
        let wanted = match &self.stateless {
            Some(meta) => meta.log_level,
            None => Peer::of(self.session()).map(Peer::log_level),
        };
        if wanted.is_none_or(|wanted| level < wanted) {
            return;
        }
        #[derive(Serialize)]
        struct Params<'a, D> {
            level: LogLevel,
            logger: &'a str,
            data: &'a D,
        }
        let params = Params { level, logger: self.tool(), data };
        if let Err(error) = self.notify(method::LOG_MESSAGE, &params) {
            tracing::warn!(%error, tool = self.tool(), "a log message has no JSON form");
        }
    }

    /// Asks the client's model for a message (`sampling/createMessage`). See [`Context::ask`] for how long that takes.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn sample<R: DeserializeOwned>(&self, params: &Value) -> Result<R, AskError> {
        self.ask_if("sampling", self.capabilities().sampling, method::SAMPLE, params).await
    }

    /// Asks the client's person to fill in a form (`elicitation/create`). See [`Context::ask`] for how long that takes.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn elicit<R: DeserializeOwned>(&self, params: &Value) -> Result<R, AskError> {
        self.ask_if("elicitation", self.capabilities().elicitation, method::ELICIT, params).await
    }

    /// Asks the client for its roots (`roots/list`).
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn list_roots<R: DeserializeOwned>(&self) -> Result<R, AskError> {
        self.ask_if(
            "roots",
            self.capabilities().roots,
            method::LIST_ROOTS,
            &Value::Object(Default::default()),
        )
        .await
    }

    async fn ask_if<R: DeserializeOwned>(
        &self,
        capability: &'static str,
        declared: bool,
        method: &str,
        params: &Value,
    ) -> Result<R, AskError> {
        if self.is_stateless() {
            return Err(AskError::Stateless);
        }
        if !declared {
            return Err(AskError::NotCapable(capability));
        }
        Ok(self.ask(method, params).await?)
    }

    /// Calls a tool of this server in another session, or in this one, and waits for its result: its structured part if it has
    /// one, else its text, else its content. See [`Context::call`] for what the call inherits and how it ends.
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
        }
        let params = Params { name: tool, arguments };
        let called = self.call_about::<Called>(target, method::TOOLS_CALL, tool, &params);
        Box::pin(async move { called.await?.into_value() })
    }

    /// Fails as the protocol wants unless the client declared that it can do `sampling`.
    ///
    /// # Errors
    ///
    /// The error to return.
    pub fn require_sampling(&self) -> Result<(), ToolError> {
        self.require(self.capabilities().sampling, "sampling")
    }

    /// Fails as the protocol wants unless the client declared that it can do `elicitation`.
    ///
    /// # Errors
    ///
    /// The error to return.
    pub fn require_elicitation(&self) -> Result<(), ToolError> {
        self.require(self.capabilities().elicitation, "elicitation")
    }

    fn require(&self, declared: bool, capability: &'static str) -> Result<(), ToolError> {
        if declared {
            Ok(())
        } else if self.is_stateless() {
            Err(ToolError::protocol(missing_capability(capability)))
        } else {
            // Revisions with sessions have no error code of their own for it.
            Err(AskError::NotCapable(capability).into())
        }
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

/// Whether it can be given back to the client: a number, or a string that is text. JSON's grammar also lets half of a
/// surrogate pair pass, which strict readers refuse, and with it the whole message.
fn is_token(raw: &RawValue) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).is_ok(),
        first => matches!(first, Some(b'-' | b'0'..=b'9')),
    }
}

impl<S: State> Deref for ToolContext<S> {
    type Target = Context<S>;

    fn deref(&self) -> &Context<S> {
        &self.call
    }
}

impl<S: State> fmt::Debug for ToolContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolContext").field("tool", &self.tool()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::is_token;
    use serde_json::value::RawValue;

    #[test]
    fn tokens_are_numbers_and_text() {
        for (json, fits) in [
            ("1", true),
            ("-1.5", true),
            (r#""a""#, true),
            (r#""\ud83d\ude00""#, true),
            (r#""\ude00""#, false),
            ("null", false),
            ("{}", false),
            ("true", false),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            assert_eq!(is_token(&raw), fits, "{json}");
        }
    }
}
