//! What is done about calls that fail: breakers, re-runs, degraded answers.
//!
//! A method is treated as its options say; so is a *subject*, what a protocol calls through one method: a tool.

mod breaker;
mod budget;
mod fallback;
mod retry;
mod subject;

pub(crate) use breaker::{Admission, Change, CircuitBreaker, Permit, Verdict};
pub use breaker::{BreakerOptions, BreakerState};
pub(crate) use budget::RetryBudget;
pub use fallback::DegradeReason;
pub(crate) use fallback::{Fallback, MarkDegraded, fallback_of, mark_member};
pub use retry::RetryPolicy;
pub use subject::Subject;
pub(crate) use subject::Subjects;

use crate::{handler::MethodOptions, state::State};

/// What holds for methods and subjects that say nothing themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) breaker: Option<BreakerOptions>,
    pub(crate) retry: RetryPolicy,
}

/// Whether a method has a breaker.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum BreakerChoice {
    /// The engine's default.
    #[default]
    Inherited,
    Without,
    With(BreakerOptions),
}

/// How failing calls of one method or subject are treated.
pub(crate) struct Treatment<S: State> {
    /// Nothing happens twice if it is run twice.
    pub(crate) repeatable: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) fallback: Option<Fallback<S>>,
    /// A subject that may be known only when the handler has its parameters has a say in it.
    pub(crate) has_subjects: bool,
}

impl<S: State> Treatment<S> {
    pub(crate) fn new(options: &MethodOptions, defaults: &Defaults, fallback: Option<Fallback<S>>) -> Self {
        let breaker = match &options.breaker {
            BreakerChoice::Inherited => defaults.breaker.clone(),
            BreakerChoice::Without => None,
            BreakerChoice::With(options) => Some(options.clone()),
        };
        Self {
            repeatable: options.idempotent || options.read_only,
            retry: options.retry.unwrap_or(defaults.retry),
            breaker: breaker.map(CircuitBreaker::new),
            fallback,
            has_subjects: options.has_subjects,
        }
    }

    /// Whether anybody may need the parameters once the handler has them.
    pub(crate) fn keeps_params(&self) -> bool {
        self.repeatable || self.fallback.is_some() || self.has_subjects
    }
}
