//! Serial sessions: turns in order of arrival, entered again by their own chain, never waited for by themselves.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{EngineBuilder, Gate, Limits, MethodOptions, Route, SessionId};
use freehold_sync::{Mode, Mutex};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    Answer, Ctx, Probe, Proven, all_gone, builder, call, error, eventually, relay, relayed, request, result,
    start, within,
};
use tokio::sync::Barrier;

const DEADLOCK: i32 = -31008;
const OVERLOADED: i32 = -31002;
const DEADLINE_EXCEEDED: i32 = -31003;
const CANCELLED: i32 = -32800;

/// Logs that it runs, and how many run beside it.
async fn alone(ctx: &Ctx, number: Value) -> Answer {
    let probe = ctx.app::<Probe>();
    probe.log(format!("begin {number}"));
    tokio::task::yield_now().await;
    probe.log(format!("end {number}"));
    Ok(number)
}

fn serial() -> (EngineBuilder<u64>, Arc<Probe>) {
    let (builder, probe) = builder();
    (builder.gate(Gate::Serial).method("alone", alone).method("relay", relay), probe)
}

/// Nobody began while another one was inside.
fn assert_alone(log: &[String]) {
    for pair in log.chunks(2) {
        let (begin, end) = (&pair[0], &pair[1]);
        assert_eq!(begin.replace("begin", "end"), *end, "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_come_one_at_a_time_in_order_of_arrival() {
    for _ in 0..20 {
        let (builder, probe) = serial();
        let engine = builder.build().unwrap();
        let session = engine.open().unwrap();
        assert_eq!(session.gate(), Gate::Serial);
        let mut stream = session.listen();
        for id in 0..50 {
            engine.dispatch(&session, request(id, "alone", &json!(id)), Route::Session);
        }
        for id in 0..50 {
            let frame = within(stream.next()).await.unwrap();
            assert_eq!(support::json_of(&frame)["id"], id);
        }
        let log = probe.logged();
        assert_alone(&log);
        let order: Vec<_> = (0..50).map(|id| format!("begin {id}")).collect();
        assert_eq!(log.iter().step_by(2).cloned().collect::<Vec<_>>(), order);
        all_gone(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_of_an_engine_can_be_serial() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open_with(|session| session.make_serial()).unwrap();
    assert_eq!(engine.open().unwrap().gate(), Gate::Concurrent);
    let first = start(&engine, &session, 1, "wait", json!(1));
    probe.entered(1).await;
    let second = start(&engine, &session, 2, "wait", json!(2));
    eventually(|| engine.calls().len() == 2).await;
    let waiting = engine.calls().into_iter().filter(|call| call.stage == freehold::Stage::Turn).count();
    assert_eq!(waiting, 1);
    // Control methods need no turn.
    assert_eq!(result(call(&engine, &session, 3, "ping", json!(null)).await), json!({}));
    probe.release(2);
    assert_eq!(result(within(first).await.unwrap()), 1);
    assert_eq!(result(within(second).await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_enters_its_own_turns_again_directly_and_through_others() {
    let (builder, probe) = serial();
    let engine = builder.build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let back = relayed(&two, "relay", &relayed(&one, "relay", &relayed(&one, "alone", &json!("deep"))));
    let chain = start(&engine, &one, 1, "relay", back);
    assert_eq!(result(within(chain).await.unwrap()), "deep");
    assert_eq!(probe.logged(), ["begin \"deep\"", "end \"deep\""]);
    all_gone(&engine).await;
}

/// Both callees run inside of their caller's turn, one after the other; a stranger comes after all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_queue_among_themselves_inside_of_their_callers_turn() {
    async fn twins(ctx: &Ctx, (): ()) -> Answer {
        let twin = |name| ctx.call::<Value>(ctx.session(), "alone", &name);
        ctx.app::<Probe>().enter();
        let (one, two, three) = tokio::join!(twin("one"), twin("two"), twin("three"));
        Ok(json!([one?, two?, three?]))
    }
    for _ in 0..20 {
        let (builder, probe) = serial();
        let engine = builder.method("twins", twins).build().unwrap();
        let session = engine.open().unwrap();
        let caller = start(&engine, &session, 1, "twins", json!(null));
        probe.entered(1).await;
        let stranger = start(&engine, &session, 2, "alone", json!("stranger"));
        assert_eq!(result(within(caller).await.unwrap()), json!(["one", "two", "three"]));
        assert_eq!(result(within(stranger).await.unwrap()), "stranger");
        let log = probe.logged();
        assert_alone(&log);
        let order: Vec<_> = log.iter().step_by(2).map(String::as_str).collect();
        assert_eq!(order, ["begin \"one\"", "begin \"two\"", "begin \"three\"", "begin \"stranger\""]);
        all_gone(&engine).await;
    }
}

/// The caller has its answer, and its turn goes on until the callee that it gave up is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_ends_with_the_last_call_inside_of_it() {
    /// Cleans up for as long as it may.
    async fn slow_to_go(ctx: &Ctx, (): ()) -> Answer {
        let probe = ctx.app::<Probe>();
        probe.enter();
        ctx.cancelled().await;
        probe.log("begin to go");
        probe.released().await;
        probe.log("end to go");
        Ok(json!(null))
    }
    async fn gives_up(ctx: &Ctx, (): ()) -> Answer {
        tokio::select! {
            answer = ctx.call::<Value>(ctx.session(), "slow to go", &()) => Ok(answer?),
            () = ctx.app::<Probe>().entered(1) => Ok(json!("gave up")),
        }
    }
    let (builder, probe) = serial();
    let limits = Limits { cancel_grace: Duration::from_secs(60), ..Limits::default() };
    let engine =
        builder.limits(limits).method("slow to go", slow_to_go).method("gives up", gives_up).build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(result(call(&engine, &session, 1, "gives up", json!(null)).await), "gave up");
    let next = start(&engine, &session, 2, "alone", json!("next"));
    probe.saw("begin to go").await;
    eventually(|| engine.calls().iter().any(|call| call.stage == freehold::Stage::Turn)).await;
    probe.release(1);
    assert_eq!(result(within(next).await.unwrap()), "next");
    assert_eq!(probe.logged(), ["begin to go", "end to go", "begin \"next\"", "end \"next\""]);
    all_gone(&engine).await;
}

/// As many others as there are, each has its turn: one that waits is overtaken by nobody who came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starves_while_others_come_and_come() {
    let (builder, probe) = serial();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut stream = session.listen();
    // Each of four clients sends its next call when it has its answer.
    let mut sent = [0_i64; 4];
    for client in 0..4 {
        engine.dispatch(&session, request(client, "alone", &json!(client)), Route::Session);
    }
    for _ in 0..400 {
        let frame = within(stream.next()).await.unwrap();
        let client = support::json_of(&frame)["id"].as_i64().unwrap();
        sent[usize::try_from(client).unwrap()] += 1;
        let (most, least) = (sent.iter().max().unwrap(), sent.iter().min().unwrap());
        assert!(most - least <= 1, "turns are fair: {sent:?}");
        engine.dispatch(&session, request(client, "alone", &json!(client)), Route::Session);
    }
    assert_alone(&probe.logged()[..800]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_full_a_cancel_and_a_deadline_end_the_wait_for_a_turn() {
    let (builder, probe) = serial();
    let limits = Limits { queued_per_session: 2, ..Limits::default() };
    let brief = MethodOptions::new().timeout(Duration::from_millis(30));
    let engine = builder.limits(limits).method_with("brief", brief, alone).build().unwrap();
    let session = engine.open().unwrap();
    let has_it = start(&engine, &session, 1, "wait", json!(1));
    probe.entered(1).await;
    let cancelled = start(&engine, &session, 2, "alone", json!(2));
    eventually(|| engine.calls().len() == 2).await;
    let late = start(&engine, &session, 3, "brief", json!(3));
    let (code, data) = error(within(late).await.unwrap());
    assert_eq!((code, &data["stage"]), (DEADLINE_EXCEEDED, &json!("turn")));
    eventually(|| engine.calls().len() == 2).await;
    let waits = start(&engine, &session, 4, "alone", json!(4));
    eventually(|| engine.calls().len() == 3).await;
    assert_eq!(error(call(&engine, &session, 5, "alone", json!(5)).await).0, OVERLOADED);
    assert!(session.cancel(&2.into(), None));
    assert_eq!(error(within(cancelled).await.unwrap()).0, CANCELLED);
    // It has left the line at once: it had nothing to clean up.
    eventually(|| engine.calls().len() == 2).await;
    probe.release(1);
    assert_eq!(result(within(has_it).await.unwrap()), 1);
    assert_eq!(result(within(waits).await.unwrap()), 4);
    assert_eq!(probe.logged().iter().filter(|line| line.starts_with("begin")).count(), 1);
    all_gone(&engine).await;
}

/// Where the handlers of a ring meet once each has its turn.
struct Meeting(Barrier);

async fn meets_and_calls(ctx: &Ctx, params: Value) -> Answer {
    ctx.app::<Meeting>().0.wait().await;
    relay(ctx, params).await
}

/// Sessions that call each other in a ring: one is told, the others finish.
async fn ring_of(sessions: usize, prefix: &'static str) {
    let proven = Proven::among(prefix);
    let (builder, _) = serial();
    let method: &'static str = Box::leak(format!("{prefix}call").into_boxed_str());
    let engine = builder
        .app(Arc::new(Meeting(Barrier::new(sessions))))
        .method(method, meets_and_calls)
        .build()
        .unwrap();
    let ring: Vec<_> = (0..sessions).map(|_| engine.open().unwrap()).collect();
    let begun = Instant::now();
    let calls: Vec<_> = (0..sessions)
        .map(|place| {
            let next = &ring[(place + 1) % sessions];
            start(&engine, &ring[place], 1, method, relayed(next, "echo", &json!("through")))
        })
        .collect();
    let mut failed = 0;
    for call in calls {
        match within(call).await.unwrap().unwrap().result {
            Ok(through) => assert_eq!(through.get(), "\"through\""),
            Err(error) => {
                assert_eq!(error.code.0, DEADLOCK, "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 1, "one of {sessions} is told");
    assert!(begun.elapsed() < Duration::from_secs(10), "long before the deadline of 30 s");
    let reports = proven.told(1).await;
    assert_eq!(reports.len(), 1, "one ring, one report");
    // Each member waits for an answer, and each callee for a turn.
    assert_eq!(reports[0].edges.len(), 2 * sessions);
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serial_sessions_that_call_each_other_are_told_who_waits_for_whom() {
    ring_of(2, "two/").await;
    ring_of(3, "three/").await;
}

/// A lock, a turn and an answer: three kinds of wait, one ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_a_lock_a_turn_and_an_answer_is_one_ring() {
    static LOCK: Mutex<()> = Mutex::new(());
    /// Has its session's turn, and wants the lock.
    async fn turn_then_lock(ctx: &Ctx, (): ()) -> Answer {
        ctx.app::<Meeting>().0.wait().await;
        let _lock = ctx.lock(&LOCK).await?;
        Ok(json!("through"))
    }
    /// Has the lock, and wants an answer from the other's session.
    async fn lock_then_call(ctx: &Ctx, other: String) -> Answer {
        let id: SessionId = other.parse().unwrap();
        let _lock = ctx.lock(&LOCK).await?;
        ctx.app::<Meeting>().0.wait().await;
        Ok(ctx.call(id, "echo", &"through").await?)
    }
    let proven = Proven::among("kinds/");
    let (builder, _) = serial();
    let engine = builder
        .app(Arc::new(Meeting(Barrier::new(2))))
        .method("kinds/turn then lock", turn_then_lock)
        .method("kinds/lock then call", lock_then_call)
        .build()
        .unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let first = start(&engine, &one, 1, "kinds/turn then lock", json!(null));
    let second = start(&engine, &two, 1, "kinds/lock then call", json!(one.id().to_string()));
    let answers = [within(first).await.unwrap().unwrap(), within(second).await.unwrap().unwrap()];
    let failed: Vec<_> = answers.into_iter().filter_map(|answer| answer.result.err()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].code.0, DEADLOCK);
    let reports = proven.told(1).await;
    assert_eq!(reports.len(), 1);
    let mut modes: Vec<_> = reports[0].edges.iter().map(|edge| edge.mode.to_string()).collect();
    modes.sort();
    assert_eq!(modes, [Mode::Permits(1), Mode::End, Mode::Lock].map(|mode| mode.to_string()));
    all_gone(&engine).await;
}

/// A callee that was given up goes on in its grace, and its caller keeps the turn for it; if it then waits for somebody who
/// waits for that turn, that is a ring like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_a_callee_in_its_grace_is_found() {
    static LOCK: Mutex<()> = Mutex::new(());
    async fn stubborn(ctx: &Ctx, (): ()) -> Answer {
        ctx.app::<Probe>().enter();
        ctx.cancelled().await;
        let _lock = ctx.lock(&LOCK).await?;
        Ok(json!(null))
    }
    async fn gives_up(ctx: &Ctx, other: String) -> Answer {
        let other: SessionId = other.parse().unwrap();
        tokio::select! {
            answer = ctx.call::<Value>(other, "grace/stubborn", &()) => Ok(answer?),
            () = ctx.app::<Probe>().entered(1) => Ok(json!("gave up")),
        }
    }
    /// Has the lock, and wants a turn.
    async fn lock_then_turn(ctx: &Ctx, other: String) -> Answer {
        let other: SessionId = other.parse().unwrap();
        let _lock = ctx.lock(&LOCK).await?;
        ctx.app::<Probe>().log("has the lock");
        ctx.app::<Probe>().released().await;
        Ok(ctx.call(other, "echo", &"through").await?)
    }
    let proven = Proven::among("grace/");
    let (builder, probe) = builder();
    let limits = Limits { cancel_grace: Duration::from_secs(60), ..Limits::default() };
    let engine = builder
        .limits(limits)
        .method("grace/stubborn", stubborn)
        .method("grace/gives up", gives_up)
        .method("grace/lock then turn", lock_then_turn)
        .build()
        .unwrap();
    let serial = engine.open_with(|session| session.make_serial()).unwrap();
    let (other, third) = (engine.open().unwrap(), engine.open().unwrap());
    let serials_id = json!(serial.id().to_string());
    let has_lock = start(&engine, &third, 1, "grace/lock then turn", serials_id);
    probe.saw("has the lock").await;
    let gave_up = call(&engine, &serial, 1, "grace/gives up", json!(other.id().to_string())).await;
    assert_eq!(result(gave_up), "gave up");
    probe.release(1);
    let begun = Instant::now();
    assert_eq!(result(within(has_lock).await.unwrap()), "through");
    assert!(begun.elapsed() < Duration::from_secs(30), "the grace is 60 s");
    assert_eq!(proven.told(1).await.len(), 1);
    all_gone(&engine).await;
}

/// A chain without a ring, many times at once: nobody is told anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_without_a_ring_are_never_told_of_one() {
    let proven = Proven::among("chain/");
    let (builder, _) = serial();
    let engine = builder.method("chain/relay", relay).build().unwrap();
    let [a, b, c] = [(); 3].map(|()| engine.open().unwrap());
    let calls: Vec<_> = (0..1_000_i64)
        .map(|id| {
            let params = relayed(&b, "chain/relay", &relayed(&c, "echo", &json!(id)));
            start(&engine, &a, id, "chain/relay", params)
        })
        .collect();
    for (id, call) in calls.into_iter().enumerate() {
        assert_eq!(result(within(call).await.unwrap()), id);
    }
    assert_eq!(proven.all().len(), 0);
    all_gone(&engine).await;
}

/// The call that waits for a turn is the engine's to end, whatever its caller's handler does with the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_waits_for_a_turn_ends_with_its_caller() {
    let (builder, probe) = serial();
    let brief = MethodOptions::new().timeout(Duration::from_millis(50));
    let engine = builder.method_with("brief relay", brief, relay).build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let has_it = start(&engine, &two, 1, "wait", json!(1));
    probe.entered(1).await;
    let late = call(&engine, &one, 1, "brief relay", relayed(&two, "alone", &json!(2))).await;
    assert_eq!(error(late).0, DEADLINE_EXCEEDED);
    // It is cancelled once its caller has been answered.
    eventually(|| engine.calls().iter().all(|call| call.method != "alone")).await;
    probe.release(1);
    assert_eq!(result(within(has_it).await.unwrap()), 1);
    all_gone(&engine).await;
    assert_eq!(probe.logged(), ["wait dropped"], "the callee never began");
}

/// A victim's waits fail as long as it has what it had then. Its turn is such a thing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_of_a_deadlock_keeps_its_turn_until_its_callees_are_gone() {
    static LOCK: Mutex<()> = Mutex::new(());
    async fn lingers(ctx: &Ctx, (): ()) -> Answer {
        let probe = ctx.app::<Probe>();
        probe.log("begin 1");
        ctx.cancelled().await;
        probe.released().await;
        probe.log("end 1");
        Ok(json!(null))
    }
    async fn gives_up_and_locks_twice(ctx: &Ctx, (): ()) -> Answer {
        let _first = ctx.lock(&LOCK).await?;
        tokio::select! {
            answer = ctx.call::<Value>(ctx.session().id(), "victim/lingers", &()) => drop(answer?),
            () = ctx.app::<Probe>().saw("begin 1") => {}
        }
        let again = ctx.lock(&LOCK).await;
        ctx.app::<Probe>().enter();
        again.map(|_| json!(null)).map_err(Into::into)
    }
    let (builder, probe) = serial();
    let engine = builder
        .method("victim/lingers", lingers)
        .method("victim/locks", gives_up_and_locks_twice)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let victim = start(&engine, &session, 1, "victim/locks", json!(null));
    probe.saw("begin 1").await;
    let next = start(&engine, &session, 2, "alone", json!(2));
    probe.entered(1).await;
    // It has had its verdict, and its callee is still there.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    probe.release(1);
    assert_eq!(error(within(victim).await.unwrap()).0, DEADLOCK);
    assert_eq!(result(within(next).await.unwrap()), 2);
    assert_alone(&probe.logged());
    all_gone(&engine).await;
}
