//! Revisions of the protocol, names of its methods and keys, and the errors it adds to JSON-RPC.

use crate::{
    ask::Capability,
    cache::{CacheHints, Cacheable},
    model::Icon,
    offer::Offers,
};
use freehold::{ErrorCode, ErrorObject, Request};
use serde::Serialize;
use serde_json::{Value, json};

/// The revisions with sessions that this server speaks, newest first. The handshake settles which one a session speaks; a
/// header that names another of these is let pass, since clients are known to send the one that its absence would mean
/// (2025-03-26).
pub const SESSION_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The stateless revisions that this server speaks, newest first.
pub const STATELESS_VERSIONS: [&str; 1] = ["2026-07-28"];

/// Names of methods.
pub(crate) mod method {
    pub(crate) const INITIALIZE: &str = "initialize";
    pub(crate) const INITIALIZED: &str = "notifications/initialized";
    pub(crate) const DISCOVER: &str = "server/discover";
    pub(crate) const PING: &str = "ping";
    pub(crate) const CANCELLED: &str = "notifications/cancelled";
    pub(crate) const SET_LEVEL: &str = "logging/setLevel";
    pub(crate) const LOG_MESSAGE: &str = "notifications/message";
    pub(crate) const PROGRESS: &str = "notifications/progress";
    pub(crate) const TOOLS_LIST: &str = "tools/list";
    pub(crate) const TOOLS_CALL: &str = "tools/call";
    pub(crate) const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
    pub(crate) const PROMPTS_LIST: &str = "prompts/list";
    pub(crate) const PROMPTS_GET: &str = "prompts/get";
    pub(crate) const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
    pub(crate) const RESOURCES_LIST: &str = "resources/list";
    pub(crate) const RESOURCE_TEMPLATES_LIST: &str = "resources/templates/list";
    pub(crate) const RESOURCES_READ: &str = "resources/read";
    pub(crate) const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
    pub(crate) const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
    pub(crate) const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
    pub(crate) const RESOURCE_UPDATED: &str = "notifications/resources/updated";
    pub(crate) const COMPLETE: &str = "completion/complete";
    pub(crate) const LISTEN: &str = "subscriptions/listen";
    pub(crate) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
    pub(crate) const SAMPLE: &str = "sampling/createMessage";
    pub(crate) const ELICIT: &str = "elicitation/create";
    pub(crate) const LIST_ROOTS: &str = "roots/list";
    pub(crate) const TASK_GET: &str = "tasks/get";
    pub(crate) const TASK_RESULT: &str = "tasks/result";
    pub(crate) const TASK_LIST: &str = "tasks/list";
    pub(crate) const TASK_CANCEL: &str = "tasks/cancel";
    pub(crate) const TASK_UPDATE: &str = "tasks/update";
    /// Of revisions with sessions.
    pub(crate) const TASK_STATUS: &str = "notifications/tasks/status";
    /// Of stateless revisions.
    pub(crate) const TASK_CHANGED: &str = "notifications/tasks";
    pub(crate) const ROOTS_CHANGED: &str = "notifications/roots/list_changed";
    pub(crate) const ELICITATION_COMPLETE: &str = "notifications/elicitation/complete";

    /// Methods that exist only in revisions with sessions.
    pub(crate) const SESSION_ONLY: [&str; 9] = [
        INITIALIZE,
        INITIALIZED,
        PING,
        CANCELLED,
        SET_LEVEL,
        RESOURCES_SUBSCRIBE,
        RESOURCES_UNSUBSCRIBE,
        TASK_RESULT,
        TASK_LIST,
    ];
    /// Methods that exist only in stateless revisions.
    pub(crate) const STATELESS_ONLY: [&str; 3] = [DISCOVER, LISTEN, TASK_UPDATE];

    /// Whether a session's client may request this, if anybody handles it.
    pub(crate) fn is_for_sessions(method: &str) -> bool {
        !STATELESS_ONLY.contains(&method) && !method.starts_with("notifications/")
    }
}

