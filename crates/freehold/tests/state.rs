//! The state of a session: changed atomically or not at all, whatever the store says.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CommitOutcome, CommitToken, Engine, ErrorObject, Limits, MemoryStore, Resolution, SessionId, StateError,
    Store, StoreError, Version, Versioned, runtime::BoxFuture,
};
use serde_json::json;
use std::sync::{Arc, Mutex};
use support::{Answer, Ctx, Probe, builder, call, error, result, within};

async fn add(ctx: &Ctx, [amount]: [u64; 1]) -> Result<u64, ErrorObject> {
    Ok(ctx
        .update(|total| {
            *total += amount;
            *total
        })
        .await?)
}

async fn add_slowly(ctx: &Ctx, [amount]: [u64; 1]) -> Result<u64, ErrorObject> {
    ctx.transact(async |total: u64| {
        tokio::task::yield_now().await;
        Ok::<_, ErrorObject>((total + amount, total))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_from_all_sides_add_up() {
    let (builder, _) = builder();
    let limits = Limits { transact_attempts: 10_000, update_attempts: 10_000, ..Limits::default() };
    let engine = builder.method("add", add).method("add_slowly", add_slowly).limits(limits).build().unwrap();
    for session in [engine.open().unwrap(), engine.ephemeral()] {
        let before = session.state();
        let adding: Vec<_> = (0..500)
            .map(|id| {
                let method = if id % 5 == 0 { "add_slowly" } else { "add" };
                support::start(&engine, &session, id, method, json!([2]))
            })
            .collect();
        for adding in adding {
            result(within(adding).await.unwrap());
        }
        assert_eq!((*session.state(), *before), (1_000, 0), "a snapshot does not change");
    }
}

#[tokio::test]
async fn a_transaction_that_fails_changes_nothing_and_one_that_never_gets_through_gives_up() {
    let (builder, _) = builder();
    let limits = Limits { transact_attempts: 3, ..Limits::default() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    let failed: Result<(), StateError> =
        session.transact(async |_| Err::<(u64, ()), _>(StoreError::TooLarge.into())).await;
    assert_eq!((failed, *session.state()), (Err(StoreError::TooLarge.into()), 0));
    let disturbed: Result<(), StateError> = session
        .transact(async |state| {
            // Somebody else: from inside of the transaction it would be refused.
            let other = session.clone();
            tokio::spawn(async move { other.update(|state| *state += 1).await }).await.unwrap()?;
            Ok((state, ()))
        })
        .await;
    assert_eq!((disturbed, *session.state()), (Err(StateError::Contended { attempts: 3 }), 3));
}

/// What a commit answers, and what is found out about it if it is unknown.
type Telling = (CommitOutcome<u64>, Option<Resolution<u64>>);

/// A store whose next commits go as told.
#[derive(Default)]
struct Told {
    inner: MemoryStore<u64>,
    script: Mutex<Vec<Telling>>,
    resolution: Mutex<Option<Resolution<u64>>>,
}

impl Store<u64> for Told {
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<u64>>, StoreError>> {
        self.inner.load(id)
    }

    fn commit(&self, id: SessionId, expected: Version, next: Arc<u64>) -> BoxFuture<'_, CommitOutcome<u64>> {
        match self.script.lock().unwrap().pop() {
            Some((outcome, resolution)) => {
                *self.resolution.lock().unwrap() = resolution;
                Box::pin(std::future::ready(outcome))
            }
            None => self.inner.commit(id, expected, next),
        }
    }

    fn resolve(&self, _: SessionId, _: CommitToken) -> BoxFuture<'_, Resolution<u64>> {
        let resolution = self.resolution.lock().unwrap().take().unwrap_or(Resolution::StillUnknown);
        Box::pin(std::future::ready(resolution))
    }

    fn touch(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.touch(id)
    }

    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.remove(id)
    }
}

#[tokio::test]
async fn what_the_store_says_is_what_happened() {
    let unknown = || CommitOutcome::Unknown(CommitToken(1));
    let newer = |state| Versioned { version: Version(1), state: Arc::new(state) };
    let conflict = -31006;
    for (outcome, resolution, expected) in [
        (CommitOutcome::Unavailable, None, Err(conflict)),
        (CommitOutcome::TooLarge, None, Err(conflict)),
        (unknown(), None, Err(conflict)),
        (unknown(), Some(Resolution::StillUnknown), Err(conflict)),
        (unknown(), Some(Resolution::Committed(Version(1))), Ok(5)),
    ] {
        let store = Arc::new(Told::default());
        let engine: Engine<u64> = builder().0.method("add", add).store(store.clone()).build().unwrap();
        let session = engine.open().unwrap();
        store.script.lock().unwrap().push((outcome, resolution));
        let answer = call(&engine, &session, 1, "add", json!([5])).await;
        match expected {
            Ok(value) => assert_eq!(result(answer), value),
            Err(code) => assert_eq!((error(answer).0, *session.state()), (code, 0)),
        }
    }
    let store = Arc::new(Told::default());
    let engine: Engine<u64> = builder().0.method("add", add).store(store.clone()).build().unwrap();
    let session = engine.open().unwrap();
    result(call(&engine, &session, 1, "add", json!([1])).await);
    store.script.lock().unwrap().push((unknown(), Some(Resolution::NotCommitted(newer(1)))));
    assert_eq!(
        result(call(&engine, &session, 1, "add", json!([5])).await),
        6,
        "tried again on what is known now"
    );
}

async fn slow_add(ctx: &Ctx, (): ()) -> Answer {
    let runs = ctx.app::<Probe>();
    let total = ctx
        .transact(|total: u64| async move {
            runs.enter();
            tokio::task::yield_now().await;
            Ok::<_, StateError>((total + 1, total + 1))
        })
        .await?;
    Ok(json!(total))
}

/// A thousand transactions on one session, each of which gives way in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_conflicts_loses_no_change_and_runs_each_a_few_times() {
    let (builder, probe) = builder();
    let engine = builder.method("slow add", slow_add).build().unwrap();
    let session = engine.open().unwrap();
    let calls: Vec<_> =
        (0..1_000).map(|id| support::start(&engine, &session, id, "slow add", json!(null))).collect();
    let mut totals = std::collections::BTreeSet::new();
    for call in calls {
        totals.insert(result(within(call).await.unwrap()).as_u64().unwrap());
    }
    assert_eq!(*session.state(), 1_000);
    assert_eq!(totals.len(), 1_000, "no two saw the same state");
    // As many runs as there were are inside; more than four thousand are not.
    assert!(!probe.has_entered(4_000), "each runs a few times at most");
}

