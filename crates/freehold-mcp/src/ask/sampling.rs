//! `sampling/createMessage`: asking the client's model.

use super::{AskError, Asked, Capability, Question, Respondent, sampling_rules};
use crate::{
    model::{Content, Role},
    protocol::method,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

/// The first revision with several pieces of content in a message, and with tools.
const WITH_TOOLS: &str = "2025-11-25";

/// One piece of a message to or from a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum SamplingContent {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// Base64.
        data: String,
        /// Such as `image/png`.
        mime_type: String,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: String,
        /// Such as `audio/wav`.
        mime_type: String,
    },
    /// The model wants to use a tool.
    ToolUse {
        /// The result names it.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Map<String, Value>,
    },
    /// What a tool gave.
    ToolResult {
        /// The id of the use.
        tool_use_id: String,
        /// For the model to read.
        content: Vec<Content>,
        /// The same for programs.
        #[serde(skip_serializing_if = "Option::is_none")]
        structured_content: Option<Value>,
        /// The tool failed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

impl SamplingContent {
    /// What a tool gave as a text.
    pub fn tool_result(tool_use_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ToolResult {
            tool_use_id: tool_use_id.into(),
            content: vec![Content::text(text)],
            structured_content: None,
            is_error: false,
        }
    }
}

impl<T: Into<String>> From<T> for SamplingContent {
    fn from(text: T) -> Self {
        Self::Text { text: text.into() }
    }
}

/// What a client's model may answer with; what tools gave is the server's to say.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Answered {
    Text { text: String },
    Image { data: String, mime_type: String },
    Audio { data: String, mime_type: String },
    ToolUse { id: String, name: String, input: Map<String, Value> },
}

impl From<Answered> for SamplingContent {
    fn from(answered: Answered) -> Self {
        match answered {
            Answered::Text { text } => Self::Text { text },
            Answered::Image { data, mime_type } => Self::Image { data, mime_type },
            Answered::Audio { data, mime_type } => Self::Audio { data, mime_type },
            Answered::ToolUse { id, name, input } => Self::ToolUse { id, name, input },
        }
    }
}

/// A message to or from a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SamplingMessage {
    /// Who speaks.
    pub role: Role,
    /// What they say. Revisions before 2025-11-25 have one piece a message; more become messages of their own.
    pub content: Vec<SamplingContent>,
}

impl SamplingMessage {
    /// What the user says.
    pub fn user(content: impl Into<SamplingContent>) -> Self {
        Self { role: Role::User, content: vec![content.into()] }
    }

    /// What the model said.
    pub fn assistant(content: impl Into<SamplingContent>) -> Self {
        Self { role: Role::Assistant, content: vec![content.into()] }
    }

    /// What tools gave, for all uses that the model's last message asked for.
    #[must_use]
    pub fn tool_results(results: Vec<SamplingContent>) -> Self {
        Self { role: Role::User, content: results }
    }
}

/// Which model is wanted. All of it is advice.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPreferences {
    /// Names or parts of names of models, the best first.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_hints")]
    pub hints: Vec<String>,
    /// How much a low price counts, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_priority: Option<f64>,
    /// How much speed counts, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_priority: Option<f64>,
    /// How much skill counts, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intelligence_priority: Option<f64>,
}

fn as_hints<S: serde::Serializer>(hints: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hints.iter().map(|name| json!({ "name": name })))
}

/// What the client should let the model read of servers, beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum IncludeContext {
    /// Nothing.
    None,
    /// The context of this server. Deprecated; from 2025-11-25 on left out for clients that did not declare it.
    ThisServer,
    /// The context of all servers of the client. Deprecated, too.
    AllServers,
}

/// A tool that the model may use while it writes; it need not be a tool of the server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SamplingTool {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON Schema of its arguments.
    pub input_schema: Value,
}

impl SamplingTool {
    /// A tool without a description, whose arguments are as `input_schema` says.
    pub fn new(name: impl Into<String>, input_schema: Value) -> Self {
        Self { name: name.into(), description: None, input_schema }
    }

