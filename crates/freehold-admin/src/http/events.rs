//! A page that is kept up to date: a task for each viewer, which sends the parts that changed.

use super::body::AdminBody;
use crate::{inspection::Query, limits, page::Fragment, server::Site};
use bytes::Bytes;
use freehold::runtime::{Runtime, TokioRuntime, pause, until};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// Says that a page is there to be kept up to date, until it is dropped.
struct Place(Arc<Site>);

impl Place {
    fn take(site: &Arc<Site>) -> Option<Self> {
        let before = site.viewers.fetch_add(1, Ordering::Relaxed);
        let place = Self(site.clone());
        (before < limits::VIEWERS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Viewer {
    place: Place,
    query: Query,
    sender: mpsc::Sender<Bytes>,
    /// What each part was when it was sent last.
    sent: HashMap<&'static str, String>,
}

/// The events of a page, or nothing if there are too many pages.
pub(super) fn follow(site: &Arc<Site>, query: Query) -> Option<AdminBody> {
    let place = Place::take(site)?;
    let (sender, events) = mpsc::channel(1);
    let viewer = Viewer { place, query, sender, sent: HashMap::new() };
    TokioRuntime.spawn("keep a page up to date", Box::pin(viewer.run()));
    Some(AdminBody::Events(events))
}

impl Viewer {
    async fn run(mut self) {
        let site = self.place.0.clone();
        let mut news = site.gathered().news();
        let mut stop = site.stopped();
        loop {
            let told = *news.borrow_and_update();
            let begun = TokioRuntime.now();
            let events = self.changed();
            let cost = TokioRuntime.now().saturating_duration_since(begun);
            // In a full house a look serves for long; what is news must not wait for as long as the page rests.
            let again = told.and_then(|told| site.looks_again(told));
            let end = TokioRuntime.now() + limits::UNREAD;
            // A comment if nothing changed: so a viewer that is gone is noticed.
            let sent = until(&TokioRuntime, end, self.sender.send(events)).await;
            if !matches!(sent, Some(Ok(()))) {
                return;
            }
            tokio::select! {
                () = rest(cost, again, &mut news) => {}
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = self.sender.closed() => return,
            }
        }
    }

    /// The parts that are not as they were sent, as events.
    fn changed(&mut self) -> Bytes {
        let mut text = String::new();
        for Fragment { id, html } in self.place.0.fragments(&self.query) {
            if self.sent.get(id) == Some(&html) {
                continue;
            }
            let data = serde_json::json!({ "id": id, "html": html });
            text.push_str(&format!("event: fragment\ndata: {data}\n\n"));
            self.sent.insert(id, html);
        }
        if text.is_empty() { Bytes::from_static(b": nothing new\n\n") } else { Bytes::from(text) }
    }
}

/// Waits for as long as a page rests that took `cost`; less if there is news, or if there was some that `again` will show.
async fn rest(cost: Duration, again: Option<Instant>, news: &mut watch::Receiver<Option<Instant>>) {
    let whole = (cost * limits::PAGE_COST_FACTOR).max(limits::PAGE_EVERY);
    let early = limits::NEWS_EVERY.max(cost * limits::LOOK_COST_FACTOR).min(limits::PAGE_EVERY);
    pause(&TokioRuntime, early).await;
    let end = TokioRuntime.now() + whole.saturating_sub(early);
    let end = again.map_or(end, |again| end.min(again));
    // Nobody tells news any more when the telemetry is gone: then the end is as good.
    let _ = until(&TokioRuntime, end, async {
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
    .await;
}
