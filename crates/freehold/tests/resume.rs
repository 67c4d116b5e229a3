//! Sessions taken up from a store: loaded once for all who ask, by somebody else if the first gives up, and never after
//! they have ended.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    AtCap, CloseReason, CommitOutcome, CommitToken, Engine, Limits, MemoryStore, OpenError, Resolution,
    ResumeError, SessionId, Store, StoreError, Version, Versioned, runtime::BoxFuture,
};
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{builder, call, eventually, result, within};
use tokio::sync::Semaphore;

/// A store whose answers wait at a gate, and that counts what it is asked.
struct Gated {
    inner: MemoryStore<u64>,
    gate: Semaphore,
    loads: AtomicUsize,
    removals_wait: AtomicBool,
    commits_wait: AtomicBool,
    fails: Mutex<Option<StoreError>>,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::default(),
            gate: Semaphore::new(0),
            loads: AtomicUsize::new(0),
            removals_wait: AtomicBool::new(false),
            commits_wait: AtomicBool::new(false),
            fails: Mutex::new(None),
        })
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// A session that some other process has left in the store.
    async fn left(&self, number: u32) -> SessionId {
        let id: SessionId = format!("{number:032x}").parse().unwrap();
        let committed = self.inner.commit(id, Version(0), Arc::new(u64::from(number))).await;
        assert!(matches!(committed, CommitOutcome::Committed(Version(1))));
        id
    }
}

impl Store<u64> for Gated {
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<u64>>, StoreError>> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.expect("never closed").forget();
            if let Some(error) = *self.fails.lock().unwrap() {
                return Err(error);
            }
            self.inner.load(id).await
        })
    }

    fn commit(&self, id: SessionId, expected: Version, next: Arc<u64>) -> BoxFuture<'_, CommitOutcome<u64>> {
        Box::pin(async move {
            if self.commits_wait.load(Ordering::SeqCst) {
                self.gate.acquire().await.expect("never closed").forget();
            }
            self.inner.commit(id, expected, next).await
        })
    }

    fn resolve(&self, id: SessionId, token: CommitToken) -> BoxFuture<'_, Resolution<u64>> {
        self.inner.resolve(id, token)
    }

    fn touch(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.touch(id)
    }

    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.removals_wait.load(Ordering::SeqCst) {
                self.gate.acquire().await.expect("never closed").forget();
            }
            self.inner.remove(id).await
        })
    }
}

fn engine(store: &Arc<Gated>, limits: Limits) -> Engine<u64> {
    builder().0.store(store.clone()).limits(limits).build().unwrap()
}

type Resuming = tokio::task::JoinHandle<Result<u64, ResumeError>>;

fn resume(engine: &Engine<u64>, id: SessionId) -> Resuming {
    let engine = engine.clone();
    tokio::spawn(async move { engine.resume(id).await.map(|session| *session.state()) })
}

#[tokio::test]
async fn of_a_hundred_who_resume_a_session_one_loads_it() {
    let store = Gated::new();
    let id = store.left(7).await;
    let engine = engine(&store, Limits::default());
    let resuming: Vec<_> = (0..100).map(|_| resume(&engine, id)).collect();
    eventually(|| store.loads() == 1).await;
    assert!(engine.session(id).is_err(), "not before it is loaded");
    store.gate.add_permits(100);
    for resuming in resuming {
        assert_eq!(within(resuming).await.unwrap(), Ok(7));
    }
    assert_eq!((store.loads(), engine.session_count(), engine.counters().sessions_opened), (1, 1, 1));
    let session = engine.session(id).unwrap();
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]));
}

