//! Several engines: calls and notifications that go from one to another, and every way in which that fails.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CallError, Engine, EngineBuilder, Gate, MemoryStore, MethodOptions, SessionId, StateError, StoreError,
    cluster::{FaultyStore, Injected, Injections, MemoryCluster, NodeId},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use support::{Answer, Ctx, Probe, all_gone, builder, call, error, relay, relayed, result, start, within};

const DEADLINE_EXCEEDED: i32 = -31003;
const CANCELLED: i32 = -32800;
const CALLS_TOO_DEEP: i32 = -31020;
const INVALID_PARAMS: i32 = -32602;

async fn picky(_: &Ctx, [_]: [u8; 1]) -> Answer {
    Ok(json!(null))
}

async fn add_one(ctx: &Ctx, (): ()) -> Answer {
    Ok(json!(
        ctx.update(|total| {
            *total += 1;
            *total
        })
        .await?
    ))
}

/// Tries to call, and answers with the name of the error.
async fn attempt(ctx: &Ctx, to: String) -> Answer {
    let to: SessionId = to.parse().unwrap();
    let name = match ctx.call::<u64>(to, "add one", &()).await {
        Ok(total) => return Ok(json!(total)),
        Err(CallError::Unavailable) => "unavailable",
        Err(CallError::Unknown) => "unknown",
        Err(CallError::TooLarge) => "too large",
        Err(CallError::NoSession(_)) => "no session",
        Err(other) => panic!("{other}"),
    };
    Ok(json!(name))
}

async fn tell(ctx: &Ctx, to: String) -> Answer {
    let to: SessionId = to.parse().unwrap();
    ctx.notify_session(to, "told", &json!({ "by": ctx.session().id().to_string() })).await?;
    Ok(json!("told"))
}

fn node(cluster: &MemoryCluster) -> (Engine<u64>, Arc<Probe>) {
    node_with(cluster, |builder| builder)
}

