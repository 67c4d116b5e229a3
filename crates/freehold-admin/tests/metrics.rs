//! Every metric is exported, in the form that the format says, and moves when what it counts happens.

mod watched;

use freehold::{
    CallHandle, Context, Dispatched, Engine, ErrorObject, Limits, Request, Route, Session, Step,
    runtime::pause,
};
use freehold_admin::{AdminOptions, Kind, METRICS, Telemetry, WatchPoolError, limits};
use std::{
    collections::BTreeMap,
    future::pending,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};
use watched::{Watched, eventually, value_of};

/// The samples by metric: name, labels as they are written, value. Panics at a line that the format does not know.
fn parsed(text: &str) -> BTreeMap<String, Vec<(String, String, f64)>> {
    let mut families: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut current: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} stands twice");
            families.insert(name.to_owned(), Vec::new());
            current = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, kind) = current.as_ref().unwrap();
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (own, labels) = sample.split_once('{').map_or((sample, ""), |(own, labels)| (own, labels));
        let suffix = own.strip_prefix(name.as_str()).unwrap_or_else(|| panic!("{line} under {name}"));
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value.is_finite(), "{line}");
        let samples = families.get_mut(name).unwrap();
        let sample = (own.to_owned(), labels.trim_end_matches('}').to_owned(), value);
        assert!(!samples.iter().any(|(a, b, _)| (a, b) == (&sample.0, &sample.1)), "{line} stands twice");
        samples.push(sample);
    }
    families
}

