//! What the handlers do, and what they do it with.

use freehold::{
    Context, ErrorObject, SessionId, StateError, StoreError,
    runtime::pause,
    sync::{LockError, Mutex, PermitPool, RwLock},
};
use freehold_testing::Random;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Once, OnceLock, PoisonError},
    time::Duration,
};

pub(crate) type Ctx = Context<u64>;
pub(crate) type Answer = Result<Value, ErrorObject>;

pub(crate) const MUTEXES: usize = 4;
pub(crate) const PERMITS: u32 = 2;
const PANIC: &str = "a panic on purpose";

/// Keeps panics on purpose out of the output.
pub(crate) fn hide_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(PANIC) {
                report(panic);
            }
        }));
    });
}

/// What is known of the changes of one session's state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    /// Said to have happened.
    pub(crate) done: u64,
    /// Begun, and not said to have failed: they may have happened.
    pub(crate) possible: u64,
}

pub(crate) struct World {
    /// Whether nothing is there that does not end soon by itself.
    pub(crate) calm: bool,
    pub(crate) sessions: OnceLock<Vec<SessionId>>,
    pub(crate) mutexes: [Mutex<u64>; MUTEXES],
    pub(crate) table: RwLock<u64>,
    pub(crate) permits: PermitPool,
    changes: std::sync::Mutex<BTreeMap<SessionId, Changes>>,
}

impl World {
    pub(crate) fn new(calm: bool) -> Arc<Self> {
        Arc::new(Self {
            calm,
            sessions: OnceLock::new(),
            mutexes: std::array::from_fn(|_| Mutex::new(0)),
            table: RwLock::new(0),
            permits: PermitPool::new(PERMITS),
            changes: std::sync::Mutex::default(),
        })
    }

    fn change(&self, session: SessionId, note: impl FnOnce(&mut Changes)) {
        note(self.changes.lock().unwrap_or_else(PoisonError::into_inner).entry(session).or_default());
    }

    pub(crate) fn changes_of(&self, session: SessionId) -> Changes {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(&session).copied().unwrap_or_default()
    }
}

/// Does a few things at random, by the seed that it is given, with what it has locked still locked.
pub(crate) async fn wander(ctx: &Ctx, seed: u64) -> Answer {
    let world = ctx.app::<World>();
    let mut random = Random::new(seed);
    let (mut guards, mut permits) = (Vec::new(), Vec::new());
    for _ in 0..random.within(1..5) {
        match random.below(20) {
            0..=5 => guards.push(ctx.lock(&world.mutexes[random.below(MUTEXES)]).await?),
            6 => *ctx.write(&world.table).await? += 1,
            7 => drop(ctx.read(&world.table).await?),
            8 => permits.push(ctx.permit(&world.permits).await?),
            9 | 10 => rest(ctx, random.next_u64() % 5_000).await,
            11 | 12 => add(ctx).await?,
            13..=15 => {
                let to = *random.pick(world.sessions.get().expect("set before the first call"));
                ctx.call::<Value>(to, "wander", &random.next_u64()).await?;
            }
            16 => {
                let _ = ctx.ask::<Value>("question", &0).await;
            }
            17 => {
                for note in 0..random.below(12) {
                    ctx.notify("note", &note).expect("a number is JSON");
                }
            }
            18 => ctx.detach(async {}),
            _ => hazard(ctx, &mut random).await,
        }
    }
    guards.iter_mut().for_each(|guard| **guard += 1);
    Ok(json!(guards.len() + permits.len()))
}

/// Of the rarer kind.
async fn hazard(ctx: &Ctx, random: &mut Random) {
    match random.below(3) {
        0 => panic!("{PANIC}"),
        // Takes no notice of a cancel, and does not end by itself.
        1 if !ctx.app::<World>().calm => std::future::pending().await,
        _ => {
            ctx.made_progress();
            rest(ctx, 10_000).await;
        }
    }
}

async fn rest(ctx: &Ctx, micros: u64) {
    pause(&**ctx.engine().runtime(), Duration::from_micros(micros)).await;
}

/// Changes the session's state, and keeps book of it.
async fn add(ctx: &Ctx) -> Result<(), StateError> {
    let (world, session) = (ctx.app::<World>(), ctx.session().id());
    world.change(session, |changes| changes.possible += 1);
    let changed = ctx.update(|sum| *sum += 1).await;
    match changed {
        Ok(()) => world.change(session, |changes| changes.done += 1),
        Err(StateError::Store(StoreError::Unknown)) => {}
        Err(_) => world.change(session, |changes| changes.possible -= 1),
    }
    changed
}

/// Takes two locks in any order, and nothing else: it may be run again.
pub(crate) async fn pair(ctx: &Ctx, (first, second): (usize, usize)) -> Result<Value, LockError> {
    let world = ctx.app::<World>();
    let _first = ctx.lock(&world.mutexes[first]).await?;
    rest(ctx, 500).await;
    if first != second {
        drop(ctx.lock(&world.mutexes[second]).await?);
    }
    Ok(json!("both"))
}

/// Ends once it is cancelled.
pub(crate) async fn obeys(ctx: &Ctx, (): ()) -> Answer {
    let reason = ctx.cancelled().await;
    rest(ctx, 1_000).await;
    Ok(json!(format!("{reason:?}")))
}
