//! The task of one call: waits for its slot, runs its handler, watches its clock, and after a cancel gives the handler
//! its grace.
//!
//! The clock and the cancel are watched here, outside of the handler's future: nothing that the engine waits for
//! registers the handler's waker.

use super::{
    Call, CancelReason, Outcome, Reading, Stage,
    attempt::{Degraded, Next, fallback_body, stands},
    chain::Debts,
    effect, turn,
};
use crate::{
    admission::{Admitted, QueuedSlot},
    contain::{Panicked, contain},
    context::Context as CallContext,
    event::Event,
    fault::{self, Fault},
    gate::{NoPlace, Place},
    handler::{HandlerResult, MethodKind},
    hooks::Hooks,
    message::Raw,
    question::Reply,
    recovery::DegradeReason,
    runtime::{BoxFuture, Timer, after},
    state::State,
};
use freehold_sync::{Activity, Ended, OwnedContext, SignalWait, activity_owning, held};
use serde_json::value::RawValue;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// The handler's future as an activity: its waits for locks are in the graph, its wakers are counted. In a serial session,
/// and for a call that another one made, the wait for the turn is in it, too, so that who waits for the call waits for
/// somebody from the start.
type Body = Activity<BoxFuture<'static, HandlerResult>>;

pub(crate) struct CallTask<S: State> {
    call: Arc<Call<S>>,
    phase: Phase,
    /// The parameters of an attempt to come.
    params: Option<Box<RawValue>>,
    /// While its fallback runs.
    degraded: Option<Box<Degraded>>,
    cancelled: Option<SignalWait<Arc<Call<S>>>>,
    timer: Option<(Instant, Pin<Box<dyn Timer>>)>,
    /// Whether it has a task of its own, and so a place among the live calls.
    live: bool,
    room: Room,
    /// Whether its grace was made longer for what it called.
    extended: bool,
}

/// What it takes of its session's room.
enum Room {
    /// One of the slots, or a place in the queue for one.
    Slot,
    /// A place among the calls that run beside the slots.
    Beside,
    /// Nothing of its own: if there are turns, its body waits for its turn.
    Turn,
}

enum Phase {
    /// Waits for a slot, with the parameters its handler will get.
    Queued(QueuedSlot, Option<Box<RawValue>>),
    /// Has a slot, not started.
    Admitted(Option<Box<RawValue>>),
    Running(Body),
    /// Its handler failed, and is run again at the instant.
    Pausing(Instant),
    /// Cancelled; the body may go on until the instant.
    Grace(Body, Instant),
    Done,
}

impl<S: State> CallTask<S> {
    /// The task of a call that has its slot, or its place in the queue.
    pub(crate) fn new(call: Arc<Call<S>>, admitted: Admitted, params: Option<Box<RawValue>>) -> Self {
        let phase = match admitted {
            Admitted::Now => Phase::Admitted(params),
            Admitted::Queued(slot) => {
                call.set_stage(Stage::Queue);
                Phase::Queued(slot, params)
            }
        };
        Self::in_phase(call, phase, Room::Slot)
    }

    fn in_phase(call: Arc<Call<S>>, phase: Phase, room: Room) -> Self {
        Self {
            call,
            phase,
            params: None,
            degraded: None,
            cancelled: None,
            timer: None,
            live: false,
            room,
            extended: false,
        }
    }

    /// The task of a call in a serial session.
    pub(crate) fn in_turn(call: Arc<Call<S>>, params: Option<Box<RawValue>>, place: Place<S>) -> Self {
        let mut task = Self::in_phase(call, Phase::Done, Room::Turn);
        task.params = params;
        task.run_in_turn(Some(place), |_| ());
        task.line_up();
        task
    }

    /// The task of a call from outside that needs neither a slot nor a turn, and was counted among those.
    pub(crate) fn beside(call: Arc<Call<S>>, params: Option<Box<RawValue>>) -> Self {
        let mut task = Self::in_phase(call, Phase::Done, Room::Beside);
        task.params = params;
        task.run_in_turn(None, |_| ());
        task
    }

    /// The task of a call that a handler makes. From now on the call owes `debts`.
    pub(crate) fn called(
        call: Arc<Call<S>>,
        params: Option<Box<RawValue>>,
        place: Option<Place<S>>,
        debts: Debts,
    ) -> Self {
        let serial = place.is_some();
        let mut task = Self::in_phase(call.clone(), Phase::Done, Room::Turn);
        task.params = params;
        task.run_in_turn(place, |locks| {
            if let Some(origin) = call.origin() {
                origin.bind(debts, locks);
                call.report_if_settled(origin);
            }
        });
        if serial {
            task.line_up();
        }
        task
    }

