//! The deadline covers the whole wait, says where the call was, and takes back what the call held.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    Context, Engine, ErrorObject, HandlerResult, Limits, MethodOptions, RawHandler, Session,
    runtime::BoxFuture, write_result,
};
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;
use support::{Answer, Ctx, Probe, all_gone, builder, call, error, request, result, start, within};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const DEADLINE_EXCEEDED: i32 = -31003;

fn limits() -> Limits {
    Limits {
        deadline: SECOND * 2,
        deadline_cap: SECOND * 5,
        cancel_grace: SECOND,
        question_timeout: SECOND * 100,
        ..Limits::default()
    }
}

/// Seconds from `since`, to a tenth.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_told_at_its_deadline_and_gone_after_its_grace() {
    let (builder, probe) = builder();
    let engine = builder.limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let (code, data) = error(call(&engine, &session, 1, "never", json!(null)).await);
    assert_eq!(
        (code, &data["stage"], &data["waitedMs"]),
        (DEADLINE_EXCEEDED, &json!("handler"), &json!(2_000))
    );
    assert_eq!((seconds(since), session.gauges().running), (2.0, 1), "the slot is held during the grace");
    probe.saw("never dropped").await;
    assert_eq!(seconds(since), 3.0);
    all_gone(&engine).await;
    assert_eq!((engine.counters().deadline_exceeded, engine.counters().abandoned), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_slot_has_its_deadline_too() {
    let (builder, probe) = builder();
    let engine = builder.limits(Limits { running_per_session: 1, ..limits() }).build().unwrap();
    let session = engine.open().unwrap();
    let holder = start(&engine, &session, 1, "wait", json!([1]));
    probe.entered(1).await;
    tokio::time::advance(SECOND).await;
    let since = Instant::now();
    let (code, data) = error(call(&engine, &session, 2, "panics_at_once", json!(null)).await);
    assert_eq!(code, DEADLINE_EXCEEDED);
    // The holder ended at its own deadline one second ago, and its grace ends now.
    assert_eq!((&data["stage"], seconds(since)), (&json!("queue"), 2.0));
    assert_eq!(error(within(holder).await.unwrap()).1["stage"], "handler");
    all_gone(&engine).await;
}

async fn progresses(ctx: &Ctx, (): ()) -> Answer {
    loop {
        tokio::time::sleep(SECOND).await;
        ctx.made_progress();
    }
}

#[tokio::test(start_paused = true)]
async fn progress_extends_the_deadline_up_to_the_cap_only() {
    let engine = Engine::builder(0).method("progresses", progresses).limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    assert_eq!(error(call(&engine, &session, 1, "progresses", json!(null)).await).0, DEADLINE_EXCEEDED);
    assert_eq!(seconds(since), 5.0);
}

async fn sets(ctx: &Ctx, [millis]: [u64; 1]) -> Answer {
    ctx.set_timeout(Duration::from_millis(millis));
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_method_and_of_a_call_count_up_to_the_cap() {
    let engine = Engine::builder(0)
        .method_with("short", MethodOptions::new().timeout(SECOND), support::never)
        .method_with("long", MethodOptions::new().timeout(Duration::MAX), support::never)
        .method("sets", sets)
        .app(std::sync::Arc::new(Probe::default()))
        .limits(limits())
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    for (method, params, ends) in [
        ("short", json!(null), 1.0),
        ("long", json!(null), 5.0),
        ("sets", json!([500]), 0.5),
        ("sets", json!([9_000]), 5.0),
    ] {
        let since = Instant::now();
        assert_eq!(error(call(&engine, &session, 1, method, params).await).0, DEADLINE_EXCEEDED, "{method}");
        assert_eq!(seconds(since), ends, "{method}");
    }
}

async fn without(ctx: &Ctx, (): ()) -> Answer {
    ctx.remove_deadline();
    tokio::time::sleep(SECOND * 100_000).await;
    Ok(json!("done"))
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_goes_on_and_periods_without_end_overflow_nothing() {
    let endless = Limits {
        deadline: Duration::MAX,
        deadline_cap: Duration::MAX,
        cancel_grace: Duration::MAX,
        question_timeout: Duration::MAX,
        session_ttl: Duration::MAX,
        initialize_window: Duration::MAX,
        store_wait: Duration::MAX,
        ..Limits::default()
    };
    for limits in [limits(), endless] {
        let (builder, probe) = builder();
        let engine = builder.method("without", without).limits(limits).build().unwrap();
        let session = engine.open().unwrap();
        let answer = engine.process(&session, request(1, "without", &json!(null)));
        let answer = tokio::time::timeout(SECOND * 200_000, answer).await.expect("it ends by itself");
        assert_eq!(result(answer), "done");
        let mut listener = session.listen();
        let asked = start(&engine, &session, 2, "ask", json!([1]));
        probe.entered(1).await;
        support::answer_next(&engine, &mut listener, &json!("yes")).await;
        assert_eq!(result(within(asked).await.unwrap())["answer"], "yes");
        tokio::time::timeout(SECOND, engine.drain(Duration::MAX)).await.expect("nothing is left to wait for");
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_stands_still_while_a_person_is_asked() {
    let (builder, probe) = builder();
    let engine = builder.limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let asked = start(&engine, &session, 1, "ask", json!(["deploy?"]));
    probe.entered(1).await;
    tokio::time::advance(SECOND * 60).await;
    support::answer_next(&engine, &mut listener, &json!("yes")).await;
    assert_eq!(result(within(asked).await.unwrap()), json!({ "answer": "yes" }));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_ends_at_its_own_limit() {
    let (builder, probe) = builder();
    let engine = builder.limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let (code, _) = error(call(&engine, &session, 1, "ask", json!(["deploy?"])).await);
    assert_eq!((code, seconds(since)), (-31007, 100.0));
    assert_eq!(probe.logged(), ["ask: the client did not answer \"question\" within 100s"]);
    all_gone(&engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_ends_since_all_of_them_took_too_long_tells_how_long_it_had() {
    let (builder, probe) = builder();
    let engine = builder.limits(Limits { question_total: SECOND * 3, ..limits() }).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let (code, _) = error(call(&engine, &session, 1, "ask", json!(["deploy?"])).await);
    assert_eq!((code, seconds(since)), (-31007, 3.0));
    assert_eq!(probe.logged(), ["ask: the client did not answer \"question\" within 3s"]);
    all_gone(&engine).await;
}

async fn asks_then_hangs(ctx: &Ctx, (): ()) -> Answer {
    tokio::time::sleep(SECOND).await;
    let _: Result<Value, _> = ctx.ask("question", &()).await;
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn the_clock_goes_on_where_it_stood() {
    let engine =
        Engine::builder(0).method("asks_then_hangs", asks_then_hangs).limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let (_, data) = error(call(&engine, &session, 1, "asks_then_hangs", json!(null)).await);
    // One second, then a hundred for the question, then what was left of two.
    assert_eq!((seconds(since), &data["stage"]), (102.0, &json!("handler")));
}

/// Hands its context to a task of its own, so that the call's task does not see the clock change.
struct Elsewhere;

impl RawHandler<u64> for Elsewhere {
    fn start(&self, context: Context<u64>, _: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        let elsewhere = tokio::spawn(async move {
            let answer: Result<Value, _> = context.ask("question", &()).await;
            match answer {
                Ok(_) => std::future::pending().await,
                Err(error) => write_result(&error.to_string()),
            }
        });
        Box::pin(async move { elsewhere.await.map_err(|_| ErrorObject::internal())? })
    }
}

async fn elsewhere(question_timeout: Duration) -> (Engine<u64>, Session<u64>) {
    let limits = Limits { question_timeout, ..limits() };
    let engine = Engine::builder(0)
        .raw_method("elsewhere", MethodOptions::new(), Elsewhere)
        .limits(limits)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    (engine, session)
}

#[tokio::test(start_paused = true)]
async fn a_question_asked_in_another_task_has_its_limit() {
    let (engine, session) = elsewhere(SECOND).await;
    let since = Instant::now();
    let answer = result(call(&engine, &session, 1, "elsewhere", json!(null)).await);
    assert_eq!(
        (answer.as_str(), seconds(since)),
        (Some("the client did not answer \"question\" within 1s"), 1.0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_comes_after_a_question_in_another_task() {
    let (engine, session) = elsewhere(SECOND * 100).await;
    let mut listener = session.listen();
    let since = Instant::now();
    let asked = start(&engine, &session, 1, "elsewhere", json!(null));
    support::answer_next(&engine, &mut listener, &json!("yes")).await;
    assert_eq!(error(within(asked).await.unwrap()).0, DEADLINE_EXCEEDED);
    assert_eq!(seconds(since), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_outlives_its_call_is_ended() {
    let (engine, session) = elsewhere(SECOND * 100).await;
    let mut listener = session.listen();
    let asked = start(&engine, &session, 1, "elsewhere", json!(null));
    within(listener.next()).await.expect("a question");
    asked.abort();
    all_gone(&engine).await;
    assert_eq!(engine.counters().cancelled, 1);
}
