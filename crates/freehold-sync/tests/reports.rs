//! The written forms of a deadlock, as they are: addresses, times and numbers are replaced by what they stand for.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, Deadlock, Ended, Grade, LockClass, LockError, Mutex, PermitPool, RwLock, activity,
    recent_reports, spawn, subscribe,
};
use std::sync::{Arc, Mutex as StdMutex};
use support::{Meeting, Told, end, end_all, limited, one_victim, take_both, until, waits};

/// Replaces what differs from run to run, or with every line that is added above.
fn normal(report: &Deadlock, text: &str) -> String {
    let mut text =
        text.replace(&report.id, "FH-N").replace(&format!("{:016x}", report.fingerprint), "FINGERPRINT");
    let actors = report.edges.iter().flat_map(|edge| [&edge.waiter, &edge.holder]);
    let mut numbers: Vec<_> = actors.map(|actor| actor.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    // The longest first, so that none is replaced as a part of another.
    for (index, number) in numbers.iter().enumerate().rev() {
        for (before, after) in [("(#", ")"), ("\"number\":", "")] {
            text = text.replace(&format!("{before}{number}{after}"), &format!("{before}N{index}{after}"));
        }
    }
    for edge in &report.edges {
        let sites = [edge.waits_at, edge.held_at, edge.waiter.site, edge.holder.site];
        for site in sites.into_iter().flatten() {
            text = text.replace(&site.to_string(), "SITE");
        }
        text = text.replace(&format!("{:#x}", edge.lock.address), "0xADDRESS");
        for time in [Some(edge.waited), edge.held_for].into_iter().flatten() {
            text = text.replace(&format!("{time:?}"), "TIME");
            text = text.replace(&format!("nanos\":{}", time.as_nanos()), "nanos\":NANOS");
        }
    }
    text
}

/// Always the same ring, closed by the same member; one at a time, because that one is waited for by its name.
async fn ring() -> Arc<Deadlock> {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ONE_AT_A_TIME.lock().await;
    static ACCOUNT: LockClass = LockClass::new("account");
    static LEDGER: LockClass = LockClass::new("ledger");
    let locks = Arc::new((Mutex::with_class(&ACCOUNT, ()), Mutex::with_class(&LEDGER, ()), Meeting::of(2)));
    let member = |name: &'static str, swap: bool| {
        let locks = locks.clone();
        spawn!(name, async move |ctx| {
            let (first, second) = if swap { (&locks.1, &locks.0) } else { (&locks.0, &locks.1) };
            let _first = ctx.lock(first).await?;
            locks.2.wait().await;
            if swap {
                waits("transfer").await;
            }
            ctx.lock(second).await.map(drop)
        })
    };
    one_victim(&end_all([member("transfer", false), member("audit", true)]).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_as_text() {
    let report = limited(ring()).await;
    let expected = "\
deadlock FH-N [FINGERPRINT]: PROVEN ring of 2 over account -> ledger; 0 more behind it
  1. audit (#N1) made at SITE
       waits TIME for lock account (0xADDRESS) (lock) at SITE
       held by transfer (#N0) made at SITE, acquired at SITE
  2. transfer (#N0) made at SITE
       waits TIME for lock ledger (0xADDRESS) (lock) at SITE
       held by audit (#N1) made at SITE, acquired at SITE
  broken: the wait of 1 (audit (#N1) made at SITE) failed
  advice: take these in one order everywhere, for example account, then ledger
";
    assert_eq!(normal(&report, &report.to_string()), expected);
}

#[cfg(feature = "json")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_as_json() {
    let report = limited(ring()).await;
    let actor =
        |name, number| format!(r#"{{"foreign_wakers":0,"name":"{name}","number":N{number},"site":"SITE"}}"#);
    let edge = |waiter: &str, holder: &str, class| {
        let lock = format!(r#""lock":{{"address":"0xADDRESS","class":"{class}"}}"#);
        format!(
            r#"{{"held_at":"SITE","held_nanos":null,"holder":{holder},{lock},"mode":"lock","waited_nanos":NANOS,"waiter":{waiter},"waits_at":"SITE"}}"#
        )
    };
    let (audit, transfer) = (actor("audit", 1), actor("transfer", 0));
    let edges = [edge(&audit, &transfer, "account"), edge(&transfer, &audit, "ledger")].join(",");
    let expected = format!(
        r#"{{"action":"victim","advice":"take these in one order everywhere, for example account, then ledger","behind":0,"edges":[{edges}],"fingerprint":"FINGERPRINT","grade":"PROVEN","headline":"PROVEN ring of 2 over account -> ledger; 0 more behind it","id":"FH-N","moved_up":null,"ring":true,"suggested_order":["account","ledger"],"victim":0}}"#
    );
    assert_eq!(normal(&report, &report.to_json()), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_as_dot() {
    let report = limited(ring()).await;
    let expected = r##"digraph "FH-N" {
  label="PROVEN ring of 2 over account -> ledger; 0 more behind it";
  node [shape=box];
  a1 [label="audit (#N1) made at SITE", style=filled, fillcolor="#f4b6b6"];
  a2 [label="transfer (#N0) made at SITE"];
  a1 -> a2 [label="lock account"];
  a2 -> a1 [label="lock ledger"];
}
"##;
    assert_eq!(normal(&report, &report.to_dot()), expected);
}

/// Nobody is left to wake the holder: no ring, no victim, and the holder's box has no edge of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_holder_as_text_and_dot() {
    static CLASS: LockClass = LockClass::new("gate");
    static GATE: Mutex<()> = Mutex::with_class(&CLASS, ());
    limited(async {
        let holder = tokio::spawn(
            activity(async |ctx: &Context| {
                let _gate = ctx.lock(&GATE).await;
                std::future::pending::<()>().await;
            })
            .named("sleeper"),
        );
        until(|| GATE.is_locked()).await;
        let waiter = spawn!("visitor", async move |ctx| ctx.lock(&GATE).await.map(drop));
        let Err(Ended::Orphan(report)) = holder.await.unwrap() else { panic!("it is ended") };
        end(waiter).await.unwrap();
        let text = "\
deadlock FH-N [FINGERPRINT]: PROVEN chain of 1 over gate; 0 more behind it
  1. visitor (#N1) made at SITE
       waits TIME for lock gate (0xADDRESS) (lock) at SITE
       held by sleeper (#N0) made at SITE, acquired at SITE
  broken: sleeper (#N0) made at SITE was ended; nothing was left that could have woken it
  advice: give what it waited for an end, with `ctx.within`, or give gate back before; whoever should have woken it is gone or has forgotten it
";
        assert_eq!(normal(&report, &report.to_string()), text);
        let dot = r#"digraph "FH-N" {
  label="PROVEN chain of 1 over gate; 0 more behind it";
  node [shape=box];
  a1 [label="visitor (#N1) made at SITE"];
  a2 [label="sleeper (#N0) made at SITE"];
  a1 -> a2 [label="lock gate"];
}
"#;
        assert_eq!(normal(&report, &report.to_dot()), dot);
        assert!(report.victim().is_none());
    })
    .await;
}

/// Nobody fails: the reader goes past the writer, who waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_was_moved_up_as_text() {
    static CLASS: LockClass = LockClass::new("index");
    static INDEX: RwLock<()> = RwLock::with_class(&CLASS, ());
    limited(async {
        let told = Told::about("rebuild");
        let reader = spawn!("lookup", async move |ctx| {
            let _once = ctx.read(&INDEX).await?;
            waits("rebuild").await;
            ctx.read(&INDEX).await.map(drop)
        });
        until(|| INDEX.try_write().is_none()).await;
        let writer = spawn!("rebuild", async move |ctx| ctx.write(&INDEX).await.map(drop));
        assert!(end_all([reader, writer]).await.iter().all(Result::is_ok));
        let report = told.first(Grade::Proven).await;
        let text = "\
deadlock FH-N [FINGERPRINT]: PROVEN ring of 2 over index -> index; 0 more behind it
  1. lookup (#N0) made at SITE
       waits TIME for lock index (0xADDRESS) (read) at SITE
       held by rebuild (#N1) made at SITE
  2. rebuild (#N1) made at SITE
       waits TIME for lock index (0xADDRESS) (write) at SITE
       held by lookup (#N0) made at SITE, acquired at SITE
  broken: the wait of 1 (lookup (#N0) made at SITE) went past that of rebuild (#N1) made at SITE; nobody failed
  advice: it reads index again while it reads it, and a writer stands in between: read once, and hand the guard on
";
        assert_eq!(normal(&report, &report.to_string()), text);
        assert!(report.victim().is_none());
        #[cfg(feature = "json")]
        assert!(report.to_json().contains(r#""action":"reordered""#) && report.to_json().contains(r#""moved_up":0"#));
    })
    .await;
}

/// Two attempts may have one birth stamp; they are two all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shares_a_birth_stamp_is_not_taken_for_one() {
    static GATE: Mutex<()> = Mutex::new(());
    limited(async {
        let sleeper = activity(async |ctx: &Context| {
            let _gate = ctx.lock(&GATE).await;
            std::future::pending::<()>().await;
        });
        let birth = sleeper.birth();
        let sleeper = tokio::spawn(sleeper);
        until(|| GATE.is_locked()).await;
        let visitor = activity(async |ctx: &Context| ctx.lock(&GATE).await.map(drop)).born(birth);
        visitor.await.unwrap().unwrap();
        let Err(Ended::Orphan(report)) = sleeper.await.unwrap() else { panic!("it is ended") };
        assert_eq!(report.edges[0].waiter.number, report.edges[0].holder.number);
        assert!(!report.is_ring(), "{report}");
        assert!(report.to_dot().contains("a1 -> a2"), "{}", report.to_dot());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_are_those_of_the_user() {
    let report = limited(ring()).await;
    let here = |site: Option<freehold_sync::Site>| site.expect("it is known").file().ends_with("reports.rs");
    for edge in &report.edges {
        assert!(
            here(edge.waiter.site) && here(edge.holder.site) && here(edge.waits_at) && here(edge.held_at)
        );
        assert!(edge.held_at.unwrap().line() < edge.waits_at.unwrap().line());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_differ_and_fingerprints_are_those_of_the_shape() {
    limited(async {
        let (one, two) = (ring().await, ring().await);
        assert_ne!(one.id, two.id);
        assert_eq!(one.fingerprint, two.fingerprint, "the same places, other locks");
        static M: Mutex<()> = Mutex::new(());
        let twice = spawn!("another shape", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            ctx.lock(&M).await.map(drop)
        });
        let another = one_victim(&[end(twice).await]);
        assert_ne!(another.fingerprint, one.fingerprint);
        assert_eq!(another.suggested_order(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_says_how_permits_are_waited_for() {
    static CLASS: LockClass = LockClass::new("slots");
    static P: PermitPool = PermitPool::with_class(&CLASS, 3);
    limited(async {
        let greedy = spawn!("greedy", async move |ctx| {
            let _two = ctx.permits(&P, 2).await?;
            ctx.permits(&P, 3).await.map(drop)
        });
        let report = one_victim(&[end(greedy).await]);
        assert!(report.to_string().contains("(3 permit(s)) at "), "{report}");
        assert!(report.to_dot().contains("[label=\"3 permit(s) slots\"]"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_escaped_in_dot() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let quoted = spawn!("a \"quoted\" \\ name\n", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            ctx.lock(&M).await.map(drop)
        });
        let dot = one_victim(&[end(quoted).await]).to_dot();
        assert!(dot.contains(r#"[label="a \"quoted\" \\ name\n (#"#), "{dot}");
    })
    .await;
}

// ---- who is told ---------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_kept_and_told_and_the_error_names_them() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let told = Told::about("kept/");
        let one = spawn!("kept/one", async move |ctx| take_both(ctx, &A, &BOTH_HOLD, &B).await);
        let two = spawn!("kept/two", async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        let ends = end_all([one, two]).await;
        let report = one_victim(&ends);
        assert_eq!(told.first(Grade::Proven).await.id, report.id);
        assert!(recent_reports().iter().any(|kept| kept.id == report.id));
        let error = ends.iter().find_map(|end| end.as_ref().err()).unwrap().to_string();
        assert!(error.starts_with(&format!("deadlock {}: PROVEN ring of 2", report.id)), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_when_it_is_dropped_and_a_subscriber_may_panic() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let seen = Arc::new(StdMutex::new(0));
        let twice = async || {
            let twice = spawn!("subscribed/twice", async move |ctx| {
                let _m = ctx.lock(&M).await?;
                ctx.lock(&M).await.map(drop)
            });
            let end: Result<(), LockError> = end(twice).await;
            assert!(end.is_err());
        };
        let told = Told::about("subscribed/");
        let panics = subscribe(|event| {
            if let freehold_sync::Event::Deadlock(report) = event
                && support::names(report, "subscribed/")
            {
                panic!("on purpose");
            }
        });
        let counter = seen.clone();
        let counts = subscribe(move |event| {
            if let freehold_sync::Event::Deadlock(report) = event
                && support::names(report, "subscribed/")
            {
                *counter.lock().unwrap() += 1;
            }
        });
        twice().await;
        until(|| *seen.lock().unwrap() == 1).await;
        drop((panics, counts));
        twice().await;
        until(|| told.all().len() == 2).await;
        assert_eq!(*seen.lock().unwrap(), 1);
    })
    .await;
}
