//! What a report advises, by the shape of the deadlock.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, Deadlock, Grade, JoinHandle, LockClass, LockError, Mutex, PermitPool, RwLock, activity,
    joinable, reply, set_suspect_after, spawn,
};
use std::{future::pending, sync::Arc};
use support::{Meeting, Told, end, end_all, limited, ms, one_victim, proven, take_both, until, waits};
use tokio::sync::oneshot;

static LEDGER: LockClass = LockClass::new("ledger");
static ACCOUNT: LockClass = LockClass::new("account");
static SLOTS: LockClass = LockClass::new("slots");

#[track_caller]
fn advises(report: &Arc<Deadlock>, advice: &str) {
    assert_eq!(report.advice(), advice, "{report}");
    assert!(report.to_string().ends_with(&format!("  advice: {advice}\n")), "{report}");
}

async fn alone(body: impl AsyncFnOnce(&Context) -> Result<(), LockError>) -> Arc<Deadlock> {
    proven(&limited(activity(body)).await.unwrap().unwrap_err())
}

// ---- with oneself --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn locked_twice() {
    let m = Mutex::with_class(&LEDGER, ());
    let report = alone(async |ctx| {
        let _m = ctx.lock(&m).await?;
        ctx.lock(&m).await.map(drop)
    });
    advises(&report.await, "it locks ledger twice: hand the guard on, or drop it before");
}

#[tokio::test]
async fn written_while_read() {
    let l = RwLock::with_class(&LEDGER, ());
    let report = alone(async |ctx| {
        let _l = ctx.read(&l).await?;
        ctx.write(&l).await.map(drop)
    });
    let advice = "it writes ledger while it has it already: drop that guard before, or take `write` from the \
                  start; a read guard cannot become a write guard";
    advises(&report.await, advice);
}

#[tokio::test]
async fn read_while_written() {
    let l = RwLock::with_class(&LEDGER, ());
    let report = alone(async |ctx| {
        let _l = ctx.write(&l).await?;
        ctx.read(&l).await.map(drop)
    });
    let advice = "it reads ledger while it writes it: read through the write guard, or downgrade that";
    advises(&report.await, advice);
}

#[tokio::test]
async fn more_permits_while_it_has_some() {
    let pool = PermitPool::with_class(&SLOTS, 3);
    let report = alone(async |ctx| {
        let _two = ctx.permits(&pool, 2).await?;
        ctx.permits(&pool, 2).await.map(drop)
    });
    advises(&report.await, "take all permits of slots that are needed at once, with `ctx.permits`");
}

#[tokio::test]
async fn an_answer_owed_to_oneself() {
    let report = alone(async |ctx| {
        let (owed, answer) = reply::<()>();
        let _owed = owed.bind(ctx);
        answer.join(ctx).await
    });
    advises(&report.await, "it waits for an answer that it owes itself: send it before");
}

// ---- within one lock or pool ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_second_read_behind_a_writer() {
    static L: RwLock<()> = RwLock::with_class(&LEDGER, ());
    limited(async {
        let told = Told::about("again/");
        let reads = spawn!("again/reads", async move |ctx| {
            let _l = ctx.read(&L).await?;
            waits("again/writes").await;
            ctx.read(&L).await.map(drop)
        });
        let writes = spawn!("again/writes", async move |ctx| ctx.write(&L).await.map(drop));
        assert!(end_all([reads, writes]).await.iter().all(Result::is_ok));
        let report = told.first(Grade::Proven).await;
        let advice = "it reads ledger again while it reads it, and a writer stands in between: read once, and hand \
                      the guard on";
        advises(&report, advice);
    })
    .await;
}

