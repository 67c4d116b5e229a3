//! Locks that block the thread: in the same graph as everything else.

#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside of the seam, and threads are what is tested"
)]

mod support;

use freehold_sync::{Action, Context, LockError, Mutex as AsyncMutex, activity, blocking, observe};
use std::{
    cell::Cell,
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};
use support::{SOON, Told, ms, now, one_victim, proven};

type Body<T> = Box<dyn FnOnce() -> T + Send>;

/// Runs each body on a thread of its own, and returns their results in order.
fn on_threads<T: Send + 'static>(bodies: Vec<(&'static str, Body<T>)>) -> Vec<T> {
    let ends: Vec<_> = bodies
        .into_iter()
        .map(|(name, body)| {
            let (send, receive) = mpsc::channel();
            thread::Builder::new().name(name.into()).spawn(move || send.send(body())).unwrap();
            receive
        })
        .collect();
    ends.into_iter()
        .map(|end| end.recv_timeout(Duration::from_secs(20)).expect("a thread hangs, or panicked"))
        .collect()
}

fn body<T>(body: impl FnOnce() -> T + Send + 'static) -> Body<T> {
    Box::new(body)
}

/// Runs a future on this thread, which its guards may not leave.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

type End = Result<(), LockError>;

#[test]
fn abba_of_two_threads_is_proven() {
    static A: blocking::Mutex<()> = blocking::Mutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static BOTH_HOLD: Barrier = Barrier::new(2);
    let member = |first: &'static blocking::Mutex<()>, second: &'static blocking::Mutex<()>| {
        body(move || -> End {
            let _first = first.lock()?;
            BOTH_HOLD.wait();
            second.lock().map(drop)
        })
    };
    let begun = now();
    let ends = on_threads(vec![("abba one", member(&A, &B)), ("abba two", member(&B, &A))]);
    let report = one_victim(&ends);
    assert!(begun.elapsed() < SOON);
    assert_eq!(report.edges.len(), 2);
    assert!(report.edges.iter().all(|edge| edge.waiter.name.starts_with("thread abba")), "{report}");
}

#[test]
fn lock_twice_in_one_thread_is_proven() {
    static M: blocking::Mutex<()> = blocking::Mutex::new(());
    let begun = now();
    let ends = on_threads(vec![(
        "twice",
        body(|| -> End {
            let _first = M.lock()?;
            M.lock_without_deadline().map(drop)
        }),
    )]);
    proven(ends[0].as_ref().unwrap_err());
    assert!(begun.elapsed() < SOON);
}

/// The wait of a whole thread stands in the middle of a poll; the other edges are async.
#[test]
fn a_blocking_lock_inside_a_poll_as_one_edge_of_a_ring_is_proven() {
    static A: AsyncMutex<()> = AsyncMutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static BOTH_HOLD: Barrier = Barrier::new(2);
    let begun = now();
    let ends = on_threads(vec![
        (
            "blocks in poll",
            body(|| -> End {
                let blocks = async |ctx: &Context| -> End {
                    let _a = ctx.lock(&A).await?;
                    BOTH_HOLD.wait();
                    ctx.lock_blocking(&B).map(drop)
                };
                block_on(activity(blocks).named("in poll/blocks")).unwrap()
            }),
        ),
        (
            "waits",
            body(|| -> End {
                let waits = async |ctx: &Context| -> End {
                    let _b = ctx.lock_blocking(&B)?;
                    BOTH_HOLD.wait();
                    ctx.lock(&A).await.map(drop)
                };
                block_on(activity(waits).named("in poll/waits")).unwrap()
            }),
        ),
    ]);
    let report = one_victim(&ends);
    assert!(begun.elapsed() < SOON);
    assert_eq!(report.edges.len(), 2, "{report}");
}

