//! The order of locks: declared by levels, and learned from what was seen. Each activity sets its own mode here, so that
//! these tests do not disturb each other.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, Event, Grade, LockClass, LockError, LockLevel, Mutex, OrderMode, OrderViolation, PermitPool,
    Rule, RwLock, Subscription, activity, lock_levels, set_order_learning, subscribe,
};
use std::sync::{Arc, Mutex as StdMutex};
use support::{SOON, Told, limited, now, until};

/// The violations told about classes whose names begin with a prefix.
struct Violations {
    seen: Arc<StdMutex<Vec<Arc<OrderViolation>>>>,
    _subscription: Subscription,
}

impl Violations {
    fn of(prefix: &'static str) -> Self {
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let into = seen.clone();
        let subscription = subscribe(move |event| {
            if let Event::Order(violation) = event
                && violation.wanted.starts_with(prefix)
            {
                into.lock().unwrap().push(violation.clone());
            }
        });
        Self { seen, _subscription: subscription }
    }

    fn all(&self) -> Vec<Arc<OrderViolation>> {
        self.seen.lock().unwrap().clone()
    }
}

/// Runs a body in an activity of that mode.
async fn in_mode<T>(mode: OrderMode, body: impl AsyncFnOnce(&Context) -> T) -> T {
    activity(body).named("order/activity").order_mode(mode).await.unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T, LockError>) -> OrderViolation {
    match result {
        Err(LockError::Order(violation)) => *violation,
        Err(other) => panic!("failed otherwise: {other}"),
        Ok(_) => panic!("was not refused"),
    }
}

/// Two locks of the built-in ladder, with classes of a name of their own in each test.
macro_rules! ladder {
    ($test:literal, $registry:ident, $session:ident) => {
        static REGISTRY_CLASS: LockClass =
            LockClass::new(concat!($test, "/registry")).at(LockLevel::SESSION_REGISTRY);
        static SESSION_CLASS: LockClass = LockClass::new(concat!($test, "/session")).at(LockLevel::SESSION);
        static $registry: Mutex<()> = Mutex::with_class(&REGISTRY_CLASS, ());
        static $session: Mutex<()> = Mutex::with_class(&SESSION_CLASS, ());
    };
}

#[tokio::test]
async fn the_right_order_is_never_told_in_any_mode() {
    ladder!("right", REGISTRY, SESSION);
    limited(async {
        let told = Violations::of("right/");
        for mode in [OrderMode::Report, OrderMode::Refuse, OrderMode::Panic, OrderMode::Off] {
            in_mode(mode, async |ctx| {
                let _registry = ctx.lock(&REGISTRY).await?;
                ctx.lock(&SESSION).await.map(drop)
            })
            .await
            .unwrap();
        }
        assert!(told.all().is_empty());
        assert!(
            LockLevel::GLOBAL < LockLevel::SESSION_REGISTRY
                && LockLevel::SESSION_REGISTRY < LockLevel::SESSION
                && LockLevel::SESSION < LockLevel::HANDLER
        );
    })
    .await;
}

/// Somebody else has the lock: the refusal does not wait for it.
#[tokio::test]
async fn the_wrong_order_is_refused_at_once_with_both_sites() {
    ladder!("wrong", REGISTRY, SESSION);
    limited(async {
        let told = Violations::of("wrong/");
        let _taken = REGISTRY.lock().await.unwrap();
        let begun = now();
        let violation = in_mode(OrderMode::Refuse, async |ctx| {
            let _session = ctx.lock(&SESSION).await.unwrap();
            let violation = refused(ctx.lock(&REGISTRY).await);
            refused(ctx.try_lock(&REGISTRY));
            violation
        })
        .await;
        assert!(begun.elapsed() < SOON);
        assert_eq!((violation.held, violation.wanted), ("wrong/session", "wrong/registry"));
        assert_eq!(violation.rule, Rule::Levels(LockLevel::SESSION, LockLevel::SESSION_REGISTRY));
        assert_eq!(violation.grade, Grade::Potential);
        let (held, wanted) = (violation.held_at.unwrap(), violation.wanted_at);
        assert!(held.file().ends_with("order.rs") && wanted.file().ends_with("order.rs"));
        assert_eq!(held.line() + 1, wanted.line());
        let text = violation.to_string();
        assert!(text.contains("level SessionRegistry comes before Session: take it first"), "{text}");
        assert_eq!(told.all().len(), 2, "each is told");
        assert_eq!(REGISTRY_CLASS.metrics().order_violations, 2, "and counted");
        assert!(!SESSION.is_locked());
    })
    .await;
}

