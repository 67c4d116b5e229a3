//! The kit finds what it is there to find, and runs of one seed are one run.

#![allow(clippy::disallowed_methods, reason = "handlers of users sleep by tokio, too")]

use freehold::{
    CancelReason, Context, Engine, ErrorObject, Limits, Session,
    runtime::Runtime,
    sync::{Mutex, PermitPool},
};
use freehold_testing::{Explore, Failure, Finding, Simulation, Trace};
use std::{sync::Arc, time::Duration};

type Ctx = Context<u64>;
type Answer = Result<u64, ErrorObject>;

struct World {
    locks: [Mutex<u64>; 2],
    permits: PermitPool,
}

/// Takes two locks, in the order that it is told, with a pause in between.
async fn both(ctx: &Ctx, (first, second): (usize, usize)) -> Answer {
    let world = ctx.app::<World>();
    let _permit = ctx.permit(&world.permits).await?;
    let mut outer = ctx.lock(&world.locks[first]).await?;
    tokio::time::sleep(Duration::from_millis(3)).await;
    let mut inner = ctx.lock(&world.locks[second]).await?;
    *outer += 1;
    *inner += 1;
    Ok(*outer + *inner)
}

/// Adds to the state of its session.
async fn add(ctx: &Ctx, amount: u64) -> Answer {
    Ok(ctx
        .update(|sum| {
            *sum += amount;
            *sum
        })
        .await?)
}

/// Calls `add` of its own session while it holds a lock.
async fn holds(ctx: &Ctx, amount: u64) -> Answer {
    let _held = ctx.lock(&ctx.app::<World>().locks[0]).await?;
    Ok(ctx.call(ctx.session().id(), "add", &amount).await?)
}

/// Never ends by itself, and takes no notice of its cancel.
async fn never(_: &Ctx, (): ()) -> Answer {
    std::future::pending().await
}

/// Ends when it is cancelled.
async fn obeys(ctx: &Ctx, (): ()) -> Answer {
    match ctx.cancelled().await {
        CancelReason::DeadlineExceeded => Ok(1),
        _ => Ok(2),
    }
}

fn engine(sim: &Simulation) -> (Engine<u64>, Arc<World>) {
    let world = Arc::new(World { locks: [Mutex::new(0), Mutex::new(0)], permits: PermitPool::new(2) });
    let builder = Engine::builder(0)
        .app(world.clone())
        .limits(Limits { deadline: Duration::from_secs(4), ..Limits::default() })
        .method("both", both)
        .method("add", add)
        .method("holds", holds)
        .method("never", never)
        .method("obeys", obeys);
    (sim.engine(builder), world)
}

fn client(
    sim: &Simulation,
    session: &Session<u64>,
    method: &'static str,
    params: impl serde::Serialize + Send + Sync + 'static,
) -> freehold_testing::Joined<Result<(), i32>> {
    let (sim, session) = (sim.clone(), session.clone());
    sim.clone().spawn("client", async move {
        sim.call(&session, method, &params).await.result.map(drop).map_err(|error| error.code.0)
    })
}

/// Two sessions that take the locks in these orders at the same time.
async fn pair(sim: Simulation, orders: [(usize, usize); 2]) {
    let (engine, world) = engine(&sim);
    let (a, b) = (engine.open().unwrap(), engine.open().unwrap());
    let (one, two) = (client(&sim, &a, "both", orders[0]), client(&sim, &b, "both", orders[1]));
    let answers = [one.await.unwrap(), two.await.unwrap()];
    let done = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    // Who was chosen to end a deadlock had no effect.
    assert_eq!((*world.locks[0].try_lock().unwrap(), world.permits.available()), (done, 2));
    sim.log(&format!("{answers:?}"));
}

#[test]
fn locks_in_one_order_pass() {
    let explored = Explore::new().schedules(100).run(|sim| pair(sim, [(0, 1), (0, 1)]));
    assert_eq!((explored.schedules, explored.deadlocks), (100, 0));
    assert!(explored.elapsed >= Duration::from_millis(300), "the pauses are in virtual time: {explored:?}");
}

fn deadlocks(explore: &Explore) -> Box<Failure> {
    explore.try_run(|sim| pair(sim, [(0, 1), (1, 0)])).expect_err("they deadlock")
}