    /// Sets what it does.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// Whether the model uses the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// At least one of them.
    Required,
    /// None of them.
    None,
}

/// `sampling/createMessage`: asks the client's model to write the next message.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{CreateMessage, ToolContext, ToolError};
///
/// async fn summarize(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
///     let question = CreateMessage::new(200).user("Summarize: ...").system_prompt("Be brief.");
///     Ok(ctx.ask(question).await?.text())
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it is asked with ask()"]
pub struct CreateMessage {
    messages: Vec<SamplingMessage>,
    max_tokens: u32,
    model_preferences: Option<ModelPreferences>,
    system_prompt: Option<String>,
    include_context: Option<IncludeContext>,
    temperature: Option<f64>,
    stop_sequences: Vec<String>,
    metadata: Option<Map<String, Value>>,
    tools: Vec<SamplingTool>,
    tool_choice: Option<ToolChoice>,
}

impl CreateMessage {
    /// A message of at most so many tokens.
    pub fn new(max_tokens: u32) -> Self {
        Self {
            messages: Vec::new(),
            max_tokens,
            model_preferences: None,
            system_prompt: None,
            include_context: None,
            temperature: None,
            stop_sequences: Vec::new(),
            metadata: None,
            tools: Vec::new(),
            tool_choice: None,
        }
    }

    /// Adds a message.
    pub fn message(mut self, message: SamplingMessage) -> Self {
        self.messages.push(message);
        self
    }

    /// Adds a message of the user's.
    pub fn user(self, content: impl Into<SamplingContent>) -> Self {
        self.message(SamplingMessage::user(content))
    }

    /// Adds a message of the model's.
    pub fn assistant(self, content: impl Into<SamplingContent>) -> Self {
        self.message(SamplingMessage::assistant(content))
    }

    /// Says which model is wanted.
    pub fn model_preferences(mut self, preferences: ModelPreferences) -> Self {
        self.model_preferences = Some(preferences);
        self
    }

    /// Gives the model a system prompt.
    pub fn system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// What else the model should read.
    pub fn include_context(mut self, context: IncludeContext) -> Self {
        self.include_context = Some(context);
        self
    }

    /// How much chance there is in what the model writes.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Adds a text at which the model stops.
    pub fn stop_sequence(mut self, sequence: impl Into<String>) -> Self {
        self.stop_sequences.push(sequence.into());
        self
    }

