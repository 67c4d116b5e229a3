//! Rates and latencies over time.

use super::text;
use crate::{history::Sample, limits};
use maud::{Markup, html};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 18.0;
const TOP: f64 = 8.0;

fn x(index: usize, count: usize) -> f64 {
    let step = (WIDTH - LEFT) / (limits::HISTORY - 1) as f64;
    WIDTH - (count - 1 - index) as f64 * step
}

/// The line through all values there are; those in a row are joined.
fn line(values: &[Option<f64>], y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut joined = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            joined = false;
            continue;
        };
        let (x, y) = (x(index, values.len()), y(*value));
        let command = if joined { 'L' } else { 'M' };
        // A single point is a short line, or nobody would see it.
        path.push_str(&format!("{command}{x:.1} {y:.1}"));
        if !joined {
            path.push_str("h1");
        }
        joined = true;
    }
    path
}

fn frame(label: &str, marks: &[(f64, String)], lines: &[(&str, String)]) -> Markup {
    html! {
        svg class="chart" role="img" aria-label=(label) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) {
            @for (y, mark) in marks {
                line class="grid" x1=(LEFT) x2=(WIDTH) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                text x=(LEFT - 6.0) y=(format!("{:.1}", y + 4.0)) text-anchor="end" { (mark) }
            }
            @for (class, path) in lines { path class=(class) d=(path) {} }
            text x=(LEFT) y=(HEIGHT - 3.0) { (text::time(limits::HISTORY as f64)) " ago" }
            text x=(WIDTH) y=(HEIGHT - 3.0) text-anchor="end" { "now" }
        }
    }
}

/// The next number that begins with 1, 2 or 5.
fn round_up(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|top| *top >= most).unwrap_or(most)
}

/// Calls that ended a second, and those of them that failed.
pub(super) fn rates(samples: &[Sample]) -> Markup {
    let most = round_up(samples.iter().map(|sample| sample.rate).fold(1.0, f64::max));
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / most);
    let marks = [0.0, most / 2.0, most].map(|value| (y(value), text::rate(value)));
    let values = |of: fn(&Sample) -> f64| samples.iter().map(|sample| Some(of(sample))).collect::<Vec<_>>();
    let lines = [("rate", line(&values(|s| s.rate), y)), ("failing", line(&values(|s| s.failing), y))];
    frame("calls that ended each second, and those that failed", &marks, &lines)
}

/// Latencies, by powers of ten.
pub(super) fn latencies(samples: &[Sample]) -> Markup {
    let (low, high) = (-5.0_f64, 1.5_f64);
    let y = |seconds: f64| {
        let share = (seconds.max(1e-5).log10() - low) / (high - low);
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
    };
    let marks = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0].map(|value| (y(value), text::time(value)));
    let values = |of: fn(&Sample) -> Option<std::time::Duration>| {
        samples.iter().map(|sample| of(sample).map(|time| time.as_secs_f64())).collect::<Vec<_>>()
    };
    let lines = [("p50", line(&values(|s| s.p50), y)), ("p99", line(&values(|s| s.p99), y))];
    frame("how long calls took, half of them and 99 of 100", &marks, &lines)
}
