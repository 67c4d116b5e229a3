//! Guards: forgotten, dropped elsewhere, dropped by a panic, mapped, owned; and waits that are aborted.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Actor, Context, Ended, Event, LockClass, LockError, LockName, Mutex, MutexGuard, PermitPool, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Subscription, activity, observe, spawn, subscribe,
};
use std::sync::{Arc, Mutex as StdMutex};
use support::{SOON, end, limited, ms, now, proven, until, waits};
use tokio::sync::Notify;

type Forgotten = Arc<StdMutex<Vec<(Actor, LockName)>>>;

/// Collects the guards that were forgotten by activities whose names begin with `prefix`.
fn forgotten_by(prefix: &'static str) -> (Forgotten, Subscription) {
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let into = seen.clone();
    let subscription = subscribe(move |event| {
        if let Event::GuardForgotten { actor, lock, site } = event
            && actor.name.starts_with(prefix)
        {
            assert!(site.unwrap().file().ends_with("guards.rs"));
            into.lock().unwrap().push((actor.clone(), lock.clone()));
        }
    });
    (seen, subscription)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_guard_is_reported_at_the_activitys_end() {
    static CLASS: LockClass = LockClass::new("guards/forgotten");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    static KEPT: Mutex<()> = Mutex::new(());
    limited(async {
        let (seen, _subscription) = forgotten_by("forgets/");
        let forgets = spawn!("forgets/one", async move |ctx| {
            let _kept = ctx.lock(&KEPT).await?;
            std::mem::forget(ctx.lock(&M).await?);
            Ok::<_, LockError>(())
        });
        end(forgets).await.unwrap();
        until(|| !seen.lock().unwrap().is_empty()).await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "only what was forgotten: {seen:?}");
        assert_eq!(seen[0].1.class, "guards/forgotten");
        assert_eq!(seen[0].0.name, "forgets/one");
    })
    .await;
}

/// Nobody will ever give it back: who waits for it is told so, and not only at its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_what_a_forgotten_guard_holds_is_told() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let forgets = spawn!("forgot/one", async move |ctx| {
            std::mem::forget(ctx.lock(&M).await?);
            Ok::<_, LockError>(())
        });
        end(forgets).await.unwrap();
        let waiter = spawn!("forgot/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        let report = proven(&end(waiter).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges[0].holder.name, "forgot/one");
        assert!(!report.is_ring());
    })
    .await;
}

