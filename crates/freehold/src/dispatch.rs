//! From a message to its outcome: decode, admit, start. Nothing here waits: who dispatches gets an answer, nothing, or
//! the handle of a call that goes on by itself.

use crate::{
    admission::Overloaded,
    call::{
        Arrival, Call, CallHandle, CallKey, CallTask, Extension, Refused, Route, Stage, Step,
        effect::{self, Effect},
        span, table_refusal,
    },
    contain::{Contained, Panicked, contain},
    engine::Engine,
    event::{Event, OutcomeKind},
    fault::{self, Fault},
    gate::{NoPlace, Whose},
    handler::{Arriving, HandlerResult, MethodKind},
    message::{
        Decoded, ErrorCode, ErrorObject, Malformed, Message, Notification, Raw, Request, RequestId, Response,
        decode, encode_batch,
    },
    outbox::Frame,
    session::Session,
    state::State,
};
use futures_util::future::join_all;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// What dispatching a message gave.
///
/// Closed: a transport has to do something about each.
#[derive(Debug)]
pub enum Dispatched<S: State> {
    /// The answer, at once.
    Answer(Response<'static>),
    /// There will be none: a notification, or an answer of the peer's.
    Nothing,
    /// A call under way. With [`Route::Session`] its messages go to the session's stream and the handle is not given.
    Running(CallHandle<S>),
}

/// The outcome of a request that does not become a call, and what its peer is told.
pub(crate) type Refusal = (OutcomeKind, ErrorObject);

impl<S: State> Engine<S> {
    /// Handles one message and returns its answer, if it wants one. Notifications and questions of the handler go to
    /// the session's own stream.
    ///
    /// Waits for the handler, at most until the call's deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels the call; the handler gets its grace.
    ///
    /// # Errors
    ///
    /// None of its own: every failure is an error answer.
    pub async fn process(&self, session: &Session<S>, message: Message<'_>) -> Option<Response<'static>> {
        match self.dispatch(session, message, Route::Caller) {
            Dispatched::Answer(response) => Some(response),
            Dispatched::Nothing => None,
            // Its other messages go elsewhere.
            Dispatched::Running(mut handle) => loop {
                if let Step::End(answer) = handle.next().await {
                    break answer;
                }
            },
        }
    }

    /// [`process`](Self::process) for one transport unit: a message or a batch, as bytes in, as bytes out.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn process_bytes(&self, session: &Session<S>, bytes: &[u8]) -> Option<Vec<u8>> {
        match decode(bytes, self.limits()) {
            Decoded::Single(Ok(message)) => {
                self.process(session, message).await.map(|response| response.encode())
            }
            Decoded::Single(Err(malformed)) => Some(self.refuse_malformed(&malformed).encode()),
            Decoded::Batch(parts) => {
                let part = async |part| match part {
                    Ok(message) => self.process(session, message).await,
                    Err(malformed) => Some(self.refuse_malformed(&malformed)),
                };
                let answers = join_all(parts.into_iter().map(part)).await;
                let answers: Vec<_> = answers.into_iter().flatten().map(|answer| answer.encode()).collect();
                encode_batch(&answers)
            }
        }
    }

    /// Counts malformed input and gives the answer it gets.
    pub fn refuse_malformed(&self, malformed: &Malformed) -> Response<'static> {
        self.inner.events.emit(&Event::Malformed { kind: malformed.kind });
        malformed.response()
    }

    /// Starts to handle one message. Never waits, and runs no handler: a call's first step runs when its handle is
    /// polled first, or in a task of its own with [`Route::Session`].
    pub fn dispatch(&self, session: &Session<S>, message: Message<'_>, route: Route) -> Dispatched<S> {
        self.dispatch_with(session, message, route, None)
    }

    /// [`dispatch`](Self::dispatch), with what the transport knows of the message beside its text, such as who sent it. The
    /// handler finds it by its type with [`Context::extension`](crate::Context::extension).
    pub fn dispatch_with(
        &self,
        session: &Session<S>,
        message: Message<'_>,
        route: Route,
        extension: Option<Extension>,
    ) -> Dispatched<S> {
        effect::note(Effect::Called);
        let now = self.inner.runtime.now();
        session.touch_at(now);
        let arrival = Arrival { extension: Contained::new(extension), ..Arrival::new(route, now) };
        match message {
            Message::Request(request) => self.dispatch_request(session, request, arrival),
            Message::Notification(notification) => {
                self.dispatch_notification(session, notification, arrival);
                Dispatched::Nothing
            }
            Message::Response(response) => {
                self.take_answer(session, response);
                Dispatched::Nothing
            }
        }
    }

