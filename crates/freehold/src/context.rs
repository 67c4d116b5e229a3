//! What a handler gets: the call it serves, its session, and the engine.

use crate::{
    call::{Call, CancelReason, Extension, effect::Effect},
    drain::{Asks, DrainReport},
    engine::Engine,
    message::{ErrorObject, RequestId, encode_notification, encode_request},
    outbox::{Frame, Pushed},
    question::{QuestionError, Reply},
    recovery::Subject,
    runtime::after,
    session::Session,
    state::{State, StateError},
};
use bytes::Bytes;
use freehold_sync::{AcquirePermits, Lock, Mutex, OwnedContext, PermitPool, Read, RwLock, Write};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

/// The context of one call. A handler gets it by reference, for as long as it runs; what it gets from the context
/// cannot outlive the call.
///
/// ```compile_fail
/// use freehold::{Context, ErrorObject};
///
/// async fn handler(ctx: &Context<()>, (): ()) -> Result<(), ErrorObject> {
///     // A borrowed context cannot be sent to another task.
///     tokio::spawn(async move { ctx.cancelled().await });
///     Ok(())
/// }
/// let _ = freehold::Engine::builder(()).method("m", handler);
/// ```
pub struct Context<S: State> {
    call: Arc<Call<S>>,
    locks: OwnedContext,
}

impl<S: State> Context<S> {
    pub(crate) fn new(call: Arc<Call<S>>, locks: OwnedContext) -> Self {
        locks.set_deadline(call.clock.expires(call.started));
        Self { call, locks }
    }

    /// The call that it serves.
    pub(crate) fn served(&self) -> &Arc<Call<S>> {
        &self.call
    }

    pub(crate) fn own_locks(&self) -> &OwnedContext {
        &self.locks
    }

    /// Waits for locks go by the call's deadline as it is now.
    fn tell_deadline(&self) {
        self.locks.set_deadline(self.deadline());
    }

    /// The session that the call came in.
    #[must_use]
    pub fn session(&self) -> &Session<S> {
        &self.call.session
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine<S> {
        self.call.session.engine()
    }

    /// The id of the request; none for a notification.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.call.id()
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &str {
        self.call.method_name()
    }

    /// State of the application, as given to [`EngineBuilder::app`](crate::EngineBuilder::app).
    ///
    /// # Panics
    ///
    /// If no value of this type was given; the call is then answered with an internal error.
    #[must_use]
    pub fn app<T: Send + Sync + 'static>(&self) -> &Arc<T> {
        self.call.engine().app.get::<T>().unwrap_or_else(|| {
            panic!(
                "no application state of type {}: give it to EngineBuilder::app",
                std::any::type_name::<T>()
            )
        })
    }

    /// A snapshot of the session's state. It does not change; ask again to see later commits.
    #[must_use]
    pub fn state(&self) -> Arc<S> {
        self.session().state()
    }

