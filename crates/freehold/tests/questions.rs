//! Questions to the client: each is answered, refused, timed out or told that nobody will answer it.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Dispatched, Frame, Limits, Route, Step};
use serde_json::{Value, json};
use support::{
    Answer, Ctx, Probe, all_gone, answer_next, builder, call, error, eventually, json_of, reply, request,
    result, start, within,
};

#[tokio::test]
async fn an_answer_an_error_and_an_answer_of_another_shape() {
    async fn number(ctx: &Ctx, (): ()) -> Result<u32, freehold::ErrorObject> {
        Ok(ctx.ask("number", &()).await?)
    }
    let (builder, probe) = builder();
    let engine = builder.method("number", number).build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    for (answer, expected) in [
        (json!({ "result": 5 }), Ok(json!(5))),
        (json!({ "result": "five" }), Err(-31007)),
        (json!({ "error": { "code": -1, "message": "no" } }), Err(-31007)),
    ] {
        let asking = start(&engine, &session, 1, "number", json!(null));
        let question = json_of(&within(listener.next()).await.unwrap());
        assert_eq!((&question["method"], &question["params"]), (&json!("number"), &json!(null)));
        let mut message = json!({ "jsonrpc": "2.0", "id": question["id"] });
        message.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        assert_eq!(engine.process_bytes(&session, message.to_string().as_bytes()).await, None);
        let ended = within(asking).await.unwrap();
        match expected {
            Ok(value) => assert_eq!(result(ended), value),
            Err(code) => assert_eq!(error(ended).0, code),
        }
    }
    all_gone(&engine).await;
    drop(probe);
}

#[tokio::test]
async fn answers_to_no_question_are_counted_and_ignored() {
    let (builder, _probe) = builder();
    let engine = builder.build().unwrap();
    let (session, other) = (engine.open().unwrap(), engine.open().unwrap());
    let mut listener = session.listen();
    let asking = start(&engine, &session, 1, "ask", json!([1]));
    let question = within(listener.next()).await.unwrap();
    let id = json_of(&question)["id"].clone();
    for (session, id) in [(&other, &id), (&session, &json!(999)), (&session, &json!("1"))] {
        reply(&engine, session, id, &json!("forged")).await;
    }
    reply(&engine, &session, &id, &json!("first")).await;
    reply(&engine, &session, &id, &json!("second")).await;
    let nobody = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#;
    assert_eq!(engine.process_bytes(&session, nobody).await, None, "an error is not answered with an error");
    assert_eq!(result(within(asking).await.unwrap())["answer"], "first");
    assert_eq!(engine.counters().unknown_answers, 5);
}

#[tokio::test]
async fn a_question_goes_on_the_stream_of_its_call_and_parallel_ones_share_it() {
    async fn five(ctx: &Ctx, (): ()) -> Answer {
        let ask = async |number: u32| ctx.ask::<u32>("double", &[number]).await;
        let (a, b, c, d, e) = tokio::join!(ask(1), ask(2), ask(3), ask(4), ask(5));
        Ok(json!([a?, b?, c?, d?, e?]))
    }
    let (builder, _) = builder();
    let engine = builder.method("five", five).build().unwrap();
    let session = engine.open().unwrap();
    let Dispatched::Running(mut handle) =
        engine.dispatch(&session, request(1, "five", &json!(null)), Route::Call)
    else {
        panic!("expected a call")
    };
    let mut questions = Vec::new();
    while questions.len() < 5 {
        match within(handle.next()).await {
            Step::Frame(frame @ Frame::Question(_)) => questions.push(json_of(&frame)),
            step => panic!("expected a question, got {step:?}"),
        }
    }
    assert_eq!(session.gauges().questions, 5, "all are open at once");
    for question in questions.into_iter().rev() {
        let doubled = question["params"][0].as_u64().unwrap() * 2;
        reply(&engine, &session, &question["id"], &json!(doubled)).await;
    }
    let Step::End(answer) = within(handle.next()).await else { panic!("expected the end") };
    assert_eq!(result(answer), json!([2, 4, 6, 8, 10]));
    all_gone(&engine).await;
}

#[tokio::test]
async fn a_client_that_goes_away_or_has_too_many_questions_ends_the_wait_at_once() {
    let (builder, probe) = builder();
    let engine = builder.limits(Limits { questions_per_session: 3, ..Limits::default() }).build().unwrap();
    let session = engine.open().unwrap();
    let asking: Vec<_> = (1..4).map(|id| start(&engine, &session, id, "ask", json!([id]))).collect();
    eventually(|| session.gauges().questions == 3).await;
    assert_eq!(error(call(&engine, &session, 9, "ask", json!([9])).await).0, -31007);
    assert_eq!(probe.logged(), ["ask: too many questions wait for this client"]);
    session.close(CloseReason::Disconnected);
    for asking in asking {
        assert_eq!(error(within(asking).await.unwrap()).0, -32800);
    }
    all_gone(&engine).await;
    let told = |line: &&String| line.contains("went away") || line.contains("is over");
    eventually(|| probe.logged().iter().filter(told).count() == 3).await;
}

#[tokio::test]
async fn a_question_that_its_asker_gave_up_is_forgotten() {
    async fn impatient(ctx: &Ctx, (): ()) -> Answer {
        let ask = ctx.ask::<Value>("question", &());
        tokio::select! {
            biased;
            answer = ask => Ok(answer?),
            () = ctx.app::<Probe>().released() => Ok(json!("never mind")),
        }
    }
    let (builder, probe) = builder();
    let engine = builder.method("impatient", impatient).build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let asking = start(&engine, &session, 1, "impatient", json!(null));
    let question = within(listener.next()).await.unwrap();
    probe.release(1);
    assert_eq!(result(within(asking).await.unwrap()), "never mind");
    all_gone(&engine).await;
    reply(&engine, &session, &json_of(&question)["id"], &json!("late")).await;
    assert_eq!(engine.counters().unknown_answers, 1);
}

/// The answer may come before the asker waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_within_microseconds_find_their_question() {
    const QUESTIONS: i64 = 3_000;
    let (builder, _) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let answering = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for number in 0..QUESTIONS {
                answer_next(&engine, &mut listener, &json!(number)).await;
            }
        })
    };
    for number in 0..QUESTIONS {
        let answer = start(&engine, &session, number, "ask", json!([number]));
        assert_eq!(result(within(answer).await.unwrap())["answer"], number);
    }
    within(answering).await.unwrap();
    all_gone(&engine).await;
    assert_eq!(engine.counters().unknown_answers, 0);
}
