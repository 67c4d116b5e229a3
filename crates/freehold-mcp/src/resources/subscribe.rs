//! `resources/subscribe` and `resources/unsubscribe` of revisions with sessions.

use super::table::ResourceTable;
use crate::{changes::topic, request::no_such_resource};
use freehold::{ErrorCode, ErrorObject, Session, State, message::Raw};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Params {
    uri: String,
}

/// From now on the session is told when the resource changes.
pub(crate) fn subscribe<S: State>(
    resources: &ResourceTable<S>,
    session: &Session<S>,
    params: Option<&Raw<'_>>,
) -> Result<Value, ErrorObject> {
    let Params { uri } = freehold::read_params(params.map(|raw| &**raw))?;
    // Found ones are no longer than a URI may be.
    if !resources.knows(&uri) {
        return Err(no_such_resource(&uri, false));
    }
    if session.subscribe(&topic(&uri)) {
        return Ok(json!({}));
    }
    let most = session.engine().limits().topics_per_session;
    let reason = format!("a session may have {most} subscriptions; unsubscribe from another resource first");
    Err(ErrorObject::new(ErrorCode::OVERLOADED, reason))
}

/// From now on it is not. That there was no subscription is no error.
pub(crate) fn unsubscribe<S: State>(
    session: &Session<S>,
    params: Option<&Raw<'_>>,
) -> Result<Value, ErrorObject> {
    let Params { uri } = freehold::read_params(params.map(|raw| &**raw))?;
    session.unsubscribe(&topic(&uri));
    Ok(json!({}))
}
