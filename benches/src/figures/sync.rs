//! The locks of freehold-sync.

use serde::{Deserialize, Serialize};

use crate::sync::comparison::{self, Figures};
use crate::sync::latency::{self, RingFigures};
use crate::sync::sizes::{self, Size};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// Everything that was measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Results {
    /// What is compared within rounds: all subjects of a row, then those of the next.
    pub compared: Vec<Figures>,
    /// From the close of a ring to its victim's error.
    pub rings: Vec<RingFigures>,
    /// Bytes.
    pub sizes: Vec<Size>,
}

fn rows(all: &[Figures]) -> impl Iterator<Item = &[Figures]> {
    all.chunk_by(|one, other| one.row == other.row)
}

/// All tables, in the order of their rows.
#[must_use]
pub fn tables(results: &Results) -> Vec<Table> {
    let mut tables: Vec<_> = rows(&results.compared).map(comparison::table).collect();
    if !results.rings.is_empty() {
        tables.push(latency::table(&results.rings));
    }
    if !results.sizes.is_empty() {
        tables.push(sizes::table(&results.sizes));
    }
    tables
}

/// The locks next to those of others, of CPU and wall time; their bytes next to tokio's; and all targets.
#[must_use]
pub fn verdicts(results: &Results) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for row in rows(&results.compared) {
        for own in row.iter().filter(|figures| !figures.is_peer) {
            for peer in row.iter().filter(|figures| figures.is_peer) {
                let (of, subject, beside) = (&own.row, &own.subject, &*peer.subject);
                let (cpu, peers_cpu) = (own.cpu_ns.iter().copied(), peer.cpu_ns.iter().copied());
                verdicts.costs(format!("CPU: {of}, {subject}"), beside, cpu, peers_cpu);
                let (time, peers_time) = (own.wall_ns.iter().copied(), peer.wall_ns.iter().copied());
                verdicts.costs(format!("time: {of}, {subject}"), beside, time, peers_time);
            }
        }
        verdicts.goals.extend(comparison::goals(row));
    }
    for RingFigures { kind, latency, p50_target_us, p99_target_us } in &results.rings {
        let what = format!("from a ring's close to its victim's error: {kind}");
        if let Some(limit) = p50_target_us {
            verdicts.goal(format!("p50 {what}"), latency.p50_us, *limit, "µs");
        }
        verdicts.goal(format!("p99 {what}"), latency.p99_us, *p99_target_us, "µs");
    }
    for Size { what, bytes, tokio, target } in &results.sizes {
        let bytes = *bytes as f64;
        if let Some(tokio) = tokio {
            verdicts.costs(format!("bytes of {what}"), "tokio", [bytes], [*tokio as f64]);
        }
        if let Some(limit) = target {
            verdicts.goal(format!("bytes of {what}"), bytes, *limit as f64, "bytes");
        }
    }
    verdicts
}