/// The thread is parked below two polls: neither activity can go on, whatever else they wait for.
#[test]
fn a_blocking_lock_inside_a_childs_poll_holds_up_the_parent_too() {
    static A: AsyncMutex<()> = AsyncMutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static BOTH_HOLD: Barrier = Barrier::new(2);
    let begun = now();
    let ends = on_threads(vec![
        (
            "parent and child",
            body(|| -> End {
                let parent = async |ctx: &Context| -> End {
                    let _a = ctx.lock(&A).await?;
                    BOTH_HOLD.wait();
                    let child = async |ctx: &Context| ctx.lock_blocking(&B).map(drop);
                    ctx.join(child, async |_ctx| ()).await.0.unwrap()
                };
                block_on(activity(parent).named("below/parent")).unwrap()
            }),
        ),
        (
            "other",
            body(|| -> End {
                let waits = async |ctx: &Context| -> End {
                    let _b = ctx.lock_blocking(&B)?;
                    BOTH_HOLD.wait();
                    ctx.lock(&A).await.map(drop)
                };
                block_on(activity(waits).named("below/other")).unwrap()
            }),
        ),
    ]);
    one_victim(&ends);
    assert!(begun.elapsed() < SOON);
}

#[test]
fn a_ring_of_readers_and_writers_over_threads_is_proven() {
    static L: blocking::RwLock<()> = blocking::RwLock::new(());
    static M: blocking::Mutex<()> = blocking::Mutex::new(());
    static BOTH_HOLD: Barrier = Barrier::new(2);
    let begun = now();
    let ends = on_threads(vec![
        (
            "rw reads",
            body(|| -> End {
                let _l = L.read()?;
                BOTH_HOLD.wait();
                M.lock().map(drop)
            }),
        ),
        (
            "rw writes",
            body(|| -> End {
                let _m = M.lock()?;
                BOTH_HOLD.wait();
                L.write().map(drop)
            }),
        ),
    ]);
    assert_eq!(one_victim(&ends).edges.len(), 2);
    assert!(begun.elapsed() < SOON);
}

/// Nobody fails: it is the order of the queue alone that would keep the thread parked behind the writer that waits for it.
#[test]
fn a_second_read_of_a_thread_goes_past_a_writer() {
    static L: blocking::RwLock<()> = blocking::RwLock::new(());
    let begun = now();
    let told = Told::about("thread second read");
    let ends = on_threads(vec![(
        "second read",
        body(|| -> End {
            let first = L.read()?;
            let writes = thread::spawn(|| L.write().map(drop));
            while !observe()
                .locks()
                .iter()
                .any(|(lock, _, waits)| lock.class == L.class().name() && *waits > 0)
            {
                thread::yield_now();
            }
            let second = L.read().map(drop);
            drop(first);
            writes.join().unwrap().and(second)
        }),
    )]);
    assert!(ends[0].is_ok(), "{ends:?}");
    assert!(begun.elapsed() < SOON);
    let reports = told.all();
    assert!(matches!(reports[0].action, Action::Reordered(_)) && reports.len() == 1, "{reports:?}");
}

#[test]
fn a_thread_that_holds_and_works_is_no_deadlock() {
    static A: blocking::Mutex<()> = blocking::Mutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static ALL_HOLD: Barrier = Barrier::new(2);
    let told = Told::about("thread works");
    let ends = on_threads(vec![
        (
            "works holder",
            body(|| -> End {
                let _a = A.lock()?;
                ALL_HOLD.wait();
                thread::sleep(ms(200));
                Ok(())
            }),
        ),
        (
            "works middle",
            body(|| -> End {
                let _b = B.lock()?;
                ALL_HOLD.wait();
                A.lock().map(drop)
            }),
        ),
        ("works behind", body(|| -> End { B.lock().map(drop) })),
    ]);
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    told.nothing();
}