#[tokio::test]
async fn the_wrong_order_is_taken_and_told_where_it_is_only_reported() {
    ladder!("reported", REGISTRY, SESSION);
    limited(async {
        let told = Violations::of("reported/");
        in_mode(OrderMode::Report, async |ctx| {
            let _session = ctx.lock(&SESSION).await?;
            ctx.lock(&REGISTRY).await.map(drop)
        })
        .await
        .unwrap();
        let levels: Vec<_> =
            told.all().into_iter().filter(|told| matches!(told.rule, Rule::Levels(..))).collect();
        assert_eq!(levels.len(), 1);
        assert_eq!(levels[0].grade, Grade::Potential);
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "level SessionRegistry comes before Session")]
async fn the_wrong_order_panics_where_tests_want_it() {
    ladder!("panics", REGISTRY, SESSION);
    in_mode(OrderMode::Panic, async |ctx| {
        let _session = ctx.lock(&SESSION).await.unwrap();
        let _ = ctx.lock(&REGISTRY).await;
    })
    .await;
}

#[tokio::test]
async fn the_wrong_order_is_not_looked_at_where_it_is_off() {
    ladder!("off", REGISTRY, SESSION);
    limited(async {
        let told = Violations::of("off/");
        in_mode(OrderMode::Off, async |ctx| {
            let _session = ctx.lock(&SESSION).await?;
            ctx.lock(&REGISTRY).await.map(drop)
        })
        .await
        .unwrap();
        assert!(told.all().is_empty());
        assert_eq!(REGISTRY_CLASS.metrics().order_violations, 0);
    })
    .await;
}

#[tokio::test]
async fn read_write_locks_and_pools_have_levels_too() {
    static LOW: LockClass = LockClass::new("kinds/low").at(LockLevel::GLOBAL);
    static HIGH: LockClass = LockClass::new("kinds/high").at(LockLevel::HANDLER);
    static L: RwLock<()> = RwLock::with_class(&LOW, ());
    static P: PermitPool = PermitPool::with_class(&LOW, 1);
    static HELD: RwLock<()> = RwLock::with_class(&HIGH, ());
    limited(async {
        in_mode(OrderMode::Refuse, async |ctx| {
            let held = ctx.read(&HELD).await.unwrap();
            refused(ctx.read(&L).await);
            refused(ctx.write(&L).await);
            refused(ctx.permit(&P).await);
            drop(held);
            let _low = (ctx.write(&L).await.unwrap(), ctx.read(&HELD).await.unwrap());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn locks_without_a_level_are_exempt() {
    ladder!("exempt", REGISTRY, SESSION);
    static PLAIN: Mutex<()> = Mutex::new(());
    limited(async {
        in_mode(OrderMode::Refuse, async |ctx| {
            let _session = ctx.lock(&SESSION).await?;
            let _plain = ctx.lock(&PLAIN).await?;
            drop(_session);
            ctx.lock(&REGISTRY).await.map(drop)
        })
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_hierarchy_of_ones_own_stands_above_the_built_in_one() {
    lock_levels! {
        /// The map of accounts.
        ACCOUNTS;
        /// One account.
        ACCOUNT;
    }
    static MAP_CLASS: LockClass = LockClass::new("own/accounts").at(ACCOUNTS);
    static ONE_CLASS: LockClass = LockClass::new("own/account").at(ACCOUNT);
    static MAP: Mutex<()> = Mutex::with_class(&MAP_CLASS, ());
    static ONE: Mutex<()> = Mutex::with_class(&ONE_CLASS, ());
    limited(async {
        assert!(LockLevel::HANDLER < ACCOUNTS && ACCOUNTS < ACCOUNT);
        in_mode(OrderMode::Refuse, async |ctx| {
            let one = ctx.lock(&ONE).await.unwrap();
            let violation = refused(ctx.lock(&MAP).await);
            assert_eq!(violation.rule, Rule::Levels(ACCOUNT, ACCOUNTS));
            drop(one);
            let _both = (ctx.lock(&MAP).await.unwrap(), ctx.lock(&ONE).await.unwrap());
        })
        .await;
    })
    .await;
}

// ---- one level -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn two_locks_of_one_level_are_refused_one_by_one_and_given_together() {
    static CLASS: LockClass = LockClass::new("together/session").at(LockLevel::SESSION);
    static A: Mutex<u32> = Mutex::with_class(&CLASS, 1);
    static B: Mutex<u32> = Mutex::with_class(&CLASS, 2);
    limited(async {
        in_mode(OrderMode::Refuse, async |ctx| {
            let a = ctx.lock(&A).await.unwrap();
            let text = refused(ctx.lock(&B).await).to_string();
            assert!(text.contains("both are at level Session: take them together, with lock_all"), "{text}");
            refused(ctx.lock_all([&B]).await);
            drop(a);
            let [b, a] = ctx.lock_all([&B, &A]).await.unwrap();
            assert_eq!((*b, *a), (2, 1), "in the order of the argument");
            refused(ctx.lock(&A).await);
        })
        .await;
        assert!(!A.is_locked() && !B.is_locked());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_all_in_any_order_is_no_deadlock() {
    static CLASS: LockClass = LockClass::new("all/session").at(LockLevel::SESSION);
    static LOCKS: [Mutex<u64>; 4] = [const { Mutex::with_class(&CLASS, 0) }; 4];
    limited(async {
        let told = Told::about("order/activity");
        let tasks: Vec<_> = (0..6_usize)
            .map(|task| {
                tokio::spawn(in_mode(OrderMode::Refuse, async move |ctx| {
                    for round in 0..100 {
                        let (first, step) = (task + round, 1 + 2 * (task % 2));
                        let at = |i: usize| &LOCKS[(first + i * step) % 4];
                        let guards = ctx.lock_all([at(0), at(1), at(2)]).await?;
                        tokio::task::yield_now().await;
                        for mut guard in guards {
                            *guard += 1;
                        }
                    }
                    Ok::<_, LockError>(())
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let mut sum = 0;
        for lock in &LOCKS {
            sum += *lock.lock().await.unwrap();
        }
        assert_eq!(sum, 6 * 100 * 3);
        told.no_verdict();
    })
    .await;
}

// ---- branches ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn children_inherit_what_their_parent_holds_and_not_what_their_siblings_take() {
    ladder!("branches", REGISTRY, SESSION);
    limited(async {
        in_mode(OrderMode::Refuse, async |ctx| {
            let session = ctx.lock(&SESSION).await.unwrap();
            let wrong = async |ctx: &Context| refused(ctx.lock(&REGISTRY).await).held;
            let (held, _) = ctx.join(wrong, async |_ctx| ()).await;
            assert_eq!(held.unwrap(), "a lock of the activity that forked this one");
            drop(session);
            // Each branch is in order by itself: one holds the session, the other takes the registry meanwhile.
            let (taken, done) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
            let first = async |ctx: &Context| {
                let _session = ctx.lock(&SESSION).await.unwrap();
                taken.notify_one();
                done.notified().await;
            };
            let second = async |ctx: &Context| {
                taken.notified().await;
                let registry = ctx.lock(&REGISTRY).await.map(drop);
                done.notify_one();
                registry
            };
            ctx.join(first, second).await.1.unwrap().expect("it holds nothing of its sibling's");
        })
        .await;
    })
    .await;
}

/// Plain `join!` shares one activity among its arms, so what one arm holds says nothing about the other.
#[tokio::test]
async fn join_arms_over_one_level_or_in_opposite_orders_are_never_refused_and_potential_at_most() {
    ladder!("arms", REGISTRY, SESSION);
    static OTHER: Mutex<()> = Mutex::with_class(&SESSION_CLASS, ());
    limited(async {
        let (violations, told) = (Violations::of("arms/"), Told::about("arms"));
        let arms = activity(async |ctx: &Context| {
            let hold = async |mutex: &Mutex<()>| {
                let _guard = ctx.lock(mutex).await?;
                tokio::task::yield_now().await;
                Ok::<_, LockError>(())
            };
            let one_level = tokio::join!(hold(&SESSION), hold(&OTHER));
            let opposite = tokio::join!(hold(&SESSION), hold(&REGISTRY));
            [one_level.0, one_level.1, opposite.0, opposite.1]
        });
        for end in arms.named("arms").await.unwrap() {
            end.expect("an arm is never refused by default");
        }
        assert!(!violations.all().is_empty(), "it may be a mistake, so it is told");
        assert!(violations.all().iter().all(|violation| violation.grade == Grade::Potential));
        told.nothing();
    })
    .await;
}

// ---- what is learned -----------------------------------------------------------------------------------------------

async fn takes(first: &Mutex<()>, second: &Mutex<()>) {
    in_mode(OrderMode::Report, async |ctx| {
        let _first = ctx.lock(first).await?;
        ctx.lock(second).await.map(drop)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_learned_inversion_is_reported_as_potential_once() {
    static A_CLASS: LockClass = LockClass::new("learned/a");
    static B_CLASS: LockClass = LockClass::new("learned/b");
    static A: Mutex<()> = Mutex::with_class(&A_CLASS, ());
    static B: Mutex<()> = Mutex::with_class(&B_CLASS, ());
    limited(async {
        set_order_learning(true);
        let told = Violations::of("learned/");
        takes(&A, &B).await;
        takes(&A, &B).await;
        assert!(told.all().is_empty());
        for _ in 0..3 {
            takes(&B, &A).await;
        }
        // Also where no thread remembers that it was told.
        std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(takes(&B, &A));
        })
        .join()
        .unwrap();
        until(|| !told.all().is_empty()).await;
        let told = told.all();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].grade, Grade::Potential);
        assert_eq!((told[0].held, told[0].wanted), ("learned/b", "learned/a"));
        let Rule::Learned(Some(site)) = told[0].rule else { panic!("{:?}", told[0].rule) };
        assert!(site.file().ends_with("order.rs"));
    })
    .await;
}

#[tokio::test]
async fn an_inversion_by_way_of_a_third_class_is_learned_too() {
    static A_CLASS: LockClass = LockClass::new("third/a");
    static B_CLASS: LockClass = LockClass::new("third/b");
    static C_CLASS: LockClass = LockClass::new("third/c");
    static A: Mutex<()> = Mutex::with_class(&A_CLASS, ());
    static B: Mutex<()> = Mutex::with_class(&B_CLASS, ());
    static C: Mutex<()> = Mutex::with_class(&C_CLASS, ());
    limited(async {
        set_order_learning(true);
        let told = Violations::of("third/");
        takes(&A, &B).await;
        takes(&B, &C).await;
        assert!(told.all().is_empty());
        takes(&C, &A).await;
        let told = told.all();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].held, told[0].wanted), ("third/c", "third/a"));
    })
    .await;
}

#[tokio::test]
async fn two_locks_of_one_class_teach_nothing() {
    static CLASS: LockClass = LockClass::new("same/class");
    static A: Mutex<()> = Mutex::with_class(&CLASS, ());
    static B: Mutex<()> = Mutex::with_class(&CLASS, ());
    limited(async {
        set_order_learning(true);
        let told = Violations::of("same/");
        takes(&A, &B).await;
        takes(&B, &A).await;
        assert!(told.all().is_empty());
    })
    .await;
}
