//! What the handler of a request gets: the engine's context, and what the protocol adds for every kind of request.

use crate::{
    lock_order,
    model::{Capabilities, LogLevel, RequestMeta},
    peer::Peer,
    protocol::{method, missing_capability},
    tools::ToolError,
};
use freehold::{Context, QuestionError, State};
use freehold_sync::ScopedMutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::{fmt, ops::Deref, sync::Arc};

/// The context of one request: everything of the engine's [`Context`], and what the protocol adds.
pub struct RequestContext<S: State = ()> {
    call: Context<S>,
    subject: Arc<str>,
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

impl<S: State> RequestContext<S> {
    pub(crate) fn new(
        call: Context<S>,
        subject: Arc<str>,
        token: Option<&RawValue>,
        stateless: Option<RequestMeta>,
    ) -> Self {
        let progress = token
            .filter(|token| is_token(token))
            .map(|token| Progress { token: token.to_owned(), last: ScopedMutex::of(f64::NEG_INFINITY) });
        Self { call, subject, progress, stateless }
    }

    /// What the request is about: the name of its tool or prompt, the URI of its resource.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
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
            tracing::warn!(%error, subject = self.subject(), "progress has no JSON form");
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
        let params = Params { level, logger: self.subject(), data };
        if let Err(error) = self.notify(method::LOG_MESSAGE, &params) {
            tracing::warn!(%error, subject = self.subject(), "a log message has no JSON form");
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

/// Whether it can be given back to the client: a number, or a string that is text. JSON's grammar also lets half of a
/// surrogate pair pass, which strict readers refuse, and with it the whole message.
fn is_token(raw: &RawValue) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).is_ok(),
        first => matches!(first, Some(b'-' | b'0'..=b'9')),
    }
}

impl<S: State> Deref for RequestContext<S> {
    type Target = Context<S>;

    fn deref(&self) -> &Context<S> {
        &self.call
    }
}

impl<S: State> fmt::Debug for RequestContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("subject", &self.subject()).finish_non_exhaustive()
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