/// Each of them waits for itself as soon as it waits.
#[tokio::test]
async fn two_readers_that_want_to_write() {
    static L: RwLock<()> = RwLock::with_class(&LEDGER, ());
    static BOTH_READ: Meeting = Meeting::of(2);
    limited(async {
        let upgrades = || {
            spawn!(async move |ctx| {
                let _l = ctx.read(&L).await?;
                BOTH_READ.wait().await;
                ctx.write(&L).await.map(drop)
            })
        };
        let ends: Vec<Result<(), LockError>> = end_all([upgrades(), upgrades()]).await;
        for end in ends {
            let advice = proven(&end.unwrap_err()).advice();
            assert!(
                advice.ends_with("take `write` from the start; a read guard cannot become a write guard")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_permit_each_and_both_want_another() {
    static POOL: PermitPool = PermitPool::with_class(&SLOTS, 2);
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let greedy = || {
            spawn!(async move |ctx| {
                let _one = ctx.permit(&POOL).await?;
                BOTH_HOLD.wait().await;
                ctx.permit(&POOL).await.map(drop)
            })
        };
        let report = one_victim(&end_all([greedy(), greedy()]).await);
        assert_eq!(report.edges.len(), 2);
        advises(&report, "take all permits of slots that are needed at once, with `ctx.permits`");
    })
    .await;
}

// ---- over several locks --------------------------------------------------------------------------------------------

#[tokio::test]
async fn two_locks_of_one_class() {
    static A: Mutex<()> = Mutex::with_class(&LEDGER, ());
    static B: Mutex<()> = Mutex::with_class(&LEDGER, ());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let one = spawn!(async move |ctx| take_both(ctx, &A, &BOTH_HOLD, &B).await);
        let two = spawn!(async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        let report = one_victim(&end_all([one, two]).await);
        advises(&report, "take locks of one class together, with `lock_all`");
    })
    .await;
}

#[tokio::test]
async fn a_lock_and_a_pool() {
    static M: Mutex<()> = Mutex::with_class(&LEDGER, ());
    static POOL: PermitPool = PermitPool::with_class(&SLOTS, 1);
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let one = spawn!(async move |ctx| {
            let _m = ctx.lock(&M).await?;
            BOTH_HOLD.wait().await;
            ctx.permit(&POOL).await.map(drop)
        });
        let two = spawn!(async move |ctx| {
            let _p = ctx.permit(&POOL).await?;
            BOTH_HOLD.wait().await;
            ctx.lock(&M).await.map(drop)
        });
        let report = one_victim(&end_all([one, two]).await);
        assert_eq!(report.suggested_order(), Some(vec!["ledger", "slots"]));
        advises(&report, "take these in one order everywhere, for example ledger, then slots");
    })
    .await;
}

// ---- calls ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_call_to_somebody_who_wants_its_callers_lock() {
    static M: Mutex<()> = Mutex::with_class(&LEDGER, ());
    limited(async {
        let caller = spawn!(async move |ctx| {
            let _m = ctx.lock(&M).await?;
            spawn!(async move |ctx| ctx.lock(&M).await.map(drop)).join(ctx).await?
        });
        let report = proven(&end(caller).await.unwrap_err());
        assert_eq!(report.suggested_order(), None, "an end is nothing to be ordered");
        let advice = "do not hold ledger while waiting for an activity that takes it: give it back before the call, \
                      or hand on what it guards";
        advises(&report, advice);
    })
    .await;
}

#[tokio::test]
async fn a_child_that_wants_its_parents_lock() {
    static M: Mutex<()> = Mutex::with_class(&LEDGER, ());
    let report = alone(async |ctx| {
        let _m = ctx.lock(&M).await?;
        ctx.join(async |ctx| ctx.lock(&M).await.map(drop), async |_ctx| ()).await.0.unwrap()
    });
    let advice = "do not hold ledger while waiting for an activity that takes it: give it back before the call, or \
                  hand on what it guards";
    advises(&report.await, advice);
}

#[tokio::test]
async fn calls_with_two_locks() {
    static A: Mutex<()> = Mutex::with_class(&LEDGER, ());
    static B: Mutex<()> = Mutex::with_class(&ACCOUNT, ());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let call = |mine: &'static Mutex<()>, other: &'static Mutex<()>| {
            spawn!(async move |ctx| {
                let _mine = ctx.lock(mine).await?;
                BOTH_HOLD.wait().await;
                spawn!(async move |ctx| ctx.lock(other).await.map(drop)).join(ctx).await?
            })
        };
        let report = one_victim(&end_all([call(&A, &B), call(&B, &A)]).await);
        let advice = "do not hold account or ledger while waiting for an activity that takes it: give it back before \
                      the call, or hand on what it guards; or let callers and those they call take these in one \
                      order, for example account, then ledger";
        advises(&report, advice);
    })
    .await;
}

