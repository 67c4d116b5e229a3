//! Outgoing streams: nobody waits for a client that does not read, and answers are never lost silently.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Dispatched, Engine, Frame, Limits, Listener, Route, Step};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{
    Answer, Ctx, Probe, all_gone, builder, call, error, eventually, json_of, request, result, within,
};

async fn floods(ctx: &Ctx, [count]: [u32; 1]) -> Answer {
    for number in 0..count {
        ctx.notify("progress", &[number]).unwrap();
    }
    Ok(json!("flooded"))
}

fn flooding(limits: Limits) -> Engine<u64> {
    builder().0.method("floods", floods).limits(limits).build().unwrap()
}

/// The parameters of the next `count` notifications.
async fn next(listener: &mut Listener<u64>, count: usize) -> Vec<Value> {
    let mut params = Vec::new();
    for _ in 0..count {
        let frame = within(listener.next()).await.expect("a notification");
        params.push(json_of(&frame)["params"][0].clone());
    }
    params
}

#[tokio::test]
async fn a_subscriber_that_never_reads_loses_the_oldest_and_delays_nobody() {
    let engine = flooding(Limits { stream_messages: 4, ..Limits::default() });
    let (session, other) = (engine.open().unwrap(), engine.open().unwrap());
    let mut listener = session.listen();
    assert_eq!(result(call(&engine, &session, 1, "floods", json!([10_000])).await), "flooded");
    assert_eq!(result(call(&engine, &session, 2, "echo", json!([2])).await), json!([2]));
    assert_eq!(result(call(&engine, &other, 1, "echo", json!([1])).await), json!([1]));
    assert_eq!((session.gauges().outgoing, engine.counters().notifications_dropped), (4, 9_996));
    assert_eq!(next(&mut listener, 4).await, [9_996, 9_997, 9_998, 9_999]);
}

#[tokio::test]
async fn the_stream_of_a_call_has_its_bound_and_its_answer_comes_last() {
    let engine = flooding(Limits { stream_messages: 3, ..Limits::default() });
    let session = engine.open().unwrap();
    let Dispatched::Running(mut handle) =
        engine.dispatch(&session, request(1, "floods", &json!([100])), Route::Call)
    else {
        panic!("expected a call")
    };
    let mut seen = Vec::new();
    let answer = loop {
        match within(handle.next()).await {
            Step::Frame(frame) => seen.push(json_of(&frame)["params"][0].clone()),
            Step::CloseStream => panic!("nobody asked for it"),
            Step::End(answer) => break answer,
        }
    };
    assert_eq!((seen, result(answer)), (vec![json!(97), json!(98), json!(99)], json!("flooded")));
    assert_eq!(engine.counters().notifications_dropped, 97);
}

/// Tells one thing, wants its connection gone twice, and ends when it is let.
async fn closes(ctx: &Ctx, (): ()) -> Answer {
    let probe = ctx.app::<Probe>().clone();
    ctx.notify("progress", &[1]).unwrap();
    ctx.close_stream();
    ctx.close_stream();
    probe.released().await;
    ctx.close_stream();
    probe.released().await;
    Ok(json!(ctx.extension::<&str>()))
}

#[tokio::test]
async fn a_call_lets_its_connection_go_after_what_it_said_and_goes_on() {
    let (builder, probe) = builder();
    let engine = builder.method("closes", closes).build().unwrap();
    let session = engine.open().unwrap();
    let message = || request(1, "closes", &json!(null));
    let Dispatched::Running(mut handle) =
        engine.dispatch_with(&session, message(), Route::Call, Some(Arc::new("who sent it")))
    else {
        panic!("expected a call")
    };
    assert!(matches!(within(handle.next()).await, Step::Frame(_)), "what was said comes first");
    assert!(matches!(within(handle.next()).await, Step::CloseStream), "once, however often it was asked");
    let next = tokio::join!(within(handle.next()), async { probe.release(1) }).0;
    assert!(matches!(next, Step::CloseStream), "a reader that waits is woken: {next:?}");
    probe.release(1);
    let Step::End(answer) = within(handle.next()).await else { panic!("expected the end") };
    assert_eq!(result(answer), "who sent it");
    // Where the answer goes to its caller, there is no stream to let go.
    probe.release(2);
    assert_eq!(result(within(engine.process(&session, message())).await), Value::Null);
}