    fn dispatch_request(
        &self,
        session: &Session<S>,
        request: Request<'_>,
        arrival: Arrival,
    ) -> Dispatched<S> {
        let route = arrival.route;
        let Request { id, method, params } = request;
        if session.closed().is_some() {
            let (kind, error) = table_refusal(Refused::Closed, session.id(), Some(&id));
            return self.answer_now(session, id, &method, kind, Err(error), route);
        }
        let arriving = Arriving {
            session,
            method: &method,
            params: params.as_deref(),
            extension: arrival.extension.as_ref(),
        };
        if let Some((kind, result)) = self.overtaken(&arriving) {
            return self.answer_now(session, id, &method, kind, result, route);
        }
        let Some(index) = self.inner.methods.find(&method) else {
            let error = ErrorObject::method_not_found(&method);
            return self.answer_now(session, id, &method, OutcomeKind::Failed, Err(error), route);
        };
        if let Some((kind, result)) = self.control(session, index, params.as_ref()) {
            return self.answer_now(session, id, &method, kind, result, route);
        }
        match self.admit(session, CallKey::Request(id.clone()), index, params, arrival) {
            Ok((call, task)) if route == Route::Session => {
                drop(call);
                task.spawn();
                Dispatched::Nothing
            }
            Ok((call, task)) => Dispatched::Running(CallHandle::new(call, task)),
            Err((kind, error)) => {
                self.ended_on_arrival(session, Some(&id), &method, kind);
                give_now(session, id, Err(error), route)
            }
        }
    }

    /// What those who may answer before all others say.
    fn overtaken(&self, arriving: &Arriving<'_, S>) -> Option<(OutcomeKind, HandlerResult)> {
        let overtaking = &self.inner.overtaking;
        let said = overtaking.iter().find_map(|answer| contain(|| answer(arriving)).transpose())?;
        Some(outcome_of(said))
    }

    /// Runs the method at once if it is a control method.
    pub(crate) fn control(
        &self,
        session: &Session<S>,
        method: usize,
        params: Option<&Raw<'_>>,
    ) -> Option<(OutcomeKind, HandlerResult)> {
        let MethodKind::Control(control) = self.inner.methods.kind(method) else { return None };
        if fault::control_is_call() {
            return None;
        }
        Some(outcome_of(contain(|| control(session, params))))
    }

    fn ended_on_arrival(
        &self,
        session: &Session<S>,
        id: Option<&RequestId>,
        method: &str,
        outcome: OutcomeKind,
    ) {
        let stage = Stage::Arrival;
        let took = Duration::ZERO;
        self.inner.events.emit(&Event::CallEnded {
            session: session.id(),
            id,
            method,
            subject: None,
            outcome,
            stage,
            took,
        });
    }

    /// A request that ends before it could become a call.
    fn answer_now(
        &self,
        session: &Session<S>,
        id: RequestId,
        method: &str,
        outcome: OutcomeKind,
        result: HandlerResult,
        route: Route,
    ) -> Dispatched<S> {
        self.ended_on_arrival(session, Some(&id), method, outcome);
        // Only those that exist are named: the client may say anything.
        let known = || self.inner.methods.find(method).map(|index| self.inner.methods.name(index));
        span::at_once(session.id(), known, outcome);
        give_now(session, id, result, route)
    }

    /// A request that is refused before there is a call.
    fn refuse(
        &self,
        session: &Session<S>,
        method: usize,
        outcome: OutcomeKind,
        error: ErrorObject,
    ) -> Refusal {
        span::at_once(session.id(), || Some(self.inner.methods.name(method)), outcome);
        (outcome, error)
    }

    fn dispatch_notification(&self, session: &Session<S>, notification: Notification<'_>, arrival: Arrival) {
        let Notification { method, params } = notification;
        let Some(index) = self.inner.methods.find(&method) else {
            let (session, method) = (session.id(), &*method);
            return self.inner.events.emit(&Event::UnknownNotification { session, method });
        };
        if let Some((outcome, _)) = self.control(session, index, params.as_ref()) {
            return self.ended_on_arrival(session, None, &method, outcome);
        }
        let key = CallKey::Unnamed(self.inner.next_serial());
        match self.admit(session, key, index, params, Arrival { route: Route::Session, ..arrival }) {
            Ok((_, task)) => task.spawn(),
            Err((outcome, _)) => self.ended_on_arrival(session, None, &method, outcome),
        }
    }

