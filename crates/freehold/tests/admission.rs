//! Who runs, who waits and in which order, who is told at once that there is no room, and what overtakes a full house.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Engine, Limits, Session};
use serde_json::json;
use support::{Answer, Ctx, Probe, all_gone, builder, call, error, eventually, result, start, within};

const OVERLOADED: i32 = -31002;

async fn ordered(ctx: &Ctx, [number]: [u32; 1]) -> Answer {
    ctx.app::<Probe>().log(number.to_string());
    tokio::task::yield_now().await;
    Ok(json!(number))
}

fn small() -> Limits {
    Limits { running_per_session: 2, queued_per_session: 10, calls_total: 13, ..Limits::default() }
}

/// An engine whose one session has both slots taken.
async fn full_house() -> (Engine<u64>, Session<u64>, std::sync::Arc<Probe>) {
    let (builder, probe) = builder();
    let engine = builder.method("ordered", ordered).limits(small()).build().unwrap();
    let session = engine.open().unwrap();
    for id in 1..3 {
        drop_handle(start(&engine, &session, id, "wait", json!([id])));
    }
    probe.entered(2).await;
    (engine, session, probe)
}

/// Lets the task go on by itself.
fn drop_handle<T>(task: tokio::task::JoinHandle<T>) {
    drop(task);
}

#[tokio::test]
async fn calls_get_their_slots_in_order_of_arrival() {
    let (engine, session, probe) = full_house().await;
    let mut queued = Vec::new();
    for number in 10..20 {
        queued.push(start(&engine, &session, number, "ordered", json!([number])));
        eventually(|| session.gauges().in_flight as i64 == number - 7).await;
    }
    assert_eq!(session.gauges().running, 2);
    probe.release(1);
    for (queued, number) in queued.into_iter().zip(10..) {
        assert_eq!(result(within(queued).await.unwrap()), json!(number));
    }
    let order: Vec<_> = probe.logged().into_iter().filter(|line| line != "wait dropped").collect();
    assert_eq!(order, (10..20).map(|number| number.to_string()).collect::<Vec<_>>());
    probe.release(1);
    all_gone(&engine).await;
}

#[tokio::test]
async fn what_finds_no_room_is_told_so_at_once_and_what_it_knocked_at_stays_whole() {
    let (engine, session, probe) = full_house().await;
    let queued: Vec<_> = (10..20).map(|id| start(&engine, &session, id, "echo", json!([id]))).collect();
    eventually(|| session.gauges().in_flight == 12).await;
    for _ in 0..50 {
        let (code, data) = error(call(&engine, &session, 99, "echo", json!([1])).await);
        assert_eq!((code, &data["retryAfterMs"]), (OVERLOADED, &json!(500)));
    }
    let other = engine.open().unwrap();
    assert_eq!(result(call(&engine, &other, 1, "echo", json!([1])).await), json!([1]), "another session");
    drop_handle(start(&engine, &other, 1, "wait", json!([1])));
    probe.entered(1).await;
    assert_eq!(error(call(&engine, &other, 2, "echo", json!([1])).await).0, OVERLOADED, "too many in total");
    probe.release(3);
    for (queued, id) in queued.into_iter().zip(10..) {
        assert_eq!(result(within(queued).await.unwrap()), json!([id]));
    }
    all_gone(&engine).await;
    assert_eq!(engine.counters().overloaded, 51);
}

