//! Calls that the server begins for itself are calls like any other; handlers that only wait do so beside the others.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CallHandle, CancelReason, CloseReason, Engine, ErrorCode, Frame, Gate, Limits, MethodOptions, ServerCall,
    Session, SessionId, Step,
};
use serde_json::{Value, json, value::to_raw_value};
use std::{sync::Arc, time::Duration};
use support::{
    Answer, Ctx, all_gone, builder, call, error, eventually, json_of, reply, request, result, start, within,
};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { deadline: SECOND * 2, deadline_cap: SECOND * 5, ..Limits::default() }
}

fn of(method: &str, params: Value) -> ServerCall {
    ServerCall::new(method, Some(to_raw_value(&params).unwrap()))
}

/// The outcome: a result, or the code of an error; `null` if nothing is told.
async fn outcome(handle: &mut CallHandle<u64>) -> Value {
    loop {
        if let Step::End(answer) = within(handle.next()).await {
            let Some(answer) = answer else { return Value::Null };
            assert_eq!(answer.id, None);
            return match answer.result {
                Ok(raw) => serde_json::from_str(raw.get()).unwrap(),
                Err(error) => json!(error.code.0),
            };
        }
    }
}

fn code(refused: Result<CallHandle<u64>, freehold::ErrorObject>) -> ErrorCode {
    refused.expect_err("it is refused").code
}

