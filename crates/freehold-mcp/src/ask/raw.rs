use super::{AskError, Asked, Capability, Question, Respondent};
use crate::protocol::method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};
use std::{fmt, marker::PhantomData};

/// A question whose parameters, and whose answer, are JSON of your own. Only the client's capabilities are checked; nothing
/// is changed for its revision.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{RawQuestion, ToolContext, ToolError};
/// use serde_json::{Value, json};
///
/// async fn ask(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
///     let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
///     let form = json!({ "message": "Who are you?", "requestedSchema": schema });
///     let answer: Value = ctx.ask(RawQuestion::elicitation(form)).await?;
///     Ok(answer["content"]["name"].as_str().unwrap_or("nobody").to_owned())
/// }
/// ```
pub struct RawQuestion<R = Value> {
    method: &'static str,
    kind: &'static str,
    params: Value,
    answer: PhantomData<fn() -> R>,
}

impl<R> RawQuestion<R> {
    fn new(method: &'static str, kind: &'static str, params: Value) -> Self {
        Self { method, kind, params, answer: PhantomData }
    }

    /// `sampling/createMessage`.
    #[must_use]
    pub fn sampling(params: Value) -> Self {
        Self::new(method::SAMPLE, "sampling", params)
    }

    /// `elicitation/create`, of either mode.
    #[must_use]
    pub fn elicitation(params: Value) -> Self {
        Self::new(method::ELICIT, "elicitation", params)
    }

    /// `roots/list`.
    #[must_use]
    pub fn roots() -> Self {
        Self::new(method::LIST_ROOTS, "roots", Value::Object(Map::new()))
    }

    fn needs(&self) -> &'static [Capability] {
        let has = |name: &str| self.params.get(name).is_some();
        match self.method {
            method::SAMPLE if has("tools") || has("toolChoice") => {
                &[Capability::Sampling, Capability::SamplingTools]
            }
            method::SAMPLE => &[Capability::Sampling],
            method::ELICIT if self.params["mode"] == "url" => &[Capability::ElicitationUrl],
            method::ELICIT => &[Capability::ElicitationForm],
            _ => &[Capability::Roots],
        }
    }
}

impl<R: DeserializeOwned + Send> Question for RawQuestion<R> {
    type Answer = R;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        self.needs().iter().try_for_each(|capability| respondent.require(*capability))?;
        Ok(Asked { method: self.method, kind: self.kind, params: self.params.clone() })
    }

    fn read(&self, answer: &RawValue) -> Result<R, AskError> {
        serde_json::from_str(answer.get()).map_err(|error| AskError::Unfit(error.to_string()))
    }
}

impl<R> fmt::Debug for RawQuestion<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawQuestion").field("method", &self.method).field("params", &self.params).finish()
    }
}
