//! Runs a program as activities on tokio.

use super::{
    plan::{Block, End, Kill, Plan, Step, Take},
    world::{Lock, World},
};
use freehold_sync::{Context, Ended, LockError, Mutex, MutexGuard, Selected, joinable};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

type Outcome = Result<(), LockError>;
type Boxed<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Runs the program to its end, whatever becomes of its activities.
pub(crate) async fn run_plan(world: &Arc<World>, plan: &Plan) {
    let mut aborts = Vec::new();
    let mut cancels = Vec::new();
    for (number, block) in plan.activities.iter().enumerate() {
        let (abort, cancel) = spawn_block(world, block, number);
        aborts.push(abort);
        cancels.push(cancel);
    }
    for Kill { activity, after, how } in plan.kills.iter().copied() {
        let (abort, cancel) = (aborts[activity].clone(), cancels[activity].clone());
        let kill = async move {
            tokio::time::sleep(Duration::from_micros(after)).await;
            match how {
                End::Abort => abort.abort(),
                End::Cancel => cancel.cancel(),
            }
        };
        keep(world, tokio::spawn(kill));
    }
    drop(cancels);
    // Tasks may leave others behind.
    while let Some(task) = next_task(world) {
        if task.await.is_err_and(|error| error.is_panic()) {
            world.wrong("a task panicked");
        }
    }
    // Tasks of a `JoinSet` that was dropped, and blocking work that nobody awaits any more, end when they like. What
    // they hold they borrow from the world they keep.
    while Arc::strong_count(world) > 1 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

fn next_task(world: &World) -> Option<tokio::task::JoinHandle<()>> {
    world.tasks.lock().unwrap().pop()
}

fn keep(world: &World, task: tokio::task::JoinHandle<()>) {
    world.tasks.lock().unwrap().push(task);
}

/// Spawns a block as an activity of its own.
fn spawn_block(
    world: &Arc<World>,
    block: &Block,
    number: usize,
) -> (tokio::task::AbortHandle, freehold_sync::ActivityHandle) {
    let (mine, block) = (world.clone(), block.clone());
    let mut activity = freehold_sync::activity(async move |ctx: &Context| run(ctx, &mine, &block).await)
        .named(format!("{} activity {number}", world.name));
    let cancel = activity.handle();
    let noted = world.clone();
    let task = tokio::spawn(async move { drop(ended(&noted, activity.await)) });
    let abort = task.abort_handle();
    keep(world, task);
    (abort, cancel)
}

/// Notes the end of an activity that was ended by a verdict.
fn ended(world: &World, result: Result<Outcome, Ended>) -> Outcome {
    match result {
        Ok(outcome) => outcome,
        Err(Ended::Orphan(report)) => {
            world.see(|seen| seen.ended.insert(report.id.clone()));
            Ok(())
        }
        Err(_) => {
            world.wrong("an activity was dropped without a verdict");
            Ok(())
        }
    }
}

fn run<'a>(ctx: &'a Context, world: &'a Arc<World>, block: &'a [Step]) -> Boxed<'a> {
    Box::pin(async move {
        for step in block {
            run_step(ctx, world, step).await?;
        }
        Ok(())
    })
}

fn run_step<'a>(ctx: &'a Context, world: &'a Arc<World>, step: &'a Step) -> Boxed<'a> {
    match step {
        Step::Hold { lock, take, limit, body } => Box::pin(hold(ctx, world, *lock, *take, *limit, body)),
        Step::Try { lock, take, body } => Box::pin(try_hold(ctx, world, *lock, *take, body)),
        Step::Both { first, second, body } => Box::pin(both(ctx, world, *first, *second, body)),
        Step::Owned { lock, body } => Box::pin(owned(ctx, world, *lock, body)),
        Step::PlainTask { lock, take, hold } => Box::pin(plain_task(world, *lock, *take, *hold)),
        Step::Sections { first, second, elsewhere } => {
            Box::pin(sections(ctx, world, *first, *second, *elsewhere))
        }
        Step::Yield(..) | Step::Sleep(..) | Step::Blocking(..) | Step::InPlace(..) => {
            Box::pin(pass_time(world, step))
        }
        Step::JoinOwn(..) | Step::SelectOwn(..) | Step::JoinAll(..) => Box::pin(children(ctx, world, step)),
        Step::Spawn { child, meanwhile } => Box::pin(spawn(ctx, world, child, meanwhile)),
        Step::Detach(child) => Box::pin(async move {
            spawn_block(world, child, 999);
            Ok(())
        }),
        Step::Swallow(body) => Box::pin(async move {
            let _ = run(ctx, world, body).await;
            Ok(())
        }),
        Step::Unordered(..) | Step::JoinSet(..) => Box::pin(foreign(ctx, world, step)),
        _ => Box::pin(branches(ctx, world, step)),
    }
}