#[tokio::test]
async fn its_outcome_its_messages_and_its_questions_come_through_its_handle() {
    let (builder, _probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut echo = engine.begin(&session, of("echo", json!([7]))).unwrap();
    assert_eq!(outcome(&mut echo).await, json!([7]));
    let mut panics = engine.begin(&session, of("panics_later", json!(null))).unwrap();
    assert_eq!(outcome(&mut panics).await, json!(ErrorCode::INTERNAL_ERROR.0));
    let mut asks = engine.begin(&session, of("ask", json!(["?"]))).unwrap();
    let Step::Frame(question @ Frame::Question(_)) = within(asks.next()).await else { panic!("it asks") };
    let (question, id) = (json_of(&question), json_of(&question)["id"].clone());
    assert_eq!(question["params"], json!(["?"]));
    let asked = |id: &Value| session.asks(&freehold::RequestId::Number(id.as_i64().unwrap()));
    assert!(asked(&id));
    reply(&engine, &session, &id, &json!("yes")).await;
    assert!(!asked(&id));
    assert_eq!(outcome(&mut asks).await, json!({ "answer": "yes" }));
    all_gone(&engine).await;
}

async fn attached(ctx: &Ctx, (): ()) -> Answer {
    let word = ctx.attachment::<String>();
    let nothing = ctx.attachment::<u8>();
    Ok(json!([word.as_deref(), nothing.is_none(), ctx.is_nested()]))
}

async fn calls_attached(ctx: &Ctx, (): ()) -> Answer {
    Ok(ctx.call(ctx.session(), "attached", &()).await?)
}

#[tokio::test]
async fn what_is_attached_is_its_own() {
    let engine = Engine::builder(0).method("attached", attached).method("calls_attached", calls_attached);
    let engine = engine.build().unwrap();
    let session = engine.open().unwrap();
    let word = || Arc::new("word".to_owned());
    let mut own = engine.begin(&session, of("attached", json!(null)).attach(word())).unwrap();
    assert_eq!(outcome(&mut own).await, json!(["word", true, false]));
    let mut nested = engine.begin(&session, of("calls_attached", json!(null)).attach(word())).unwrap();
    assert_eq!(outcome(&mut nested).await, json!([null, true, true]), "a callee has nothing of its caller's");
    assert_eq!(result(call(&engine, &session, 1, "attached", json!(null)).await), json!([null, true, false]));
}

#[tokio::test]
async fn it_is_refused_as_a_request_would_be() {
    let (builder, probe) = builder();
    let limits = Limits { running_per_session: 1, queued_per_session: 0, ..Limits::default() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(code(engine.begin(&session, of("nobody", json!(null)))), ErrorCode::METHOD_NOT_FOUND);
    assert_eq!(code(engine.begin(&session, of("ping", json!(null)))), ErrorCode::METHOD_NOT_FOUND);
    let mut waits = engine.begin(&session, of("wait", json!(1))).unwrap();
    probe.entered(1).await;
    assert_eq!(code(engine.begin(&session, of("echo", json!(1)))), ErrorCode::OVERLOADED);
    probe.release(1);
    assert_eq!(outcome(&mut waits).await, json!(1));
    session.close(CloseReason::Server);
    assert_eq!(code(engine.begin(&session, of("echo", json!(1)))), ErrorCode::SESSION_NOT_FOUND);
    engine.drain(SECOND).await;
    assert_eq!(code(engine.begin(&engine.ephemeral(), of("echo", json!(1)))), ErrorCode::STOPPING);
}

#[tokio::test(start_paused = true)]
async fn it_has_a_deadline_of_its_own_beyond_that_of_calls() {
    let (builder, probe) = builder();
    let engine = builder.limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let since = Instant::now();
    let mut long = engine.begin(&session, of("obedient", json!(null)).timeout(SECOND * 60)).unwrap();
    assert_eq!(outcome(&mut long).await, json!(ErrorCode::DEADLINE_EXCEEDED.0));
    assert_eq!(since.elapsed().as_secs(), 60);
    let mut usual = engine.begin(&session, of("obedient", json!(null))).unwrap();
    assert_eq!(outcome(&mut usual).await, json!(ErrorCode::DEADLINE_EXCEEDED.0));
    assert_eq!(since.elapsed().as_secs(), 62);
    probe.saw("cancelled: DeadlineExceeded, None").await;
    all_gone(&engine).await;
}

#[tokio::test(start_paused = true)]
async fn its_deadline_stands_still_while_the_client_is_asked() {
    let (builder, _probe) = builder();
    let engine = builder.limits(limits()).build().unwrap();
    let session = engine.open().unwrap();
    let mut asks = engine.begin(&session, of("ask", json!(["?"])).timeout(SECOND * 10)).unwrap();
    let Step::Frame(question) = within(asks.next()).await else { panic!("it asks") };
    tokio::time::advance(SECOND * 100).await;
    reply(&engine, &session, &json_of(&question)["id"], &json!("yes")).await;
    assert_eq!(outcome(&mut asks).await, json!({ "answer": "yes" }));
    all_gone(&engine).await;
}

/// Who ends a call, and the reason that its handler is told.
#[tokio::test]
async fn it_ends_like_any_call() {
    type End = fn(&Engine<u64>, &Session<u64>, CallHandle<u64>);
    let ends: [(End, &str); 4] = [
        (|_, _, handle| drop(handle), "Disconnected"),
        (|_, _, handle| assert!(handle.cancel(CancelReason::Client)), "Client"),
        (|_, session, _handle| assert!(session.close(CloseReason::Client)), "SessionClosed"),
        (
            |engine, _, handle| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    engine.drain(Duration::ZERO).await;
                    drop(handle);
                });
            },
            "Shutdown",
        ),
    ];
    for (end, reason) in ends {
        let (builder, probe) = builder();
        let engine = builder.build().unwrap();
        let session = engine.open().unwrap();
        let handle = engine.begin(&session, of("obedient", json!(null))).unwrap();
        probe.entered(1).await;
        assert_eq!(engine.calls().len(), 1, "it is among the live calls");
        end(&engine, &session, handle);
        let told = |logged: &String| logged.starts_with("cancelled: ");
        eventually(|| probe.logged().iter().any(told)).await;
        assert_eq!(probe.logged().into_iter().find(told), Some(format!("cancelled: {reason}, None")));
        eventually(|| engine.call_count() == 0).await;
    }
}

async fn quick(_: &Ctx, (): ()) -> Answer {
    Ok(json!("quick"))
}

/// Calls `quick` in the session of that id.
async fn calls_quick(ctx: &Ctx, id: String) -> Answer {
    let id: SessionId = id.parse().expect("an id");
    Ok(ctx.call(id, "quick", &()).await?)
}

