use super::{Defaults, DegradeReason, Fallback, Treatment, fallback_of};
use crate::{handler::MethodOptions, lock_order, message::ErrorObject, session::Session, state::State};
use freehold_sync::ScopedMutex;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    fmt,
    future::Future,
    sync::{Arc, OnceLock, Weak},
};

/// What a protocol that dispatches further calls through one method: a tool. It has options as a method has, which hold
/// for a call from [`Context::enter`](crate::Context::enter) on.
///
/// # Examples
///
/// ```
/// use freehold::{BreakerOptions, MethodOptions, Subject};
///
/// let options = MethodOptions::new().read_only(true).breaker(BreakerOptions::new());
/// let subject: Subject<()> = Subject::new("weather", options);
/// assert_eq!(&**subject.name(), "weather");
/// ```
pub struct Subject<S: State> {
    name: Arc<str>,
    options: MethodOptions,
    fallback: Option<Fallback<S>>,
    treatment: OnceLock<Treatment<S>>,
}

impl<S: State> Subject<S> {
    /// A subject without a fallback.
    pub fn new(name: impl Into<Arc<str>>, options: MethodOptions) -> Self {
        Self { name: name.into(), options, fallback: None, treatment: OnceLock::new() }
    }

    /// Sets what answers for its handler; as [`EngineBuilder::fallback`](crate::EngineBuilder::fallback), with the
    /// parameters of the method.
    #[must_use]
    pub fn fallback<R, E, F, Fut>(self, fallback: F) -> Self
    where
        R: Serialize + 'static,
        E: Into<ErrorObject> + 'static,
        F: Fn(Session<S>, Option<Box<RawValue>>, DegradeReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        Self { fallback: Some(fallback_of(fallback)), ..self }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn options(&self) -> &MethodOptions {
        &self.options
    }

    pub(crate) fn treatment(&self) -> Option<&Treatment<S>> {
        self.treatment.get()
    }
}

impl<S: State> fmt::Debug for Subject<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).field("options", &self.options).finish()
    }
}

/// The subjects of one engine that were called, for who looks at it.
pub(crate) struct Subjects<S: State>(ScopedMutex<Vec<Weak<Subject<S>>>, lock_order::Subjects>);

impl<S: State> Default for Subjects<S> {
    fn default() -> Self {
        Self(ScopedMutex::default())
    }
}

impl<S: State> Subjects<S> {
    /// How `subject` is treated. The first time it is noted.
    pub(crate) fn treatment<'a>(
        &self,
        subject: &'a Arc<Subject<S>>,
        defaults: &Defaults,
    ) -> &'a Treatment<S> {
        if let Some(treatment) = subject.treatment.get() {
            return treatment;
        }
        let mut first = false;
        let treatment = subject.treatment.get_or_init(|| {
            first = true;
            Treatment::new(&subject.options, defaults, subject.fallback.clone())
        });
        if first {
            self.note(Arc::downgrade(subject));
        }
        treatment
    }

    /// Those that are gone make room, so there are never more entries than subjects alive at one time, and one.
    fn note(&self, subject: Weak<Subject<S>>) {
        self.0.with(|subjects| {
            if subjects.len() == subjects.capacity() {
                subjects.retain(|subject| subject.strong_count() > 0);
            }
            subjects.push(subject);
        });
    }

    pub(crate) fn all(&self) -> Vec<Arc<Subject<S>>> {
        let subjects = self.0.with(|subjects| subjects.clone());
        subjects.iter().filter_map(Weak::upgrade).collect()
    }
}