    /// Begins an attempt that waits for its turn in its body, if there are turns to wait for.
    fn run_in_turn(&mut self, place: Option<Place<S>>, bind: impl FnOnce(&OwnedContext)) {
        let call = &self.call;
        if place.is_some() {
            call.set_stage(Stage::Turn);
        }
        let keep = call.engine().methods.treatment(call.method).keeps_params();
        let params = if keep { self.params.clone() } else { self.params.take() };
        let body = activity_owning(|locks| {
            bind(&locks);
            turn::body(call.clone(), locks, params, place)
        });
        let body = match call.origin().and_then(|origin| origin.locks.as_ref()) {
            Some(caller) => body.called_by(caller),
            None => body,
        };
        self.phase = Phase::Running(call.begin_attempt(body.named(call.activity_name())));
    }

    /// Takes its place in the line for its turn, in the order of these calls. The handler does not run.
    fn line_up(&mut self) {
        // Whoever dispatches may have used up their budget, and would be told to come again: the place would be lost.
        let poll = tokio::task::unconstrained(std::future::poll_fn(|cx| Poll::Ready(self.poll_body(cx))));
        // Nobody need be woken by this poll: the next one, by whoever runs the task, is sure to come.
        let polled = std::pin::pin!(poll).poll(&mut Context::from_waker(std::task::Waker::noop()));
        debug_assert!(polled.is_ready(), "it is polled once");
        self.call.open_door();
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queued(..))
    }

    /// Goes on by itself from here, unless it is over.
    pub(crate) fn spawn(mut self) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        self.live = true;
        let runtime = self.call.engine().runtime.clone();
        self.call.engine().live.insert(&self.call);
        // A drain that cancelled what was live has not seen this call if it was not live yet.
        if self.call.engine().drain.cancels(&self.call.drains) {
            self.call.cancel(CancelReason::Shutdown, None);
        }
        runtime.spawn_handler("call", Box::pin(self));
    }

    fn start(&mut self, params: Option<Box<RawValue>>) {
        let call = &self.call;
        call.set_stage(Stage::Handler);
        Hooks::called(&call.session, call.method_name());
        // The hook may have closed the session.
        if call.is_settled() {
            return self.finish();
        }
        self.params = params;
        match call.refused() {
            Some(error) => {
                let refused = Outcome::Returned(Err(error));
                let next = call.degrade(DegradeReason::CircuitOpen, refused, self.params.as_deref());
                self.go_on(next);
            }
            None => self.run(),
        }
    }

    /// Begins another attempt.
    fn run_again(&mut self) {
        if matches!(self.room, Room::Slot) {
            self.call.set_stage(Stage::Handler);
            return self.run();
        }
        // At the end of the line; if that is full there is no way back to what the last attempt answered.
        match self.call.place() {
            Ok(place) => {
                let call = self.call.clone();
                self.run_in_turn(place, |locks| {
                    if let Some(origin) = call.origin() {
                        origin.bind_again(locks);
                        call.report_if_settled(origin);
                    }
                });
            }
            Err(NoPlace) => {
                self.end(Outcome::Returned(Err(self.call.engine().overloaded())));
            }
        }
    }

    /// Begins an attempt.
    fn run(&mut self) {
        let (call, params) = (&self.call, &mut self.params);
        let engine = call.engine();
        let keep = engine.methods.treatment(call.method).keeps_params();
        held::assert_none("start a handler");
        let mut start = |locks| match engine.methods.kind(call.method) {
            MethodKind::Call(handler) => {
                handler.start_keeping(CallContext::new(call.clone(), locks), params, keep)
            }
            // Only with a seeded fault does a control method become a call.
            MethodKind::Control(control) => {
                let params = params.take().map(Raw::Owned);
                Box::pin(std::future::ready(control(&call.session, params.as_ref())))
            }
        };
        let start = || effect::collect(|| contain(|| activity_owning(|locks| fault::locked(start(locks)))));
        let (started, effects) = call.span.work(start);
        call.mark_effects(effects);
        // Only now its subject is known.
        if !call.treatment().keeps_params() {
            *params = None;
        }
        match started {
            Ok(body) => self.phase = Phase::Running(call.begin_attempt(body.named(call.activity_name()))),
            Err(Panicked) => {
                call.settle(Outcome::Panicked);
                self.finish();
            }
        }
    }

    fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Queued(slot, params) = &mut self.phase else { return Poll::Ready(()) };
        std::task::ready!(slot.poll_granted(cx));
        self.phase = Phase::Admitted(params.take());
        Poll::Ready(())
    }

    /// Polls the handler, which is started or run again if it is time; whether the call is over.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match &mut self.phase {
                Phase::Admitted(params) => {
                    let params = params.take();
                    self.start(params);
                }
                Phase::Pausing(until) if *until <= self.call.engine().runtime.now() => {
                    if self.call.is_settled() {
                        self.finish();
                        return true;
                    }
                    self.run_again();
                }
                _ => {}
            }
            let Some(outcome) = self.poll_attempt(cx) else { return matches!(self.phase, Phase::Done) };
            // Nearly always.
            if self.degraded.is_none() && stands(&outcome) {
                return self.end(outcome);
            }
            let degraded = self.degraded.take().map(|degraded| *degraded);
            if self.go_on(self.call.after_attempt(outcome, degraded, self.params.as_deref())) {
                return true;
            }
        }
    }

    /// Does what comes after an attempt; whether the call is over.
    fn go_on(&mut self, next: Next) -> bool {
        match next {
            Next::Settle(outcome) => return self.end(outcome),
            Next::Again(until) => {
                self.call.set_stage(Stage::Pause);
                self.replace_body(Phase::Pausing(until));
            }
            Next::Degrade(degraded, answer) => {
                self.degraded = Some(Box::new(degraded));
                self.replace_body(Phase::Running(fallback_body(answer).named(self.call.activity_name())));
            }
        }
        false
    }

    /// The call has its outcome, and is over.
    fn end(&mut self, outcome: Outcome) -> bool {
        let panicked = matches!(outcome, Outcome::Panicked);
        // One that panicked may still have values to drop.
        if !panicked {
            self.call.span.finished();
        }
        let forgotten = fault::active(Fault::PanicForgetsAnswer) && panicked;
        if !forgotten && !fault::strikes(Fault::LoseAnswer) {
            self.call.settle(outcome);
        }
        fault::leave_memory();
        self.finish();
        true
    }

    /// Drops what the attempt left, so that nothing of it is held while the next one waits.
    fn replace_body(&mut self, phase: Phase) {
        let before = std::mem::replace(&mut self.phase, phase);
        let _ = self.call.span.work(|| contain(|| drop(before)));
    }

    /// Polls the attempt, if one runs; how it ended, if it did.
    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        let (Phase::Running(body) | Phase::Grace(body, _)) = &mut self.phase else { return None };
        held::assert_none("poll a handler");
        self.call.watch.is_polled(self.call.engine().watchdog.tick());
        let poll = || effect::collect(|| contain(|| Pin::new(body).poll(cx)));
        let (polled, effects) = self.call.span.work(poll);
        self.call.mark_effects(effects);
        Some(match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(Ok(result))) => Outcome::Returned(result),
            Ok(Poll::Ready(Err(Ended::Orphan(report)))) => Outcome::Orphaned(report),
            // Nobody aborts it, and nobody else has it to drop.
            Ok(Poll::Ready(Err(_))) => Outcome::Panicked,
            Err(Panicked) => Outcome::Panicked,
        })
    }

    /// Drops what the handler left, gives the slot back.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Running(body) | Phase::Grace(body, _) => {
                // A panic in the drop of a value of the handler's must not take the slot with it.
                let _ = self.call.span.work(|| contain(|| drop(body)));
                self.leave_room();
            }
            Phase::Admitted(_) | Phase::Pausing(_) => self.leave_room(),
            Phase::Queued(slot, _) => self.call.session.inner.slots.withdraw(&slot),
            Phase::Done => return,
        }
        self.call.span.finished();
        // A raw handler may have given its context away.
        self.call.end_questions();
        if self.live {
            self.call.engine().live.remove(&self.call);
        }
        self.call.left();
    }

    fn leave_room(&self) {
        let session = &self.call.session.inner;
        match self.room {
            Room::Slot => session.slots.release(),
            Room::Beside => session.beside.leave(),
            Room::Turn => {}
        }
    }

    /// Looks for a cancel; a running handler goes over to its grace.
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        let call = &self.call;
        let wait = self.cancelled.get_or_insert_with(|| SignalWait::new(call.clone()));
        if Pin::new(wait).poll(cx).is_pending() {
            return false;
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Running(body) if self.call.is_started() => {
                let engine = self.call.engine();
                self.phase = Phase::Grace(body, after(engine.runtime.now(), engine.limits.cancel_grace));
                // Whoever would answer them has been told that the call is over.
                self.call.end_questions();
                false
            }
            Phase::Grace(body, until) => {
                self.phase = Phase::Grace(body, until);
                false
            }
            other => {
                self.phase = other;
                self.finish();
                true
            }
        }
    }

    /// Reads the clock and acts on it; the next instant to look at it, or `None` if the task is over.
    fn read_clock(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = self.call.engine().runtime.now();
        if let Phase::Grace(_, until) = self.phase {
            if now < until {
                return Some(until);
            }
            return self.grace_over(now);
        }
        loop {
            match self.call.clock.read(now, cx.waker()) {
                Reading::Running(next) => {
                    let Phase::Pausing(until) = self.phase else { return Some(next) };
                    if until <= now {
                        cx.waker().wake_by_ref();
                    }
                    return Some(if until <= now { next } else { next.min(until) });
                }
                Reading::Expired => {
                    self.call.cancel(CancelReason::DeadlineExceeded, None);
                    // The cancel woke this task through its signal; the grace begins at the next poll.
                    return Some(after(now, self.call.engine().limits.cancel_grace));
                }
                Reading::Unanswered(questions) => {
                    for question in questions {
                        self.call.session.inner.questions.resolve(question, Reply::TimedOut);
                        self.call.clock.question_closed(question, now);
                    }
                }
            }
        }
    }

    /// The handler's grace is over. What it called has been cancelled with it, and is waited for once more: whoever has the
    /// turn next must not meet it.
    fn grace_over(&mut self, now: Instant) -> Option<Instant> {
        let waits_for_callees = self.call.known_below().is_some_and(|below| !below.is_empty());
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Grace(body, _) if waits_for_callees && !self.extended => {
                self.extended = true;
                let until = after(now, self.call.engine().limits.cancel_grace);
                self.phase = Phase::Grace(body, until);
                Some(until)
            }
            other => {
                self.phase = other;
                self.abandon();
                None
            }
        }
    }

    fn abandon(&mut self) {
        if let Some(reason) = self.call.cancel_reason() {
            let (session, method) = (self.call.session.inner.id, self.call.method_name());
            let subject = self.call.subject().map(AsRef::as_ref);
            self.call.engine().events.emit(&Event::HandlerAbandoned { session, method, subject, reason });
            self.call.engine().drain.abandoned(Arc::as_ptr(&self.call).addr(), self.call.label());
        }
        self.finish();
    }

    /// Sleeps until the clock has something to say; whether the task is over.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        if fault::active(Fault::DeadlineSendOnly) && matches!(self.phase, Phase::Running(_)) {
            return false;
        }
        loop {
            let Some(next) = self.read_clock(cx) else { return true };
            let runtime = &self.call.engine().runtime;
            match &mut self.timer {
                Some((armed, timer)) => {
                    if *armed != next {
                        *armed = next;
                        timer.as_mut().reset(next);
                    }
                }
                None => self.timer = Some((next, runtime.timer(next))),
            }
            let Some((_, timer)) = &mut self.timer else { return false };
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
    }

    /// The first poll, without a task of its own: registers neither clock nor cancel. `None` if the call is over;
    /// otherwise the task, which must be spawned.
    pub(crate) fn poll_first(mut self, cx: &mut Context<'_>) -> Option<Self> {
        if self.call.is_settled() || self.poll_body(cx) {
            self.finish();
            return None;
        }
        Some(self)
    }
}

impl<S: State> Future for CallTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // The cancel before the body, so that work after a cancel is that of the grace; the clock after it, because the
        // body may have asked a question, which moves the clock.
        if this.poll_cancelled(cx) {
            return Poll::Ready(());
        }
        let over = if this.poll_slot(cx).is_ready() { this.poll_body(cx) } else { false };
        if over || this.poll_clock(cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S: State> Drop for CallTask<S> {
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Done) {
            // Only a runtime that shuts down, or a handle that was never polled, drops a task with a call in it.
            self.call.cancel(CancelReason::Shutdown, None);
            self.finish();
        }
    }
}
