//! The page of one report.

use super::{document, text};
use crate::{
    graph::{self, WaitGraph},
    telemetry::KeptReport,
};
use maud::html;
use std::time::Instant;

pub(crate) fn report_page(kept: &KeptReport, now: Instant, nonce: &str) -> String {
    let report = &kept.report;
    let forms = [("txt", "text"), ("json", "JSON"), ("dot", "DOT"), ("svg", "SVG")];
    let age = text::time(now.saturating_duration_since(kept.at).as_secs_f64());
    let body = html! {
        header {
            h1 { a href="/" { "Freehold" } " \u{203a} " (report.id) }
            span class=(if report.grade == freehold_sync::Grade::Proven { "badge bad" } else { "badge warn" }) {
                (report.grade)
            }
        }
        main id="main" {
            section {
                h2 { (report.headline()) " " small { (age) " ago, fingerprint " code { (format!("{:016x}", report.fingerprint)) } } }
                p { strong { "Advice: " } (report.advice()) }
                p {
                    "As "
                    @for (extension, name) in forms {
                        a href=(format!("/admin/reports/{}.{extension}", report.id)) { (name) } " "
                    }
                }
            }
            section {
                h2 { "Who waited for whom" }
                div class="scroll" tabindex="0" role="region" aria-label="who waited for whom" {
                    (graph::draw(&WaitGraph::of_report(report), &report.headline()))
                }
            }
            section {
                h2 { "The report" }
                div class="scroll" tabindex="0" role="region" aria-label="the report as text" { pre { (report) } }
            }
        }
    };
    document(&format!("{} - Freehold", report.id), nonce, false, &body)
}