/// What would make its own transaction run again is refused when it begins, by whatever way it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_inside_of_a_transaction_on_its_session_is_refused_at_once() {
    async fn directly(ctx: &Ctx, (): ()) -> Answer {
        let runs = ctx.app::<Probe>();
        ctx.transact(|total: u64| async move {
            runs.enter();
            let by_context = ctx.update(|total| *total += 1).await;
            let by_handle = ctx.session().clone().update(|total| *total += 1).await;
            assert_eq!((by_context, by_handle), (Err(StateError::Nested), Err(StateError::Nested)));
            Ok::<_, StateError>((total + 10, ()))
        })
        .await?;
        Ok(json!(*ctx.state()))
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
    async fn by_a_call(ctx: &Ctx, other: String) -> Answer {
        let other: SessionId = other.parse().unwrap();
        let runs = ctx.app::<Probe>();
        let told = ctx
            .transact(|total: u64| async move {
                runs.enter();
                let there = ctx.call::<u64>(other, "add one", &()).await.map_err(ErrorObject::from)?;
                let here = ctx.call::<u64>(ctx.session(), "add one", &()).await;
                Ok::<_, ErrorObject>((total + 10, (there, here.unwrap_err().to_string())))
            })
            .await?;
        Ok(json!(told))
    }
    let (builder, probe) = builder();
    let engine = builder
        .method("directly", directly)
        .method("add one", add_one)
        .method("by a call", by_a_call)
        .build()
        .unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    assert_eq!(result(call(&engine, &one, 1, "directly", json!(null)).await), 10);
    let told = call(&engine, &one, 1, "by a call", json!(two.id().to_string())).await;
    let told = result(told);
    assert_eq!(told[0], 1, "another session is free");
    assert!(told[1].as_str().unwrap().contains("make it in the transaction"), "{told}");
    assert_eq!((*one.state(), *two.state()), (20, 1));
    assert!(probe.has_entered(2) && !probe.has_entered(1), "each transaction ran once");
}