#[tokio::test]
async fn two_that_wait_for_each_others_end() {
    limited(async {
        let (send, receive) = oneshot::channel::<JoinHandle<Result<(), LockError>>>();
        let (callee, handle) =
            joinable(async move |ctx| receive.await.unwrap().join(ctx).await.and_then(|ended| ended));
        let caller = spawn!(async move |ctx| handle.join(ctx).await.and_then(|ended| ended));
        let told = Told::about("each other/");
        tokio::spawn(callee.named("each other/callee"));
        assert!(send.send(caller).is_ok());
        let report = told.first(Grade::Proven).await;
        let advice = "they wait for each other's end: one of them has to finish, or answer, before it waits";
        advises(&report, advice);
    })
    .await;
}

// ---- no ring -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_orphan() {
    static M: Mutex<()> = Mutex::with_class(&LEDGER, ());
    limited(async {
        let told = Told::about("advice orphan/");
        drop(spawn!("advice orphan/holder", async move |ctx| {
            let _m = ctx.lock(&M).await;
            pending::<()>().await;
        }));
        until(|| M.is_locked()).await;
        let waiter = spawn!("advice orphan/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        end(waiter).await.unwrap();
        let advice = "give what it waited for an end, with `ctx.within`, or give ledger back before; whoever should \
                      have woken it is gone or has forgotten it";
        advises(&told.first(Grade::Proven).await, advice);
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_guard() {
    static M: Mutex<()> = Mutex::with_class(&LEDGER, ());
    limited(async {
        end(spawn!(async move |ctx| std::mem::forget(ctx.lock(&M).await))).await;
        let waiter = spawn!(async move |ctx| ctx.lock(&M).await.map(drop));
        let report = proven(&end(waiter).await.unwrap_err());
        advises(&report, "a guard of ledger was forgotten (`mem::forget`) when its activity ended: drop it");
    })
    .await;
}

#[tokio::test]
async fn a_wait_behind_nobody_knows_whom_and_one_behind_somebody_slow() {
    static PLAIN: Mutex<()> = Mutex::with_class(&LEDGER, ());
    static SLOW: Mutex<()> = Mutex::with_class(&ACCOUNT, ());
    set_suspect_after(ms(50));
    limited(async {
        let told = Told::about("advice suspected/");
        let plain = PLAIN.lock().await.unwrap();
        let behind_plain = spawn!("advice suspected/plain", async move |ctx| ctx.lock(&PLAIN).await.map(drop));
        let report = told.first(Grade::Suspected).await;
        let advice = "take ledger through a context, in an activity, so that its holder is known; this may be slow, \
                      or a deadlock that nobody can prove";
        advises(&report, advice);
        drop(plain);
        end(behind_plain).await.unwrap();

        let told = Told::about("advice slow/");
        let (send, receive) = oneshot::channel::<()>();
        let slow = spawn!("advice slow/holder", async move |ctx| {
            let _slow = ctx.lock(&SLOW).await;
            receive.await.unwrap();
        });
        until(|| SLOW.is_locked()).await;
        let behind_slow = spawn!("advice slow/waiter", async move |ctx| ctx.lock(&SLOW).await.map(drop));
        let report = told.first(Grade::Suspected).await;
        let advice = "it may only be slow: see what the last one waits for while it has account, and give it back \
                      before, or limit this wait";
        advises(&report, advice);
        send.send(()).unwrap();
        end(behind_slow).await.unwrap();
        end(slow).await;
    })
    .await;
}

// ---- names ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn locks_made_through_a_function_of_the_standard_library() {
    let made: Vec<_> = (0..2).map(Mutex::new).collect();
    assert_eq!(made[0].class().name(), "unnamed (core::ops::function)");
    let defaults: [Mutex<u8>; 2] = Default::default();
    assert!(defaults[0].class().name().starts_with("unnamed (core::array"), "{:?}", defaults[0]);
    let by_closure: Vec<_> = (0..2).map(|i| Mutex::new(i)).collect();
    assert!(by_closure[0].class().name().contains("advice.rs:"), "{:?}", by_closure[0]);
    let report = alone(async |ctx| {
        let _m = ctx.lock(&made[0]).await?;
        ctx.lock(&made[0]).await.map(drop)
    });
    let advice = "it locks unnamed (core::ops::function) twice: hand the guard on, or drop it before; name what is \
                  unnamed here, with `with_class`";
    advises(&report.await, advice);
}