#[test]
fn names_follow_the_conventions() {
    for metric in METRICS {
        let name = metric.name;
        assert!(
            name.starts_with("freehold_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(!name.contains("milli") && !name.contains("_ms"), "{name}: base units only");
        if metric.kind == Kind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}");
        }
        assert!(metric.help.len() > 10 && !metric.help.contains('\n'), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_exported_and_moves_under_load() {
    let limits = Limits { soft_limit: Duration::from_millis(100), ..Limits::default() };
    let watched = Watched::with(Telemetry::new(), AdminOptions::default(), limits);
    let before = watched.text("/metrics");
    let families = parsed(&before);
    let exported: Vec<_> = families.keys().map(String::as_str).collect();
    let mut described: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
    described.sort_unstable();
    assert_eq!(exported, described);

    for number in 0..2_000 {
        assert!(watched.call("echo", number).await);
    }
    for _ in 0..50 {
        watched.call("fail", 0).await;
    }
    watched.deadlock().await;
    watched.call("block", 300).await;
    watched.engine.open().unwrap();
    watched.start("hold", 1);
    eventually("the holder", || watched.metric("freehold_lock_holders{class=\"one\"}") == 1.0).await;
    watched.start("hold", 2);
    eventually("the waiter", || watched.metric("freehold_lock_waiters{class=\"one\"}") == 1.0).await;
    eventually("two slow calls", || watched.metric("freehold_watchdog_findings{kind=\"slow\"}") == 2.0).await;
    // Longer than a wait that is not suspected.
    eventually("the suspicion", || watched.metric("freehold_deadlocks_total{grade=\"suspected\"}") >= 1.0)
        .await;
    let text = watched.text("/metrics");
    parsed(&text);
    let of = |sample: &str| value_of(&text, sample).unwrap_or_else(|| panic!("no {sample} in {text}"));
    let echoes = "{method=\"echo\",subject=\"\",outcome=\"answered\"}";
    for (sample, at_least) in [
        ("freehold_calls_total{outcome=\"answered\"}", 2_000.0),
        ("freehold_calls_total{outcome=\"failed\"}", 1.0),
        ("freehold_calls_total{outcome=\"circuit_open\"}", 1.0),
        ("freehold_calls_shed_total{reason=\"circuit_open\"}", 1.0),
        (&format!("freehold_call_duration_seconds_count{echoes}"), 2_000.0),
        (&format!("freehold_call_duration_seconds_sum{echoes}"), 1e-6),
        ("freehold_calls{stage=\"handler\"}", 2.0),
        ("freehold_calls_in_flight", 2.0),
        ("freehold_call_saturation_ratio", 1e-9),
        ("freehold_session_slot_saturation_ratio", 1e-9),
        ("freehold_sessions{state=\"active\"}", 1.0),
        ("freehold_sessions{state=\"initializing\"}", 1.0),
        ("freehold_sessions_opened_total", 2.0),
        ("freehold_breakers_opened_total", 1.0),
        ("freehold_breaker_state{name=\"fail\",of=\"method\",state=\"open\"}", 1.0),
        ("freehold_deadlocks_total{grade=\"proven\"}", 1.0),
        ("freehold_lock_deadlocks_total{class=\"one\"}", 0.0),
        ("freehold_lock_contended_total{class=\"one\"}", 0.0),
        ("freehold_detector_seconds_total", 1e-9),
        ("freehold_detector_walks_total", 1.0),
        ("freehold_threads_blocked_total", 1.0),
        ("freehold_slow_calls_total", 2.0),
        ("freehold_permits{pool=\"four\"}", 4.0),
        ("freehold_look_seconds", 1e-9),
        ("freehold_uptime_seconds", 1e-3),
    ] {
        assert!(of(sample) >= at_least, "{sample} is {}", of(sample));
    }
    let victims = of("freehold_lock_deadlocks_total{class=\"one\"}")
        + of("freehold_lock_deadlocks_total{class=\"other lock\"}");
    assert!(victims >= 1.0);
    assert_eq!(of("freehold_ready"), 0.0, "slow calls stand");
    let within = value_of(
        &text,
        "freehold_call_duration_seconds_bucket{method=\"echo\",subject=\"\",outcome=\"answered\",le=\"+Inf\"}",
    );
    assert_eq!(within, Some(of(&format!("freehold_call_duration_seconds_count{echoes}"))));
    watched.shelf.go.add_permits(2);
    eventually("the end", || watched.metric("freehold_calls_in_flight") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_and_queues_show_how_full_they_are() {
    let limits = Limits { running_per_session: 6, queued_per_session: 4, ..Limits::default() };
    let watched = Watched::with(Telemetry::new(), AdminOptions::default(), limits);
    for number in 0..3 {
        watched.start("permit", number);
    }
    let in_use = "freehold_permits_in_use{pool=\"four\"}";
    eventually("three permits", || watched.metric(in_use) == 3.0).await;
    assert_eq!(watched.metric("freehold_permits{pool=\"four\"}"), 4.0);
    assert_eq!(watched.metric("freehold_permit_saturation_ratio{pool=\"four\"}"), 0.75);
    assert_eq!(watched.metric("freehold_queue_saturation_ratio"), 0.0);
    // Two wait for a permit, in slots of their own, the third for a slot.
    for number in 3..7 {
        watched.start("permit", number);
    }
    for (sample, share) in [
        ("freehold_queue_saturation_ratio", 0.25),
        ("freehold_permit_saturation_ratio{pool=\"four\"}", 1.0),
        ("freehold_session_slot_saturation_ratio", 1.0),
    ] {
        eventually(sample, || watched.metric(sample) == share).await;
    }
    watched.shelf.go.add_permits(7);
    eventually("the end", || watched.metric("freehold_calls_in_flight") == 0.0).await;
    assert_eq!(watched.metric(in_use), 0.0);
}

/// What a scrape at this moment says of calls: over their limit, of slots, of the queue.
fn shares(engine: &Engine<()>) -> [f64; 3] {
    let text = Telemetry::new().metrics(engine);
    [
        "freehold_call_saturation_ratio",
        "freehold_session_slot_saturation_ratio",
        "freehold_queue_saturation_ratio",
    ]
    .map(|sample| value_of(&text, sample).unwrap())
}

async fn echo(_: &Context<()>, [number]: [u64; 1]) -> Result<u64, ErrorObject> {
    Ok(number)
}

async fn never(_: &Context<()>, (): ()) -> Result<u64, ErrorObject> {
    pending().await
}

async fn outer(ctx: &Context<()>, (): ()) -> Result<u64, ErrorObject> {
    Ok(ctx.call(ctx.session(), "never", &()).await?)
}

/// An engine with one slot and one place in the queue, and a session of it.
fn narrow(calls_total: usize) -> (Engine<()>, Session<()>) {
    let limits = Limits { running_per_session: 1, queued_per_session: 1, calls_total, ..Limits::default() };
    let engine = Engine::builder(()).limits(limits);
    let engine = engine.method("echo", echo).method("never", never).method("outer", outer).build().unwrap();
    let session = engine.open().unwrap();
    (engine, session)
}

fn dispatched(
    session: &Session<()>,
    id: i64,
    method: &str,
    params: &impl serde::Serialize,
) -> CallHandle<()> {
    let request = Request::new(id, method, params).unwrap();
    match session.engine().dispatch(session, request.into(), Route::Call) {
        Dispatched::Running(call) => call,
        refused => panic!("{method} is a call: {refused:?}"),
    }
}

fn polled(call: &mut CallHandle<()>) -> Poll<Step> {
    call.poll_next(&mut TaskContext::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_slot_that_is_handed_over_leaves_its_place_in_the_queue_at_once() {
    let (engine, session) = narrow(2);
    let mut first = dispatched(&session, 1, "echo", &[1]);
    let _second = dispatched(&session, 2, "echo", &[2]);
    assert_eq!(shares(&engine), [1.0, 1.0, 1.0]);
    // The second one has the slot now; its task is yet to see it.
    assert!(matches!(polled(&mut first), Poll::Ready(Step::End(Some(_)))));
    assert_eq!(shares(&engine), [0.5, 1.0, 0.0]);
    let _third = dispatched(&session, 3, "echo", &[3]);
    assert_eq!(shares(&engine), [1.0, 1.0, 1.0]);
}

#[tokio::test]
async fn a_call_of_a_handlers_takes_no_place_of_those_that_clients_have() {
    let (engine, session) = narrow(1);
    let mut outer = dispatched(&session, 1, "outer", &());
    assert!(polled(&mut outer).is_pending());
    assert_eq!((engine.call_count(), shares(&engine)), (2, [1.0, 1.0, 0.0]));
}

#[test]
fn pools_that_are_watched_have_names_of_their_own_and_a_bound() {
    let (telemetry, pool) = (Telemetry::new(), freehold::sync::PermitPool::new(1).into());
    for number in 0..limits::POOLS {
        telemetry.watch_pool(&number.to_string(), &pool).unwrap();
    }
    assert!(matches!(telemetry.watch_pool("0", &pool), Err(WatchPoolError::Taken(_))));
    assert!(matches!(telemetry.watch_pool("more", &pool), Err(WatchPoolError::Full(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_clients_make_up_make_no_series() {
    let watched = Watched::new();
    for number in 0..1_000 {
        assert!(!watched.call(&format!("made up {number}"), 0).await);
    }
    let text = watched.text("/metrics");
    assert!(!text.contains("made up"), "{text}");
    assert_eq!(value_of(&text, "freehold_calls_total{outcome=\"failed\"}"), Some(1_000.0), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_scrapes_under_load_lose_no_request() {
    let watched = Watched::new();
    let (url, stop) = (watched.url("/metrics"), tokio_stop());
    let calls = {
        let (watched, stop) = (watched.clone(), stop.clone());
        let loaders: Vec<_> = (0..8)
            .map(|_| {
                let (watched, stop) = (watched.clone(), stop.clone());
                async move {
                    let mut calls = 0_u64;
                    while !*stop.borrow() {
                        assert!(watched.call("echo", calls).await, "a request was lost");
                        calls += 1;
                        pause(&freehold::runtime::TokioRuntime, Duration::from_micros(100)).await;
                    }
                    calls
                }
            })
            .collect();
        async move { futures_sum(loaders).await }
    };
    let scrapes = async {
        let scraping = std::thread::spawn(move || {
            (0..1_000).filter(|_| url.get(None, Duration::from_secs(30)).unwrap().status == 200).count()
        });
        let scraped = tokio::task::spawn_blocking(move || scraping.join().unwrap()).await.unwrap();
        stop.send_replace(true);
        scraped
    };
    let (calls, scraped) = tokio::join!(calls, scrapes);
    assert_eq!(scraped, 1_000);
    assert!(calls > 100, "{calls} calls");
    assert_eq!(watched.engine.counters().answered, calls);
    let answered = "freehold_calls_total{outcome=\"answered\"}";
    eventually("the whole count", || watched.metric(answered) == calls as f64).await;
}

fn tokio_stop() -> tokio::sync::watch::Sender<bool> {
    tokio::sync::watch::Sender::new(false)
}

/// Runs all of them at the same time; the sum of what they return.
async fn futures_sum(futures: Vec<impl Future<Output = u64>>) -> u64 {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |cx| {
        for (future, done) in &mut futures {
            if done.is_none()
                && let Poll::Ready(count) = future.as_mut().poll(cx)
            {
                *done = Some(count);
            }
        }
        match futures.iter().map(|(_, done)| *done).sum::<Option<u64>>() {
            Some(sum) => Poll::Ready(sum),
            None => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_handlers_are_a_short_page_and_a_bounded_inspection() {
    let watched = Watched::new();
    for number in 0..10_000 {
        watched.start("wait", number);
    }
    eventually("all of them", || watched.inspect("?limit=1").calls.total == 10_000).await;
    let page = watched.text("/");
    assert!(page.contains("10,000") && page.len() < 200_000, "{} bytes", page.len());
    let seen = watched.inspect("");
    assert_eq!((seen.calls.groups[0].count, seen.calls.listed.len()), (10_000, 1_000));
    assert_eq!(watched.inspect("?q=9999").calls.matching, 1, "the one with this id");
    watched.shelf.go.add_permits(10_000);
    eventually("their end", || watched.inspect("?limit=1").calls.total == 0).await;
}
