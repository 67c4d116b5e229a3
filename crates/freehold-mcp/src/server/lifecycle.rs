//! The beginning of a session, and what a client says in it of requests and of the log.

use crate::{
    delegate::already_initialized,
    model::{Capabilities, LogLevel},
    peer::Peer,
    protocol::{ServerDescription, negotiate},
};
use freehold::{ErrorObject, RequestId, Session, State, message::Raw};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: String,
    #[serde(default)]
    capabilities: Capabilities,
}

/// Reads the params of `initialize`: the client, and the revision to speak with it.
pub(crate) fn read_initialize(params: Option<&RawValue>) -> Result<Peer, ErrorObject> {
    let params: Initialize = freehold::read_params(params)?;
    Ok(Peer::new(negotiate(&params.protocol_version), params.capabilities))
}

/// `initialize` on a session that exists: the first one wins, others are refused and disturb nothing.
pub(super) fn handshake<S: State>(
    description: &ServerDescription,
    session: &Session<S>,
    params: Option<&Raw<'_>>,
) -> Result<Value, ErrorObject> {
    let peer = read_initialize(params.map(|raw| &**raw))?;
    let version = peer.version;
    session.attach(peer).map_err(|_| already_initialized())?;
    Ok(description.initialize_result(version))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    request_id: Value,
    reason: Option<String>,
}

/// `notifications/cancelled`: of a request that is unknown or over, nothing happens.
pub(super) fn cancelled<S: State>(session: &Session<S>, params: Option<&Raw<'_>>) -> Result<(), ErrorObject> {
    let params: Cancelled = freehold::read_params(params.map(|raw| &**raw))?;
    let id = match &params.request_id {
        Value::String(id) => Some(RequestId::from(id.as_str())),
        Value::Number(id) => id.as_i64().map(RequestId::from),
        _ => None,
    };
    if let Some(id) = id {
        session.cancel(&id, params.reason.as_deref());
    }
    Ok(())
}

#[derive(Deserialize)]
struct SetLevel {
    level: LogLevel,
}

pub(super) fn set_level<S: State>(
    session: &Session<S>,
    params: Option<&Raw<'_>>,
) -> Result<Value, ErrorObject> {
    let SetLevel { level } = freehold::read_params(params.map(|raw| &**raw))?;
    if let Some(peer) = Peer::of(session) {
        peer.set_log_level(level);
    }
    Ok(json!({}))
}
