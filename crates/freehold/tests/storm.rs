//! Thousands of operations on few sessions: nested calls in any direction, locks in any order, pauses and cancels. All of
//! them end, each with one outcome, and who is told of a deadlock was in one.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{Engine, Gate, Limits, Message, Request, Session, SessionId};
use freehold_sync::{Event, Grade, Mutex, PermitPool, RwLock, Subscription, subscribe};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{Answer, Ctx, all_gone, within};

const DEADLOCK: i32 = -31008;
const CANCELLED: i32 = -32800;
const CALLS_TOO_DEEP: i32 = -31020;

/// Random numbers from a seed (splitmix64), so that a failing run can be had again.
#[derive(Clone, Copy)]
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }
}

/// What the handlers want.
struct World {
    sessions: std::sync::OnceLock<Vec<SessionId>>,
    mutexes: [Mutex<u64>; 8],
    table: RwLock<u64>,
    permits: PermitPool,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sessions: std::sync::OnceLock::new(),
            mutexes: std::array::from_fn(|_| Mutex::new(0)),
            table: RwLock::new(0),
            permits: PermitPool::new(3),
        })
    }
}

/// Does a few things at random, by the seed that it is given, with what it has locked still locked.
async fn wander(ctx: &Ctx, seed: u64) -> Answer {
    let world = ctx.app::<World>();
    let mut random = Seeded(seed);
    let mut guards = Vec::new();
    let mut permits = Vec::new();
    for _ in 0..=random.below(3) {
        match random.below(10) {
            0..=2 => guards.push(ctx.lock(&world.mutexes[random.below(8)]).await?),
            3 => *ctx.write(&world.table).await? += 1,
            4 => drop(ctx.read(&world.table).await?),
            5 => permits.push(ctx.permit(&world.permits).await?),
            6 => tokio::task::yield_now().await,
            7 => tokio::time::sleep(Duration::from_micros(random.next() % 300)).await,
            8 => drop(ctx.update(|state| *state += 1).await),
            _ => {
                let sessions = world.sessions.get().unwrap();
                let to = sessions[random.below(sessions.len() as u64)];
                ctx.call::<Value>(to, "wander", &random.next()).await?;
            }
        }
    }
    guards.iter_mut().for_each(|guard| **guard += 1);
    Ok(json!(guards.len() + permits.len()))
}

/// Counts the verdicts among the handlers of this file.
struct Verdicts {
    count: Arc<AtomicUsize>,
    _subscription: Subscription,
}

impl Verdicts {
    fn new() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let into = count.clone();
        let subscription = subscribe(move |event| {
            if let Event::Deadlock(report) = event
                && report.grade == Grade::Proven
            {
                into.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { count, _subscription: subscription }
    }
}

/// What the answers of a storm were.
#[derive(Debug, Default)]
struct Tally {
    results: usize,
    deadlocks: usize,
    cancelled: usize,
    too_deep: usize,
}

impl Tally {
    fn count(&mut self, answer: &freehold::Response<'_>) {
        match &answer.result {
            Ok(_) => self.results += 1,
            Err(error) => match error.code.0 {
                DEADLOCK => self.deadlocks += 1,
                CANCELLED => self.cancelled += 1,
                CALLS_TOO_DEEP => self.too_deep += 1,
                _ => panic!("nothing else may happen: {error}"),
            },
        }
    }
}

/// Ten thousand operations over ten sessions, of which every third is serial; every tenth is cancelled somewhere.
async fn storm(seed: u64, operations: usize) -> Tally {
    let world = World::new();
    let limits = Limits {
        // No lock is waited for longer than half of the deadline; a busy machine must not be what ends a wait.
        deadline: Duration::from_secs(600),
        cancel_grace: Duration::from_secs(20),
        ..Limits::default()
    };
    let engine =
        Engine::builder(0).app(world.clone()).limits(limits).method("wander", wander).build().unwrap();
    let sessions: Vec<Session<u64>> = (0..10)
        .map(|number| {
            let serial = |session: &Session<u64>| {
                if number % 3 == 0 {
                    session.make_serial();
                }
            };
            engine.open_with(serial).unwrap()
        })
        .collect();
    assert!(sessions.iter().any(|session| session.gate() == Gate::Serial));
    world.sessions.set(sessions.iter().map(Session::id).collect()).unwrap();

    let mut random = Seeded(seed);
    let mut running = tokio::task::JoinSet::new();
    let mut tally = Tally::default();
    for id in 0..operations {
        let session = sessions[id % 10].clone();
        let (engine, params, cancelled) = (engine.clone(), random.next(), random.below(10) == 0);
        let id = i64::try_from(id).unwrap();
        running.spawn(async move {
            let request: Message<'_> = Request::new(id, "wander", &params).unwrap().into();
            let process = engine.process(&session, request);
            if !cancelled {
                return process.await;
            }
            let cancel = async {
                tokio::time::sleep(Duration::from_micros(params % 2_000)).await;
                session.cancel(&id.into(), None);
            };
            tokio::join!(process, cancel).0
        });
    }
    while let Some(answer) = within(running.join_next()).await {
        tally.count(&answer.unwrap().expect("every request has an answer"));
    }
    all_gone(&engine).await;
    assert!(world.mutexes.iter().all(|mutex| mutex.try_lock().is_some()), "nothing stays locked");
    assert_eq!(world.permits.available(), 3);
    let counters = engine.counters();
    assert_eq!(counters.panicked + counters.deadline_exceeded + counters.overloaded, 0, "{counters:?}");
    tally
}

fn figure(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// `FREEHOLD_STORM_SEEDS` and `FREEHOLD_STORM_FIRST` choose other seeds; those that passed are printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_nested_calls_and_locks_ends_with_one_outcome_for_each() {
    // Long queues are part of the storm; only a ring may end a wait.
    freehold_sync::set_wait_limit(Duration::from_secs(600));
    let first = figure("FREEHOLD_STORM_FIRST", 1);
    let (mut results, mut deadlocks) = (0, 0);
    for seed in first..first + figure("FREEHOLD_STORM_SEEDS", 2) {
        let verdicts = Verdicts::new();
        let tally = storm(seed, 10_000).await;
        let told = verdicts.count.load(Ordering::Relaxed);
        println!("seed {seed}: {tally:?}, {told} verdicts");
        assert_eq!(tally.results + tally.deadlocks + tally.cancelled + tally.too_deep, 10_000);
        // One error travels up its chain to one answer; a victim that was cancelled tells nobody.
        assert!(tally.deadlocks <= told, "nobody is told of a deadlock that was none");
        results += tally.results;
        deadlocks += tally.deadlocks;
    }
    assert!(results > 0 && deadlocks > 0, "it is a storm");
}