// ---- locks ---------------------------------------------------------------------------------------------------------

/// Sets the limit of a wait, if it has one of its own.
macro_rules! limited {
    ($wait:expr, $limit:expr) => {
        match $limit {
            Some(limit) => $wait.within(Duration::from_micros(limit)),
            None => $wait,
        }
    };
}

async fn hold(
    ctx: &Context,
    world: &Arc<World>,
    lock: usize,
    take: Take,
    limit: Option<u64>,
    body: &[Step],
) -> Outcome {
    let (who, own) = (Some(ctx), limit.is_some());
    match (&world.locks[lock], take) {
        (Lock::Mutex(mutex, inside), _) => {
            let Some(mut value) = world.note(who, own, limited!(ctx.lock(mutex), limit).await)? else {
                return Ok(());
            };
            let _visit = inside.alone(world);
            change(world, lock, &mut value);
            run(ctx, world, body).await
        }
        (Lock::ReadWrite(shared, inside), Take::Read) => {
            let Some(_value) = world.note(who, own, limited!(ctx.read(shared), limit).await)? else {
                return Ok(());
            };
            let _visit = inside.reading(world);
            run(ctx, world, body).await
        }
        (Lock::ReadWrite(shared, inside), _) => {
            let Some(mut value) = world.note(who, own, limited!(ctx.write(shared), limit).await)? else {
                return Ok(());
            };
            let _visit = inside.alone(world);
            change(world, lock, &mut value);
            run(ctx, world, body).await
        }
        (Lock::Pool(pool, inside), Take::Permits(count)) => {
            let Some(_permit) = world.note(who, own, limited!(ctx.permits(pool, count), limit).await)? else {
                return Ok(());
            };
            let _visit = inside.with_permits(world, count, pool.size());
            run(ctx, world, body).await
        }
        (Lock::Pool(..), _) => unreachable!("the maker takes permits of pools"),
    }
}

/// Adds one, reading before and writing after the counter beside it, so that two at once would lose an update.
fn change(world: &World, lock: usize, value: &mut u64) {
    let before = *value;
    world.taken[lock].fetch_add(1, Ordering::SeqCst);
    *value = before + 1;
}

async fn try_hold(ctx: &Context, world: &Arc<World>, lock: usize, take: Take, body: &[Step]) -> Outcome {
    match (&world.locks[lock], take) {
        (Lock::Mutex(mutex, inside), _) => {
            let Ok(Some(mut value)) = ctx.try_lock(mutex) else { return Ok(()) };
            let _visit = inside.alone(world);
            change(world, lock, &mut value);
            run(ctx, world, body).await
        }
        (Lock::ReadWrite(shared, inside), Take::Read) => {
            let Ok(Some(_value)) = ctx.try_read(shared) else { return Ok(()) };
            let _visit = inside.reading(world);
            run(ctx, world, body).await
        }
        (Lock::ReadWrite(shared, inside), _) => {
            let Ok(Some(mut value)) = ctx.try_write(shared) else { return Ok(()) };
            let _visit = inside.alone(world);
            change(world, lock, &mut value);
            run(ctx, world, body).await
        }
        (Lock::Pool(pool, inside), Take::Permits(count)) => {
            let Ok(Some(_permit)) = ctx.try_permits(pool, count) else { return Ok(()) };
            let _visit = inside.with_permits(world, count, pool.size());
            run(ctx, world, body).await
        }
        (Lock::Pool(..), _) => unreachable!("the maker takes permits of pools"),
    }
}

fn mutex(world: &World, lock: usize) -> (&Mutex<u64>, &super::world::Inside) {
    match &world.locks[lock] {
        Lock::Mutex(mutex, inside) => (mutex, inside),
        _ => unreachable!("the maker chose a mutex"),
    }
}