#[tokio::test]
async fn pings_and_cancels_overtake_a_full_house() {
    let (builder, probe) = builder();
    let engine = builder
        .limits(small())
        .control("cancel", |session, params| {
            let [id]: [i64; 1] = freehold::read_params(params.map(AsRef::as_ref))?;
            Ok(session.cancel(&id.into(), None))
        })
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let first = start(&engine, &session, 1, "obedient", json!(null));
    let second = start(&engine, &session, 2, "obedient", json!(null));
    probe.entered(2).await;
    let refused: Vec<_> = (10..210).map(|id| start(&engine, &session, id, "obedient", json!(null))).collect();
    eventually(|| engine.counters().overloaded == 190).await;
    assert_eq!(result(call(&engine, &session, 900, "ping", json!(null)).await), json!({}));
    assert_eq!(result(call(&engine, &session, 901, "cancel", json!([1])).await), json!(true));
    assert_eq!(error(within(first).await.unwrap()).0, -32800);
    probe.entered(1).await;
    assert_eq!(session.gauges().running, 2, "the next one has the slot");
    session.close(CloseReason::Client);
    assert_eq!(error(within(second).await.unwrap()).0, -32800);
    for refused in refused {
        assert!(matches!(error(within(refused).await.unwrap()).0, OVERLOADED | -32800));
    }
    all_gone(&engine).await;
}

#[tokio::test]
async fn answers_reach_their_waiters_though_all_slots_are_taken() {
    let (builder, probe) = builder();
    let engine = builder.limits(small()).build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let asking: Vec<_> = (1..3).map(|id| start(&engine, &session, id, "ask", json!([id]))).collect();
    probe.entered(2).await;
    let queued: Vec<_> = (10..20).map(|id| start(&engine, &session, id, "echo", json!([id]))).collect();
    eventually(|| session.gauges().in_flight == 12).await;
    for _ in 0..2 {
        support::answer_next(&engine, &mut listener, &json!("yes")).await;
    }
    for asking in asking {
        assert_eq!(result(within(asking).await.unwrap())["answer"], "yes");
    }
    for queued in queued {
        result(within(queued).await.unwrap());
    }
    all_gone(&engine).await;
}

#[tokio::test]
async fn duplicates_and_refusals_cost_no_slot() {
    let (builder, probe) = builder();
    let engine = builder.limits(small()).build().unwrap();
    let session = engine.open().unwrap();
    drop_handle(start(&engine, &session, 1, "wait", json!([1])));
    probe.entered(1).await;
    for _ in 0..20 {
        assert_eq!(error(call(&engine, &session, 1, "echo", json!([1])).await).0, -32600);
    }
    assert_eq!((session.gauges().running, engine.call_count()), (1, 1));
    session.close(CloseReason::Server);
    for _ in 0..20 {
        assert_eq!(error(call(&engine, &session, 1, "echo", json!([1])).await).0, -31001);
    }
    probe.release(1);
    all_gone(&engine).await;
}

#[tokio::test]
async fn a_session_that_ends_with_calls_in_its_queue_leaves_no_slot_taken() {
    let (engine, session, probe) = full_house().await;
    let queued: Vec<_> = (10..20).map(|id| start(&engine, &session, id, "never", json!(null))).collect();
    eventually(|| session.gauges().in_flight == 12).await;
    session.close(CloseReason::Disconnected);
    for queued in queued {
        assert_eq!(error(within(queued).await.unwrap()).1["reason"], "disconnected");
    }
    probe.release(2);
    all_gone(&engine).await;
    assert_eq!(session.gauges().running, 0);
}

/// Calls come, are cancelled in the queue or just as they get their slot, or end by themselves, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_that_pass_on_while_their_next_owner_leaves_are_not_lost() {
    let (builder, _probe) = builder();
    let limits = Limits { running_per_session: 3, queued_per_session: 5_000, ..Limits::default() };
    let engine = builder.method("ordered", ordered).limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let tasks: Vec<_> = (0..3_000)
        .map(|id| {
            let task = start(&engine, &session, id, "ordered", json!([id]));
            let session = session.clone();
            tokio::spawn(async move {
                for _ in 0..id % 5 {
                    tokio::task::yield_now().await;
                }
                if id % 2 == 0 {
                    session.cancel(&id.into(), None);
                }
                task.await.unwrap().is_some()
            })
        })
        .collect();
    for task in tasks {
        assert!(within(task).await.unwrap());
    }
    all_gone(&engine).await;
    assert_eq!(engine.counters().calls_ended(), 3_000);
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]));
}
