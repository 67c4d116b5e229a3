//! The state of a session: changed atomically or not at all, whatever the store says.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CommitOutcome, CommitToken, Engine, ErrorObject, Limits, MemoryStore, Resolution, SessionId, StateError,
    Store, StoreError, Version, Versioned, runtime::BoxFuture,
};
use serde_json::json;
use std::sync::{Arc, Mutex};
use support::{Ctx, builder, call, error, result, within};

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
            session.update(|state| *state += 1).await?;
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