#[test]
fn a_blocking_wait_ends_at_its_deadline() {
    static M: blocking::Mutex<()> = blocking::Mutex::new(());
    static L: blocking::RwLock<()> = blocking::RwLock::new(());
    let _held = (M.lock().unwrap(), L.read().unwrap());
    let begun = now();
    let ends = on_threads(vec![
        ("late lock", body(|| M.lock_within(ms(80)).map(drop))),
        ("late write", body(|| L.write_within(ms(80)).map(drop))),
        (
            "no try",
            body(|| M.try_lock().map(drop).ok_or_else(|| M.lock_within(ms(1)).map(drop).unwrap_err())),
        ),
    ]);
    assert!(begun.elapsed() >= ms(79) && begun.elapsed() < SOON);
    for end in ends {
        assert!(end.unwrap_err().is_timeout());
    }
}

#[test]
fn threads_that_lock_in_one_order_keep_their_counts_right() {
    static A: blocking::Mutex<u32> = blocking::Mutex::new(0);
    static L: blocking::RwLock<u32> = blocking::RwLock::new(0);
    let adds = || {
        body(|| -> End {
            for _ in 0..500 {
                let mut a = A.lock()?;
                let seen = *L.read()?;
                let mut l = L.write()?;
                assert_eq!(seen, *l, "nobody else writes without A");
                *a += 1;
                *l += 1;
            }
            Ok(())
        })
    };
    let ends = on_threads(vec![("adds", adds()), ("adds", adds()), ("adds", adds()), ("adds", adds())]);
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    assert_eq!((*A.lock().unwrap(), *L.read().unwrap()), (2000, 2000));
}

#[test]
fn a_panic_poisons_a_poisoning_blocking_mutex() {
    let m = blocking::Mutex::new(3).poisoning();
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _m = m.lock().unwrap();
                panic!("on purpose");
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(matches!(m.lock(), Err(LockError::Poisoned(_))));
    m.clear_poison();
    assert_eq!(*m.lock().unwrap(), 3);
}

/// Does it when its thread ends.
struct AtTheEnd(Box<dyn FnMut()>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local!(static LAST: Cell<Option<AtTheEnd>> = const { Cell::new(None) });

/// Whether the thread's place in the graph ends before that or after it.
#[test]
fn a_thread_that_ends_can_still_lock() {
    static M: blocking::Mutex<u32> = blocking::Mutex::new(0);
    for lock_first in [false, true] {
        let thread = thread::spawn(move || {
            if lock_first {
                *M.lock().unwrap() += 10;
            }
            LAST.set(Some(AtTheEnd(Box::new(|| *M.lock().unwrap() += 1))));
            *M.lock().unwrap() += 10;
        });
        thread.join().unwrap();
    }
    assert_eq!(*M.try_lock().expect("everybody has given it back"), 32);
}

/// It is told so, although the thread has no place of its own in the graph any more.
#[test]
fn a_thread_that_ends_can_be_the_victim() {
    static A: AsyncMutex<()> = AsyncMutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static BOTH_HOLD: Barrier = Barrier::new(2);
    let (told, end) = mpsc::channel();
    let waits = thread::spawn(|| {
        let waits = async |ctx: &Context| -> End {
            let _b = ctx.lock_blocking(&B)?;
            BOTH_HOLD.wait();
            ctx.lock(&A).await.map(drop)
        };
        block_on(activity(waits)).unwrap()
    });
    thread::spawn(move || {
        LAST.set(Some(AtTheEnd(Box::new(move || {
            let blocks = async |ctx: &Context| -> End {
                let _a = ctx.lock(&A).await?;
                BOTH_HOLD.wait();
                ctx.lock_blocking(&B).map(drop)
            };
            told.send(block_on(activity(blocks).born(u64::MAX)).unwrap()).unwrap();
        }))));
        drop(B.try_lock());
    });
    let end = end.recv_timeout(Duration::from_secs(20)).expect("the thread hangs, or panicked");
    one_victim(&[end, waits.join().unwrap()]);
}
