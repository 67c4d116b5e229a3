//! Read-write locks and permit pools: several holders, needs of several units, and queues that matter.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Action, Context, Grade, LockError, Mutex, PermitPool, RwLock, RwLockWriteGuard, activity, joinable, spawn,
};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
};
use support::{Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, proven, until, waits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recursive_read_behind_a_queued_writer_is_proven() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let begun = now();
        let told = Told::about("recursive/");
        let reader = spawn!("recursive/reader", async move |ctx| {
            let _first = ctx.read(&L).await?;
            waits("recursive/writer").await;
            ctx.read(&L).await.map(drop)
        });
        until(|| L.try_write().is_none()).await;
        let writer = spawn!("recursive/writer", async move |ctx| ctx.write(&L).await.map(drop));
        assert!(
            end_all([reader, writer]).await.iter().all(Result::is_ok),
            "the order of the queue alone is at fault"
        );
        assert!(begun.elapsed() < SOON);
        let report = told.first(Grade::Proven).await;
        assert_eq!((report.grade, report.edges.len()), (Grade::Proven, 2), "{report}");
        let Action::Reordered(moved) = report.action else { panic!("{report}") };
        assert_eq!(report.edges[moved].waiter.name, "recursive/reader");
        assert!(report.to_string().contains("went past that of recursive/writer"), "{report}");
    })
    .await;
}

/// It goes past whoever cannot be served before it, whether anybody knows who that is or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_read_goes_past_a_writer_outside_of_activities_too() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let (begun, told) = (now(), Told::about("past all/"));
        let reader = spawn!("past all/reader", async move |ctx| {
            let _first = ctx.read(&L).await?;
            waits("past all/writer").await;
            ctx.read(&L).await.map(drop)
        });
        until(|| L.try_write().is_none()).await;
        let outside = tokio::spawn(async { L.write().await.map(drop) });
        until(|| L.try_read().is_none()).await;
        let writer = spawn!("past all/writer", async move |ctx| ctx.write(&L).await.map(drop));
        assert!(end_all([reader, writer]).await.iter().all(Result::is_ok));
        outside.await.unwrap().unwrap();
        assert!(begun.elapsed() < SOON);
        assert!(matches!(told.first(Grade::Proven).await.action, Action::Reordered(_)));
    })
    .await;
}

/// Two waits of one activity: the read goes first, and then nothing is left but to fail the write.
#[tokio::test]
async fn a_read_goes_past_a_write_of_its_own_activity() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let told = Told::about("own write/");
        let both = spawn!("own write/activity", async move |ctx| {
            let _first = ctx.read(&L).await?;
            let (written, read) = tokio::join!(ctx.write(&L), ctx.read(&L));
            assert!(read.is_ok());
            written.map(drop)
        });
        proven(&end(both).await.unwrap_err());
        until(|| told.all().len() == 2).await;
        let [moved, broken] = [0, 1].map(|index| told.all().remove(index));
        assert!(
            matches!((moved.action, broken.action), (Action::Reordered(0), Action::Victim(0))),
            "{moved}{broken}"
        );
        assert!(moved.advice().contains("twice at a time"), "{moved}");
    })
    .await;
}

/// Whoever does it again and again without giving back what it has, so that nobody else gets on, is not helped for ever; nor
/// is its child, which holds nothing itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_of_second_reads_has_a_victim_in_the_end() {
    async fn again_and_again(ctx: &Context, lock: &RwLock<()>) -> Result<(), LockError> {
        for _ in 0..1000 {
            drop(ctx.read(lock).await?);
            tokio::task::yield_now().await;
        }
        Ok(())
    }
    static L: RwLock<()> = RwLock::new(());
    for in_child in [false, true] {
        limited(async {
            let (begun, told) = (now(), Told::about("again and again/"));
            let reader = spawn!("again and again/reader", async move |ctx| {
                let _first = ctx.read(&L).await?;
                waits("again and again/writer").await;
                if !in_child {
                    return again_and_again(ctx, &L).await;
                }
                let (read, other) = ctx.join(async |ctx| again_and_again(ctx, &L).await, async |_| ()).await;
                other.unwrap();
                read.unwrap()
            });
            until(|| L.try_write().is_none()).await;
            let writer = spawn!("again and again/writer", async move |ctx| ctx.write(&L).await.map(drop));
            one_victim(&end_all([reader, writer]).await);
            assert!(begun.elapsed() < SOON);
            until(|| told.all().iter().any(|report| matches!(report.action, Action::Victim(_)))).await;
            assert_eq!(told.all().len(), 16 + 1);
        })
        .await;
    }
}

