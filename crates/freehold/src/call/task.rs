//! The task of one call: waits for its slot, runs its handler, watches its clock, and after a cancel gives the handler
//! its grace.
//!
//! The clock and the cancel are watched here, outside of the handler's future: nothing that the engine waits for
//! registers the handler's waker.

use super::{Call, CancelReason, Outcome, Reading, Stage};
use crate::{
    admission::{Admitted, QueuedSlot},
    contain::{Panicked, contain},
    context::Context as CallContext,
    event::Event,
    fault::{self, Fault},
    handler::{HandlerResult, MethodKind},
    hooks::Hooks,
    message::Raw,
    question::Reply,
    runtime::{BoxFuture, Timer, after},
    state::State,
};
use freehold_sync::{Activity, Ended, SignalWait, activity_owning, held};
use serde_json::value::RawValue;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// The handler's future as an activity: its waits for locks are in the graph, its wakers are counted.
type Body = Activity<BoxFuture<'static, HandlerResult>>;

pub(crate) struct CallTask<S: State> {
    call: Arc<Call<S>>,
    phase: Phase,
    cancelled: Option<SignalWait<Arc<Call<S>>>>,
    timer: Option<(Instant, Pin<Box<dyn Timer>>)>,
    /// Whether it has a task of its own, and so a place among the live calls.
    live: bool,
}

enum Phase {
    /// Waits for a slot, with the parameters its handler will get.
    Queued(QueuedSlot, Option<Box<RawValue>>),
    /// Has a slot, not started.
    Admitted(Option<Box<RawValue>>),
    Running(Body),
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
        Self { call, phase, cancelled: None, timer: None, live: false }
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queued(..))
    }

    /// Goes on by itself from here.
    pub(crate) fn spawn(mut self) {
        self.live = true;
        let runtime = self.call.engine().runtime.clone();
        self.call.engine().live.insert(&self.call);
        // A drain that cancelled what was live has not seen this call if it was not live yet.
        if self.call.engine().drain.cancels(&self.call.drains) {
            self.call.cancel(CancelReason::Shutdown, None);
        }
        runtime.spawn("call", Box::pin(self));
    }

    fn start(&mut self, params: Option<Box<RawValue>>) {
        let call = &self.call;
        call.set_stage(Stage::Handler);
        let engine = call.engine().clone();
        Hooks::called(&call.session, call.method_name());
        // The hook may have closed the session.
        if call.is_settled() {
            return self.finish();
        }
        held::assert_none("start a handler");
        let start = |locks| match engine.methods.kind(call.method) {
            MethodKind::Call(handler) => handler.start(CallContext::new(call.clone(), locks), params),
            // Only with a seeded fault does a control method become a call.
            MethodKind::Control(control) => {
                let params = params.map(Raw::Owned);
                Box::pin(std::future::ready(control(&call.session, params.as_ref())))
            }
        };
        match contain(|| activity_owning(|locks| fault::locked(start(locks)))) {
            Ok(body) => self.phase = Phase::Running(body.named(call.shared_label())),
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

    /// Polls the handler; whether it is over.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> bool {
        if let Phase::Admitted(params) = &mut self.phase {
            let params = params.take();
            self.start(params);
        }
        let (Phase::Running(body) | Phase::Grace(body, _)) = &mut self.phase else {
            return matches!(self.phase, Phase::Done);
        };
        held::assert_none("poll a handler");
        let outcome = match contain(|| Pin::new(body).poll(cx)) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(Ok(result))) => Outcome::Returned(result),
            Ok(Poll::Ready(Err(Ended::Orphan(report)))) => Outcome::Orphaned(report),
            // Nobody aborts it, and nobody else has it to drop.
            Ok(Poll::Ready(Err(_))) => Outcome::Panicked,
            Err(Panicked) => Outcome::Panicked,
        };
        let forgotten = fault::active(Fault::PanicForgetsAnswer) && matches!(outcome, Outcome::Panicked);
        if !forgotten {
            self.call.settle(outcome);
        }
        self.finish();
        true
    }

    /// Drops what the handler left, gives the slot back.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Running(body) | Phase::Grace(body, _) => {
                // A panic in the drop of a value of the handler's must not take the slot with it.
                let _ = contain(|| drop(body));
                self.call.session.inner.slots.release();
            }
            Phase::Admitted(_) => self.call.session.inner.slots.release(),
            Phase::Queued(slot, _) => self.call.session.inner.slots.withdraw(&slot),
            Phase::Done => return,
        }
        // A raw handler may have given its context away.
        self.call.end_questions();
        if self.live {
            self.call.engine().live.remove(&self.call);
        }
        self.call.engine().call_left();
    }

    /// Looks for a cancel; a running handler goes over to its grace.
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        let call = &self.call;
        let wait = self.cancelled.get_or_insert_with(|| SignalWait::new(call.clone()));
        if Pin::new(wait).poll(cx).is_pending() {
            return false;
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Running(body) => {
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
            self.abandon();
            return None;
        }
        loop {
            match self.call.clock.read(now, cx.waker()) {
                Reading::Running(next) => return Some(next),
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