#[tokio::test]
async fn who_waits_takes_over_from_a_loader_that_gave_up() {
    let store = Gated::new();
    let id = store.left(7).await;
    let engine = engine(&store, Limits::default());
    let first = resume(&engine, id);
    eventually(|| store.loads() == 1).await;
    let others: Vec<_> = (0..10).map(|_| resume(&engine, id)).collect();
    tokio::task::yield_now().await;
    first.abort();
    eventually(|| store.loads() == 2).await;
    store.gate.add_permits(100);
    for other in others {
        assert_eq!(within(other).await.unwrap(), Ok(7));
    }
    assert_eq!((store.loads(), engine.session_count()), (2, 1));
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_loaded_is_said_to_all_after_one_load() {
    let store = Gated::new();
    let unknown: SessionId = format!("{:032x}", 99).parse().unwrap();
    let engine = engine(&store, Limits::default());
    for (fails, loads) in [(None, 1), (Some(StoreError::Unavailable), 2)] {
        *store.fails.lock().unwrap() = fails;
        let resuming: Vec<_> = (0..20).map(|_| resume(&engine, unknown)).collect();
        eventually(|| store.loads() == loads).await;
        tokio::task::yield_now().await;
        store.gate.add_permits(1);
        for resuming in resuming {
            let error = within(resuming).await.unwrap().unwrap_err();
            match fails {
                None => assert!(matches!(error, ResumeError::NotFound(_)), "{error:?}"),
                Some(failure) => assert_eq!(error, ResumeError::Store(failure)),
            }
        }
        assert_eq!((store.loads(), engine.session_count()), (loads, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_given_up() {
    let store = Gated::new();
    let id = store.left(7).await;
    let engine = engine(&store, Limits { store_wait: Duration::from_secs(3), ..Limits::default() });
    let since = tokio::time::Instant::now();
    let resuming: Vec<_> = (0..5).map(|_| resume(&engine, id)).collect();
    for resuming in resuming {
        assert_eq!(within(resuming).await.unwrap(), Err(StoreError::Unavailable.into()));
    }
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert_eq!(engine.session_count(), 0);
}

#[tokio::test]
async fn at_the_cap_what_is_there_is_found_and_what_is_not_finds_no_room() {
    let store = Gated::new();
    let (here, elsewhere) = (store.left(1).await, store.left(2).await);
    store.gate.add_permits(100);
    let full = engine(&store, Limits { sessions: 1, ..Limits::default() });
    assert_eq!(within(resume(&full, here)).await.unwrap(), Ok(1));
    assert_eq!(within(resume(&full, here)).await.unwrap(), Ok(1));
    assert_eq!(within(resume(&full, elsewhere)).await.unwrap(), Err(OpenError::Full.into()));

    let limits = Limits { sessions: 1, ..Limits::default() };
    let evicts = builder().0.store(store.clone()).limits(limits).at_cap(AtCap::EvictIdlest).build().unwrap();
    let idle = evicts.open().unwrap();
    assert_eq!(within(resume(&evicts, elsewhere)).await.unwrap(), Ok(2));
    assert_eq!((idle.closed(), evicts.session_count()), (Some(CloseReason::Evicted), 1));
}

#[tokio::test]
async fn a_session_that_ended_is_not_taken_up_again_while_its_state_is_being_removed() {
    let store = Gated::new();
    let id = store.left(7).await;
    store.gate.add_permits(1);
    let engine = engine(&store, Limits::default());
    let session = within(engine.resume(id)).await.unwrap();
    store.removals_wait.store(true, Ordering::SeqCst);
    session.close(CloseReason::Client);
    assert!(matches!(within(engine.resume(id)).await, Err(ResumeError::NotFound(_))));
    assert!(engine.session(id).is_err() && engine.sessions().is_empty());
    store.gate.add_permits(2);
    eventually(|| engine.session_count() == 0).await;
    assert!(matches!(within(engine.resume(id)).await, Err(ResumeError::NotFound(_))));
}

#[tokio::test]
async fn a_change_after_the_end_of_its_session_brings_nothing_back() {
    async fn writes_late(ctx: &support::Ctx, (): ()) -> support::Answer {
        ctx.app::<support::Probe>().enter();
        ctx.cancelled().await;
        let changed = ctx.update(|state| *state += 1).await;
        ctx.app::<support::Probe>().log(changed.unwrap_err().to_string());
        Ok(json!(null))
    }
    let store = Gated::new();
    store.gate.add_permits(100);
    let (builder, probe) = builder();
    let engine = builder.method("writes_late", writes_late).store(store.clone()).build().unwrap();
    let session = engine.open().unwrap();
    let running = support::start(&engine, &session, 1, "writes_late", json!(null));
    probe.entered(1).await;
    session.close(CloseReason::Client);
    within(running).await.unwrap();
    probe.saw("the session has ended and its state with it").await;
    assert!(store.inner.load(session.id()).await.unwrap().is_none());
    assert!(matches!(within(engine.resume(session.id())).await, Err(ResumeError::NotFound(_))));
}

#[tokio::test]
async fn a_session_that_nobody_can_find_leaves_no_state_behind() {
    async fn counts(ctx: &support::Ctx, (): ()) -> Result<u64, freehold::ErrorObject> {
        for _ in 0..2 {
            ctx.update(|state| *state += 1).await?;
        }
        Ok(*ctx.state())
    }
    let store = Gated::new();
    store.gate.add_permits(100);
    let (builder, _) = builder();
    let engine = builder.method("counts", counts).store(store.clone()).build().unwrap();
    for _ in 0..20 {
        let session = engine.ephemeral();
        assert_eq!(result(call(&engine, &session, 1, "counts", json!(null)).await), 2);
        let id = session.id();
        assert!(store.inner.load(id).await.unwrap().is_none());
        assert!(
            matches!(within(engine.resume(id)).await, Err(ResumeError::NotFound(_))),
            "ids can be guessed"
        );
    }
}

#[tokio::test]
async fn a_shutdown_leaves_the_state_for_another_process() {
    let store = Gated::new();
    store.gate.add_permits(100);
    let before = engine(&store, Limits::default());
    let session = before.open().unwrap();
    session.update(|state| *state = 42).await.unwrap();
    within(before.drain(Duration::ZERO)).await;
    assert_eq!(before.session_count(), 0);
    let after = engine(&store, Limits::default());
    assert_eq!(within(resume(&after, session.id())).await.unwrap(), Ok(42));
}

#[tokio::test]
async fn a_drain_refuses_to_resume() {
    let store = Gated::new();
    let id = store.left(7).await;
    let engine = engine(&store, Limits::default());
    let resuming = resume(&engine, id);
    eventually(|| store.loads() == 1).await;
    within(engine.drain(Duration::ZERO)).await;
    assert_eq!(within(resume(&engine, id)).await.unwrap(), Err(OpenError::Stopping.into()));
    store.gate.add_permits(1);
    within(resuming).await.unwrap().unwrap();
    assert_eq!(engine.session_count(), 0, "what was loaded meanwhile is closed");
}

#[tokio::test]
async fn a_commit_that_a_close_came_upon_brings_no_session_back() {
    let store = Gated::new();
    store.commits_wait.store(true, Ordering::SeqCst);
    let engine = engine(&store, Limits::default());
    let session = engine.open().unwrap();
    let id = session.id();
    let changing = session.clone();
    let change = tokio::spawn(async move { changing.update(|state| *state = 9).await });
    tokio::task::yield_now().await;
    session.close(CloseReason::Server);
    // The state was removed, and the commit is still to come.
    assert!(matches!(engine.resume(id).await, Err(ResumeError::NotFound(_))));
    assert_eq!(store.loads(), 0, "nobody asks the store for a session that has ended");
    store.gate.add_permits(1);
    let _ = within(change).await.unwrap();
    assert_eq!(engine.session_count(), 0);
    assert!(matches!(store.inner.load(id).await, Ok(None)), "what came back went again");
}
