//! Every address, who may ask it, and what it says while the engine is well, blocked and draining.

mod watched;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use freehold::Limits;
use freehold_admin::{AdminError, AdminOptions, AdminServer, Telemetry};
use std::time::Duration;
use watched::{LIMIT, Watched, events, eventually, exchange, get_with, line_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_answers_in_its_own_type() {
    let watched = Watched::new();
    let address = watched.admin.address();
    for (path, content_type, part) in [
        ("/", "text/html; charset=utf-8", "Running handlers"),
        ("/?q=echo", "text/html; charset=utf-8", "value=\"echo\""),
        ("/livez", "text/plain; charset=utf-8", "alive"),
        ("/readyz", "text/plain; charset=utf-8", "ready"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# TYPE freehold_calls_total counter"),
        ("/admin/inspect", "application/json", "\"calls\""),
        ("/admin/reports", "application/json", "["),
    ] {
        let (head, body) = get_with(address, path, "");
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {content_type}")), "{path}: {head}");
        assert!(head.contains("cache-control: no-store") && head.contains("nosniff"), "{path}: {head}");
        assert!(body.contains(part), "{path}: {body}");
    }
    let (head, body) = get_with(address, "/", "");
    let nonce = head.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(nonce.len(), 32, "{head}");
    assert!(body.contains(&format!("<script nonce=\"{nonce}\">")), "the policy names the script");
    assert!(!body.contains("src=") && !body.contains("//cdn"), "nothing is loaded from elsewhere");
    let (head, body) =
        exchange(address, &format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let watched = Watched::new();
    let address = watched.admin.address();
    for (path, status, part) in [
        ("/nothing", "404", "try /"),
        ("/admin/reports/FH-0", "404", "no report"),
        ("/admin/reports/", "404", "no report"),
        ("/admin/inspect?limit=many", "400", "limit"),
    ] {
        let (head, body) = get_with(address, path, "");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
        assert!(body.contains(part), "{path}: {body}");
    }
    let post =
        format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (head, _) = exchange(address, &post);
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    for host in ["evil.test", "evil.test:8809", "127.0.0.1.evil.test"] {
        let (head, _) = get_with(address, "/metrics", &format!("Host: {host}\r\n"));
        assert!(head.starts_with("http/1.1 403"), "{host}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_all_but_the_probes_and_these_tell_strangers_no_reasons() {
    let options = AdminOptions { token: Some("s3cret".to_owned()), ..AdminOptions::default() };
    let watched = Watched::with(Telemetry::new(), options, Limits::default());
    let address = watched.admin.address();
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode("me:s3cret"));
    for path in ["/", "/metrics", "/admin/inspect", "/admin/reports", "/events", "/nothing"] {
        let (head, body) = get_with(address, path, "");
        assert!(
            head.starts_with("http/1.1 401") && head.contains("www-authenticate: basic"),
            "{path}: {head}"
        );
        assert!(!body.contains("freehold_"), "{path}: {body}");
        let (head, _) = get_with(address, path, "Authorization: Bearer wrong\r\n");
        assert!(head.starts_with("http/1.1 401"), "{path}: {head}");
    }
    for header in ["Authorization: Bearer s3cret\r\n", &basic] {
        let (head, _) = get_with(address, "/metrics", header);
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
    assert_eq!(watched.url("/metrics").get(Some("s3cret"), LIMIT).unwrap().status, 200);
    assert_eq!(watched.status("/livez").0, 200);
    assert_eq!(watched.status("/readyz").0, 200);
    watched.engine.drain(Duration::ZERO).await;
    assert_eq!(watched.status("/readyz"), (503, "not ready\n".to_owned()));
    let (_, body) = get_with(address, "/readyz", "Authorization: Bearer s3cret\r\n");
    assert!(body.contains("draining"), "{body}");
}

#[test]
fn off_loopback_a_token_is_needed() {
    let bound = AdminServer::bind("0.0.0.0:0", AdminOptions::default());
    assert!(matches!(bound, Err(AdminError::TokenNeeded(_))), "{bound:?}");
    let options = AdminOptions { token: Some("t".to_owned()), ..AdminOptions::default() };
    assert!(AdminServer::bind("0.0.0.0:0", options).is_ok());
    let first = AdminServer::bind("127.0.0.1:0", AdminOptions::default()).unwrap();
    let second = AdminServer::bind(first.address(), AdminOptions::default());
    assert!(matches!(second, Err(AdminError::Listen(_))), "{second:?}");
}

/// The threads of the engine are this test's, and all of them are blocked.
#[tokio::test(flavor = "current_thread")]
async fn it_answers_and_tells_what_blocks_while_every_thread_of_the_engine_is_blocked() {
    let watched = Watched::new();
    assert_eq!(watched.status("/readyz").0, 200);
    let asked = watched.url("/readyz");
    let alive = watched.url("/livez");
    let findings = watched.url("/admin/inspect");
    let asking = std::thread::spawn(move || {
        let patience = Duration::from_secs(30);
        loop {
            let ready = asked.get(None, patience).unwrap();
            if ready.status == 503 {
                let seen: freehold_admin::Inspection =
                    serde_json::from_slice(&findings.get(None, patience).unwrap().body).unwrap();
                return (
                    String::from_utf8(ready.body).unwrap(),
                    alive.get(None, patience).unwrap().status,
                    seen,
                );
            }
        }
    });
    // Blocks this thread, the only one, until the other one has seen it.
    assert!(watched.call("block", 3_000).await);
    let (reason, alive, seen) = asking.join().unwrap();
    assert!(reason.contains("block") && reason.contains("blocks the thread"), "{reason}");
    assert_eq!(alive, 200);
    assert!(!seen.server.ready && seen.findings[0].kind == "thread_blocked", "{seen:?}");
    eventually("the end of the finding", || watched.status("/readyz").0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_call_and_a_drain_make_it_not_ready() {
    let limits = Limits { soft_limit: Duration::from_millis(50), ..Limits::default() };
    let watched = Watched::with(Telemetry::new(), AdminOptions::default(), limits);
    watched.start("hold", 1);
    eventually("the finding", || watched.status("/readyz").0 == 503).await;
    let (_, reasons) = watched.status("/readyz");
    assert!(
        reasons.contains("hold") && reasons.contains("soft limit") && reasons.contains("holds one"),
        "{reasons}"
    );
    watched.shelf.go.add_permits(1);
    eventually("its end", || watched.status("/readyz").0 == 200).await;
    watched.engine.drain(Duration::ZERO).await;
    let (status, reasons) = watched.status("/readyz");
    assert!(status == 503 && reasons.contains("draining"), "{status} {reasons}");
    assert!(watched.inspect("").server.draining);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspection_says_who_waits_for_whom_and_can_be_searched() {
    let watched = Watched::new();
    watched.start("hold", 1);
    eventually("the holder", || {
        watched.inspect("?q=hold").calls.listed.iter().any(|call| !call.holds.is_empty())
    })
    .await;
    for _ in 0..3 {
        watched.start("hold", 2);
    }
    eventually("three who wait", || {
        watched.inspect("").locks.iter().any(|lock| lock.class == "one" && lock.waited_for_by == 3)
    })
    .await;
    let seen = watched.inspect("");
    assert_eq!(seen.calls.total, 4);
    assert_eq!(seen.calls.by_stage["handler"], 4);
    let lock = seen.locks.iter().find(|lock| lock.class == "one").unwrap();
    assert_eq!((lock.held_by, lock.holders.len()), (1, 1), "{lock:?}");
    let waiting = seen.calls.groups.iter().find(|group| group.waits_for.as_deref() == Some("one")).unwrap();
    assert_eq!((waiting.label.as_str(), waiting.count), ("hold", 3));
    let oldest = &seen.calls.listed[0];
    assert_eq!(oldest.holds[0].class, "one");
    let waiter = &seen.calls.listed[1].waits[0];
    assert!(waiter.mode == "lock" && waiter.holder.starts_with("hold (#"), "{waiter:?}");
    assert!(waiter.at.as_deref().unwrap().contains("watched/mod.rs"), "{waiter:?}");
    assert_eq!(watched.inspect("?q=HOLD").calls.matching, 4);
    assert_eq!(watched.inspect("?q=nothing%20like%20it").calls.matching, 0);
    let bounded = watched.inspect("?limit=2");
    assert_eq!((bounded.calls.listed.len(), bounded.calls.omitted), (2, 2));
    let page = watched.text("/");
    assert!(page.contains("3 x hold") && page.contains("class=\"arrow\""), "the graph is drawn: {page}");
    // No id of a session that would let its reader in.
    let whole = watched.session.id().to_string();
    assert!(!page.contains(&whole) && !watched.text("/admin/inspect").contains(&whole));
    watched.shelf.go.add_permits(4);
    eventually("their end", || watched.inspect("").calls.total == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_beyond_the_bound_are_refused_and_their_places_come_back() {
    let watched = Watched::new();
    let address = watched.admin.address();
    let most = freehold_admin::limits::VIEWERS;
    let open: Vec<_> = (0..most).map(|_| events(address, "")).collect();
    for lines in &open {
        line_with(lines, &["\"id\":\"tiles\""]);
    }
    let (head, _) = get_with(address, "/events", "");
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after"), "{head}");
    drop(open);
    eventually("a place", || {
        let lines = events(address, "");
        let (_, first) = lines.recv_timeout(LIMIT).unwrap();
        first.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_clients_cannot_break_out_of_a_page() {
    let watched = Watched::new();
    let search = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22";
    let page = watched.text(&format!("/?q={search}"));
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(page.contains("value=\"&lt;script&gt;alert(1)&lt;/script&gt;&quot;\""), "{page}");
}