#[test]
fn a_deadlock_is_found_told_and_can_be_had_again() {
    let failure = deadlocks(&Explore::new().schedules(100));
    let text = failure.to_string();
    assert!(failure.findings.iter().any(|found| matches!(found, Finding::Deadlock(_))), "{text}");
    for part in [
        "a deadlock:",
        "FREEHOLD_SEED=",
        "a_deadlock_is_found_told_and_can_be_had_again -- --exact",
        "(client)",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let again = Explore::new().replay(failure.seed, |sim| pair(sim, [(0, 1), (1, 0)])).expect_err("again");
    assert_eq!(again.trace, failure.trace);
}

#[test]
fn the_lowest_seed_is_told_whatever_the_number_of_threads() {
    let seeds = [1, 2, 5].map(|threads| deadlocks(&Explore::new().schedules(60).threads(threads)).seed);
    assert_eq!(seeds, [seeds[0]; 3]);
}

#[test]
fn a_deadlock_that_is_allowed_is_broken() {
    let explore = Explore::new().schedules(100).allow_deadlocks();
    let told =
        explore.try_run(|sim| pair(sim, [(0, 1), (1, 0)])).expect_err("the order is a finding of its own");
    assert!(told.findings.iter().all(|found| matches!(found, Finding::Order(_))), "{told}");
    let explored = explore.allow_order_violations().run(|sim| pair(sim, [(0, 1), (1, 0)]));
    assert!(explored.deadlocks > 10, "{explored:?}");
}

#[test]
fn a_call_with_a_lock_in_hand_is_found() {
    let program = |sim: Simulation| async move {
        let (engine, _) = engine(&sim);
        assert_eq!(client(&sim, &engine.open().unwrap(), "holds", 5).await, Some(Ok(())));
    };
    let failure = Explore::new().schedules(1).try_run(program).expect_err("it holds a lock");
    assert!(
        matches!(&failure.findings[..], [Finding::CalledWhileHolding { caller, held: 1, .. }] if caller == "holds"),
        "{failure}"
    );
    Explore::new().schedules(20).allow_calls_while_holding().run(program);
}

#[test]
fn a_program_that_never_ends_is_found_with_who_is_left() {
    let failure = Explore::new()
        .schedules(1)
        .time_limit(Duration::from_secs(2))
        .try_run(|sim| async move {
            let (engine, _) = engine(&sim);
            client(&sim, &engine.open().unwrap(), "never", ()).await;
        })
        .expect_err("its limit is before the deadline");
    assert!(failure.to_string().contains("a call of never (1), at the stage Handler"), "{failure}");
}

#[test]
fn a_lock_that_is_left_behind_is_found() {
    let failure = Explore::new()
        .schedules(1)
        .try_run(|sim| async move {
            let (_, world) = engine(&sim);
            sim.spawn("forgets", async move {
                let held = freehold::sync::activity(async |ctx| {
                    std::mem::forget(ctx.lock(&world.locks[0]).await);
                    std::future::pending::<()>().await;
                });
                let _ = held.named("forgetful").await;
            });
            sim.pause(Duration::from_millis(1)).await;
        })
        .expect_err("somebody holds a lock for ever");
    assert!(failure.to_string().contains("forgetful, which holds a"), "{failure}");
}

#[test]
fn tasks_that_spin_are_found() {
    let spins = |sim: Simulation| async move {
        loop {
            sim.give_way().await;
        }
    };
    let failure = Explore::new().schedules(1).try_run(spins).expect_err("time never passes");
    assert!(matches!(failure.findings[..], [Finding::Spins]), "{failure}");
}

#[test]
fn an_assertion_that_fails_is_told_with_its_seed() {
    let failure = Explore::new()
        .schedules(50)
        .try_run(|sim| async move { assert!(sim.seed() < 17, "too high") })
        .expect_err("from 17 on");
    assert_eq!(failure.seed, 17);
    assert!(failure.to_string().contains("program panicked: too high"), "{failure}");
}

#[test]
fn what_does_not_follow_from_the_seed_is_told_all_the_same() {
    let runs = std::sync::atomic::AtomicU64::new(0);
    let failure = Explore::new()
        .schedules(1)
        .try_run(|_| {
            let first = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            async move { assert!(!first, "the first time only") }
        })
        .expect_err("it failed once");
    assert!(!failure.repeats && failure.to_string().contains("It did not show that when"), "{failure}");
}

#[test]
fn deadlines_pass_in_virtual_time() {
    let explored = Explore::new().schedules(20).run(|sim| async move {
        let (engine, _) = engine(&sim);
        let session = engine.open().unwrap();
        // Both end at four seconds, sharp; the one that takes no notice is dropped a second later.
        let (never, obeys) = (client(&sim, &session, "never", ()), client(&sim, &session, "obeys", ()));
        let deadline = freehold::ErrorCode::DEADLINE_EXCEEDED.0;
        assert_eq!((never.await, obeys.await), (Some(Err(deadline)), Some(Err(deadline))));
        assert_eq!(sim.elapsed().as_millis() / 10, 400);
    });
    assert!(explored.elapsed >= Duration::from_secs(80) && explored.steps < 20_000, "{explored:?}");
}

#[test]
fn locks_are_waited_for_in_virtual_time() {
    // A wait without a limit of its own leaves half of the deadline: two of four seconds.
    Explore::new().schedules(20).run(|sim| async move {
        let (engine, world) = engine(&sim);
        let session = engine.open().unwrap();
        let held = world.locks[0].try_lock().unwrap();
        let answer = client(&sim, &session, "both", (0, 1)).await;
        assert_eq!(answer, Some(Err(freehold::ErrorCode::LOCK_TIMEOUT.0)));
        assert_eq!(sim.elapsed().as_millis() / 10, 200);
        drop(held);
    });
}

#[test]
fn waits_in_other_threads_are_not_of_this_time() {
    use freehold::sync::{activity, observe};
    let lock = Arc::new(Mutex::new(0_u64));
    let held = lock.try_lock().expect("nobody else has it");
    let wanted = lock.clone();
    let waits = std::thread::spawn(move || {
        let wait = activity(async |ctx| ctx.lock(&wanted).await.map(|guard| *guard)).named("in real time");
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(wait)
    });
    while !observe().members.iter().any(|member| member.actor.name == "in real time") {
        std::thread::yield_now();
    }
    // An hour and more than one wait at its limit: whoever looked at that wait by this time would end it.
    Explore::new().schedules(1).time_limit(Duration::MAX / 4).run(|sim| async move {
        let (engine, world) = engine(&sim);
        let taken = world.locks[0].try_lock().unwrap();
        let session = engine.open().unwrap();
        assert!(client(&sim, &session, "both", (0, 1)).await.unwrap().is_err());
        sim.pause(Duration::from_secs(3_600)).await;
        assert!(observe().members.is_empty(), "nor is it seen here");
        drop(taken);
    });
    drop(held);
    assert!(matches!(waits.join().unwrap(), Ok(Ok(0))));
}

fn trace(seed: u64) -> Trace {
    let explore = Explore::new().allow_deadlocks().allow_order_violations();
    explore.replay(seed, |sim| pair(sim, [(0, 1), (1, 0)])).expect("allowed").1
}

#[test]
fn one_seed_is_one_trace_and_another_seed_another_one() {
    let (first, second) = (trace(7), trace(7));
    assert!(first.lines().count() > 10);
    for (one, two) in first.lines().zip(second.lines()) {
        assert_eq!(one, two);
    }
    assert_eq!(first, second);
    let digests: std::collections::BTreeSet<_> = (1..=30).map(|seed| trace(seed).digest()).collect();
    assert!(digests.len() > 20, "schedules differ: {}", digests.len());
}

/// What an application keeps, and panics when it is dropped.
struct Breaks(&'static str);

impl Drop for Breaks {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_value_that_panics_in_its_drop_at_the_end_of_a_run_is_told_with_its_seed() {
    let failure = Explore::new()
        .schedules(1)
        .try_run(|sim| async move {
            for what in ["the first", "the second"] {
                sim.engine(Engine::builder(0_u64).app(Arc::new(Breaks(what))));
            }
            // It ends only with the run, and leaves another one behind.
            let (runtime, last) = (sim.runtime(), Breaks("the last"));
            let unseen = Spawns(Some((runtime, last)));
            sim.spawn("ends with the run", async move {
                let _unseen = unseen;
                std::future::pending::<()>().await;
            });
        })
        .expect_err("they panic");
    let text = failure.to_string();
    assert!(failure.seed == 1 && failure.repeats, "{text}");
    for what in ["the first", "the second", "the last"] {
        assert!(text.contains(&format!("panicked: {what}")), "{what}: {text}");
    }
}

/// Spawns a task in its drop, which has the value.
struct Spawns(Option<(Arc<dyn Runtime>, Breaks)>);

impl Drop for Spawns {
    fn drop(&mut self) {
        if let Some((runtime, value)) = self.0.take() {
            runtime.spawn("left behind", Box::pin(async move { drop(value) }));
        }
    }
}