    /// Changes the session's state atomically; see [`Session::update`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn update<R: Send>(&self, change: impl FnMut(&mut S) -> R + Send) -> Result<R, StateError> {
        self.call.mark_effect(Effect::Committed);
        self.session().update(change).await
    }

    /// Changes the session's state by an asynchronous body; see [`Session::transact`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn transact<R, E, F, Fut>(&self, mut body: F) -> Result<R, E>
    where
        F: FnMut(S) -> Fut + Send,
        Fut: Future<Output = Result<(S, R), E>> + Send,
        R: Send,
        E: From<StateError> + Send,
    {
        let call = &self.call;
        let body = |state| {
            let next = body(state);
            async move {
                let next = next.await;
                // Only now is something to be committed.
                if next.is_ok() {
                    call.mark_effect(Effect::Committed);
                }
                next
            }
        };
        self.session().transact(body).await
    }

    /// Everything that has to do with locks: the handler runs in an activity of `freehold_sync`, and this is its context. The
    /// usual ways in are [`lock`](Self::lock), [`read`](Self::read), [`write`](Self::write) and [`permit`](Self::permit).
    #[must_use]
    pub fn locks(&self) -> &freehold_sync::Context {
        &self.locks
    }

    /// Locks `mutex`, waiting until it is free. A deadlock that this wait is part of is found when it closes, and ended with
    /// an error for one member.
    ///
    /// Waits for 5 s at most, and never longer than half of what remains of the call's deadline, unless the future's
    /// [`within`](Lock::within) or [`until`](Lock::until) says otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue; a turn it had goes to the next one.
    ///
    /// # Errors
    ///
    /// [`LockError`](freehold_sync::LockError), which becomes an [`ErrorObject`](crate::ErrorObject) by `?`.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Context, Engine, ErrorObject};
    /// use freehold_sync::Mutex;
    ///
    /// static TOTAL: Mutex<u64> = Mutex::new(0);
    ///
    /// async fn add(ctx: &Context<()>, [amount]: [u64; 1]) -> Result<u64, ErrorObject> {
    ///     let mut total = ctx.lock(&TOTAL).await?;
    ///     *total += amount;
    ///     Ok(*total)
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let engine = Engine::builder(()).method("add", add).build().unwrap();
    /// let session = engine.open().unwrap();
    /// let request = br#"{"jsonrpc":"2.0","id":1,"method":"add","params":[2]}"#;
    /// let answer = engine.process_bytes(&session, request).await.unwrap();
    /// assert!(answer.ends_with(br#""result":2}"#));
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock<'a, T: ?Sized>(&'a self, mutex: &'a Mutex<T>) -> Lock<'a, T> {
        self.locks.lock(mutex)
    }

    /// Locks `lock` for reading. As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    #[track_caller]
    pub fn read<'a, T: ?Sized>(&'a self, lock: &'a RwLock<T>) -> Read<'a, T> {
        self.locks.read(lock)
    }

    /// Locks `lock` for writing. As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    #[track_caller]
    pub fn write<'a, T: ?Sized>(&'a self, lock: &'a RwLock<T>) -> Write<'a, T> {
        self.locks.write(lock)
    }

    /// Takes a permit of `pool`. As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If the pool's size is zero.
    #[track_caller]
    pub fn permit<'a>(&'a self, pool: &'a PermitPool) -> AcquirePermits<'a> {
        self.locks.permit(pool)
    }

    /// Waits until the call is cancelled, and says why. From then on the handler has
    /// [`Limits::cancel_grace`](crate::Limits::cancel_grace) to clean up; what it returns is no longer told to anybody.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    pub async fn cancelled(&self) -> CancelReason {
        // No sign of life: a handler that waits for a lock and for this is stuck all the same.
        self.locks.aside(self.call.cancelled.wait()).await;
        self.call.cancel_reason().unwrap_or(CancelReason::Client)
    }

    /// Why the call was cancelled, if it was.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.call.cancel_reason()
    }

    /// What the client gave as its reason to cancel.
    #[must_use]
    pub fn cancel_note(&self) -> Option<&str> {
        self.call.cancel_note()
    }

    /// When the call ends if it makes no progress; moves while the client is asked.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.call.clock.expires(self.call.engine().runtime.now())
    }

    /// What whoever began the call attached to it, if that is a `T`: see [`ServerCall::attach`](crate::ServerCall::attach).
    #[must_use]
    pub fn attachment<T: std::any::Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.call.attachment.clone()?.downcast().ok()
    }

    /// Whether a handler made the call ([`Context::call`]), and no client asked for it.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.call.origin().is_some()
    }

    /// Says what the call is about where its method alone does not: a protocol that dispatches further names the tool.
    /// Events, reports and error messages name it beside the method. The first one stays.
    pub fn set_subject(&self, subject: Arc<str>) {
        self.call.set_subject(subject);
        self.locks.set_name(self.call.activity_name());
    }

    /// Says what the call is about, as [`set_subject`](Self::set_subject), and treats the call as the subject's options say:
    /// its timeout, whether and how often it is run again, its circuit breaker, its fallback. The first subject stays. The
    /// method has to [have subjects](crate::MethodOptions::has_subjects), or a call is run again without its parameters.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::CIRCUIT_OPEN`](crate::ErrorCode::CIRCUIT_OPEN): answer with it, and do nothing else.
    pub fn enter(&self, subject: &Arc<Subject<S>>) -> Result<(), ErrorObject> {
        self.set_subject(subject.name().clone());
        if let Some(timeout) = subject.options().timeout {
            self.set_timeout(timeout);
        }
        if let Some(limit) = subject.options().soft_limit {
            self.set_soft_limit(limit);
        }
        self.call.enter(subject)
    }

    /// An error of a lock, as the client should be told it: with the sessions and the ages of the calls that were in the
    /// way, as far as they are still there. The engine does this with every error that a handler returns; it is for
    /// protocols that tell errors as results.
    #[must_use]
    pub fn explain(&self, error: ErrorObject) -> ErrorObject {
        self.call.explain(error)
    }

    /// Gives the call another deadline, counted from its arrival; the cap stays.
    pub fn set_timeout(&self, timeout: Duration) {
        self.call.clock.set_timeout(self.call.started, timeout);
        self.call.watch.look_anew();
        self.tell_deadline();
    }

    /// Gives the call another soft limit: how long it may run, or run on after it told progress, before the watchdog reports
    /// it.
    pub fn set_soft_limit(&self, limit: Duration) {
        self.call.engine().watchdog.has_soft_limit(limit);
        self.call.watch.set_soft_limit(limit);
    }

    /// Takes the call's deadline, cap and soft limit away: for a stream that ends with its client, its session or the
    /// engine. Such a call still counts against the limits.
    pub fn remove_deadline(&self) {
        self.call.clock.remove_deadline(self.call.engine().runtime.now());
        self.call.watch.set_soft_limit(Duration::MAX);
        self.tell_deadline();
    }

    /// The call made progress: its timeout begins anew, up to [`Limits::deadline_cap`](crate::Limits::deadline_cap)
    /// after its arrival, or up to the [`ServerCall::timeout`](crate::ServerCall::timeout) of one that has that.
    pub fn made_progress(&self) {
        let now = self.call.engine().runtime.now();
        self.call.clock.progress(now);
        self.call.watch_progress(now);
        self.tell_deadline();
    }

    /// Sends a notification where this call's messages go. Never waits: at a full stream the oldest notification goes.
    /// After the call has its outcome, nothing is sent.
    ///
    /// # Errors
    ///
    /// If `params` cannot be written as JSON.
    pub fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), serde_json::Error> {
        if !self.call.is_settled() {
            self.call.mark_effect(Effect::Sent);
            self.call.push(Frame::Notification(Bytes::from(encode_notification(method, params)?)));
        }
        Ok(())
    }

    /// What the call's transport knows of its request, to be handed on to a call that the server begins for it
    /// ([`ServerCall::extension`](crate::ServerCall::extension)).
    #[must_use]
    pub fn request_extension(&self) -> Option<Extension> {
        self.call.with_callers().find_map(|call| call.extension.clone())
    }

    /// Sends a message where this call's messages go: one that another call wanted to send, and that its client reads here.
    /// Whether it was queued; an answer never is: this call has its own. Never waits.
    pub fn forward(&self, frame: Frame) -> bool {
        if self.call.is_settled() || matches!(frame, Frame::Answer(_)) {
            return false;
        }
        self.call.mark_effect(Effect::Sent);
        matches!(self.call.push(frame), Pushed::Queued { .. })
    }

    /// Lets the connection go that carries this call's own stream, once what was said so far is written, where the client can
    /// come back for the rest: a long call need not keep a connection. The call goes on. Without effect where it has no
    /// stream of its own or its transport cannot take a stream up again. Never waits.
    pub fn close_stream(&self) {
        self.call.close_stream();
    }

    /// What the call's transport knows of its request beyond the message (see
    /// [`Engine::dispatch_with`](crate::Engine::dispatch_with)), if it is a `T`; for a call that another one made, what is
    /// known of the nearest of those above it.
    #[must_use]
    pub fn extension<T: std::any::Any>(&self) -> Option<&T> {
        self.call.extension()
    }

    /// Asks the client and waits for its answer. The call's clock stands still meanwhile, whatever its deadline is; the question
    /// has a limit of its own, [`Limits::question_timeout`](crate::Limits::question_timeout), or what all questions of the call
    /// together leave of [`Limits::question_total`](crate::Limits::question_total), if that is less.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its answer, the question is forgotten and a late answer is counted and ignored.
    ///
    /// # Errors
    ///
    /// [`QuestionError`]: the client refused, did not answer, is gone, or has too many open questions, or the call was
    /// cancelled.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, QuestionError> {
        self.call.mark_effect(Effect::Asked);
        let invalid = |error: serde_json::Error| QuestionError::Invalid(error.to_string());
        let params = serde_json::value::to_raw_value(params).map_err(invalid)?;
        let engine = self.call.engine();
        let (id, question) = self.call.session.inner.questions.open(engine.limits.questions_per_session)?;
        let open = OpenQuestion { call: &self.call, id };
        let now = engine.runtime.now();
        let until = after(now, engine.limits.question_timeout);
        let until = self.call.clock.question_opened(id, now, until).ok_or(QuestionError::CallEnded)?;
        let callers_wait = CallersWait::new(&self.call);
        let frame =
            Frame::Question(Bytes::from(encode_request(&RequestId::Number(id), method, Some(&params))));
        match self.call.push(frame) {
            Pushed::Queued { .. } => {}
            Pushed::NoRoom { .. } => return Err(QuestionError::NoRoom),
            Pushed::Overflowed | Pushed::Closed => return Err(QuestionError::PeerGone),
        }
        let reply = question.reply().await;
        drop((open, callers_wait));
        self.tell_deadline();
        match reply {
            Reply::Answer(answer) => serde_json::from_str(answer.get()).map_err(invalid),
            Reply::Refused(error) => Err(QuestionError::Refused(error)),
            Reply::TimedOut => Err(QuestionError::TimedOut {
                method: method.to_owned(),
                waited: until.saturating_duration_since(now),
            }),
            Reply::PeerGone => Err(QuestionError::PeerGone),
            Reply::CallEnded => Err(QuestionError::CallEnded),
        }
    }

    /// Runs `future` as a task that survives the call: neither its cancel nor its end touches it.
    pub fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.call.mark_effect(Effect::Detached);
        self.call.engine().runtime.spawn_handler("detached", Box::pin(future));
    }

    /// Drains the engine as [`Engine::drain`] does, but without waiting for calls whose handlers wait in here: they would
    /// wait for themselves.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        self.call.mark_effect(Effect::Committed);
        let engine = self.engine();
        let _asks = Asks::new(&self.call);
        engine.drain(grace).await
    }
}

impl<S: State> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("method", &self.method()).field("id", &self.request_id()).finish()
    }
}

/// The clocks of all callers stand still, because a call that they wait for waits for a person.
struct CallersWait<'a, S: State>(&'a Arc<Call<S>>);

impl<'a, S: State> CallersWait<'a, S> {
    fn new(call: &'a Arc<Call<S>>) -> Self {
        let now = call.engine().runtime.now();
        call.with_callers().skip(1).for_each(|caller| caller.clock.question_opened_below(now));
        Self(call)
    }
}

impl<S: State> Drop for CallersWait<'_, S> {
    fn drop(&mut self) {
        let now = self.0.engine().runtime.now();
        self.0.with_callers().skip(1).for_each(|caller| caller.clock.question_closed_below(now));
    }
}

/// An open question of a handler that waits for its answer, or stopped waiting.
struct OpenQuestion<'a, S: State> {
    call: &'a Call<S>,
    id: i64,
}

impl<S: State> Drop for OpenQuestion<'_, S> {
    fn drop(&mut self) {
        self.call.session.inner.questions.forget(self.id);
        self.call.clock.question_closed(self.id, self.call.engine().runtime.now());
    }
}
