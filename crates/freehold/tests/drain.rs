//! The orderly end: bounded whatever handlers do, the same for all who ask, and it says whom it left behind.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Dispatched, DrainReport, Engine, ErrorObject, Limits, OpenError, Route};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Answer, Ctx, Probe, all_gone, builder, call, error, request, result, start, within};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const STOPPING: i32 = -31004;

fn engine(limits: Limits) -> (Engine<u64>, std::sync::Arc<Probe>) {
    let (builder, probe) = builder();
    let limits = Limits { cancel_grace: SECOND, deadline: SECOND * 100, ..limits };
    (builder.method("drains", drains).method("short", short).limits(limits).build().unwrap(), probe)
}

async fn short(ctx: &Ctx, (): ()) -> Answer {
    ctx.app::<Probe>().enter();
    tokio::time::sleep(SECOND / 2).await;
    Ok(json!("finished"))
}

async fn drains(ctx: &Ctx, [seconds]: [u64; 1]) -> Result<Value, ErrorObject> {
    ctx.app::<Probe>().enter();
    ctx.app::<Probe>().released().await;
    let report = ctx.drain(SECOND * seconds as u32).await;
    Ok(json!([report.running, report.cancelled, report.sessions]))
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_time_is_answered_the_rest_is_cancelled_and_the_stubborn_are_named() {
    let (engine, probe) = engine(Limits::default());
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let short = start(&engine, &session, 1, "short", json!(null));
    let obedient = start(&engine, &session, 2, "obedient", json!(null));
    let never = start(&engine, &engine.ephemeral(), 3, "never", json!(null));
    probe.entered(3).await;
    let since = Instant::now();
    let drain = engine.drain(SECOND * 3);
    let during = async {
        within(engine.drain_begun()).await;
        assert!(engine.is_draining());
        assert_eq!(error(call(&engine, &session, 9, "echo", json!(null)).await).0, STOPPING);
        assert_eq!(result(call(&engine, &session, 9, "ping", json!(null)).await), json!({}));
        assert!(matches!(engine.open(), Err(OpenError::Stopping)));
        assert_eq!(result(within(short).await.unwrap()), "finished");
        for cancelled in [obedient, never] {
            assert_eq!(error(within(cancelled).await.unwrap()).1["reason"], "shutdown");
        }
    };
    let (report, ()) = tokio::join!(drain, during);
    let mut expected = DrainReport::default();
    (expected.running, expected.cancelled, expected.sessions) = (3, 2, 1);
    expected.abandoned = vec!["never".to_owned()];
    assert_eq!(report, expected);
    assert!(since.elapsed() <= SECOND * 4 + SECOND / 5, "{:?}", since.elapsed());
    assert_eq!(engine.drain(SECOND * 50).await, expected, "asked again");
    assert_eq!(session.closed(), Some(CloseReason::Shutdown));
    while within(listener.next()).await.is_some() {}
    all_gone(&engine).await;
    assert_eq!(engine.session_count(), 0);
}

/// Once it is released calls a method of its session's, which obeys.
async fn calls_late(ctx: &Ctx, (): ()) -> Answer {
    ctx.app::<Probe>().enter();
    ctx.app::<Probe>().released().await;
    Ok(ctx.call(ctx.session().id(), "obedient", &()).await?)
}

#[tokio::test(start_paused = true)]
async fn what_handlers_call_while_it_drains_is_not_counted_as_what_ran() {
    let (builder, probe) = builder();
    let engine = builder.method("calls_late", calls_late).method("short", short).build().unwrap();
    let session = engine.open().unwrap();
    let finishes = start(&engine, &session, 1, "short", json!(null));
    let calls = start(&engine, &session, 2, "calls_late", json!(null));
    probe.entered(2).await;
    let calls_then = async {
        within(engine.drain_begun()).await;
        tokio::time::sleep(SECOND / 10).await;
        probe.release(1);
        probe.entered(1).await;
    };
    let (report, ()) = tokio::join!(engine.drain(SECOND), calls_then);
    assert_eq!((report.running, report.cancelled, report.drained()), (2, 1, 1));
    assert_eq!(result(within(finishes).await.unwrap()), "finished");
    assert_eq!(error(within(calls).await.unwrap()).1["reason"], "shutdown");
    all_gone(&engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_with_nothing_to_do_is_over_at_once_and_all_who_ask_get_one_report() {
    let (engine, _) = engine(Limits::default());
    let _session = engine.open().unwrap();
    let since = Instant::now();
    let (first, second) = tokio::join!(engine.drain(SECOND * 10), engine.drain(SECOND * 10));
    assert_eq!((first.sessions, &first), (1, &second));
    assert!(since.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_when_who_asked_for_it_is_gone() {
    let (engine, probe) = engine(Limits::default());
    let session = engine.open().unwrap();
    let running = start(&engine, &session, 1, "obedient", json!(null));
    probe.entered(1).await;
    let asks = tokio::time::timeout(SECOND / 10, engine.drain(SECOND)).await;
    assert!(asks.is_err());
    assert_eq!(error(within(running).await.unwrap()).1["reason"], "shutdown");
    assert_eq!(within(engine.drain(SECOND * 5)).await.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_drain_wait_neither_for_themselves_nor_for_each_other() {
    let (engine, probe) = engine(Limits::default());
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let bystander = start(&engine, &engine.open().unwrap(), 1, "short", json!(null));
    let since = Instant::now();
    let first = start(&engine, &one, 1, "drains", json!([30]));
    let same_session = start(&engine, &one, 2, "drains", json!([30]));
    let second = start(&engine, &two, 1, "drains", json!([30]));
    let unaddressed = start(&engine, &engine.ephemeral(), 1, "drains", json!([30]));
    probe.entered(5).await;
    probe.release(4);
    assert_eq!(result(within(bystander).await.unwrap()), "finished");
    for drains in [first, same_session, second, unaddressed] {
        let report = result(within(drains).await.unwrap());
        assert_eq!((&report[1], &report[2]), (&json!(0), &json!(3)), "{report}");
    }
    assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
    all_gone(&engine).await;
    support::eventually(|| engine.session_count() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_polled_when_the_drain_cancelled_is_cancelled_when_it_starts() {
    let (engine, probe) = engine(Limits::default());
    let session = engine.ephemeral();
    let Dispatched::Running(mut handle) =
        engine.dispatch(&session, request(1, "obedient", &json!(null)), Route::Call)
    else {
        panic!("expected a call")
    };
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(Duration::ZERO).await }
    });
    // After the cancels, before the report.
    tokio::time::sleep(SECOND / 2).await;
    let step = within(handle.next()).await;
    let freehold::Step::End(answer) = step else { panic!("expected the end, got {step:?}") };
    assert_eq!(error(answer).1["reason"], "shutdown");
    probe.saw("cancelled: Shutdown, None").await;
    assert_eq!(within(draining).await.unwrap().cancelled, 1);
    all_gone(&engine).await;
}

#[tokio::test]
async fn refused_calls_at_the_bound_do_not_hold_a_drain_up() {
    let (engine, probe) = engine(Limits { calls_total: 1, ..Limits::default() });
    let session = engine.open().unwrap();
    let holder = start(&engine, &session, 1, "wait", json!([1]));
    probe.entered(1).await;
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(SECOND * 3_000).await }
    });
    within(engine.drain_begun()).await;
    let knocking: Vec<_> = (0..8)
        .map(|worker| {
            let (engine, session) = (engine.clone(), session.clone());
            std::thread::spawn(move || {
                for id in 0..2_000 {
                    engine.dispatch(
                        &session,
                        request(worker * 10_000 + id, "echo", &json!(null)),
                        Route::Caller,
                    );
                }
            })
        })
        .collect();
    probe.release(1);
    assert_eq!(result(within(holder).await.unwrap()), json!([1]));
    assert_eq!(within(draining).await.unwrap().cancelled, 0);
    for knocking in knocking {
        knocking.join().unwrap();
    }
    all_gone(&engine).await;
}

/// Calls arrive while the drain begins: each is answered, as one that ran or as one that came too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_slips_through_between_the_last_and_the_drain() {
    for round in 0..30 {
        let (engine, _) = engine(Limits::default());
        let session = if round % 2 == 0 { engine.open().unwrap() } else { engine.ephemeral() };
        let calls: Vec<_> = (0..50).map(|id| start(&engine, &session, id, "echo", json!([id]))).collect();
        let report = within(engine.drain(SECOND * 30)).await;
        assert_eq!((report.cancelled, report.abandoned.len()), (0, 0));
        // Not `call_count`, in which one that comes too late stands for an instant.
        let answered = engine.counters().answered;
        assert!(engine.calls().is_empty());
        for call in calls {
            let answer = within(call).await.unwrap().expect("an answer");
            assert!(answer.result.map_or_else(|error| matches!(error.code.0, STOPPING | -31001), |_| true));
        }
        let counters = engine.counters();
        assert_eq!(
            (counters.calls_ended(), counters.answered),
            (50, answered),
            "nothing runs after the drain"
        );
    }
}

#[test]
fn a_drain_whose_runtime_ends_keeps_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (engine, _) = runtime.block_on(async {
        let (engine, probe) = engine(Limits::default());
        let session = engine.open().unwrap();
        let _running = start(&engine, &session, 1, "never", json!(null));
        probe.entered(1).await;
        assert!(tokio::time::timeout(SECOND / 100, engine.drain(SECOND * 3_000)).await.is_err());
        (engine, probe)
    });
    drop(runtime);
    let another = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    another.block_on(async { within(engine.drain(SECOND * 3_000)).await });
    assert_eq!(engine.call_count(), 0);
}

/// Calls a handler that drains, and goes on without it once the drain has begun.
async fn gives_up(ctx: &Ctx, (): ()) -> Answer {
    let engine = ctx.engine();
    tokio::select! {
        answer = ctx.call::<Value>(ctx.session().id(), "drains", &[3]) => Ok(answer?),
        () = engine.drain_begun() => Ok(json!("gave up")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_gone_before_its_callee_drained_ends_the_drain_no_sooner() {
    let (builder, probe) = builder();
    let builder = builder.method("drains", drains).method("short", short).method("gives_up", gives_up);
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let finishes = start(&engine, &session, 1, "short", json!(null));
    let caller = start(&engine, &session, 2, "gives_up", json!(null));
    probe.entered(2).await;
    probe.release(1);
    assert_eq!(result(within(caller).await.unwrap()), "gave up");
    let report = within(engine.drain(SECOND * 3)).await;
    assert!(since.elapsed() >= SECOND / 2, "it waits for who does not ask for it: {:?}", since.elapsed());
    assert_eq!(report.cancelled, 0);
    assert_eq!(result(within(finishes).await.unwrap()), "finished");
    all_gone(&engine).await;
}