#[tokio::test]
async fn a_message_too_large_for_its_stream_is_dropped_and_counted() {
    let (builder, _) = builder();
    let engine = builder.limits(Limits { stream_bytes: 200, ..Limits::default() }).build().unwrap();
    let session = engine.open().unwrap();
    session.notify("n", &[1]).unwrap();
    session.notify("n", &["x".repeat(300)]).unwrap();
    assert_eq!((session.gauges().outgoing, engine.counters().notifications_dropped), (1, 1));
    let (code, _) = error(call(&engine, &session, 1, "ask", json!("x".repeat(300))).await);
    assert_eq!(code, -31007);
    assert_eq!(
        (session.gauges().outgoing, engine.counters().notifications_dropped),
        (1, 1),
        "a question is none"
    );
}

#[tokio::test]
async fn answers_that_nobody_reads_end_the_stream_and_its_session() {
    let (builder, probe) = builder();
    let limits = Limits { stream_answer_bytes: 1_000, ..Limits::default() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    engine.dispatch(&session, request(1_000, "obedient", &json!(null)), Route::Session);
    probe.entered(1).await;
    for id in 0..100 {
        engine.dispatch(&session, request(id, "echo", &json!(["x".repeat(20)])), Route::Session);
    }
    probe.saw("cancelled: SessionClosed, None").await;
    all_gone(&engine).await;
    assert_eq!(
        (session.closed(), engine.counters().streams_overflowed),
        (Some(CloseReason::StreamOverflowed), 1)
    );
    assert!(within(listener.next()).await.is_none(), "the peer sees the end instead of a gap");
    assert_eq!(engine.counters().calls_ended(), 101);
}

#[tokio::test]
async fn all_answers_of_a_session_come_on_its_stream_in_the_end() {
    let (builder, _) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    for id in 0..200 {
        let method = ["echo", "panics_later", "no such method", "ping"][id as usize % 4];
        assert!(matches!(
            engine.dispatch(&session, request(id, method, &json!([id])), Route::Session),
            Dispatched::Nothing
        ));
    }
    within(session.calls_ended()).await;
    let mut listener = session.listen();
    let mut answered = Vec::new();
    for _ in 0..200 {
        let frame = within(listener.next()).await.unwrap();
        assert!(matches!(frame, Frame::Answer(_)));
        answered.push(json_of(&frame)["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_newest_listener_takes_over_and_what_was_queued_meanwhile_waits() {
    let (builder, _) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut first = session.listen();
    let waiting = tokio::spawn(async move { (first.next().await.is_none(), first) });
    tokio::task::yield_now().await;
    let mut second = session.listen();
    let (ended, first) = within(waiting).await.unwrap();
    assert!(ended, "the one that waits is told");
    session.notify("n", &[1]).unwrap();
    assert_eq!(next(&mut second, 1).await, [1]);
    drop(first);
    session.notify("n", &[2]).unwrap();
    drop(second);
    session.notify("n", &[3]).unwrap();
    assert_eq!(next(&mut session.listen(), 2).await, [2, 3], "a client that comes back misses nothing");
}

#[tokio::test]
async fn broadcasts_and_topics_reach_whom_they_are_meant_for() {
    let (builder, _) = builder();
    let engine = builder
        .limits(Limits { stream_messages: 2, topics_per_session: 2, ..Limits::default() })
        .build()
        .unwrap();
    let sessions: Vec<_> = (0..5).map(|_| engine.open().unwrap()).collect();
    assert!(sessions[0].subscribe("a") && sessions[0].subscribe("b") && sessions[0].subscribe("a"));
    assert!(!sessions[0].subscribe("c"), "too many topics");
    assert!(sessions[1].subscribe("a"));
    assert_eq!(engine.publish("a", "changed", &["a"]).unwrap(), 2);
    assert_eq!(engine.publish("nobody's", "changed", &["x"]).unwrap(), 0);
    assert!(sessions[1].unsubscribe("a") && !sessions[1].unsubscribe("a"));
    assert_eq!(engine.publish("a", "changed", &["a"]).unwrap(), 1);
    assert_eq!(engine.broadcast("all", &["x"], |_| true).unwrap(), 5);
    sessions[4].close(CloseReason::Client);
    assert_eq!(engine.broadcast("all", &["y"], |_| true).unwrap(), 4);
    assert_eq!(next(&mut sessions[0].listen(), 2).await, ["x", "y"], "a full stream loses the oldest");
    assert_eq!(engine.counters().notifications_dropped, 3);
    assert_eq!(next(&mut sessions[1].listen(), 2).await, ["x", "y"]);
    eventually(|| engine.session_count() == 4).await;
}