    /// Parameters for the provider of the model.
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Adds a tool that the model may use. The client must have declared [`Capability::SamplingTools`].
    pub fn tool(mut self, tool: SamplingTool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Whether the model uses the tools.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// Adds what the model answered with and what its tools gave: the next round of a conversation with tools.
    pub fn and_then(self, answer: CreateMessageResult, tool_results: Vec<SamplingContent>) -> Self {
        let answered = SamplingMessage { role: answer.role, content: answer.content };
        self.message(answered).message(SamplingMessage::tool_results(tool_results))
    }

    fn uses_tools(&self) -> bool {
        let of_tools = |content: &SamplingContent| {
            matches!(content, SamplingContent::ToolUse { .. } | SamplingContent::ToolResult { .. })
        };
        !self.tools.is_empty()
            || self.tool_choice.is_some()
            || self.messages.iter().any(|message| message.content.iter().any(of_tools))
    }

    fn messages(&self, several: bool) -> Value {
        let message = |role: Role, content: Value| json!({ "role": role, "content": content });
        let written = self.messages.iter().flat_map(|SamplingMessage { role, content }| match &content[..] {
            [one] => vec![message(*role, json!(one))],
            all if several => vec![message(*role, json!(all))],
            all => all.iter().map(|one| message(*role, json!(one))).collect(),
        });
        written.collect()
    }

    /// What the client may be told to include.
    fn included(&self, respondent: &Respondent) -> Option<IncludeContext> {
        let context = self.include_context?;
        let declared = respondent.require(Capability::SamplingContext).is_ok();
        let fits = context == IncludeContext::None || declared || !respondent.speaks(WITH_TOOLS);
        fits.then_some(context)
    }
}

impl Question for CreateMessage {
    type Answer = CreateMessageResult;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        respondent.require(Capability::Sampling)?;
        let with_tools = respondent.speaks(WITH_TOOLS);
        if self.uses_tools() {
            if !with_tools {
                return Err(AskError::NotInRevision("for a message written with tools"));
            }
            respondent.require(Capability::SamplingTools)?;
        }
        sampling_rules::check(&self.messages, self.max_tokens)
            .map_err(|why| AskError::Invalid(why.to_owned()))?;
        let mut params = json!({ "messages": self.messages(with_tools), "maxTokens": self.max_tokens });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                params[key] = value;
            }
        };
        let list = |empty: bool, list: Value| (!empty).then_some(list);
        set("modelPreferences", self.model_preferences.as_ref().map(|preferences| json!(preferences)));
        set("systemPrompt", self.system_prompt.as_ref().map(|prompt| json!(prompt)));
        set("includeContext", self.included(respondent).map(|context| json!(context)));
        set("temperature", self.temperature.map(Value::from));
        set("stopSequences", list(self.stop_sequences.is_empty(), json!(self.stop_sequences)));
        set("metadata", self.metadata.clone().map(Value::Object));
        set("tools", list(self.tools.is_empty(), json!(self.tools)));
        set("toolChoice", self.tool_choice.map(|choice| json!(choice)));
        Ok(Asked { method: method::SAMPLE, kind: "sampling", params })
    }

    fn read(&self, answer: &RawValue) -> Result<CreateMessageResult, AskError> {
        serde_json::from_str(answer.get()).map_err(|error| AskError::Unfit(error.to_string()))
    }
}

/// What the client's model wrote.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CreateMessageResult {
    /// Who speaks; the model.
    pub role: Role,
    /// What it wrote.
    #[serde(deserialize_with = "one_or_more")]
    pub content: Vec<SamplingContent>,
    /// The model's name.
    pub model: String,
    /// Why it stopped: `endTurn`, `stopSequence`, `maxTokens`, `toolUse`, or the client's own word.
    pub stop_reason: Option<String>,
}

