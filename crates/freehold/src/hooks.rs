//! Lifecycle hooks of the application. They run outside of every engine lock and may call the engine back; a panic in
//! one is reported and goes no further.

use crate::{
    contain::contain,
    event::{Event, Events},
    session::{CloseReason, Session},
    state::State,
};
use freehold_sync::held;

type SessionHook<S> = Box<dyn Fn(&Session<S>) + Send + Sync>;
type CallHook<S> = Box<dyn Fn(&Session<S>, &str) + Send + Sync>;
type CloseHook<S> = Box<dyn Fn(&Session<S>, CloseReason) + Send + Sync>;
type Hook = Box<dyn Fn() + Send + Sync>;

/// The hooks; see the builder's `on_...` functions.
pub(crate) struct Hooks<S: State> {
    pub(crate) on_opened: Vec<SessionHook<S>>,
    pub(crate) on_initialized: Vec<SessionHook<S>>,
    pub(crate) on_called: Vec<CallHook<S>>,
    pub(crate) on_closed: Vec<CloseHook<S>>,
    pub(crate) on_subscriber_dropped: Vec<SessionHook<S>>,
    pub(crate) on_shutdown_begun: Vec<Hook>,
}

impl<S: State> Default for Hooks<S> {
    fn default() -> Self {
        Self {
            on_opened: Vec::new(),
            on_initialized: Vec::new(),
            on_called: Vec::new(),
            on_closed: Vec::new(),
            on_subscriber_dropped: Vec::new(),
            on_shutdown_begun: Vec::new(),
        }
    }
}

impl<S: State> Hooks<S> {
    pub(crate) fn opened(&self, events: &Events, session: &Session<S>) {
        run(events, "opened", &self.on_opened, |hook| hook(session));
    }

    pub(crate) fn initialized(&self, events: &Events, session: &Session<S>) {
        run(events, "initialized", &self.on_initialized, |hook| hook(session));
    }

    pub(crate) fn called(&self, events: &Events, session: &Session<S>, method: &str) {
        run(events, "called", &self.on_called, |hook| hook(session, method));
    }

    pub(crate) fn closed(&self, events: &Events, session: &Session<S>, reason: CloseReason) {
        run(events, "closed", &self.on_closed, |hook| hook(session, reason));
    }

    pub(crate) fn subscriber_dropped(&self, events: &Events, session: &Session<S>) {
        run(events, "subscriber dropped", &self.on_subscriber_dropped, |hook| hook(session));
    }

    pub(crate) fn shutdown_begun(&self, events: &Events) {
        run(events, "shutdown begun", &self.on_shutdown_begun, |hook| hook());
    }
}

fn run<H>(events: &Events, name: &'static str, hooks: &[H], call: impl Fn(&H)) {
    for hook in hooks {
        held::assert_none("run a hook");
        if contain(|| call(hook)).is_err() {
            events.emit(&Event::HookPanicked { hook: name });
        }
    }
}
