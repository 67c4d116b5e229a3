//! Calls that handlers make: what they inherit, how they end, and what their callers are told.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CallError, CallTarget, CallsWhileHolding, Engine, EngineBuilder, ErrorObject, Limits, MethodOptions,
};
use freehold_sync::Mutex;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use support::{
    Answer, Ctx, Dropped, Probe, all_gone, answer_next, builder, call, error, eventually, relay, relayed,
    result, start, within,
};

const SESSION_NOT_FOUND: i32 = -31001;
const DEADLINE_EXCEEDED: i32 = -31003;
const INTERNAL: i32 = -32603;
const METHOD_NOT_FOUND: i32 = -32601;
const OVERLOADED: i32 = -31002;
const CANCELLED: i32 = -32800;
const DEADLOCK: i32 = -31008;
const CALLS_TOO_DEEP: i32 = -31020;

fn with_relay() -> (EngineBuilder<u64>, Arc<Probe>) {
    let (builder, probe) = builder();
    (builder.method("relay", relay), probe)
}

fn engine() -> (Engine<u64>, Arc<Probe>) {
    let (builder, probe) = with_relay();
    (builder.build().unwrap(), probe)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_calls_another_session_its_own_and_a_control_method() {
    let (engine, _) = engine();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let there = relayed(&two, "echo", &json!("there"));
    assert_eq!(result(call(&engine, &one, 1, "relay", there.clone()).await), "there");
    let back = relayed(&two, "relay", &relayed(&one, "echo", &json!("back")));
    assert_eq!(result(call(&engine, &one, 1, "relay", back).await), "back");
    let here = relayed(&one, "echo", &json!("here"));
    assert_eq!(result(call(&engine, &one, 1, "relay", here).await), "here");
    assert_eq!(result(call(&engine, &one, 1, "relay", relayed(&two, "ping", &json!(null))).await), json!({}));
    all_gone(&engine).await;
    // The control method that a handler called is no call.
    assert_eq!(engine.counters().answered, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_can_find_calls_and_is_called_by_its_handle() {
    async fn to_itself(ctx: &Ctx, (): ()) -> Answer {
        Ok(ctx.call(ctx.session(), "echo", &"mine").await?)
    }
    let (builder, _) = with_relay();
    let engine = builder.method("to itself", to_itself).build().unwrap();
    let session = engine.open().unwrap();
    let alone = engine.ephemeral();
    assert_eq!(result(call(&engine, &alone, 1, "to itself", json!(null)).await), "mine");
    let there = relayed(&session, "echo", &json!(5));
    assert_eq!(result(call(&engine, &alone, 1, "relay", there).await), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_of_a_callee_reaches_its_caller() {
    let (engine, _) = engine();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let to_two = async |method: &str| {
        error(call(&engine, &one, 1, "relay", relayed(&two, method, &json!(null))).await).0
    };
    assert_eq!(to_two("panics_at_once").await, INTERNAL);
    assert_eq!(to_two("panics_later").await, INTERNAL);
    assert_eq!(to_two("no such method").await, METHOD_NOT_FOUND);
    let gone = engine.open().unwrap();
    gone.close(freehold::CloseReason::Server);
    let to_gone = call(&engine, &one, 1, "relay", relayed(&gone, "echo", &json!(null))).await;
    assert_eq!(error(to_gone).0, SESSION_NOT_FOUND);
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_closes_ends_the_calls_in_it_for_their_callers() {
    let (engine, probe) = engine();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let waits = start(&engine, &one, 1, "relay", relayed(&two, "obedient", &json!(null)));
    probe.entered(1).await;
    two.close(freehold::CloseReason::Server);
    assert_eq!(error(within(waits).await.unwrap()).0, CANCELLED);
    probe.saw("cancelled: SessionClosed, None").await;
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_travels_down_the_chain() {
    let (engine, probe) = engine();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let deep = relayed(&two, "relay", &relayed(&one, "obedient", &json!(null)));
    let waits = start(&engine, &one, 1, "relay", deep);
    probe.entered(1).await;
    assert_eq!(engine.calls().len(), 3);
    assert!(one.cancel(&1.into(), None));
    assert_eq!(error(within(waits).await.unwrap()).0, CANCELLED);
    probe.saw("cancelled: Client, None").await;
    all_gone(&engine).await;
    assert_eq!(engine.counters().cancelled, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_handler_no_longer_waits_for_is_cancelled() {
    async fn loses_interest(ctx: &Ctx, other: String) -> Answer {
        let probe = ctx.app::<Probe>();
        let id: freehold::SessionId = other.parse().unwrap();
        tokio::select! {
            answer = ctx.call::<Value>(id, "obedient", &()) => return Ok(answer?),
            () = probe.entered(1) => {}
        }
        Ok(json!("went on"))
    }
    let (builder, probe) = with_relay();
    let engine = builder.method("loses interest", loses_interest).build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let answer = call(&engine, &one, 1, "loses interest", json!(two.id().to_string())).await;
    assert_eq!(result(answer), "went on");
    probe.saw("cancelled: CallerGone, None").await;
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_never_outlives_its_callers_deadline() {
    async fn remaining(ctx: &Ctx, (): ()) -> Answer {
        ctx.set_timeout(Duration::from_secs(500));
        ctx.made_progress();
        let now = ctx.engine().runtime().now();
        Ok(json!(ctx.deadline().saturating_duration_since(now).as_millis() as u64))
    }
    let (builder, probe) = builder();
    let short = MethodOptions::new().timeout(Duration::from_secs(5));
    let engine = builder
        .method_with("relay", short, relay)
        .method_with("remaining", MethodOptions::new().timeout(Duration::from_secs(100)), remaining)
        .limits(Limits { cancel_grace: Duration::from_millis(20), ..Limits::default() })
        .build()
        .unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let remaining = call(&engine, &one, 1, "relay", relayed(&two, "remaining", &json!(null))).await;
    assert!(result(remaining).as_u64().unwrap() <= 5_000);

    let brief = MethodOptions::new().timeout(Duration::from_millis(50));
    let (builder, _) = support::builder();
    let brief = builder.method_with("relay", brief, relay).build().unwrap();
    let (one, two) = (brief.open().unwrap(), brief.open().unwrap());
    let late = call(&brief, &one, 1, "relay", relayed(&two, "wait", &json!(null))).await;
    assert_eq!(error(late).0, DEADLINE_EXCEEDED);
    all_gone(&brief).await;
    drop(probe);
}

/// Nothing in the world could wake the callee, and its caller waits for it: that is a deadlock of one, found when the
/// caller begins to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_nobody_could_wake_is_ended_long_before_any_deadline() {
    let (engine, _) = engine();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let begun = std::time::Instant::now();
    let answer = call(&engine, &one, 1, "relay", relayed(&two, "never", &json!(null))).await;
    assert_eq!(error(answer).0, DEADLOCK);
    assert!(begun.elapsed() < Duration::from_secs(5), "the deadline is 30 s");
    all_gone(&engine).await;
    assert_eq!(engine.counters().deadlocked, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_does_not_hold_up_what_its_own_calls_call() {
    let (builder, probe) = with_relay();
    let limits =
        Limits { running_per_session: 1, queued_per_session: 1, calls_total: 2, ..Limits::default() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let deep = relayed(&session, "relay", &relayed(&session, "wait", &json!("deep")));
    let chain = start(&engine, &session, 1, "relay", deep);
    probe.entered(1).await;
    // One more waits for the chain's slot, and the next is told at once.
    let queued = start(&engine, &session, 2, "echo", json!(2));
    eventually(|| engine.calls().len() == 4).await;
    assert_eq!(error(call(&engine, &session, 3, "echo", json!(3)).await).0, OVERLOADED);
    probe.release(1);
    assert_eq!(result(within(chain).await.unwrap()), "deep");
    assert_eq!(result(within(queued).await.unwrap()), 2);
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_too_deep_is_told_so_and_by_whom() {
    async fn for_ever(ctx: &Ctx, (): ()) -> Answer {
        Ok(ctx.call(ctx.session(), "for ever", &()).await?)
    }
    let (builder, _) = builder();
    let limits = Limits { nesting: 6, ..Limits::default() };
    let engine = builder.limits(limits).method("for ever", for_ever).build().unwrap();
    let session = engine.open().unwrap();
    let answer = call(&engine, &session, 1, "for ever", json!(null)).await.unwrap();
    let told = answer.result.unwrap_err();
    assert_eq!(told.code.0, CALLS_TOO_DEEP);
    assert!(told.message.contains("more than 6 deep: (+3) > for ever > for ever"), "{told}");
    all_gone(&engine).await;
    assert_eq!(engine.counters().failed, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_may_have_so_many_calls_open() {
    async fn three(ctx: &Ctx, (): ()) -> Answer {
        let call = || ctx.call::<Value>(ctx.session(), "wait", &1);
        let probe = ctx.app::<Probe>();
        let fails_at_once = async {
            probe.entered(2).await;
            let third = ctx.call::<Value>(ctx.session(), "echo", &1).await;
            probe.release(2);
            third
        };
        let (one, two, third) = tokio::join!(call(), call(), fails_at_once);
        assert_eq!((one?, two?), (json!(1), json!(1)));
        Ok(json!(matches!(third, Err(CallError::Overloaded { .. }))))
    }
    let (builder, _) = builder();
    let limits = Limits { calls_per_call: 2, ..Limits::default() };
    let engine = builder.limits(limits).method("three", three).build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(result(call(&engine, &session, 1, "three", json!(null)).await), true);
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_asks_its_client_stops_the_clocks_of_its_callers() {
    let (builder, probe) = builder();
    let brief = MethodOptions::new().timeout(Duration::from_millis(300));
    let engine = builder
        .method_with("relay", brief.clone(), relay)
        .method_with("asks", brief, support::ask)
        .build()
        .unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let mut client = two.listen();
    let chain = start(&engine, &one, 1, "relay", relayed(&two, "asks", &json!("?")));
    probe.entered(1).await;
    eventually(|| two.gauges().questions == 1).await;
    // A person thinks for longer than the caller's whole deadline.
    tokio::time::sleep(Duration::from_millis(600)).await;
    answer_next(&engine, &mut client, &json!("yes")).await;
    assert_eq!(result(within(chain).await.unwrap())["answer"], "yes");
    all_gone(&engine).await;
}

async fn calls_while_holding(what: CallsWhileHolding) -> (Value, u64) {
    static LOCK: Mutex<()> = Mutex::new(());
    async fn holds(ctx: &Ctx, (): ()) -> Answer {
        let held = ctx.lock(&LOCK).await?;
        let first = ctx.call::<Value>(ctx.session(), "echo", &1).await;
        drop(held);
        let second = ctx.call::<Value>(ctx.session(), "echo", &2).await?;
        Ok(json!([matches!(first, Err(CallError::HoldsLocks { held: 1 })), second]))
    }
    let (builder, _) = builder();
    let engine = builder.method("holds", holds).calls_while_holding(what).build().unwrap();
    let session = engine.open().unwrap();
    let answer = result(call(&engine, &session, 1, "holds", json!(null)).await);
    (answer, engine.counters().calls_while_holding)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_made_while_locks_are_held_is_counted_and_refused_if_so_asked() {
    assert_eq!(calls_while_holding(CallsWhileHolding::Allow).await, (json!([false, 2]), 1));
    assert_eq!(calls_while_holding(CallsWhileHolding::Warn).await, (json!([false, 2]), 1));
    assert_eq!(calls_while_holding(CallsWhileHolding::Refuse).await, (json!([true, 2]), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_reaches_all_and_tells_of_each() {
    async fn everybody(ctx: &Ctx, (): ()) -> Answer {
        let gone = ctx.engine().open().unwrap();
        gone.close(freehold::CloseReason::Server);
        let sessions = ctx.engine().sessions();
        let targets = sessions.iter().map(CallTarget::from).chain([CallTarget::Id(gone.id())]);
        let answers = ctx.call_each::<Value>(targets, "echo", &7).await;
        let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let no_session = matches!(bad[..], [Err(CallError::NoSession(_))]);
        Ok(json!([good.len(), no_session]))
    }
    let (builder, _) = builder();
    let engine = builder.method("everybody", everybody).build().unwrap();
    let sessions: Vec<_> = (0..100).map(|_| engine.open().unwrap()).collect();
    assert_eq!(result(call(&engine, &sessions[0], 1, "everybody", json!(null)).await), json!([100, true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_asked_for_by_a_callee_waits_for_nobody_who_waits_for_it() {
    async fn drains(ctx: &Ctx, (): ()) -> Answer {
        let report = ctx.drain(Duration::from_secs(20)).await;
        Ok(json!([report.running, report.cancelled]))
    }
    let (builder, probe) = with_relay();
    let engine = builder.method("drains", drains).build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let other = start(&engine, &one, 1, "wait", json!("other"));
    probe.entered(1).await;
    let chain = start(&engine, &one, 2, "relay", relayed(&two, "drains", &json!(null)));
    eventually(|| engine.is_draining()).await;
    probe.release(1);
    assert_eq!(result(within(other).await.unwrap()), "other");
    assert_eq!(result(within(chain).await.unwrap()), json!([1, 0]));
}

/// The last handle of the caller's future is its own task, so a panic on its way must let its callees know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_panics_cancels_what_it_called() {
    async fn panics_beside(ctx: &Ctx, other: String) -> Answer {
        let id: freehold::SessionId = other.parse().unwrap();
        let probe = ctx.app::<Probe>();
        let _dropped = Dropped(probe.clone(), "caller gone");
        let panics = async {
            probe.entered(1).await;
            panic!("a secret detail");
        };
        let (answer, ()) = tokio::join!(ctx.call::<Value>(id, "obedient", &()), panics);
        answer.map_err(ErrorObject::from)
    }
    let (builder, probe) = builder();
    let engine = builder.method("panics beside", panics_beside).build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let answer = call(&engine, &one, 1, "panics beside", json!(two.id().to_string())).await;
    assert_eq!(error(answer).0, INTERNAL);
    probe.saw("cancelled: CallerGone, None").await;
    all_gone(&engine).await;
}

/// The whole chain has the highest priority of its calls so far.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_is_worth_as_much_as_its_caller() {
    /// Waits for a lock that nobody gives back before its priority was seen: by who it is chosen as a victim.
    async fn locks_twice(ctx: &Ctx, (): ()) -> Answer {
        static LOCK: Mutex<()> = Mutex::new(());
        let _once = ctx.lock(&LOCK).await?;
        let again = ctx.lock(&LOCK).await;
        Ok(json!(again.unwrap_err().is_deadlock()))
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = seen.clone();
    freehold_sync::set_victim_policy(freehold_sync::VictimPolicy::Hook(Arc::new(move |ring| {
        into.lock().unwrap().extend(ring.iter().map(|member| member.priority));
        0
    })));
    let (builder, _) = builder();
    let engine = builder
        .method_with("relay", MethodOptions::new().priority(7), relay)
        .method_with("locks twice", MethodOptions::new().priority(3), locks_twice)
        .build()
        .unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    assert_eq!(result(call(&engine, &two, 1, "locks twice", json!(null)).await), true);
    assert_eq!(
        result(call(&engine, &one, 1, "relay", relayed(&two, "locks twice", &json!(null))).await),
        true
    );
    freehold_sync::set_victim_policy(freehold_sync::VictimPolicy::Youngest);
    let seen = seen.lock().unwrap();
    assert!(seen.contains(&3) && seen.contains(&7), "{seen:?}");
}