#[tokio::test]
async fn a_handler_that_only_waits_needs_no_turn_either_where_another_handler_calls_it() {
    let (builder, probe) = builder();
    let engine = builder
        .method_with("quick", MethodOptions::new().beside(), quick)
        .method("calls_quick", calls_quick)
        .gate(Gate::Serial)
        .build()
        .unwrap();
    let (busy, other) = (engine.open().unwrap(), engine.open().unwrap());
    let works = start(&engine, &busy, 1, "wait", json!(null));
    probe.entered(1).await;
    let answer =
        within(engine.process(&other, request(1, "calls_quick", &json!(busy.id().to_string())))).await;
    assert_eq!(result(answer), json!("quick"));
    probe.release(1);
    within(works).await.unwrap();
    all_gone(&engine).await;
}

#[tokio::test]
async fn handlers_that_only_wait_are_bounded_in_each_session() {
    let (builder, probe) = builder();
    let engine = builder
        .method_with("until_alone", MethodOptions::new().beside(), until_alone)
        .limits(Limits { queued_per_session: 1, ..Limits::default() })
        .build()
        .unwrap();
    let (session, other) = (engine.open().unwrap(), engine.open().unwrap());
    let works = start(&engine, &session, 1, "wait", json!(null));
    probe.entered(1).await;
    for round in 0..3 {
        let waits: Vec<_> =
            (2..4).map(|id| start(&engine, &session, id, "until_alone", json!(null))).collect();
        eventually(|| session.gauges().in_flight == 3).await;
        // A refusal gives nothing back that it did not take.
        for id in 4..6 {
            let refused = within(engine.process(&session, request(id, "until_alone", &json!(null)))).await;
            assert_eq!(error(refused).0, ErrorCode::OVERLOADED.0, "round {round}");
        }
        let elsewhere = within(engine.process(&other, request(1, "until_alone", &json!(null)))).await;
        assert_eq!(result(elsewhere), json!("alone"), "another session has room of its own");
        for (id, wait) in (2..4).zip(waits) {
            assert!(session.cancel(&id.into(), None));
            within(wait).await.unwrap();
        }
        eventually(|| session.gauges().in_flight == 1 && engine.call_count() == 1).await;
    }
    probe.release(1);
    within(works).await.unwrap();
    all_gone(&engine).await;
}

/// Answers when the session has no other call.
async fn until_alone(ctx: &Ctx, (): ()) -> Answer {
    let alone = || ctx.session().gauges().in_flight == 1;
    eventually(alone).await;
    Ok(json!("alone"))
}

#[tokio::test]
async fn a_handler_that_only_waits_needs_neither_a_slot_nor_a_turn() {
    for gate in [Gate::Concurrent, Gate::Serial] {
        let (builder, probe) = builder();
        let engine = builder
            .method_with("until_alone", MethodOptions::new().beside(), until_alone)
            .gate(gate)
            .limits(Limits { running_per_session: 1, queued_per_session: 0, ..Limits::default() })
            .build()
            .unwrap();
        let session = engine.open().unwrap();
        let works = start(&engine, &session, 1, "wait", json!("worked"));
        probe.entered(1).await;
        let waits = start(&engine, &session, 2, "until_alone", json!(null));
        eventually(|| session.gauges().in_flight == 2).await;
        assert_eq!(session.gauges().running, usize::from(gate == Gate::Concurrent));
        probe.release(1);
        assert_eq!(result(within(works).await.unwrap()), json!("worked"));
        assert_eq!(result(within(waits).await.unwrap()), json!("alone"));
        let cancelled = start(&engine, &session, 3, "wait", json!(null));
        probe.entered(1).await;
        let waits = start(&engine, &session, 4, "until_alone", json!(null));
        eventually(|| session.gauges().in_flight == 2).await;
        assert!(session.cancel(&4.into(), None), "it is cancelled like any call");
        within(waits).await.unwrap();
        probe.release(1);
        within(cancelled).await.unwrap();
        all_gone(&engine).await;
        let answer = within(engine.process(&session, request(5, "until_alone", &json!(null)))).await;
        assert_eq!(result(answer), json!("alone"));
    }
}
