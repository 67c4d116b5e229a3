//! A deadlock is on the page, in the metrics, in the log, in the inspection, in an alert and in a report within a second, all
//! with one id.

mod watched;

use freehold::{
    Limits,
    runtime::{Runtime, TokioRuntime},
};
use freehold_admin::{AdminOptions, Alert, AlertKind, Telemetry};
use std::{
    io::{self, Write},
    sync::mpsc::{Sender, channel},
    time::Duration,
};
use watched::{LIMIT, Watched, events, get_with, line_with, value_of};

/// The lines of the log.
struct Log(Sender<String>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_everywhere_within_a_second_with_one_id() {
    let (write, log) = channel();
    let writer = move || Log(write.clone());
    tracing_subscriber::fmt().with_ansi(false).with_writer(writer).init();
    let (tell, alerts) = channel();
    let receiver = move |alert: &Alert| {
        let _ = tell.send(alert.clone());
        Ok(())
    };
    let telemetry = Telemetry::with_receivers(vec![Box::new(receiver)]).unwrap();
    let watched = Watched::with(telemetry, AdminOptions::default(), Limits::default());
    let address = watched.admin.address();
    let lines = events(address, "");
    line_with(&lines, &["\"id\":\"reports\""]);

    let begun = TokioRuntime.now();
    let answered = watched.deadlock().await;
    assert_eq!(answered.iter().filter(|answered| **answered).count(), 1, "one victim");
    let alert = alerts.recv_timeout(LIMIT).unwrap();
    let id = alert.report.clone().unwrap();
    assert_eq!((alert.kind, alert.subject.as_str()), (AlertKind::DeadlockProven, "one, other lock"));
    let seen = watched.inspect("");
    let scraped = watched.text("/metrics");
    let page = watched.text("/");
    let on_the_page = line_with(&lines, &["\"id\":\"reports\"", &format!("/admin/reports/{id}")]);
    let logged = std::iter::from_fn(|| log.recv_timeout(LIMIT).ok()).find(|line| line.contains(&id));
    let took = TokioRuntime.now().max(on_the_page).saturating_duration_since(begun);
    assert!(took < Duration::from_secs(1), "{took:?}");

    let logged = logged.unwrap();
    assert!(logged.contains("WARN") && logged.contains("PROVEN ring of 2"), "{logged}");
    let last = value_of(&scraped, "freehold_deadlock_last_number{grade=\"proven\"}").unwrap();
    assert_eq!(format!("FH-{last}"), id, "{scraped}");
    assert_eq!(seen.reports.iter().map(|report| &*report.id).collect::<Vec<_>>(), [&id]);
    assert_eq!(seen.reports[0].grade, "PROVEN");
    assert_eq!(value_of(&scraped, "freehold_deadlocks_total{grade=\"proven\"}"), Some(1.0), "{scraped}");
    let ring = "freehold_deadlock_rings_total{grade=\"proven\",classes=\"one, other lock\"}";
    assert_eq!(value_of(&scraped, ring), Some(1.0), "{scraped}");
    assert!(
        page.contains("A ring closed") && page.contains("arrow ring") && page.contains("victim"),
        "{page}"
    );

    let text = watched.text(&format!("/admin/reports/{id}.txt"));
    assert!(text.starts_with(&format!("deadlock {id} ")) && text.contains("broken: the wait of"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&watched.text(&format!("/admin/reports/{id}.json"))).unwrap();
    assert_eq!((json["id"].as_str(), json["edges"].as_array().unwrap().len()), (Some(&*id), 2));
    assert!(watched.text(&format!("/admin/reports/{id}?format=dot")).starts_with("digraph"));
    let svg = watched.text(&format!("/admin/reports/{id}.svg"));
    assert!(svg.starts_with("<svg xmlns") && svg.matches("arrow ring").count() == 2, "{svg}");
    let (head, html) = get_with(address, &format!("/admin/reports/{id}"), "Accept: text/html\r\n");
    assert!(
        head.contains("text/html") && html.contains(&json["headline"].as_str().unwrap().replace('>', "&gt;")),
        "{html}"
    );
    let wrong = watched.status(&format!("/admin/reports/{id}.pdf"));
    assert!(wrong.0 == 404 && wrong.1.contains("svg"), "{wrong:?}");
}