/// Keys in `_meta`.
pub(crate) mod key {
    pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// In the `_meta` of a call that a handler of a stateless request makes in its own session.
    pub(crate) const OF_STATELESS: &str = "io.github.freehold-rs/ofStateless";
    /// In the `_meta` of a result that a fallback gave.
    pub(crate) const DEGRADED: &str = "io.github.freehold-rs/degraded";
    pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// In the `_meta` of what belongs to a task, in revisions with sessions.
    pub(crate) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
    /// The extension, in the capabilities of both sides of stateless revisions.
    pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";
}

/// The header that carries a request's HTTP form does not match its body, or is missing.
pub(crate) const HEADER_MISMATCH: ErrorCode = ErrorCode(-32020);
/// The client did not declare a capability that the request needs.
pub(crate) const MISSING_CAPABILITY: ErrorCode = ErrorCode(-32021);
/// The revision is not spoken here.
pub(crate) const UNSUPPORTED_VERSION: ErrorCode = ErrorCode(-32022);

/// Something has to be done at a URL before the request can be served (2025-11-25 only).
pub(crate) const URL_ELICITATION_REQUIRED: ErrorCode = ErrorCode(-32042);

/// The session revision to answer an `initialize` with: the one asked for if it is spoken here, else the newest.
pub(crate) fn negotiate(requested: &str) -> &'static str {
    SESSION_VERSIONS.into_iter().find(|version| *version == requested).unwrap_or(SESSION_VERSIONS[0])
}

pub(crate) fn unsupported_version(requested: &str) -> ErrorObject {
    let data = json!({ "supported": STATELESS_VERSIONS, "requested": requested });
    ErrorObject::new(UNSUPPORTED_VERSION, format!("unsupported protocol version {requested:?}"))
        .with_data(&data)
}

pub(crate) fn missing_capability(capability: Capability) -> ErrorObject {
    let data = json!({ "requiredCapabilities": capability.declaration() });
    let message = format!("the client did not declare the capability {:?}", capability.as_str());
    ErrorObject::new(MISSING_CAPABILITY, message).with_data(&data)
}

/// Checks that the params of a request are an object; JSON-RPC has arrays, too, this protocol has not.
pub(crate) fn check_params(request: &Request<'_>) -> Result<(), ErrorObject> {
    match &request.params {
        Some(params) if !params.get().starts_with('{') => {
            Err(ErrorObject::invalid_params("\"params\" must be an object"))
        }
        _ => Ok(()),
    }
}

/// What a server or a client calls itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Implementation {
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The version.
    pub version: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where people find more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website_url: Option<String>,
    /// Pictures that clients may show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

impl Implementation {
    /// One of which no more is said.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            title: None,
            version: version.into(),
            description: None,
            website_url: None,
            icons: Vec::new(),
        }
    }
}

/// What the server says about itself, in both eras.
#[derive(Clone, Debug)]
pub(crate) struct ServerDescription {
    pub(crate) info: Implementation,
    pub(crate) instructions: Option<String>,
    pub(crate) offers: Offers,
    pub(crate) cache: CacheHints,
}

impl ServerDescription {
    /// The result of `initialize`.
    pub(crate) fn initialize_result(&self, version: &str) -> Value {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": self.offers.capabilities(),
            "serverInfo": self.info,
        });
        // Revisions that know no tasks leave what they do not know alone.
        if self.offers.tasks {
            result["capabilities"]["tasks"] =
                json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
        }
        self.add_instructions(&mut result);
        result
    }

    /// The result of `server/discover`.
    pub(crate) fn discover_result(&self) -> Value {
        let mut result = json!({
            "resultType": "complete",
            "supportedVersions": STATELESS_VERSIONS,
            "capabilities": self.offers.capabilities(),
            "_meta": { key::SERVER_INFO: self.info },
        });
        if self.offers.tasks {
            result["capabilities"]["extensions"] = json!({ key::TASKS: {} });
        }
        self.cache.get(Cacheable::Discover).write(&mut result);
        self.add_instructions(&mut result);
        result
    }

    fn add_instructions(&self, result: &mut Value) {
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
    }
}