fn node_with(
    cluster: &MemoryCluster,
    configure: impl FnOnce(EngineBuilder<u64>) -> EngineBuilder<u64>,
) -> (Engine<u64>, Arc<Probe>) {
    let (builder, probe) = builder();
    let builder = builder
        .method("relay", relay)
        .method("picky", picky)
        .method("add one", add_one)
        .method("attempt", attempt)
        .method("tell", tell);
    (cluster.join(configure(builder)).unwrap(), probe)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_finds_its_session_in_another_engine_and_its_errors_come_back() {
    let cluster = MemoryCluster::default();
    let ((here, _), (there, _)) = (node(&cluster), node(&cluster));
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    assert_eq!(result(call(&here, &one, 1, "relay", relayed(&two, "echo", &json!("far"))).await), "far");
    let back = relayed(&two, "relay", &relayed(&one, "echo", &json!("and back")));
    assert_eq!(result(call(&here, &one, 2, "relay", back).await), "and back");
    let picky = call(&here, &one, 3, "relay", relayed(&two, "picky", &json!("no array"))).await;
    assert_eq!(error(picky).0, INVALID_PARAMS);
    assert_eq!(result(call(&here, &one, 4, "relay", relayed(&two, "ping", &json!(null))).await), json!({}));
    all_gone(&here).await;
    all_gone(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_and_deadline_of_the_caller_reach_the_other_engine() {
    let cluster = MemoryCluster::default();
    let brief = MethodOptions::new().timeout(Duration::from_millis(50));
    let (here, _) = node_with(&cluster, |builder| builder.method_with("brief", brief, relay));
    let (there, probe) = node(&cluster);
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    let waits = start(&here, &one, 1, "relay", relayed(&two, "obedient", &json!(null)));
    probe.entered(1).await;
    assert!(one.cancel(&1.into(), None));
    assert_eq!(error(within(waits).await.unwrap()).0, CANCELLED);
    probe.saw("cancelled: CallerGone, None").await;
    let late = call(&here, &one, 2, "brief", relayed(&two, "wait", &json!(null))).await;
    assert_eq!(error(late).0, DEADLINE_EXCEEDED);
    all_gone(&here).await;
    all_gone(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_as_deep_as_it_is_long_and_enters_its_turns_again_whatever_engines_it_goes_through() {
    async fn for_ever(ctx: &Ctx, to: Vec<String>) -> Answer {
        let next: SessionId = to[0].parse().unwrap();
        let mut on = to.clone();
        on.rotate_left(1);
        Ok(ctx.call(next, "for ever", &on).await?)
    }
    let cluster = MemoryCluster::default();
    let serial = |builder: EngineBuilder<u64>| builder.gate(Gate::Serial).method("for ever", for_ever);
    let ((here, _), (there, _)) = (node_with(&cluster, serial), node_with(&cluster, serial));
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    let back = relayed(&two, "relay", &relayed(&one, "echo", &json!("again")));
    assert_eq!(result(call(&here, &one, 1, "relay", back).await), "again");
    let ids = json!([two.id().to_string(), one.id().to_string()]);
    assert_eq!(error(call(&here, &one, 2, "for ever", ids).await).0, CALLS_TOO_DEEP);
    all_gone(&here).await;
    all_gone(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_reaches_the_client_of_a_session_wherever_it_is() {
    let cluster = MemoryCluster::default();
    let ((here, _), (there, _)) = (node(&cluster), node(&cluster));
    let (one, two, near) = (here.open().unwrap(), there.open().unwrap(), here.open().unwrap());
    for session in [&two, &near] {
        let mut client = session.listen();
        assert_eq!(result(call(&here, &one, 1, "tell", json!(session.id().to_string())).await), "told");
        let told = support::json_of(&within(client.next()).await.unwrap());
        assert_eq!((&told["method"], &told["params"]["by"]), (&json!("told"), &json!(one.id().to_string())));
    }
}

/// Every failure of the directory and of the bus, and whether the call happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_of_directory_and_bus_is_told_as_what_it_is() {
    let injections = Injections::default();
    let cluster = MemoryCluster::with_injections(&injections);
    let ((here, _), (there, _)) = (node(&cluster), node(&cluster));
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    let attempt = async |failures: &[Option<Injected>]| {
        injections.add(failures.iter().copied());
        let answer = result(call(&here, &one, 1, "attempt", json!(two.id().to_string())).await);
        assert_eq!(injections.left(), 0, "all failures were met: {failures:?}");
        (answer, *two.state())
    };
    assert_eq!(attempt(&[]).await, (json!(1), 1));
    // The directory's.
    assert_eq!(attempt(&[Some(Injected::Unavailable)]).await, (json!("unavailable"), 1));
    assert_eq!(attempt(&[Some(Injected::Nowhere)]).await, (json!("no session"), 1));
    // It moved, or the directory is late: looked up once more, and found.
    assert_eq!(attempt(&[None, Some(Injected::StaleAt(NodeId(9)))]).await, (json!(2), 2));
    let gone = [None, Some(Injected::Nowhere), None, Some(Injected::Nowhere)];
    assert_eq!(attempt(&gone).await, (json!("no session"), 2));
    // A node that is not there.
    assert_eq!(attempt(&[Some(Injected::StaleAt(NodeId(9))), None]).await, (json!("unavailable"), 2));
    // The bus's.
    assert_eq!(attempt(&[None, Some(Injected::Unavailable)]).await, (json!("unavailable"), 2));
    assert_eq!(attempt(&[None, Some(Injected::TooLarge)]).await, (json!("too large"), 2));
    assert_eq!(attempt(&[None, Some(Injected::UnknownNotDone)]).await, (json!("unknown"), 2));
    assert_eq!(attempt(&[None, Some(Injected::UnknownDone)]).await, (json!("unknown"), 3), "it happened");
    assert_eq!(attempt(&[]).await, (json!(4), 4), "and all is well again");
    all_gone(&here).await;
    all_gone(&there).await;
}

/// A cancel that is lost leaves the callee to its deadline, which came along with the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cancel_leaves_the_callee_to_its_deadline() {
    let injections = Injections::default();
    let cluster = MemoryCluster::with_injections(&injections);
    let brief = MethodOptions::new().timeout(Duration::from_millis(200));
    let (here, _) = node_with(&cluster, |builder| builder.method_with("brief", brief, relay));
    let (there, probe) = node(&cluster);
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    injections.add([None, None, Some(Injected::Lost)]);
    let waits = start(&here, &one, 1, "brief", relayed(&two, "obedient", &json!(null)));
    probe.entered(1).await;
    assert!(one.cancel(&1.into(), None));
    assert_eq!(error(within(waits).await.unwrap()).0, CANCELLED);
    probe.saw("cancelled: DeadlineExceeded, None").await;
    assert_eq!(injections.left(), 0);
    all_gone(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_gone_has_no_sessions() {
    let cluster = MemoryCluster::default();
    let (here, _) = node(&cluster);
    let one = here.open().unwrap();
    let lost = {
        let (there, _) = node(&cluster);
        let two = there.open().unwrap().id();
        drop(there);
        two
    };
    let attempt = async || result(call(&here, &one, 1, "attempt", json!(lost.to_string())).await);
    let gone = within(async {
        // The sweep of its sessions has a handle for a moment.
        loop {
            let answer = attempt().await;
            if answer == "no session" {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(gone.await, "no session");
}

/// Every outcome of a commit, through the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_of_a_commit_is_told_as_what_it_is() {
    let injections = Injections::default();
    let store = Arc::new(FaultyStore::new(MemoryStore::<u64>::default(), &injections));
    let (builder, _) = builder();
    let engine = builder.store(store).build().unwrap();
    let session = engine.open().unwrap();
    let commit = async |failures: &[Option<Injected>]| {
        injections.add(failures.iter().copied());
        let told = session
            .update(|total| {
                *total += 1;
                *total
            })
            .await;
        assert_eq!(injections.left(), 0, "{failures:?}");
        told
    };
    assert_eq!(commit(&[]).await, Ok(1));
    assert_eq!(commit(&[Some(Injected::Unavailable)]).await, Err(StoreError::Unavailable.into()));
    assert_eq!(commit(&[Some(Injected::TooLarge)]).await, Err(StoreError::TooLarge.into()));
    assert_eq!(commit(&[Some(Injected::Conflict), None]).await, Ok(2), "again after the conflict");
    assert_eq!(commit(&[Some(Injected::UnknownDone)]).await, Ok(3), "found out: it happened");
    assert_eq!(commit(&[Some(Injected::UnknownNotDone), None]).await, Ok(4), "found out: it did not");
    let unknown: Result<u64, StateError> = commit(&[Some(Injected::StillUnknown)]).await;
    assert_eq!(unknown, Err(StoreError::Unknown.into()));
    assert_eq!(*session.state(), 4, "what this engine knows");
    assert_eq!(commit(&[]).await, Ok(6), "the lost commit is met as a conflict, and counted");
}

/// A session that only the store knows is taken up by the engine whose handler calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_the_store_is_taken_up_for_a_call() {
    let store = Arc::new(MemoryStore::<u64>::default());
    let first = builder().0.store(store.clone()).build().unwrap();
    let session = first.open().unwrap();
    session.update(|total| *total = 41).await.unwrap();
    let id = session.id();
    // Another process may take it up after a shutdown.
    session.close(freehold::CloseReason::Shutdown);
    let second =
        builder().0.store(store).method("attempt", attempt).method("add one", add_one).build().unwrap();
    let one = second.open().unwrap();
    let answer = call(&second, &one, 1, "attempt", json!(id.to_string())).await;
    assert_eq!(result(answer), 42);
    assert_eq!(second.session_count(), 2);
}
