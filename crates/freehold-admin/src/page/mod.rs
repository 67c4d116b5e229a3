//! The live page: rendered here, brought up to date by fragments.

mod chart;
mod lists;
mod report;
pub(crate) mod text;

pub(crate) use report::report_page;

use crate::{
    graph::{self, WaitGraph},
    history::Sample,
    inspection::Inspection,
    limits,
    look::Look,
    telemetry::{Gathered, KeptReport},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a page shows at one moment.
pub(crate) struct Moment<'a> {
    pub(crate) look: &'a Look,
    pub(crate) inspection: &'a Inspection,
    pub(crate) samples: &'a [Sample],
    pub(crate) gathered: &'a Gathered,
}

/// A part of the page that is replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) id: &'static str,
    pub(crate) html: String,
}

impl Moment<'_> {
    /// All parts, in the order of the page.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        let seen = self.inspection;
        let parts = [
            ("status", self.status()),
            ("findings", lists::findings(&seen.findings)),
            ("tiles", self.tiles()),
            ("rates", chart::rates(self.samples)),
            ("latencies", chart::latencies(self.samples)),
            ("graph", self.graph()),
            ("calls", lists::calls(&seen.calls)),
            ("reports", lists::reports(&seen.reports, &seen.violations)),
            ("classes", lists::classes(&seen.classes)),
            ("locks", lists::locks(&seen.locks)),
            ("breakers", lists::breakers(&seen.breakers, &self.gathered.changes(), self.look.at)),
            ("sessions", lists::sessions(&seen.sessions)),
        ];
        parts.map(|(id, markup)| Fragment { id, html: markup.into_string() }).into()
    }

    fn status(&self) -> Markup {
        let server = &self.inspection.server;
        let (word, class) = match (server.ready, server.draining) {
            (true, _) => ("ready", "badge good"),
            (false, true) => ("draining", "badge warn"),
            (false, false) => ("not ready", "badge bad"),
        };
        let title = if server.ready { "Freehold".to_owned() } else { format!("{word} - Freehold") };
        html! { span class=(class) data-title=(title) { (word) } }
    }

    fn tiles(&self) -> Markup {
        let (seen, counters) = (self.inspection, &self.look.counters);
        let last = self.samples.last();
        let latency = |of: fn(&Sample) -> Option<std::time::Duration>| {
            let newest = self.samples.iter().rev().find_map(of);
            newest.map_or("-".to_owned(), |time| text::time(time.as_secs_f64()))
        };
        let global = freehold_sync::metrics::global();
        let tiles = [
            ("calls a second", text::rate(last.map_or(0.0, |sample| sample.rate))),
            ("failing a second", text::rate(last.map_or(0.0, |sample| sample.failing))),
            ("p50", latency(|sample| sample.p50)),
            ("p99", latency(|sample| sample.p99)),
            ("running and waiting", text::count(seen.server.calls as u64)),
            ("sessions", text::count(seen.sessions.total as u64)),
            ("deadlocks broken", text::count(global.proven)),
            ("suspected", text::count(global.suspected)),
            ("run again", text::count(counters.retries)),
            ("deadlines passed", text::count(counters.deadline_exceeded)),
            ("refused", text::count(counters.overloaded + counters.circuit_open)),
            ("up for", text::time(seen.server.uptime)),
        ];
        html! {
            dl class="tiles" {
                @for (name, figure) in &tiles { div class="tile" { dt { (name) } dd { (figure) } } }
            }
        }
    }

    /// Who waits now; and the last ring, for a while after it closed, since it is broken within microseconds.
    fn graph(&self) -> Markup {
        let now = WaitGraph::of_look(self.look);
        let ring = self.last_ring();
        html! {
            @if let Some(kept) = &ring {
                p class="notice bad" {
                    "A ring closed " (text::time(self.age(kept))) " ago and was broken: "
                    a id="ring" href=(format!("/admin/reports/{}", kept.report.id)) { (kept.report.id) }
                }
                div class="scroll" tabindex="0" role="region" aria-label="the last ring" {
                    (graph::draw(&WaitGraph::of_report(&kept.report), &kept.report.headline()))
                }
                h3 { "Now" }
            }
            @if now.has_ring() { p class="notice bad" { "A ring stands." } }
            @if now.arrows.is_empty() {
                p class="dim" { "Nobody waits for a lock, for permits or for an answer." }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="who waits for whom" {
                    (graph::draw(&now, "who waits for whom"))
                }
            }
            @if now.left_out > 0 { p class="dim" { (text::count(now.left_out as u64)) " more who wait are not drawn." } }
        }
    }

    fn age(&self, kept: &KeptReport) -> f64 {
        self.look.at.saturating_duration_since(kept.at).as_secs_f64()
    }

    fn last_ring(&self) -> Option<KeptReport> {
        let newest = self.gathered.reports().into_iter().find(|kept| kept.report.is_ring())?;
        let shown = self.look.at.saturating_duration_since(newest.at) < limits::RING_SHOWN;
        shown.then_some(newest)
    }
}

/// A document around `body`, which may use the style and, if it is `live`, the script.
fn document(title: &str, nonce: &str, live: bool, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href="data:,";
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                @if live { script nonce=(nonce) { (PreEscaped(SCRIPT)) } }
            }
        }
    }
    .into_string()
}

/// The whole page.
pub(crate) fn whole(moment: &Moment<'_>, search: &str, nonce: &str) -> String {
    let fragments = moment.fragments();
    let part = |id: &str| {
        let html = fragments.iter().find(|fragment| fragment.id == id).map_or("", |fragment| &fragment.html);
        html! { div id=(id) { (PreEscaped(html)) } }
    };
    let body = html! {
        a class="skip" href="#main" { "Skip to the content" }
        header {
            h1 { "Freehold" }
            (part("status"))
            span id="live" class="badge warn" role="status" { "connecting" }
        }
        main id="main" {
            section aria-label="Now" { (part("findings")) (part("tiles")) }
            section class="half" {
                h2 { "Calls a second " small { span class="key rate" {} "ended" span class="key failing" {} "failed" } }
                (part("rates"))
            }
            section class="half" {
                h2 { "Latency " small { span class="key p50" {} "p50" span class="key p99" {} "p99" } }
                (part("latencies"))
            }
            section { h2 { "Who waits for whom" } (part("graph")) }
            section {
                h2 { "Running handlers" }
                form action="/" method="get" role="search" {
                    input type="search" id="q" name="q" value=(search) maxlength=(limits::SEARCH) autocomplete="off"
                        placeholder="method, tool, session, id, stage or lock class (press /)"
                        aria-label="Search running handlers";
                    noscript { button { "Search" } }
                }
                (part("calls"))
            }
            section { h2 { "Reports" } (part("reports")) }
            section class="half" { h2 { "Contention by lock class" } (part("classes")) }
            section class="half" { h2 { "Locks now" } (part("locks")) }
            section class="half" { h2 { "Circuit breakers" } (part("breakers")) }
            section class="half" { h2 { "Sessions" } (part("sessions")) }
        }
        footer {
            a href="/metrics" { "metrics" } " \u{b7} " a href="/admin/inspect" { "inspect" } " \u{b7} "
            a href="/readyz" { "readyz" } " \u{b7} " a href="/livez" { "livez" }
        }
    };
    document("Freehold", nonce, true, &body)
}