/// Nobody is gone past more often, also who is so far ahead that the graph does not look at it: 64 others stand in between,
/// who come anew each time.
#[test]
fn who_is_far_ahead_is_not_gone_past_for_ever() {
    let (pool, m) = (&PermitPool::new(10), &Mutex::new(()));
    let wants = |count: u32| {
        let mut wants = Box::pin(activity(async move |ctx| ctx.permits(pool, count).await.map(drop)));
        assert!(poll_by_hand(wants.as_mut()).is_pending());
        wants
    };
    let mut holds_one = Box::pin(activity(async |ctx| {
        let _one = ctx.permit(pool).await?;
        loop {
            suspended().await;
            drop(ctx.lock(m).await?);
        }
        #[expect(unreachable_code, reason = "the type of the body")]
        Ok::<(), LockError>(())
    }));
    assert!(poll_by_hand(holds_one.as_mut()).is_pending());
    let _far_ahead = wants(10);
    let gone_past = || {
        let _between: Vec<_> = (0..64).map(|_| wants(1)).collect();
        let mut goes_past = Box::pin(activity(async |ctx| {
            let _m = ctx.lock(m).await?;
            suspended().await;
            ctx.permit(pool).await.map(drop)
        }));
        assert!(poll_by_hand(goes_past.as_mut()).is_pending());
        assert!(poll_by_hand(holds_one.as_mut()).is_pending());
        let _ahead = wants(10);
        assert!(poll_by_hand(goes_past.as_mut()).is_pending());
        let end = poll_by_hand(goes_past.as_mut());
        drop(goes_past);
        matches!(end, Poll::Ready(Ok(Ok(())))) && poll_by_hand(holds_one.as_mut()).is_pending()
    };
    let times = std::iter::repeat_with(gone_past).take(40).take_while(|gone_past| *gone_past).count();
    assert_eq!(times, 16);
}