async fn both(ctx: &Context, world: &Arc<World>, first: usize, second: usize, body: &[Step]) -> Outcome {
    let ((a, inside_a), (b, inside_b)) = (mutex(world, first), mutex(world, second));
    let guards: Option<[MutexGuard<'_, u64>; 2]> =
        world.note(Some(ctx), false, ctx.lock_all([a, b]).await)?;
    let Some([mut a, mut b]) = guards else { return Ok(()) };
    let _visits = (inside_a.alone(world), inside_b.alone(world));
    change(world, first, &mut a);
    change(world, second, &mut b);
    run(ctx, world, body).await
}

/// The guard of a wait outside of the graph, held by whoever.
async fn owned(ctx: &Context, world: &Arc<World>, lock: usize, body: &[Step]) -> Outcome {
    let (mutex, inside) = mutex(world, lock);
    let Some(mut value) = world.note(None, false, mutex.lock().await)? else { return Ok(()) };
    let _visit = inside.alone(world);
    change(world, lock, &mut value);
    run(ctx, world, body).await
}

async fn plain_task(world: &Arc<World>, lock: usize, take: Take, hold: u64) -> Outcome {
    let mine = world.clone();
    let task = tokio::spawn(async move {
        let world = &*mine;
        let time = tokio::time::sleep(Duration::from_micros(hold));
        match (&world.locks[lock], take) {
            (Lock::Mutex(mutex, inside), _) => {
                let Ok(Some(mut value)) = world.note(None, false, mutex.lock().await) else { return };
                let _visit = inside.alone(world);
                change(world, lock, &mut value);
                time.await;
            }
            (Lock::ReadWrite(shared, inside), _) => {
                let Ok(Some(_value)) = world.note(None, false, shared.read().await) else { return };
                let _visit = inside.reading(world);
                time.await;
            }
            (Lock::Pool(pool, inside), _) => {
                let Ok(Some(_permit)) = world.note(None, false, pool.acquire().await) else { return };
                let _visit = inside.with_permits(world, 1, pool.size());
                time.await;
            }
        }
    });
    if task.await.is_err() {
        world.wrong("a plain task panicked");
    }
    Ok(())
}

// ---- blocking locks ------------------------------------------------------------------------------------------------

async fn sections(
    ctx: &Context,
    world: &Arc<World>,
    first: usize,
    second: Option<usize>,
    elsewhere: bool,
) -> Outcome {
    if !elsewhere {
        return section(Some(ctx), world, first, second);
    }
    let mine = world.clone();
    let done = tokio::task::spawn_blocking(move || section(None, &mine, first, second)).await;
    done.unwrap_or_else(|_| {
        world.wrong("blocking work panicked");
        Ok(())
    })
}

fn section(ctx: Option<&Context>, world: &World, first: usize, second: Option<usize>) -> Outcome {
    let Some(mut value) = world.note(ctx, false, world.blocking[first].lock())? else { return Ok(()) };
    let before = *value;
    world.sections[first].fetch_add(1, Ordering::SeqCst);
    let inner = match second {
        Some(second) => section(ctx, world, second, None),
        None => Ok(()),
    };
    *value = before + 1;
    inner
}

// ---- time ----------------------------------------------------------------------------------------------------------

async fn pass_time(world: &World, step: &Step) -> Outcome {
    let for_a_while = |micros: &u64| std::thread::sleep(Duration::from_micros(*micros));
    match step {
        Step::Yield(times) => {
            for _ in 0..*times {
                tokio::task::yield_now().await;
            }
        }
        Step::Sleep(micros) => tokio::time::sleep(Duration::from_micros(*micros)).await,
        Step::Blocking(micros) => {
            let micros = *micros;
            let _ = tokio::task::spawn_blocking(move || for_a_while(&micros)).await;
        }
        Step::InPlace(micros) if world.workers => tokio::task::block_in_place(|| for_a_while(micros)),
        _ => for_a_while(&1),
    }
    Ok(())
}

// ---- branches of one activity --------------------------------------------------------------------------------------

async fn branches(ctx: &Context, world: &Arc<World>, step: &Step) -> Outcome {
    match step {
        Step::JoinPlain(first, second) => {
            let (first, second) = tokio::join!(run(ctx, world, first), run(ctx, world, second));
            first.and(second)
        }
        Step::SelectPlain(first, second) => tokio::select! {
            outcome = run(ctx, world, first) => outcome,
            outcome = run(ctx, world, second) => outcome,
        },
        Step::SelectTimer(body, limit) => tokio::select! {
            outcome = run(ctx, world, body) => outcome,
            () = tokio::time::sleep(Duration::from_micros(*limit)) => Ok(()),
        },
        Step::TimeoutPlain(body, limit) => {
            let limit = Duration::from_micros(*limit);
            tokio::time::timeout(limit, run(ctx, world, body)).await.unwrap_or(Ok(()))
        }
        Step::Within(body, limit) => {
            let limit = Duration::from_micros(*limit);
            ctx.within(limit, run(ctx, world, body)).await.unwrap_or(Ok(()))
        }
        Step::Cancellable(body) => tokio::select! {
            outcome = run(ctx, world, body) => outcome,
            () = ctx.cancelled() => Ok(()),
        },
        _ => beside_a_channel(ctx, world, step).await,
    }
}

async fn beside_a_channel(ctx: &Context, world: &Arc<World>, step: &Step) -> Outcome {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
    let outcome = match step {
        Step::Aside(body) => tokio::select! {
            outcome = run(ctx, world, body) => outcome,
            _ = ctx.aside(receiver.recv()) => Ok(()),
        },
        Step::Listen(body) => tokio::select! {
            outcome = run(ctx, world, body) => outcome,
            _ = receiver.recv() => Ok(()),
        },
        Step::Stale(body) => {
            tokio::select! {
                biased;
                _ = receiver.recv() => {}
                () = tokio::task::yield_now() => {}
            }
            run(ctx, world, body).await
        }
        other => unreachable!("{other:?} has no channel"),
    };
    drop(sender);
    outcome
}

// ---- other activities ----------------------------------------------------------------------------------------------

async fn children(ctx: &Context, world: &Arc<World>, step: &Step) -> Outcome {
    match step {
        Step::JoinOwn(first, second) => {
            let (first, second) = ctx
                .join(async |ctx| run(ctx, world, first).await, async |ctx| run(ctx, world, second).await)
                .await;
            ended(world, first).and(ended(world, second))
        }
        Step::SelectOwn(first, second) => {
            let selected = ctx
                .select(async |ctx| run(ctx, world, first).await, async |ctx| run(ctx, world, second).await)
                .await;
            match selected {
                Selected::First(result) | Selected::Second(result) => ended(world, result),
            }
        }
        Step::JoinAll(blocks) => {
            let bodies = blocks.iter().map(|block| async move |ctx: &Context| run(ctx, world, block).await);
            let results = ctx.join_all(bodies).await;
            results.into_iter().map(|result| ended(world, result)).fold(Ok(()), Result::and)
        }
        other => unreachable!("{other:?} has no children"),
    }
}

async fn spawn(ctx: &Context, world: &Arc<World>, child: &Block, meanwhile: &[Step]) -> Outcome {
    let (mine, block) = (world.clone(), child.clone());
    let (activity, handle) = joinable(async move |ctx: &Context| run(ctx, &mine, &block).await);
    let noted = world.clone();
    let task = async move {
        if let Err(end) = activity.await {
            let _ = ended(&noted, Err(end));
        }
    };
    keep(world, tokio::spawn(task));
    run(ctx, world, meanwhile).await?;
    match world.note(Some(ctx), false, handle.join(ctx).await)? {
        Some(outcome) => outcome,
        None => Ok(()),
    }
}

async fn foreign(ctx: &Context, world: &Arc<World>, step: &Step) -> Outcome {
    match step {
        Step::Unordered(blocks) => {
            let mut all: FuturesUnordered<_> = blocks.iter().map(|block| run(ctx, world, block)).collect();
            let mut outcome = Ok(());
            while let Some(next) = all.next().await {
                outcome = outcome.and(next);
            }
            outcome
        }
        Step::JoinSet(blocks) => {
            let mut set = tokio::task::JoinSet::new();
            for block in blocks {
                let (mine, block) = (world.clone(), block.clone());
                let activity =
                    freehold_sync::activity(async move |ctx: &Context| run(ctx, &mine, &block).await);
                let noted = world.clone();
                set.spawn(async move { ended(&noted, activity.await) });
            }
            while let Some(next) = set.join_next().await {
                next.expect("no child panics")?;
            }
            Ok(())
        }
        other => unreachable!("{other:?} is known to the graph"),
    }
}
