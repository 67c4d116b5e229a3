use crate::model::{Content, Role, ServerMeta};
use serde::Serialize;

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PromptMessage {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: Content,
}

impl PromptMessage {
    /// What the person says.
    #[must_use]
    pub fn user(content: impl Into<Content>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// What the model says.
    #[must_use]
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// The answer to `prompts/get`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GetPromptResult {
    /// What these messages are for.
    pub description: Option<String>,
    /// The messages.
    pub messages: Vec<PromptMessage>,
}

impl GetPromptResult {
    /// An answer of these messages.
    #[must_use]
    pub fn new(messages: Vec<PromptMessage>) -> Self {
        Self { description: None, messages }
    }

    /// Says what they are for.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The answer as a revision writes it.
    pub(super) fn wire<'a>(&'a self, stateless: Option<&'a ServerMeta>) -> Wire<'a> {
        Wire {
            result_type: stateless.map(|_| "complete"),
            description: self.description.as_deref(),
            messages: &self.messages,
            meta: stateless,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    messages: &'a [PromptMessage],
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a ServerMeta>,
}

/// What a prompt may return: messages, or what the person says.
pub trait PromptOutput {
    /// The answer.
    fn into_prompt(self) -> GetPromptResult;
}

impl PromptOutput for GetPromptResult {
    fn into_prompt(self) -> GetPromptResult {
        self
    }
}

impl PromptOutput for Vec<PromptMessage> {
    fn into_prompt(self) -> GetPromptResult {
        GetPromptResult::new(self)
    }
}

impl PromptOutput for PromptMessage {
    fn into_prompt(self) -> GetPromptResult {
        GetPromptResult::new(vec![self])
    }
}

impl PromptOutput for Content {
    fn into_prompt(self) -> GetPromptResult {
        PromptMessage::user(self).into_prompt()
    }
}

impl PromptOutput for String {
    fn into_prompt(self) -> GetPromptResult {
        PromptMessage::user(self).into_prompt()
    }
}

impl PromptOutput for &'static str {
    fn into_prompt(self) -> GetPromptResult {
        PromptMessage::user(self).into_prompt()
    }
}
