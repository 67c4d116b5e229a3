//! The body of a call that has to wait for its turn, or that another call made: the turn, the handler, and the end of
//! what the handler called.

use super::{Call, Outcome, Stage, effect};
use crate::{
    contain::{Panicked, contain},
    context::Context as CallContext,
    fault,
    gate::Place,
    handler::{HandlerResult, MethodKind},
    hooks::Hooks,
    message::{ErrorObject, Raw},
    runtime::BoxFuture,
    state::{State, nesting},
};
use freehold_sync::{OwnedContext, held};
use serde_json::value::RawValue;
use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

pub(crate) fn body<S: State>(
    call: Arc<Call<S>>,
    locks: OwnedContext,
    params: Option<Box<RawValue>>,
    place: Option<Place<S>>,
) -> BoxFuture<'static, HandlerResult> {
    Box::pin(async move {
        let turn = match &place {
            Some(place) => {
                let turn = place.turn(&locks).await?;
                in_the_line(&call).await;
                turn
            }
            None => None,
        };
        call.set_turn(turn.is_some());
        let transactions = call.origin().map_or(&[][..], |origin| &origin.header.transactions);
        let handler = nesting::inside(transactions, handle(&call, locks.clone(), params));
        let result = match contained(&call, handler).await {
            Ok(result) => result,
            Err(Panicked) => {
                call.settle(Outcome::Panicked);
                Err(ErrorObject::internal())
            }
        };
        let result = if turn.is_some() { told(&call, result) } else { result };
        let result = after_callees(&call, &locks, result).await;
        call.set_turn(false);
        drop(turn);
        result
    })
}

/// Until the call has taken its place; see [`CallTask::line_up`](super::CallTask::line_up).
async fn in_the_line<S: State>(call: &Call<S>) {
    poll_fn(|cx| {
        if call.door_is_open() {
            return Poll::Ready(());
        }
        // Who has the turn and nothing to wait for must not look as if nobody would ever wake them.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs the handler.
async fn handle<S: State>(
    call: &Arc<Call<S>>,
    locks: OwnedContext,
    params: Option<Box<RawValue>>,
) -> HandlerResult {
    let engine = call.engine().clone();
    call.set_stage(Stage::Handler);
    if !call.is_again() {
        Hooks::called(&call.session, call.method_name());
    }
    // The hook may have closed the session.
    if call.is_settled() {
        return Err(ErrorObject::internal());
    }
    // Its fallback answers, if it has one.
    if let Some(refused) = call.refused() {
        return Err(refused);
    }
    held::assert_none("start a handler");
    let running = match engine.methods.kind(call.method) {
        MethodKind::Call(handler) => handler.start(CallContext::new(call.clone(), locks), params),
        // Only with a seeded fault does a control method become a call.
        MethodKind::Control(control) => {
            let params = params.map(Raw::Owned);
            Box::pin(std::future::ready(control(&call.session, params.as_ref())))
        }
    };
    fault::locked(running).await
}

/// Catches the panic of `handler`: what its call has must stay until its callees are gone.
async fn contained<S: State>(
    call: &Call<S>,
    handler: impl Future<Output = HandlerResult>,
) -> Result<HandlerResult, Panicked> {
    let mut handler = pin!(handler);
    poll_fn(|cx| {
        // Marked before the call can be settled, so that its caller finds them.
        let (polled, effects) = effect::collect(|| contain(|| handler.as_mut().poll(cx)));
        call.mark_effects(effects);
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(Panicked) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// Tells a result while the call has its turn: the answers of a serial session come in the order of its turns. What is left
/// to return is told to nobody.
fn told<S: State>(call: &Call<S>, result: HandlerResult) -> HandlerResult {
    match result {
        Ok(answer) => {
            call.settle(Outcome::Returned(Ok(answer)));
            Err(ErrorObject::internal())
        }
        failed => failed,
    }
}

/// Waits for the end of calls that the handler made and stopped waiting for; they are cancelled. A result is told before.
async fn after_callees<S: State>(
    call: &Arc<Call<S>>,
    locks: &OwnedContext,
    result: HandlerResult,
) -> HandlerResult {
    let Some(below) = call.known_below().filter(|below| !below.is_empty()) else { return result };
    let result = told(call, result);
    below.gone(locks).await;
    result
}
