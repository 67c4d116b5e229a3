//! S-10: a signal between the check and the wait.
//!
//! The other half, the models of all interleavings, is `scripts/loom`: those of `Signal` (cancel, shutdown, the end of a
//! session, questions) and of the queue that permits and locks share.

use freehold_mcp::freehold::{
    CallHandle, CloseReason, Context, Dispatched, Engine, ErrorObject, Limits, Message, Request, RequestId,
    Route, Session, Step, sync::PermitPool,
};
use freehold_scenarios::{checks::eventually, limits::patient, race::Fire, race::race};
use std::{
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

/// Both threads of a race want a core of their own: one test after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// What the handlers wait for and tell.
#[derive(Debug)]
struct Gate {
    open: Semaphore,
    began: AtomicU64,
    saw_cancel: AtomicU64,
}

async fn held(ctx: &Context<u64>, (): ()) -> Result<(), ErrorObject> {
    ctx.app::<Gate>().open.acquire().await.expect("never closed").forget();
    Ok(())
}

async fn obedient(ctx: &Context<u64>, (): ()) -> Result<(), ErrorObject> {
    ctx.app::<Gate>().began.fetch_add(1, Ordering::Relaxed);
    ctx.cancelled().await;
    ctx.app::<Gate>().saw_cancel.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn ready(_ctx: &Context<u64>, (): ()) -> Result<(), ErrorObject> {
    Ok(())
}

fn engine(limits: Limits) -> (Engine<u64>, Arc<Gate>) {
    let gate = Gate { open: Semaphore::new(0), began: AtomicU64::new(0), saw_cancel: AtomicU64::new(0) };
    let gate = Arc::new(gate);
    let builder = Engine::builder(0).limits(limits).app(gate.clone());
    let builder = builder.method("held", held).method("obedient", obedient).method("ready", ready);
    (builder.build().expect("an engine"), gate)
}

fn start(engine: &Engine<u64>, session: &Session<u64>, id: u64, method: &'static str) -> CallHandle<u64> {
    let request = Request { id: RequestId::from(id as i64), method: method.into(), params: None };
    match engine.dispatch(session, Message::Request(request), Route::Call) {
        Dispatched::Running(handle) => handle,
        other => panic!("it should run: {other:?}"),
    }
}

/// Polls a call once, as its connection does: its handler runs up to its first wait.
fn poll_once(handle: &mut CallHandle<u64>) {
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(handle.poll_next(&mut cx).is_pending());
}

async fn end(mut handle: CallHandle<u64>) {
    while !matches!(handle.next().await, Step::End(_)) {}
}

/// A signal that needs nothing made on its own thread.
fn fire(signal: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() -> Fire + Send> {
    Box::new(move || Box::new(signal))
}

#[test]
fn s10_the_end_of_a_session() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    let (engine, _) = engine(patient());
    race("the end of a session", |_| {
        let session = engine.open().expect("a session");
        let (closing, waiting) = (session.clone(), session);
        (fire(move || assert!(closing.close(CloseReason::Server))), async move { waiting.ended().await })
    });
    assert_eq!(engine.session_count(), 0);
}

#[test]
fn s10_shutdown() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    race("shutdown", |_| {
        let (engine, _) = engine(patient());
        let stopping = engine.clone();
        let stop = move || {
            let mut drain = pin!(stopping.drain(Duration::ZERO));
            // It goes on by itself.
            let _ = drain.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
        };
        let wait = async move {
            engine.drain_begun().await;
            engine.drain_ended().await;
        };
        (fire(stop), wait)
    });
}

/// The drain itself is the waiter, for the last call.
#[test]
fn s10_the_last_call_of_a_drain() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    race("the last call of a drain", |run| {
        let (engine, gate) = engine(patient());
        let session = engine.open().expect("a session");
        let mut call = start(&engine, &session, run, "held");
        poll_once(&mut call);
        let wait = async move {
            let report = engine.drain(Duration::from_secs(60)).await;
            assert_eq!((report.running <= 1, report.cancelled), (true, 0));
            end(call).await;
        };
        (fire(move || gate.open.add_permits(1)), wait)
    });
}

#[test]
fn s10_cancel() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    let (engine, gate) = engine(patient());
    let session = engine.open().expect("a session");
    let races = race("cancel", |run| {
        let call = start(&engine, &session, run, "obedient");
        let cancelling = session.clone();
        let id = RequestId::from(run as i64);
        (fire(move || assert!(cancelling.cancel(&id, None))), end(call))
    });
    runtime.block_on(eventually("the handlers end", || engine.call_count() == 0));
    // Every handler that had begun was told, in its grace.
    let counters = engine.counters();
    assert_eq!((counters.cancelled, counters.abandoned), (races.runs, 0));
    let [began, saw] = [&gate.began, &gate.saw_cancel].map(|count| count.load(Ordering::Relaxed));
    assert!(began > 0 && began == saw, "{began} began, {saw} were told");
}

#[test]
fn s10_a_permit() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    static POOL: LazyLock<PermitPool> = LazyLock::new(|| PermitPool::new(1));
    race("a permit", |_| {
        let arm = || -> Fire {
            let permit = POOL.try_acquire().expect("it is free");
            Box::new(move || drop(permit))
        };
        (Box::new(arm), async { drop(POOL.acquire().await.expect("a permit")) })
    });
    assert_eq!(POOL.available(), 1);
}

/// A call waits in its session's queue for the slot of the one before it.
#[test]
fn s10_a_slot() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    let (engine, gate) = engine(Limits { running_per_session: 1, ..patient() });
    let session = engine.open().expect("a session");
    race("a slot", |run| {
        let mut first = start(&engine, &session, 2 * run, "held");
        poll_once(&mut first);
        let (engine, session, gate) = (engine.clone(), session.clone(), gate.clone());
        let wait = async move {
            end(start(&engine, &session, 2 * run + 1, "ready")).await;
            end(first).await;
        };
        (fire(move || gate.open.add_permits(1)), wait)
    });
    runtime.block_on(eventually("the last slot is free", || session.gauges().running == 0));
}

/// A reader waits for the next message of its session's stream: what is pushed, and the end.
#[test]
fn s10_a_message() {
    let _alone = alone();
    let runtime = runtime();
    let _inside = runtime.enter();
    let (engine, _) = engine(patient());
    let session = engine.open().expect("a session");
    let listener = Arc::new(tokio::sync::Mutex::new(session.listen()));
    race("a message", |_| {
        let (pushing, listener) = (session.clone(), listener.clone());
        let wait = async move {
            assert!(listener.lock().await.next().await.is_some());
        };
        (fire(move || pushing.notify("news", &1).expect("JSON")), wait)
    });
    race("the end of a stream", |_| {
        let session = engine.open().expect("a session");
        let mut listener = session.listen();
        let wait = async move { assert!(listener.next().await.is_none()) };
        (fire(move || assert!(session.close(CloseReason::Server))), wait)
    });
    drop(listener);
    let newest = Arc::new(Mutex::new(None));
    race("a newer reader", |_| {
        let (session, newest) = (session.clone(), newest.clone());
        let mut listener = session.listen();
        let wait = async move { assert!(listener.next().await.is_none()) };
        let take_over = move || {
            let before = newest.lock().unwrap_or_else(PoisonError::into_inner).replace(session.listen());
            drop(before);
        };
        (fire(take_over), wait)
    });
}
