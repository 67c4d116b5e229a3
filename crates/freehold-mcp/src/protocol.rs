//! Revisions of the protocol, names of its methods and keys, and the errors it adds to JSON-RPC.

use freehold::{ErrorCode, ErrorObject, Request};
use serde::Serialize;
use serde_json::{Value, json};

/// The revisions with sessions that this server speaks, newest first.
pub const SESSION_VERSIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];
/// The stateless revisions that this server speaks, newest first.
pub const STATELESS_VERSIONS: [&str; 1] = ["2026-07-28"];

/// The revisions with sessions there have been. The handshake settles which one a session speaks; a header that names
/// another of these is let pass, since clients are known to send the one that its absence would mean (2025-03-26).
pub(crate) const KNOWN_SESSION_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

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
    pub(crate) const LISTEN: &str = "subscriptions/listen";
    pub(crate) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
    pub(crate) const SAMPLE: &str = "sampling/createMessage";
    pub(crate) const ELICIT: &str = "elicitation/create";
    pub(crate) const LIST_ROOTS: &str = "roots/list";

    /// Methods that exist only in revisions with sessions.
    pub(crate) const SESSION_ONLY: [&str; 5] = [INITIALIZE, INITIALIZED, PING, CANCELLED, SET_LEVEL];
    /// Methods that exist only in stateless revisions.
    pub(crate) const STATELESS_ONLY: [&str; 2] = [DISCOVER, LISTEN];

    /// Whether a session's client may request this, if anybody handles it.
    pub(crate) fn is_for_sessions(method: &str) -> bool {
        !STATELESS_ONLY.contains(&method) && !method.starts_with("notifications/")
    }
}

/// Keys in `_meta`.
pub(crate) mod key {
    pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// In the `_meta` of a result that a fallback gave.
    pub(crate) const DEGRADED: &str = "io.github.freehold-rs/degraded";
    pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
}

/// The header that carries a request's HTTP form does not match its body, or is missing.
pub(crate) const HEADER_MISMATCH: ErrorCode = ErrorCode(-32020);
/// The client did not declare a capability that the request needs.
pub(crate) const MISSING_CAPABILITY: ErrorCode = ErrorCode(-32021);
/// The revision is not spoken here.
pub(crate) const UNSUPPORTED_VERSION: ErrorCode = ErrorCode(-32022);

/// The session revision to answer an `initialize` with: the one asked for if it is spoken here, else the newest.
pub(crate) fn negotiate(requested: &str) -> &'static str {
    SESSION_VERSIONS.into_iter().find(|version| *version == requested).unwrap_or(SESSION_VERSIONS[0])
}

pub(crate) fn unsupported_version(requested: &str) -> ErrorObject {
    let data = json!({ "supported": STATELESS_VERSIONS, "requested": requested });
    ErrorObject::new(UNSUPPORTED_VERSION, format!("unsupported protocol version {requested:?}"))
        .with_data(&data)
}

pub(crate) fn missing_capability(name: &str) -> ErrorObject {
    let data = json!({ "requiredCapabilities": { name: {} } });
    ErrorObject::new(MISSING_CAPABILITY, format!("the client did not declare the capability {name:?}"))
        .with_data(&data)
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
pub struct Implementation {
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The version.
    pub version: String,
}

/// What the server says about itself, in both eras.
#[derive(Clone, Debug)]
pub(crate) struct ServerDescription {
    pub(crate) info: Implementation,
    pub(crate) instructions: Option<String>,
}

impl ServerDescription {
    fn capabilities(&self) -> Value {
        json!({ "logging": {}, "tools": { "listChanged": true } })
    }

    /// The result of `initialize`.
    pub(crate) fn initialize_result(&self, version: &str) -> Value {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": self.capabilities(),
            "serverInfo": self.info,
        });
        self.add_instructions(&mut result);
        result
    }

    /// The result of `server/discover`.
    pub(crate) fn discover_result(&self) -> Value {
        let mut result = json!({
            "resultType": "complete",
            "supportedVersions": STATELESS_VERSIONS,
            "capabilities": self.capabilities(),
            "ttlMs": 0,
            "cacheScope": "public",
            "_meta": { key::SERVER_INFO: self.info },
        });
        self.add_instructions(&mut result);
        result
    }

    fn add_instructions(&self, result: &mut Value) {
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
    }
}