impl CreateMessageResult {
    /// Its texts, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            SamplingContent::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The tools that it wants to use: ids, names and arguments. Each wants a result before the model is asked again.
    pub fn tool_uses(&self) -> impl Iterator<Item = (&str, &str, &Map<String, Value>)> {
        self.content.iter().filter_map(|content| match content {
            SamplingContent::ToolUse { id, name, input } => Some((id.as_str(), name.as_str(), input)),
            _ => None,
        })
    }
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SamplingContent>, D::Error> {
    let read = |value| Answered::deserialize(value).map_err(serde::de::Error::custom);
    let answered = match Value::deserialize(deserializer)? {
        Value::Array(list) => list.into_iter().map(read).collect::<Result<Vec<_>, _>>()?,
        one => vec![read(one)?],
    };
    Ok(answered.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use super::{
        CreateMessage, CreateMessageResult, IncludeContext, ModelPreferences, SamplingContent,
        SamplingMessage, SamplingTool, ToolChoice,
    };
    use crate::{
        ask::{AskError, Capability, Question, Respondent},
        model::Capabilities,
    };
    use serde_json::{Value, json};

    fn respondent(version: &'static str, capabilities: &Value) -> Respondent {
        let capabilities: Capabilities = serde_json::from_value(capabilities.clone()).unwrap();
        Respondent { version, capabilities, stateless: version == "2026-07-28" }
    }

    #[test]
    fn the_whole_of_it() {
        let question = CreateMessage::new(100)
            .user("What?")
            .model_preferences(ModelPreferences {
                hints: vec!["small".into()],
                speed_priority: Some(0.5),
                ..ModelPreferences::default()
            })
            .system_prompt("Be brief.")
            .include_context(IncludeContext::ThisServer)
            .temperature(0.5)
            .stop_sequence("END")
            .tool(SamplingTool {
                name: "look".into(),
                description: None,
                input_schema: json!({ "type": "object" }),
            })
            .tool_choice(ToolChoice::Auto);
        let able = json!({ "sampling": { "tools": {}, "context": {} } });
        let asked = question.asked(&respondent("2026-07-28", &able)).unwrap();
        assert_eq!(
            asked.params,
            json!({
                "messages": [{ "role": "user", "content": { "type": "text", "text": "What?" } }],
                "maxTokens": 100,
                "modelPreferences": { "hints": [{ "name": "small" }], "speedPriority": 0.5 },
                "systemPrompt": "Be brief.",
                "includeContext": "thisServer",
                "temperature": 0.5,
                "stopSequences": ["END"],
                "tools": [{ "name": "look", "inputSchema": { "type": "object" } }],
                "toolChoice": { "mode": "auto" },
            })
        );
        let without = question.asked(&respondent("2026-07-28", &json!({ "sampling": {} })));
        assert!(matches!(
            without,
            Err(AskError::NotCapable { capability: Capability::SamplingTools, stateless: true })
        ));
        let older = question.asked(&respondent("2025-06-18", &able));
        assert!(matches!(older, Err(AskError::NotInRevision(_))));
    }

    #[test]
    fn context_is_left_out_where_it_was_not_declared() {
        let question = CreateMessage::new(1).user("?").include_context(IncludeContext::AllServers);
        let plain = json!({ "sampling": {} });
        let of = |version, able: &Value| {
            question.asked(&respondent(version, able)).unwrap().params.get("includeContext").cloned()
        };
        assert_eq!(of("2025-11-25", &plain), None);
        assert_eq!(of("2025-11-25", &json!({ "sampling": { "context": {} } })), Some(json!("allServers")));
        assert_eq!(of("2025-06-18", &plain), Some(json!("allServers")));
    }

    #[test]
    fn older_revisions_have_one_piece_a_message() {
        let two = SamplingMessage { role: crate::model::Role::User, content: vec!["a".into(), "b".into()] };
        let question = CreateMessage::new(1).message(two);
        let able = json!({ "sampling": {} });
        let text = |text: &str| json!({ "type": "text", "text": text });
        let messages =
            |version| question.asked(&respondent(version, &able)).unwrap().params["messages"].clone();
        assert_eq!(messages("2025-11-25"), json!([{ "role": "user", "content": [text("a"), text("b")] }]));
        assert_eq!(
            messages("2025-06-18"),
            json!([{ "role": "user", "content": text("a") }, { "role": "user", "content": text("b") }])
        );
    }

    #[test]
    fn what_a_model_answers() {
        let one = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } });
        let one: CreateMessageResult = serde_json::from_value(one).unwrap();
        assert_eq!((one.text().as_str(), one.stop_reason), ("hi", None));
        let uses = json!({
            "role": "assistant",
            "model": "m",
            "stopReason": "toolUse",
            "content": [
                { "type": "text", "text": "let me see" },
                { "type": "tool_use", "id": "1", "name": "look", "input": { "at": "it" } },
            ],
        });
        let uses: CreateMessageResult = serde_json::from_value(uses).unwrap();
        let input = json!({ "at": "it" });
        assert_eq!(uses.tool_uses().collect::<Vec<_>>(), [("1", "look", input.as_object().unwrap())]);
        let next =
            CreateMessage::new(1).user("?").and_then(uses, vec![SamplingContent::tool_result("1", "x")]);
        let able = respondent("2025-11-25", &json!({ "sampling": { "tools": {} } }));
        let messages = next.asked(&able).unwrap().params["messages"].clone();
        assert_eq!(
            messages[2]["content"],
            json!({ "type": "tool_result", "toolUseId": "1", "content": [{ "type": "text", "text": "x" }] })
        );
        let result = json!({ "type": "tool_result", "toolUseId": "1", "content": [] });
        let odd = json!({ "role": "assistant", "model": "m", "content": result });
        assert!(serde_json::from_value::<CreateMessageResult>(odd).is_err());
    }
}
