//! What is set for the whole process. These tests run one after the other, and put back what they changed.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, LockClass, LockError, LockLevel, Mutex, OrderMode, activity, limits, set_detection,
    set_order_mode, set_probing, set_wait_limit, spawn,
};
use support::{Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, take_both, waits};
use tokio::sync::oneshot;

static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Puts a setting back when it is dropped, also by a failure.
struct Reset(fn());

impl Drop for Reset {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_detection_off_a_ring_ends_by_its_deadline_and_with_it_on_again_by_proof() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static FIRST: Meeting = Meeting::of(2);
    static SECOND: Meeting = Meeting::of(2);
    limited(async {
        let _alone = ONE_AT_A_TIME.lock().await;
        let told = Told::about("detection/");
        let ring = |meeting: &'static Meeting, limits: [u64; 2]| {
            let member =
                |name: &'static str, first: &'static Mutex<()>, second: &'static Mutex<()>, limit| {
                    spawn!(name, async move |ctx| {
                        let _first = ctx.lock(first).await?;
                        meeting.wait().await;
                        ctx.lock_within(second, ms(limit)).await.map(drop)
                    })
                };
            [member("detection/one", &A, &B, limits[0]), member("detection/two", &B, &A, limits[1])]
        };
        {
            let _on = Reset(|| set_detection(true));
            set_detection(false);
            let begun = now();
            let ends = end_all(ring(&FIRST, [300, 15_000])).await;
            assert!(begun.elapsed() >= ms(299), "nobody looked: {:?}", begun.elapsed());
            let LockError::Timeout(timeout) = ends[0].as_ref().unwrap_err() else { panic!("{ends:?}") };
            assert_eq!(timeout.holder.as_ref().unwrap().name, "detection/two");
            assert!(ends[1].is_ok(), "and its deadline freed the other");
            told.no_verdict();
        }
        let begun = now();
        one_victim(&end_all(ring(&SECOND, [15_000, 15_000])).await);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_limit_of_waits_can_be_set() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let _alone = ONE_AT_A_TIME.lock().await;
        let _limit = Reset(|| set_wait_limit(limits::WAIT));
        set_wait_limit(ms(80));
        let _held = M.lock().await.unwrap();
        let begun = now();
        assert!(M.lock().await.unwrap_err().is_timeout());
        let waiter = spawn!("limit/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        assert!(end(waiter).await.unwrap_err().is_timeout());
        assert!(begun.elapsed() >= ms(159) && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test]
async fn the_mode_of_the_order_can_be_set_and_activities_may_differ() {
    static LOW: LockClass = LockClass::new("settings/low").at(LockLevel::GLOBAL);
    static HIGH: LockClass = LockClass::new("settings/high").at(LockLevel::HANDLER);
    static L: Mutex<()> = Mutex::with_class(&LOW, ());
    static H: Mutex<()> = Mutex::with_class(&HIGH, ());
    limited(async {
        let _alone = ONE_AT_A_TIME.lock().await;
        let _mode = Reset(|| set_order_mode(OrderMode::default()));
        let wrong = async |ctx: &Context| {
            let _high = ctx.lock(&H).await?;
            ctx.lock(&L).await.map(drop)
        };
        activity(wrong).await.unwrap().expect("reported only");
        set_order_mode(OrderMode::Refuse);
        let refused = activity(wrong).await.unwrap();
        assert!(matches!(refused, Err(LockError::Order(_))), "{refused:?}");
        activity(wrong).order_mode(OrderMode::Off).await.unwrap().expect("it has a mode of its own");
    })
    .await;
}

/// The clone left in the receiver counts as life then, so the ring lasts until a deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_probe_a_ring_with_stale_wakers_ends_by_its_deadline() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let _alone = ONE_AT_A_TIME.lock().await;
        let _probing = Reset(|| set_probing(true));
        set_probing(false);
        let told = Told::about("no probe/");
        let (_send, mut receive) = oneshot::channel::<()>();
        let stale = spawn!("no probe/stale", async move |ctx| {
            tokio::select! {
                _ = &mut receive => unreachable!("nobody sends"),
                () = pause(2) => {}
            }
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            let late = ctx.lock_within(&B, ms(400)).await.map(drop);
            drop(receive);
            late
        });
        let clean = spawn!("no probe/clean", async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        waits("no probe/stale").await;
        assert!(end(stale).await.unwrap_err().is_timeout());
        end(clean).await.unwrap();
        told.no_verdict();
    })
    .await;
}