fn poll_by_hand<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// Until the next poll, with a waker left outside: it lives, for all the graph knows.
async fn suspended() {
    let mut kept = None;
    poll_fn(|cx| match kept.replace(cx.waker().clone()) {
        None => Poll::Pending,
        Some(_) => Poll::Ready(()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_with_one_place_in_a_queue_in_it_needs_no_victim() {
    static L: RwLock<()> = RwLock::new(());
    static BESIDE: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("soft/");
        let reader = spawn!("soft/reader", async move |ctx| {
            let _read = ctx.read(&L).await?;
            waits("soft/second").await;
            ctx.lock(&BESIDE).await.map(drop)
        });
        until(|| L.try_write().is_none()).await;
        let writer = spawn!("soft/writer", async move |ctx| ctx.write(&L).await.map(drop));
        waits("soft/writer").await;
        // Behind the writer, who waits for the first reader, who will wait for what this one holds.
        let second = spawn!("soft/second", async move |ctx| {
            let _beside = ctx.lock(&BESIDE).await?;
            ctx.read(&L).await.map(drop)
        });
        assert!(end_all([reader, writer, second]).await.iter().all(Result::is_ok));
        let report = told.first(Grade::Proven).await;
        assert_eq!(told.all().len(), 1);
        assert_eq!(report.edges.len(), 3, "{report}");
        let Action::Reordered(moved) = report.action else { panic!("{report}") };
        assert_eq!(report.edges[moved].waiter.name, "soft/second");
        assert_eq!(report.edges[moved].holder.name, "soft/writer");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recursive_read_behind_a_writer_inside_a_timeout_is_no_deadlock() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let told = Told::about("impatient/");
        let reader = spawn!("impatient/reader", async move |ctx| {
            let _first = ctx.read(&L).await?;
            waits("impatient/writer").await;
            ctx.read(&L).await.map(|_| true)
        });
        until(|| L.try_write().is_none()).await;
        let writer = spawn!("impatient/writer", async move |ctx| {
            match tokio::time::timeout(ms(150), ctx.write(&L)).await {
                Ok(guard) => guard.map(|_| true),
                Err(_) => Ok(false),
            }
        });
        assert!(end(reader).await.unwrap(), "the writer went away, so the reader goes on");
        assert!(!end(writer).await.unwrap(), "the writer gave up");
        told.nothing();
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_wants_to_write_is_proven() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let begun = now();
        let upgrades = spawn!("upgrade/one", async move |ctx| {
            let _read = ctx.read(&L).await?;
            ctx.write(&L).await.map(drop)
        });
        let report = proven(&end(upgrades).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_that_both_want_to_write_are_proven() {
    static L: RwLock<()> = RwLock::new(());
    static BOTH_READ: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let upgrade = || {
            spawn!("upgrade/both", async move |ctx| {
                let read = ctx.read(&L).await?;
                BOTH_READ.wait().await;
                let write = ctx.write(&L).await.map(drop);
                drop(read);
                write
            })
        };
        let ends = end_all([upgrade(), upgrade()]).await;
        assert!(begun.elapsed() < SOON);
        // Each waits for itself as well as for the other, so each is a ring of its own.
        let reports: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).map(proven).collect();
        assert_eq!(reports.len(), 2, "{ends:?}");
        assert!(L.try_write().is_some());
    })
    .await;
}

/// Eight readers are named in the lock itself; the others in a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_the_twelfth_reader_is_proven() {
    static L: RwLock<()> = RwLock::new(());
    static M: Mutex<()> = Mutex::new(());
    static ALL_HOLD: Meeting = Meeting::of(13);
    limited(async {
        let begun = now();
        let eleven: Vec<_> = (0..11)
            .map(|_| {
                spawn!("twelve/sleeps", async move |ctx| {
                    let _l = ctx.read(&L).await?;
                    ALL_HOLD.wait().await;
                    pause(300).await;
                    Ok::<_, LockError>(())
                })
            })
            .collect();
        until(|| {
            let locks = freehold_sync::observe().locks();
            locks.iter().any(|(name, held, _)| name.class == L.class().name() && *held == 11)
        })
        .await;
        let last = spawn!("twelve/last", async move |ctx| {
            let _l = ctx.read(&L).await?;
            ALL_HOLD.wait().await;
            ctx.lock(&M).await.map(drop)
        });
        let writer = spawn!("twelve/writer", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            ALL_HOLD.wait().await;
            ctx.write(&L).await.map(drop)
        });
        let last = end(last).await;
        let early = begun.elapsed();
        let report = one_victim(&[last, end(writer).await]);
        assert!(early < SOON);
        assert_eq!(report.edges.len(), 2, "the others read and sleep, which is no way out for these two");
        assert!(end_all(eleven).await.iter().all(Result::is_ok));
    })
    .await;
}

/// A pool of two, one each for a caller and its callee, and none for the callee's own callee.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_exhausted_by_ancestors_is_proven() {
    static P: PermitPool = PermitPool::new(2);
    limited(async {
        let begun = now();
        let top = spawn!("ancestors/top", async move |ctx| {
            let _one = ctx.permit(&P).await?;
            let middle = spawn!("ancestors/middle", async move |ctx| {
                let _two = ctx.permit(&P).await?;
                let bottom = spawn!("ancestors/bottom", async move |ctx| ctx.permit(&P).await.map(drop));
                bottom.join(ctx).await?
            });
            middle.join(ctx).await?
        });
        let report = proven(&end(top).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.victim().unwrap().name, "ancestors/bottom", "permits before replies");
        assert_eq!(P.available(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_with_an_outside_live_holder_is_no_deadlock() {
    static P: PermitPool = PermitPool::new(2);
    limited(async {
        let told = Told::about("outside/");
        let outside = P.acquire().await.unwrap();
        let top = spawn!("outside/top", async move |ctx| {
            let _one = ctx.permit(&P).await?;
            let bottom = spawn!("outside/bottom", async move |ctx| ctx.permit(&P).await.map(drop));
            bottom.join(ctx).await?
        });
        waits("outside/bottom").await;
        pause(150).await;
        drop(outside);
        end(top).await.unwrap();
        told.nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_whose_holders_all_want_more_is_proven() {
    static P: PermitPool = PermitPool::new(3);
    static ALL_HOLD: Meeting = Meeting::of(3);
    limited(async {
        let begun = now();
        let more = || {
            spawn!("more/member", async move |ctx| {
                let _one = ctx.permit(&P).await?;
                ALL_HOLD.wait().await;
                ctx.permit(&P).await.map(drop)
            })
        };
        one_victim(&end_all([more(), more(), more()]).await);
        assert!(begun.elapsed() < SOON);
        assert_eq!(P.available(), 3);
    })
    .await;
}

/// What is queued ahead counts: the small need could be met, but stands behind a big one that cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_need_behind_a_big_one_in_a_ring_is_proven() {
    static P: PermitPool = PermitPool::new(3);
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let told = Told::about("behind big/");
        let big = spawn!("behind big/big", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            until(|| P.available() == 1).await;
            ctx.permits(&P, 3).await.map(drop)
        });
        until(|| M.is_locked()).await;
        let small = spawn!("behind big/small", async move |ctx| {
            let _two = ctx.permits(&P, 2).await?;
            waits("behind big/big").await;
            ctx.permit(&P).await.map(drop)
        });
        assert!(end_all([big, small]).await.iter().all(Result::is_ok), "the small one goes first");
        assert!(begun.elapsed() < SOON);
        let report = told.first(Grade::Proven).await;
        let Action::Reordered(moved) = report.action else { panic!("{report}") };
        assert_eq!(report.edges[moved].waiter.name, "behind big/small");
        assert_eq!(P.available(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_together_and_writers_in_turn_are_no_deadlock() {
    static L: RwLock<u64> = RwLock::new(0);
    limited(async {
        let told = Told::about("turns/");
        let mut handles = Vec::new();
        for i in 0..24 {
            handles.push(spawn!("turns/member", async move |ctx| {
                for _ in 0..50 {
                    if i % 4 == 0 {
                        let mut l = ctx.write(&L).await?;
                        tokio::task::yield_now().await;
                        *l += 1;
                    } else {
                        let l = ctx.read(&L).await?;
                        let before = *l;
                        tokio::task::yield_now().await;
                        assert_eq!(*l, before, "nobody writes while we read");
                    }
                }
                Ok::<_, LockError>(())
            }));
        }
        assert!(end_all(handles).await.iter().all(Result::is_ok));
        assert_eq!(*L.read().await.unwrap(), 6 * 50);
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_downgrade_lets_waiting_readers_in_and_keeps_writers_out() {
    static L: RwLock<u32> = RwLock::new(0);
    static BOTH_READ: Meeting = Meeting::of(2);
    limited(async {
        let writer = spawn!("downgrade/writer", async move |ctx| {
            let mut write = ctx.write(&L).await?;
            *write = 7;
            waits("downgrade/reader").await;
            let read = RwLockWriteGuard::downgrade(write);
            BOTH_READ.wait().await;
            assert!(ctx.try_write(&L)?.is_none());
            Ok::<_, LockError>(*read)
        });
        until(|| L.try_read().is_none()).await;
        let reader = spawn!("downgrade/reader", async move |ctx| {
            let read = ctx.read(&L).await?;
            BOTH_READ.wait().await;
            Ok::<_, LockError>(*read)
        });
        for seen in end_all([writer, reader]).await {
            assert_eq!(seen.unwrap(), 7);
        }
        assert!(L.try_write().is_some());
    })
    .await;
}

/// The graph knows the reader that a writer turned into.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_a_downgraded_guard_is_proven() {
    static L: RwLock<()> = RwLock::new(());
    static M: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let reads = spawn!("downgraded/reads", async move |ctx| {
            let _read = RwLockWriteGuard::downgrade(ctx.write(&L).await?);
            BOTH_HOLD.wait().await;
            ctx.lock(&M).await.map(drop)
        });
        let writes = spawn!("downgraded/writes", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            BOTH_HOLD.wait().await;
            ctx.write(&L).await.map(drop)
        });
        one_victim(&end_all([reads, writes]).await);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pool_ends_its_waits_and_keeps_what_is_held() {
    static P: PermitPool = PermitPool::new(1);
    limited(async {
        let held = P.acquire().await.unwrap();
        let waiter = spawn!("closed/waiter", async move |ctx| ctx.permit(&P).await.map(drop));
        waits("closed/waiter").await;
        P.close();
        assert!(matches!(end(waiter).await, Err(LockError::Closed(_))));
        assert!(matches!(P.acquire().await, Err(LockError::Closed(_))));
        assert_eq!(held.count(), 1);
        drop(held);
        assert_eq!(P.available(), 1);
        assert!(P.try_acquire().is_none(), "it hands out nothing any more");
    })
    .await;
}

/// The end of the callee is known in advance to come: it holds a permit that is not asked for by anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_needs_what_is_left_is_no_deadlock() {
    static P: PermitPool = PermitPool::new(3);
    limited(async {
        let told = Told::about("left/");
        let caller = spawn!("left/caller", async move |ctx| {
            let _two = ctx.permits(&P, 2).await?;
            let (callee, reply) = joinable(async move |ctx| {
                let permit = ctx.permit(&P).await?;
                pause(20).await;
                Ok::<_, LockError>(permit.count())
            });
            tokio::spawn(callee.named("left/callee"));
            reply.join(ctx).await?
        });
        assert_eq!(end(caller).await.unwrap(), 1);
        told.nothing();
    })
    .await;
}

#[test]
#[should_panic(expected = "asked for 3 permits of a pool of 2")]
fn more_permits_than_there_are_is_a_mistake_that_is_told_at_once() {
    let pool = PermitPool::new(2);
    drop(pool.acquire_many(3));
}

// ---- more readers than places --------------------------------------------------------------------------------------

#[test]
fn try_read_has_no_bound_at_eight_readers() {
    let lock = RwLock::new(());
    let mut readers: Vec<_> = (0..20).map(|_| lock.try_read().expect("only readers have it")).collect();
    assert!(lock.try_write().is_none());
    readers.clear();
    let write = lock.try_write().expect("nobody has it");
    assert!(lock.try_read().is_none());
    drop(write);
}

#[test]
fn a_reader_too_many_waits_until_the_others_are_gone() {
    let lock = RwLock::new(());
    let mut readers: Vec<_> = (0..65_543).map(|_| lock.try_read().expect("there is room")).collect();
    assert!(lock.try_read().is_none(), "there is none");
    let mut cx = TaskContext::from_waker(Waker::noop());
    let mut waits = std::pin::pin!(lock.read());
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    readers.clear();
    assert!(waits.as_mut().poll(&mut cx).is_ready());
}
