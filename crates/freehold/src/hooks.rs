//! Lifecycle hooks of the application. They run outside of every engine lock and may call the engine back; a panic in
//! one is reported and goes no further.
//!
//! # Invariants
//!
//! 1. No hook runs inside of another one: what a hook causes (it closes a session, say) becomes due, and runs on the same
//!    thread as soon as the hook has returned, in order. Otherwise a hook that closes the next session would need a
//!    stack as deep as there are sessions.
//! 2. The exception is `called`, which must run before its handler, and which a hook can only cause by polling a call
//!    itself.
//! 3. What is due is bounded by what the running hook did: each entry is an event that happened.

use crate::{
    contain::contain,
    engine::EngineState,
    event::{Event, Events},
    fault,
    session::{CloseReason, Session},
    shim,
    state::State,
};
use freehold_sync::held;
use std::{cell::RefCell, collections::VecDeque, sync::Arc};

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
    pub(crate) fn opened(session: &Session<S>) {
        of_session(session, "opened", |hooks| &hooks.on_opened, |hook, session| hook(session));
    }

    pub(crate) fn initialized(session: &Session<S>) {
        of_session(session, "initialized", |hooks| &hooks.on_initialized, |hook, session| hook(session));
    }

    /// At once, also in a hook: the caller starts the handler afterwards.
    pub(crate) fn called(session: &Session<S>, method: &str) {
        let engine = &session.engine;
        if engine.hooks.on_called.is_empty() {
            return;
        }
        let called = || run(&engine.events, "called", &engine.hooks.on_called, |hook| hook(session, method));
        if Turns::are_on() { called() } else { Turns::begin().with(called) }
    }

    pub(crate) fn closed(session: &Session<S>, reason: CloseReason) {
        of_session(session, "closed", |hooks| &hooks.on_closed, move |hook, session| hook(session, reason));
    }

    pub(crate) fn subscriber_dropped(session: &Session<S>) {
        let name = "subscriber dropped";
        of_session(session, name, |hooks| &hooks.on_subscriber_dropped, |hook, session| hook(session));
    }

    pub(crate) fn shutdown_begun(engine: &Arc<EngineState<S>>) {
        let engine = engine.clone();
        in_turn(move || {
            run(&engine.events, "shutdown begun", &engine.hooks.on_shutdown_begun, |hook| hook());
        });
    }
}

/// Runs the hooks that `of` names for `session`.
fn of_session<S: State, H: 'static>(
    session: &Session<S>,
    name: &'static str,
    of: impl Fn(&Hooks<S>) -> &Vec<H> + 'static,
    call: impl Fn(&H, &Session<S>) + 'static,
) {
    if of(&session.engine.hooks).is_empty() {
        return;
    }
    let session = session.clone();
    in_turn(move || {
        let engine = &session.engine;
        run(&engine.events, name, of(&engine.hooks), |hook| call(hook, &session));
    });
}

fn run<H>(events: &Events, name: &'static str, hooks: &[H], call: impl Fn(&H)) {
    for hook in hooks {
        held::assert_none("run a hook");
        let _registry = fault::registry_in_hook();
        if contain(|| call(hook)).is_err() {
            events.emit(&Event::HookPanicked { hook: name });
        }
    }
}

type Turn = Box<dyn FnOnce()>;

shim::thread_local! {
    /// What became due while a hook runs on this thread; `None` while none does.
    static DUE: RefCell<Option<VecDeque<Turn>>> = const { RefCell::new(None) };
}

/// Runs `turn` now, and what it makes due after it; or later, if a hook runs on this thread.
fn in_turn(turn: impl FnOnce() + 'static) {
    if Turns::are_on() { Turns::put_off(Box::new(turn)) } else { Turns::begin().with(turn) }
}

/// As long as it lives, what becomes due on this thread waits.
struct Turns;

impl Turns {
    fn are_on() -> bool {
        // When the thread ends its storage is gone, and nothing can be put off any more.
        DUE.try_with(|due| due.borrow().is_some()).unwrap_or(false)
    }

    fn put_off(turn: Turn) {
        DUE.with(|due| due.borrow_mut().get_or_insert_default().push_back(turn));
    }

    fn begin() -> Self {
        let _ = DUE.try_with(|due| *due.borrow_mut() = Some(VecDeque::new()));
        Self
    }

    fn with(self, turn: impl FnOnce()) {
        turn();
        while let Some(next) = Self::next() {
            next();
        }
    }

    fn next() -> Option<Turn> {
        DUE.try_with(|due| due.borrow_mut().as_mut()?.pop_front()).unwrap_or(None)
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // Empty, unless the assertion that nothing is held failed.
        let rest = DUE.try_with(|due| due.borrow_mut().take());
        drop(rest);
    }
}