    fn take_answer(&self, session: &Session<S>, response: Response<'_>) {
        if fault::active(Fault::InlineReader) && !session.inner.calls.is_empty() {
            return;
        }
        let result = response.result.map(Cow::into_owned);
        let known = response.id.is_some_and(|id| session.inner.questions.answer(&id, result));
        if !known {
            self.inner.events.emit(&Event::UnknownAnswer { session: session.id() });
        }
    }

    /// Makes a call of a request: counts it, and gets it what it needs to run.
    pub(crate) fn admit(
        &self,
        session: &Session<S>,
        key: CallKey,
        method: usize,
        params: Option<Raw<'_>>,
        arrival: Arrival,
    ) -> Result<(Arc<Call<S>>, CallTask<S>), Refusal> {
        let engine = &self.inner;
        let admitted = if engine.total.enter(&engine.limits) {
            self.admit_counted(session, key, method, params, arrival)
        } else {
            Err(self.refuse(session, method, OutcomeKind::Overloaded, engine.overloaded()))
        };
        if admitted.is_err() {
            engine.call_left();
        }
        admitted
    }

    /// Gets the call a slot, or a place in the queue for one; in a serial session the turn is the slot.
    fn admit_counted(
        &self,
        session: &Session<S>,
        key: CallKey,
        method: usize,
        params: Option<Raw<'_>>,
        arrival: Arrival,
    ) -> Result<(Arc<Call<S>>, CallTask<S>), Refusal> {
        let engine = &self.inner;
        // After it was counted: see `drain`.
        if engine.drain.has_begun() {
            let error =
                ErrorObject::new(ErrorCode::STOPPING, "the server is shutting down and takes no new calls");
            return Err(self.refuse(session, method, OutcomeKind::Stopping, error));
        }
        if engine.methods.options(method).beside {
            let beside = &session.inner.beside;
            beside.enter(&engine.limits).map_err(|Overloaded| {
                self.refuse(session, method, OutcomeKind::Overloaded, engine.overloaded())
            })?;
            let call = Call::new(session, key, method, arrival);
            enter(&call).inspect_err(|_| beside.leave())?;
            return Ok((call.clone(), CallTask::beside(call, params.map(Cow::into_owned))));
        }
        let overloaded = || self.refuse(session, method, OutcomeKind::Overloaded, engine.overloaded());
        let place = Whose::enter_session(&session.inner, &engine.limits).map_err(|NoPlace| overloaded())?;
        if let Some(place) = place {
            let call = Call::new(session, key, method, arrival);
            enter(&call)?;
            return Ok((call.clone(), CallTask::in_turn(call, params.map(Cow::into_owned), place)));
        }
        // The slot before the entry: once entered the call can be cancelled, and nobody but its task decides about it.
        let slots = &session.inner.slots;
        let admitted = slots.admit(&engine.limits).map_err(|Overloaded| overloaded())?;
        let call = Call::new(session, key, method, arrival);
        enter(&call).inspect_err(|_| slots.undo(&admitted))?;
        Ok((call.clone(), CallTask::new(call, admitted, params.map(Cow::into_owned))))
    }
}

/// The outcome of what ran in the reader.
fn outcome_of(said: Result<HandlerResult, Panicked>) -> (OutcomeKind, HandlerResult) {
    match said {
        Ok(Ok(raw)) => (OutcomeKind::Answered, Ok(raw)),
        Ok(Err(error)) => (OutcomeKind::Failed, error.into_told()),
        Err(Panicked) => (OutcomeKind::Panicked, Err(ErrorObject::internal())),
    }
}

/// Gives the answer of a request that is no call where its route says.
fn give_now<S: State>(
    session: &Session<S>,
    id: RequestId,
    result: HandlerResult,
    route: Route,
) -> Dispatched<S> {
    let response = Response { id: Some(id), result: result.map(Cow::Owned) };
    if route == Route::Session {
        session.push(Frame::Answer(response.encode().into()));
        return Dispatched::Nothing;
    }
    Dispatched::Answer(response)
}

/// Lets a call pass its breaker, and enters it in its session's table; the span of one that is refused has its outcome.
fn enter<S: State>(call: &Arc<Call<S>>) -> Result<(), Refusal> {
    let passed = call.pass_breaker().map_err(|error| (OutcomeKind::CircuitOpen, error));
    let entered = passed.and_then(|()| {
        call.session.inner.calls.insert(call).map_err(|refused| {
            call.give_up();
            table_refusal(refused, call.session.id(), call.id())
        })
    });
    entered.inspect_err(|(outcome, _)| call.span.settled(*outcome, None, || ()))
}
