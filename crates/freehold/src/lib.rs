#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admission;
mod builder;
mod call;
pub mod cluster;
mod contain;
mod context;
mod dispatch;
mod drain;
mod engine;
mod event;
#[cfg(not(feature = "seeded-faults"))]
mod fault;
#[cfg(feature = "seeded-faults")]
pub mod fault;
mod gate;
mod handler;
mod hash;
mod hooks;
mod inspect;
mod layer;
mod limits;
mod lock_order;
pub mod message;
mod methods;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod outbox;
mod question;
mod recovery;
pub mod runtime;
mod session;
mod shim;
mod state;
mod watchdog;

/// The locks that go through [`Context::lock`], and everything else of their crate.
pub use freehold_sync as sync;

pub use builder::{AtCap, BuildError, EngineBuilder};
pub use call::{
    CallError, CallHandle, CallHeader, CallId, CallTarget, Calling, CallsWhileHolding, CancelReason,
    Extension, Hop, Route, ServerCall, Stage, Step,
};
pub use context::Context;
pub use dispatch::Dispatched;
pub use drain::DrainReport;
pub use engine::{Engine, OpenError};
pub use event::{Counters, Event, Observer, OutcomeKind};
pub use gate::Gate;
pub use handler::{Arriving, Handler, HandlerResult, MethodOptions, RawHandler, read_params, write_result};
pub use inspect::{BreakerSnapshot, CallSnapshot, SessionGauges, StreamLag};
pub use layer::{Layer, LayeredCall, Next};
pub use limits::Limits;
pub use message::{ErrorCode, ErrorObject, Message, Notification, Request, RequestId, Response};
pub use outbox::Frame;
pub use question::QuestionError;
pub use recovery::{BreakerOptions, BreakerState, DegradeReason, RetryPolicy, Subject};
pub use session::{
    CloseReason, InvalidSessionId, Listener, ResumeError, Session, SessionId, SessionNotFound,
};
pub use state::{
    CommitOutcome, CommitToken, MemoryStore, Resolution, State, StateError, Store, StoreError, Version,
    Versioned,
};
pub use watchdog::{Finding, FindingKind};
