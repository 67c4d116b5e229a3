//! Sets of locks taken together: arrays, vectors, slices and tuples, of mutexes and read-write locks.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, Event, LockClass, LockError, LockLevel, LockSet, Mutex, OrderMode, PermitPool, RwLock, activity,
    set_order_learning, spawn, subscribe,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use support::{Told, end, end_all, limited, ms, waits};

/// Runs a body in an activity that is refused every wrong order.
async fn strictly<T>(body: impl AsyncFnOnce(&Context) -> T) -> T {
    limited(activity(body).order_mode(OrderMode::Refuse)).await.unwrap()
}

#[tokio::test]
async fn guards_come_in_the_order_of_the_set_whatever_the_order_of_locking() {
    strictly(async |ctx| {
        let mutexes: [Mutex<usize>; 6] = std::array::from_fn(Mutex::new);
        let text = RwLock::new(String::from("read"));
        let bytes = RwLock::new(vec![1_u8]);
        for rotated in 0..6 {
            let at = |i: usize| &mutexes[(i + rotated) % 6];
            let expected: [usize; 6] = std::array::from_fn(|i| (i + rotated) % 6);
            let all: [&Mutex<usize>; 6] = std::array::from_fn(at);

            assert_eq!(ctx.lock_all(all).await.unwrap().map(|guard| *guard), expected);
            let values = |guards: Vec<freehold_sync::MutexGuard<'_, usize>>| {
                guards.iter().map(|guard| **guard).collect::<Vec<_>>()
            };
            assert_eq!(values(ctx.lock_all(&all[..]).await.unwrap()), expected);
            assert_eq!(values(ctx.lock_all(all.to_vec()).await.unwrap()), expected);
            let (a, b, c, d, e, f) =
                ctx.lock_all((all[0], all[1], all[2], all[3], all[4], all[5])).await.unwrap();
            assert_eq!([*a, *b, *c, *d, *e, *f], expected);
            drop((a, b, c, d, e, f));

            let (mut bytes, number, text) =
                ctx.lock_all((ctx.write(&bytes), at(0), ctx.read(&text))).await.unwrap();
            bytes.push(2);
            assert_eq!((text.as_str(), *number), ("read", rotated));
        }
        assert_eq!(bytes.into_inner().len(), 7);
        let none = ctx.lock_all::<[&Mutex<()>; 0]>([]).await.unwrap();
        assert!(none.is_empty() && ctx.lock_all(Vec::<&Mutex<()>>::new()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn readers_of_a_set_share_and_writers_do_not() {
    let (m, l) = (Mutex::new(()), RwLock::new(()));
    strictly(async |ctx| {
        let reads = ctx.lock_all((ctx.read(&l), &m)).await.unwrap();
        assert!(l.try_read().is_some() && l.try_write().is_none());
        drop(reads);
        let writes = ctx.lock_all((&m, ctx.write(&l))).await.unwrap();
        assert!(l.try_read().is_none() && m.is_locked());
        drop(writes);
        assert!(l.try_write().is_some() && !m.is_locked());
        let of_arcs = [Arc::new(Mutex::new(1)), Arc::new(Mutex::new(2))];
        let [one, two] = ctx.lock_all(of_arcs.each_ref()).await.unwrap();
        assert_eq!((*one, *two), (1, 2));
    })
    .await;
}

#[tokio::test]
async fn a_set_of_several_levels_is_taken_lowest_first_and_has_to_be_above_what_is_held() {
    static LOW: LockClass = LockClass::new("sets/low").at(LockLevel::SESSION_REGISTRY);
    static MIDDLE: LockClass = LockClass::new("sets/middle").at(LockLevel::SESSION);
    static HIGH: LockClass = LockClass::new("sets/high").at(LockLevel::HANDLER);
    // In memory they stand the other way round.
    let locks = [Mutex::with_class(&HIGH, 3), Mutex::with_class(&MIDDLE, 2), Mutex::with_class(&LOW, 1)];
    let others = [Mutex::with_class(&MIDDLE, 5), Mutex::new(6)];
    let [high, middle, low] = locks.each_ref();
    let [another, exempt] = others.each_ref();
    strictly(async |ctx| {
        let (h, m, l, a, e) = ctx.lock_all((high, middle, low, another, exempt)).await.unwrap();
        assert_eq!([*h, *m, *l, *a, *e], [3, 2, 1, 5, 6]);
        drop((h, m, l, a, e));

        let held = ctx.lock(middle).await.unwrap();
        for refused in [ctx.lock_all([low, high]).await, ctx.lock_all([exempt, another]).await] {
            assert!(matches!(refused, Err(LockError::Order(_))), "not above what is held: {refused:?}");
        }
        assert!(!high.is_locked() && !low.is_locked() && !exempt.is_locked() && !another.is_locked());
        drop(ctx.lock_all([exempt, high]).await.unwrap());
        drop(held);
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_is_in_a_set_twice_is_an_error_and_nothing_is_locked() {
    static CLASS: LockClass = LockClass::new("sets/twice");
    async fn is_refused<'a, S: LockSet<'a>>(ctx: &'a Context, set: S) {
        let Err(LockError::Twice(lock)) = ctx.lock_all(set).await else { panic!("one is in it twice") };
        assert_eq!(lock.class, "sets/twice");
    }
    let (m, other, l) =
        (Mutex::with_class(&CLASS, 0), Mutex::with_class(&CLASS, 0), RwLock::with_class(&CLASS, 0));
    let arc = Arc::new(Mutex::with_class(&CLASS, 0));
    strictly(async |ctx| {
        is_refused(ctx, [&m, &other, &m]).await;
        is_refused(ctx, &[&m, &m][..]).await;
        is_refused(ctx, vec![&other, &m, &other]).await;
        is_refused(ctx, (&m, ctx.read(&l), &m)).await;
        is_refused(ctx, (ctx.read(&l), &other, ctx.read(&l))).await;
        is_refused(ctx, (ctx.read(&l), ctx.write(&l))).await;
        is_refused(ctx, (&*arc, &arc)).await;
        assert!(!m.is_locked() && !other.is_locked() && l.try_write().is_some() && !arc.is_locked());
    })
    .await;
}

#[tokio::test]
async fn a_set_that_is_given_up_half_way_gives_back_what_it_has() {
    let locks = [Mutex::new(()), Mutex::new(())];
    let [first, second] = locks.each_ref();
    strictly(async |ctx| {
        let held = second.lock().await.unwrap();
        let late = ctx.within(ms(20), ctx.lock_all((second, first))).await;
        assert!(late.is_err() && !first.is_locked());
        let late = ctx.lock_all((first, ctx.lock(second).within(ms(20)))).await;
        assert!(late.unwrap_err().is_timeout() && !first.is_locked(), "a limit of one wait");
        drop(held);
        assert!(ctx.lock_all((second, first)).await.is_ok());
    })
    .await;
}

/// Sets in every order, with waits in between: nobody is ever a victim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_sets_in_any_order_are_no_deadlock() {
    static M: Mutex<u32> = Mutex::new(0);
    static L: RwLock<u32> = RwLock::new(0);
    static N: Mutex<u32> = Mutex::new(0);
    static POOL: PermitPool = PermitPool::new(2);
    limited(async {
        let told = Told::about("sets/");
        let tasks: Vec<_> = (0..6)
            .map(|task| {
                spawn!(format!("sets/{task}"), async move |ctx| {
                    for _ in 0..100 {
                        let (mut m, mut l, mut n) = match task % 3 {
                            0 => ctx.lock_all((&M, ctx.write(&L), &N)).await?,
                            1 => {
                                let (n, m, l) = ctx.lock_all((&N, &M, ctx.write(&L))).await?;
                                (m, l, n)
                            }
                            _ => {
                                let (l, n, m) = ctx.lock_all((ctx.write(&L), &N, &M)).await?;
                                (m, l, n)
                            }
                        };
                        tokio::task::yield_now().await;
                        (*m, *l, *n) = (*m + 1, *l + 1, *n + 1);
                        drop((m, l, n));
                        let (l, _m, two) = ctx.lock_all((ctx.read(&L), &M, ctx.permits(&POOL, 2))).await?;
                        assert!(*l > 0 && two.count() == 2);
                    }
                    Ok::<_, LockError>(())
                })
            })
            .collect();
        assert!(end_all(tasks).await.iter().all(Result::is_ok));
        told.no_verdict();
        assert_eq!(
            (*M.lock().await.unwrap(), *L.read().await.unwrap(), *N.lock().await.unwrap()),
            (600, 600, 600)
        );
    })
    .await;
}

/// A set is sorted by addresses, which says nothing about classes.
#[tokio::test]
async fn a_set_teaches_no_order() {
    static ONE: LockClass = LockClass::new("sets/teaches/one");
    static TWO: LockClass = LockClass::new("sets/teaches/two");
    set_order_learning(true);
    let inversions = Arc::new(AtomicUsize::new(0));
    let counter = inversions.clone();
    let _subscription = subscribe(move |event| {
        if let Event::Order(violation) = event
            && violation.wanted.starts_with("sets/teaches/")
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let forth = [Mutex::with_class(&ONE, ()), Mutex::with_class(&TWO, ())];
    let back = [Mutex::with_class(&TWO, ()), Mutex::with_class(&ONE, ())];
    strictly(async |ctx| {
        drop(ctx.lock_all(forth.each_ref()).await.unwrap());
        drop(ctx.lock_all((&back[1], &back[0])).await.unwrap());
    })
    .await;
    assert_eq!(inversions.load(Ordering::Relaxed), 0);
}

/// The wait inside of a set is a wait like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_a_set_is_proven() {
    static A: Mutex<()> = Mutex::new(());
    static B: RwLock<()> = RwLock::new(());
    limited(async {
        let waiter = spawn!("sets/ring", async move |ctx| {
            let _b = ctx.read(&B).await?;
            ctx.lock_all((&A, ctx.write(&B))).await.map(drop)
        });
        support::proven(&end(waiter).await.unwrap_err());
        let held = A.lock().await.unwrap();
        let waiter = spawn!("sets/waits", async move |ctx| ctx.lock_all((&A,)).await.map(drop));
        waits("sets/waits").await;
        drop(held);
        end(waiter).await.unwrap();
    })
    .await;
}
