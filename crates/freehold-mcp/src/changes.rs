//! What changed, and who is told: sessions at once, subscriptions through a channel.

use crate::{
    limits,
    protocol::{key, method},
};
use freehold::{Engine, RequestId, Session, State};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::broadcast;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resources,
    /// The contents of the resource with this URI.
    Updated(Arc<str>),
}

impl Change {
    /// The notification of it.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Tools => method::TOOLS_CHANGED,
            Self::Prompts => method::PROMPTS_CHANGED,
            Self::Resources => method::RESOURCES_CHANGED,
            Self::Updated(_) => method::RESOURCE_UPDATED,
        }
    }

    /// The notification's parameters, on the subscription with this id if it is on one.
    pub(crate) fn params(&self, subscription: Option<&RequestId>) -> Value {
        let mut params = json!({});
        if let Some(id) = subscription {
            params["_meta"] = json!({ key::SUBSCRIPTION_ID: id });
        }
        if let Self::Updated(uri) = self {
            params["uri"] = json!(&**uri);
        }
        params
    }
}

/// Whoever tells the clients of a change.
pub(crate) trait TellClients: Send + Sync {
    fn tell(&self, change: Change);
}

/// Tells of changes once the server is built; until then there is nobody to be told. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Announcer(Arc<OnceLock<Weak<dyn TellClients>>>);

impl Announcer {
    /// Says who tells; once.
    pub(crate) fn connect(&self, clients: Weak<dyn TellClients>) {
        let connected = self.0.set(clients);
        debug_assert!(connected.is_ok(), "a server is built once");
    }

    pub(crate) fn announce(&self, change: Change) {
        if let Some(clients) = self.0.get().and_then(Weak::upgrade) {
            clients.tell(change);
        }
    }
}

/// What subscriptions read. Nobody waits to write; who falls behind too far is told so. A cheap handle.
#[derive(Clone)]
pub(crate) struct ChangeFeed {
    sender: broadcast::Sender<Change>,
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(limits::CHANGES_KEPT) }
    }
}

impl ChangeFeed {
    /// Reads what changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.sender.subscribe()
    }

    pub(crate) fn send(&self, change: Change) {
        // That nobody is subscribed is no failure.
        let _ = self.sender.send(change);
    }
}

/// The topic of a resource's subscribers, in the engine's terms.
pub(crate) fn topic(uri: &str) -> String {
    format!("resources/subscribe {uri}")
}

/// Tells sessions of a change: of a list all that are initialized, of a resource those that subscribed.
pub(crate) fn tell_sessions<S: State>(engine: &Engine<S>, change: &Change) {
    let params = change.params(None);
    let told = match change {
        Change::Updated(uri) => engine.publish(&topic(uri), change.method(), &params),
        _ => {
            let listens = |session: &Session<S>| session.is_initialized();
            engine.broadcast(change.method(), &params, listens)
        }
    };
    debug_assert!(told.is_ok(), "an object of strings has a JSON form");
}
