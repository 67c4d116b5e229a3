//! The four ways in which servers of this kind are known to hang: callbacks into the engine, access to other sessions from
//! inside of one, locks in different order, and suspension while something is held.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Engine, EngineBuilder, Limits, MethodOptions, Session, SessionId};
use freehold_sync::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Answer, Ctx, Probe, all_gone, builder, call, result, start, within};

/// Calls that run at the same time in each test.
const AT_ONCE: i64 = 100;

/// Starts `AT_ONCE` calls of `method`, over these sessions in turn, and waits for all of their results.
async fn all_at_once(
    engine: &Engine<u64>,
    sessions: &[Session<u64>],
    method: &'static str,
    params: impl Fn(i64) -> Value,
) -> Vec<Value> {
    let start = |id: i64| {
        let session = &sessions[usize::try_from(id).unwrap() % sessions.len()];
        start(engine, session, id, method, params(id))
    };
    let calls: Vec<_> = (0..AT_ONCE).map(start).collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(result(within(call).await.unwrap()));
    }
    results
}

/// Does everything with the engine that a handler may.
async fn calls_back(ctx: &Ctx, (): ()) -> Answer {
    let engine = ctx.engine();
    let other = engine.open().unwrap();
    assert!(engine.sessions().iter().any(|session| session.id() == other.id()));
    assert!(engine.session(ctx.session().id()).is_ok());
    engine.broadcast("news", &json!({}), |_| true).unwrap();
    ctx.update(|count| *count += 1).await?;
    let inside = engine.process(&other, support::request(1, "echo", &json!("inside"))).await;
    let own: Value = ctx.call(ctx.session(), "echo", &"own").await?;
    other.close(CloseReason::Server);
    ctx.notify("done", &json!({})).unwrap();
    Ok(json!([result(inside), own, engine.call_count() > 0]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_call_back_into_the_engine() {
    let hooked = |builder: EngineBuilder<u64>| {
        builder
            .on_opened(|session| drop(session.engine().sessions()))
            .on_called(|session, _| drop(session.engine().broadcast("called", &json!({}), |_| true)))
            .on_closed(|session, _| assert!(session.engine().session(session.id()).is_err()))
    };
    let (builder, _) = builder();
    let engine = hooked(builder).method("calls back", calls_back).build().unwrap();
    let sessions: Vec<_> = (0..10).map(|_| engine.open().unwrap()).collect();
    for answer in all_at_once(&engine, &sessions, "calls back", |_| json!(null)).await {
        assert_eq!(answer, json!(["inside", "own", true]));
    }
    assert_eq!(sessions.iter().map(|session| *session.state()).sum::<u64>(), AT_ONCE as u64);
    assert_eq!(engine.session_count(), 10);
    assert_eq!(engine.counters().hook_panics, 0);
    all_gone(&engine).await;
}

/// Moves one from its own session to another, through a call of that one's.
async fn give(ctx: &Ctx, to: String) -> Answer {
    let to: SessionId = to.parse().unwrap();
    ctx.update(|count| *count -= 1).await?;
    Ok(ctx.call(to, "take", &()).await?)
}

async fn take(ctx: &Ctx, (): ()) -> Answer {
    ctx.update(|count| *count += 1).await?;
    Ok(json!("taken"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_reach_into_each_others_sessions_in_all_directions() {
    let (builder, _) = builder();
    let engine = builder.method("give", give).method("take", take).build().unwrap();
    let sessions: Vec<_> = (0..10).map(|_| engine.open().unwrap()).collect();
    for session in &sessions {
        session.update(|count| *count = 1_000).await.unwrap();
    }
    let to = |id: i64| sessions[usize::try_from(id * 7 + 3).unwrap() % 10].id().to_string();
    let answers = all_at_once(&engine, &sessions, "give", |id| json!(to(id))).await;
    assert!(answers.iter().all(|answer| answer == "taken"));
    assert_eq!(sessions.iter().map(|session| *session.state()).sum::<u64>(), 10_000, "nothing is lost");
    all_gone(&engine).await;
}

struct Accounts([Mutex<u64>; 4]);

/// Locks two accounts in the order of its parameters, with a pause in between.
async fn transfer(ctx: &Ctx, [from, to]: [usize; 2]) -> Answer {
    let Accounts(accounts) = &**ctx.app::<Accounts>();
    let mut from = ctx.lock(&accounts[from]).await?;
    tokio::task::yield_now().await;
    let mut to = ctx.lock(&accounts[to]).await?;
    (*from, *to) = (*from - 1, *to + 1);
    Ok(json!("moved"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_take_locks_in_different_order() {
    let accounts = Arc::new(Accounts(std::array::from_fn(|_| Mutex::new(1_000))));
    let (builder, _) = builder();
    // Every victim is run again: that is what is shown here, and not the bounds of it.
    let policy = freehold::RetryPolicy::default().attempts(100);
    let limits = Limits { retry_burst: 100_000, ..Limits::default() };
    let engine = builder
        .app(accounts.clone())
        .limits(limits)
        .method_with("transfer", MethodOptions::new().idempotent(true).retry(policy), transfer)
        .build()
        .unwrap();
    let sessions: Vec<_> = (0..10).map(|_| engine.open().unwrap()).collect();
    let pair = |id: i64| if id % 2 == 0 { [id % 4, (id + 1) % 4] } else { [id % 4, (id + 3) % 4] };
    let mut rounds = 0;
    while engine.counters().retries == 0 {
        rounds += 1;
        assert!(rounds < 100, "there were no deadlocks to recover from");
        let answers = all_at_once(&engine, &sessions, "transfer", |id| json!(pair(id))).await;
        assert!(answers.iter().all(|answer| answer == "moved"));
    }
    let mut total = 0;
    for account in &accounts.0 {
        total += *account.lock().await.unwrap();
    }
    assert_eq!(total, 4_000);
    all_gone(&engine).await;
}

/// Holds a lock across an await that ends when the test says so.
async fn suspended(ctx: &Ctx, (): ()) -> Answer {
    let Accounts(accounts) = &**ctx.app::<Accounts>();
    let mut account = ctx.lock(&accounts[0]).await?;
    let probe = ctx.app::<Probe>();
    probe.enter();
    probe.released().await;
    *account += 1;
    Ok(json!("done"))
}

/// Wants what the suspended handler holds.
async fn wants(ctx: &Ctx, (): ()) -> Answer {
    let Accounts(accounts) = &**ctx.app::<Accounts>();
    Ok(json!(*ctx.lock(&accounts[0]).await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_suspended_while_it_holds_something() {
    let accounts = Arc::new(Accounts(std::array::from_fn(|_| Mutex::new(0))));
    let (builder, probe) = builder();
    let engine = builder
        .app(accounts)
        .method("suspended", suspended)
        .method("wants", wants)
        .method("take", take)
        .build()
        .unwrap();
    let sessions: Vec<_> = (0..10).map(|_| engine.open().unwrap()).collect();
    let holds = start(&engine, &sessions[0], 1_000, "suspended", json!(null));
    probe.entered(1).await;
    let waits = start(&engine, &sessions[1], 1_000, "wants", json!(null));
    // Nobody else notices: not in its session, not in others, not those that call.
    assert_eq!(all_at_once(&engine, &sessions, "take", |_| json!(null)).await.len(), AT_ONCE as usize);
    assert_eq!(result(call(&engine, &sessions[0], 1_001, "ping", json!(null)).await), json!({}));
    probe.release(1);
    assert_eq!(result(within(holds).await.unwrap()), "done");
    assert_eq!(result(within(waits).await.unwrap()), 1);
    all_gone(&engine).await;
}