fn holds(name: &str) -> usize {
    let seen = observe();
    seen.members.iter().filter(|member| member.actor.name == name).map(|member| member.holds.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_dropped_in_another_activity_leaves_the_counts_right() {
    static M: Mutex<u32> = Mutex::new(0);
    static L: RwLock<u32> = RwLock::new(0);
    static P: PermitPool = PermitPool::new(3);
    limited(async {
        let parent = spawn!("elsewhere/parent", async move |ctx| {
            for _ in 0..100 {
                let (m, l) = (ctx.lock(&M).await?, ctx.read(&L).await?);
                let p = ctx.permits(&P, 2).await?;
                assert_eq!(holds("elsewhere/parent"), 3);
                assert_eq!(P.available(), 1);
                let drops = async move |_child: &Context| drop((m, l, p));
                ctx.join(drops, async |_ctx| tokio::task::yield_now().await).await.0.unwrap();
                assert_eq!(holds("elsewhere/parent"), 0);
                assert_eq!(P.available(), 3);
                *ctx.write(&L).await? += 1;
                *ctx.lock(&M).await? += 1;
            }
            Ok::<_, LockError>(())
        });
        end(parent).await.unwrap();
        assert_eq!((*M.lock().await.unwrap(), *L.read().await.unwrap()), (100, 100));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_dropped_on_another_thread_leaves_the_counts_right() {
    static M: Mutex<u32> = Mutex::new(0);
    limited(async {
        let parent = spawn!("thread/parent", async move |ctx| {
            for _ in 0..100 {
                let mut guard = ctx.lock(&M).await?;
                std::thread::scope(|scope| {
                    scope.spawn(move || *guard += 1);
                });
                assert!(!M.is_locked());
                assert_eq!(holds("thread/parent"), 0);
            }
            Ok::<_, LockError>(())
        });
        end(parent).await.unwrap();
        assert_eq!(*M.lock().await.unwrap(), 100);
    })
    .await;
}

// ---- panics --------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_while_holding_gives_back_what_was_held() {
    static M: Mutex<u32> = Mutex::new(0);
    static L: RwLock<u32> = RwLock::new(0);
    static P: PermitPool = PermitPool::new(2);
    limited(async {
        let panics = spawn!("panics/one", async move |ctx| {
            let mut m = ctx.lock(&M).await.unwrap();
            let _l = ctx.write(&L).await.unwrap();
            let _p = ctx.permits(&P, 2).await.unwrap();
            *m += 1;
            waits("panics/waiter").await;
            panic!("on purpose");
        });
        until(|| P.available() == 0).await;
        let waiter = spawn!("panics/waiter", async move |ctx| {
            let m = ctx.lock(&M).await?;
            let _l = ctx.read(&L).await?;
            let _p = ctx.permit(&P).await?;
            Ok::<_, LockError>(*m)
        });
        let told: Result<(), LockError> = panics.await;
        assert!(
            matches!(told, Err(LockError::Ended(Ended::Panicked(_)))),
            "who waits for its end is told: {told:?}"
        );
        assert_eq!(end(waiter).await.unwrap(), 1);
        assert_eq!(holds("panics/one"), 0);
        assert_eq!(P.available(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_while_holding_a_poisoning_lock_poisons_it_until_it_is_cleared() {
    limited(async {
        let m = Arc::new(Mutex::new(5).poisoning());
        let held = m.clone();
        let waiter = {
            let m = m.clone();
            let panics = spawn!("poisons/one", async move |ctx| {
                let _held = ctx.lock(&held).await.unwrap();
                waits("poisons/waiter").await;
                panic!("on purpose");
            });
            until(|| m.is_locked()).await;
            let queued = m.clone();
            let waiter = spawn!("poisons/waiter", async move |ctx| ctx.lock(&queued).await.map(drop));
            let _: Result<(), LockError> = panics.await;
            waiter
        };
        assert!(matches!(end(waiter).await, Err(LockError::Poisoned(_))), "who waited is told");
        assert!(m.is_poisoned());
        assert!(matches!(m.lock().await, Err(LockError::Poisoned(_))));
        assert!(m.try_lock().is_none());
        assert!(!m.is_locked(), "who was refused holds nothing");
        m.clear_poison();
        assert_eq!(*m.lock().await.unwrap(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_panics_poisons_and_a_reader_does_not() {
    limited(async {
        let l = Arc::new(RwLock::new(5).poisoning());
        let panics = |write: bool| {
            let l = l.clone();
            tokio::spawn(activity(async move |ctx: &Context| {
                if write {
                    let _l = ctx.write(&l).await.unwrap();
                    panic!("on purpose");
                }
                let _l = ctx.read(&l).await.unwrap();
                panic!("on purpose");
            }))
        };
        assert!(panics(false).await.unwrap_err().is_panic());
        assert_eq!(*l.read().await.unwrap(), 5, "nothing was changed halfway");
        assert!(panics(true).await.unwrap_err().is_panic());
        assert!(matches!(l.read().await, Err(LockError::Poisoned(_))));
        l.clear_poison();
        assert_eq!(*l.write().await.unwrap(), 5);
    })
    .await;
}

/// Runs `clean_up` while the thread unwinds.
fn while_unwinding(clean_up: impl FnOnce()) {
    struct CleansUp<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for CleansUp<F> {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|clean_up| clean_up());
        }
    }
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _cleans_up = CleansUp(Some(clean_up));
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
}

#[test]
fn what_is_taken_while_the_thread_unwinds_already_does_not_poison_and_the_next_panic_does() {
    let m = Mutex::new(5).poisoning();
    while_unwinding(|| *m.try_lock().unwrap() += 1);
    assert!(!m.is_poisoned(), "the panic was before it was taken");
    let held = m.try_lock().unwrap();
    while_unwinding(|| drop(held));
    assert!(m.is_poisoned(), "the panic was while it was held");

    let l = RwLock::new(5).poisoning();
    while_unwinding(|| drop(RwLockWriteGuard::downgrade(l.try_write().unwrap())));
    assert!(!l.is_poisoned());
    let held = l.try_write().unwrap();
    while_unwinding(|| drop(held));
    assert!(l.is_poisoned());
}

// ---- kinds of guards -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn mapped_guards_hold_the_whole_lock() {
    static M: Mutex<(u32, u32)> = Mutex::new((1, 2));
    static L: RwLock<(u32, u32)> = RwLock::new((1, 2));
    limited(async {
        let maps = spawn!("maps/one", async move |ctx| {
            let mut second = MutexGuard::map(ctx.lock(&M).await?, |pair| &mut pair.1);
            *second += 10;
            assert!(M.is_locked() && holds("maps/one") == 1);
            drop(second);
            assert!(!M.is_locked() && holds("maps/one") == 0);
            let mut first = RwLockWriteGuard::map(ctx.write(&L).await?, |pair| &mut pair.0);
            *first += 10;
            assert!(L.try_read().is_none());
            drop(first);
            let read = RwLockReadGuard::map(ctx.read(&L).await?, |pair| &pair.0);
            assert_eq!(*read, 11);
            assert!(L.try_write().is_none() && L.try_read().is_some());
            Ok::<_, LockError>(())
        });
        end(maps).await.unwrap();
        assert_eq!(*M.lock().await.unwrap(), (1, 12));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owned_guards_keep_the_lock_alive_and_go_anywhere() {
    limited(async {
        let m = Arc::new(Mutex::new(vec![1]));
        let mut guard = m.clone().lock_owned().await.unwrap();
        assert!(m.try_lock().is_none());
        let weak = Arc::downgrade(&m);
        drop(m);
        let there = tokio::spawn(async move {
            guard.push(2);
            guard.len()
        });
        assert_eq!(there.await.unwrap(), 2);
        assert!(weak.upgrade().is_none(), "the last guard was the last to know it");

        let l = Arc::new(RwLock::new(1));
        let (one, two) = (l.clone().read_owned().await.unwrap(), l.clone().read_owned().await.unwrap());
        assert_eq!(*one + *two, 2);
        assert!(l.try_write().is_none());
        drop((one, two));
        *l.clone().write_owned().await.unwrap() += 1;
        assert_eq!(*l.read().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn try_lock_takes_what_is_free_and_nothing_else() {
    static M: Mutex<()> = Mutex::new(());
    static L: RwLock<()> = RwLock::new(());
    static P: PermitPool = PermitPool::new(2);
    limited(async {
        let tries = spawn!("tries/one", async move |ctx| {
            let m = ctx.try_lock(&M)?;
            assert!(m.is_some() && ctx.try_lock(&M)?.is_none());
            let r = ctx.try_read(&L)?;
            assert!(r.is_some() && ctx.try_write(&L)?.is_none() && ctx.try_read(&L)?.is_some());
            let p = ctx.try_permits(&P, 2)?;
            assert!(p.is_some() && ctx.try_permits(&P, 1)?.is_none());
            assert_eq!(holds("tries/one"), 3);
            drop((m, r, p));
            assert!(ctx.try_write(&L)?.is_some());
            Ok::<_, LockError>(())
        });
        end(tries).await.unwrap();
    })
    .await;
}

// ---- aborts --------------------------------------------------------------------------------------------------------

/// A wait that is aborted while it is queued, or has just been given its turn, takes nobody's wake-up with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_while_queued_or_notified_10_000_times_loses_no_wake_up() {
    static M: Mutex<u32> = Mutex::new(0);
    static LET_GO: Notify = Notify::const_new();
    limited(async {
        let (mut aborted, mut finished) = (0, 0);
        for round in 0..10_000_u32 {
            // Given back by somebody unknown, or by an activity that hands it over because it slept meanwhile.
            let plain = if round % 3 == 0 { None } else { Some(M.lock().await.unwrap()) };
            let holder = plain.is_none().then(|| {
                tokio::spawn(activity(async |ctx: &Context| {
                    let _m = ctx.lock(&M).await.unwrap();
                    LET_GO.notified().await;
                }))
            });
            let add = || {
                tokio::spawn(activity(async |ctx: &Context| {
                    *ctx.lock(&M).await? += 1;
                    Ok::<_, LockError>(())
                }))
            };
            let (goes, stays) = (add(), add());
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            if round % 2 == 0 {
                goes.abort();
            }
            drop(plain);
            LET_GO.notify_one();
            if round % 2 == 1 {
                goes.abort();
            }
            let stayed = tokio::time::timeout(ms(5000), stays).await.expect("a wake-up was lost");
            stayed.unwrap().unwrap().unwrap();
            if goes.await.is_err() {
                aborted += 1;
            } else {
                finished += 1;
            }
            if let Some(holder) = holder {
                holder.await.unwrap().unwrap();
            }
        }
        assert!(aborted > 1000, "the abort came too late too often: {aborted} aborted, {finished} finished");
        let added = *M.lock().await.unwrap();
        assert!((10_000 + finished..=20_000).contains(&added), "{added} additions, {finished} finished");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_of_readers_writers_and_permits_loses_no_wake_up() {
    static L: RwLock<()> = RwLock::new(());
    static P: PermitPool = PermitPool::new(3);
    limited(async {
        for round in 0..2000_u32 {
            let (l, p) = (L.write().await.unwrap(), P.acquire_many(3).await.unwrap());
            let member = |write: bool| {
                tokio::spawn(activity(async move |ctx: &Context| {
                    if write {
                        drop(ctx.write(&L).await?);
                    } else {
                        drop(ctx.read(&L).await?);
                    }
                    ctx.permits(&P, if write { 3 } else { 1 }).await.map(drop)
                }))
            };
            let members: Vec<_> = (0..6).map(|i| member(i % 3 == 0)).collect();
            for _ in 0..round % 6 {
                tokio::task::yield_now().await;
            }
            members[0].abort();
            drop(l);
            members[3].abort();
            drop(p);
            members[4].abort();
            for (i, member) in members.into_iter().enumerate() {
                let end = tokio::time::timeout(ms(5000), member).await.expect("a wake-up was lost");
                assert!(matches!(i, 0 | 3 | 4) || end.unwrap().unwrap().is_ok());
            }
        }
        assert!(P.available() == 3 && L.try_write().is_some());
    })
    .await;
}
