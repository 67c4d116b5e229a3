//! A cancel decides the outcome at once, reaches the handler with its reason, and takes back what the call held.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Limits, RequestId};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Answer, Ctx, Dropped, Probe, all_gone, builder, call, error, result, start, within};

const CANCELLED: i32 = -32800;

#[tokio::test]
async fn a_cancelled_call_is_answered_once_or_not_at_all_and_its_handler_knows_why() {
    for answers in [true, false] {
        let (builder, probe) = builder();
        let engine = builder.answer_cancelled(answers).build().unwrap();
        let session = engine.open().unwrap();
        let running = start(&engine, &session, 1, "obedient", json!(null));
        probe.entered(1).await;
        assert!(!session.cancel(&2.into(), None), "there is no such call");
        assert!(session.cancel(&1.into(), Some("no longer needed")));
        assert!(!session.cancel(&1.into(), None), "it has its outcome");
        let answer = within(running).await.unwrap();
        if answers {
            let data = json!({ "reason": "client", "stage": "handler" });
            assert_eq!(error(answer), (CANCELLED, data));
        } else {
            assert!(answer.is_none());
        }
        probe.saw("cancelled: Client, Some(\"no longer needed\")").await;
        all_gone(&engine).await;
        assert_eq!((engine.counters().cancelled, engine.counters().calls_ended()), (1, 1));
        assert_eq!(engine.counters().abandoned, 0, "what returns within its grace is not abandoned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_cancel_keeps_its_slot_until_its_future_is_dropped() {
    let (builder, probe) = builder();
    let grace = Duration::from_secs(3);
    let limits = Limits { running_per_session: 1, cancel_grace: grace, ..Limits::default() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let stubborn = start(&engine, &session, 1, "never", json!(null));
    probe.entered(1).await;
    let next = start(&engine, &session, 2, "echo", json!([2]));
    let since = tokio::time::Instant::now();
    session.cancel(&1.into(), None);
    assert_eq!(error(within(stubborn).await.unwrap()).0, CANCELLED);
    assert_eq!((since.elapsed(), session.gauges().running), (Duration::ZERO, 1));
    assert_eq!(result(within(next).await.unwrap()), json!([2]));
    let waited = since.elapsed();
    assert!(waited >= grace && waited < grace + Duration::from_millis(10), "{waited:?}");
    assert_eq!((probe.logged(), engine.counters().abandoned), (vec!["never dropped".to_owned()], 1));
}

#[tokio::test]
async fn a_call_that_is_cancelled_in_the_queue_never_starts() {
    let (builder, probe) = builder();
    let engine = builder.limits(Limits { running_per_session: 1, ..Limits::default() }).build().unwrap();
    let session = engine.open().unwrap();
    let holder = start(&engine, &session, 1, "wait", json!([1]));
    probe.entered(1).await;
    let queued = start(&engine, &session, 2, "never", json!(null));
    support::eventually(|| engine.call_count() == 2).await;
    session.cancel(&2.into(), None);
    assert_eq!(error(within(queued).await.unwrap()).1["stage"], "queue");
    probe.release(1);
    assert_eq!(result(within(holder).await.unwrap()), json!([1]));
    all_gone(&engine).await;
    assert_eq!(probe.logged(), ["wait dropped"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_call_and_no_other() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let gone = start(&engine, &session, 1, "obedient", json!(null));
    let others: Vec<_> = (2..11).map(|id| start(&engine, &session, id, "wait", json!([id]))).collect();
    probe.entered(10).await;
    gone.abort();
    probe.saw("cancelled: Disconnected, None").await;
    probe.release(9);
    for (other, id) in others.into_iter().zip(2..) {
        assert_eq!(result(within(other).await.unwrap()), json!([id]));
    }
    all_gone(&engine).await;
}

#[tokio::test]
async fn a_session_that_ends_tells_its_handlers_why() {
    for (reason, told) in [
        (CloseReason::Disconnected, "cancelled: Disconnected, None"),
        (CloseReason::Client, "cancelled: SessionClosed, None"),
        (CloseReason::Shutdown, "cancelled: Shutdown, None"),
    ] {
        let (builder, probe) = builder();
        let engine = builder.build().unwrap();
        let session = engine.open().unwrap();
        let running = start(&engine, &session, 1, "obedient", json!(null));
        probe.entered(1).await;
        session.close(reason);
        assert_eq!(error(within(running).await.unwrap()).0, CANCELLED);
        probe.saw(told).await;
        all_gone(&engine).await;
    }
}

async fn detaches(ctx: &Ctx, (): ()) -> Answer {
    let probe = ctx.app::<Probe>().clone();
    let inner = Dropped(probe.clone(), "detached task over");
    ctx.detach(async move {
        let _inner = inner;
        probe.enter();
        probe.released().await;
    });
    std::future::pending().await
}

#[tokio::test]
async fn a_detached_task_survives_the_cancel() {
    let (builder, probe) = builder();
    let limits = Limits { cancel_grace: Duration::ZERO, ..Limits::default() };
    let engine = builder.method("detaches", detaches).limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let running = start(&engine, &session, 1, "detaches", json!(null));
    probe.entered(1).await;
    running.abort();
    all_gone(&engine).await;
    session.close(CloseReason::Client);
    assert_eq!(probe.logged(), [""; 0]);
    probe.release(1);
    probe.saw("detached task over").await;
}

#[tokio::test]
async fn an_open_question_ends_with_the_cancel_of_its_call() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let asking = start(&engine, &session, 1, "ask", json!(["sure?"]));
    let question = within(listener.next()).await.expect("a question");
    session.cancel(&1.into(), None);
    assert_eq!(error(within(asking).await.unwrap()).1["stage"], "question");
    probe.saw("ask: the call that asked is over").await;
    all_gone(&engine).await;
    support::reply(&engine, &session, &support::json_of(&question)["id"], &json!("late")).await;
    assert_eq!(engine.counters().unknown_answers, 1);
}

async fn talks_on(ctx: &Ctx, (): ()) -> Answer {
    let probe = ctx.app::<Probe>();
    probe.enter();
    ctx.cancelled().await;
    ctx.notify("too late", &()).unwrap();
    let asked: Result<Value, _> = ctx.ask("question", &()).await;
    probe.log(asked.unwrap_err().to_string());
    Ok(json!("too late"))
}

#[tokio::test]
async fn after_its_outcome_a_call_sends_nothing() {
    let (builder, probe) = builder();
    let engine = builder.method("talks_on", talks_on).build().unwrap();
    let session = engine.open().unwrap();
    let running = start(&engine, &session, 1, "talks_on", json!(null));
    probe.entered(1).await;
    session.cancel(&RequestId::Number(1), None);
    assert_eq!(error(within(running).await.unwrap()).0, CANCELLED);
    probe.saw("the call that asked is over").await;
    all_gone(&engine).await;
    assert_eq!(session.gauges().outgoing, 0);
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]), "the id is free");
}

/// S-10: the signal fires at every instant around the waiter's registration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handler_misses_a_cancel_that_comes_while_it_registers() {
    const ROUNDS: i64 = 5_000;
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    for id in 0..ROUNDS {
        let running = start(&engine, &session, id, "obedient", json!(null));
        // Before it is entered, while the handler registers, or after, as the threads fall.
        while !session.cancel(&id.into(), None) {
            std::hint::spin_loop();
            if id % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(error(within(running).await.unwrap()).0, CANCELLED);
    }
    all_gone(&engine).await;
    assert_eq!((engine.counters().cancelled, engine.counters().abandoned), (ROUNDS as u64, 0));
    drop(probe);
}
