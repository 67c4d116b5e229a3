//! What is exported, to Prometheus and to collectors of OpenTelemetry, from what others count and measure.

mod calls;
mod exposition;
mod locks;
mod names;
mod text;

pub(crate) use exposition::Form;
#[cfg(feature = "otlp")]
pub(crate) use exposition::{Labels, Value};
pub use names::{Kind, METRICS, Metric};

use crate::{
    health::Readiness,
    look::Look,
    source::Source,
    telemetry::{Gathered, Telemetry},
};
use exposition::Exposition;
use freehold::{Engine, State};
use text::Text;

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Telemetry {
    /// All [`METRICS`] as text of Prometheus, version 0.0.4; for servers that have a place of their own to show it. It looks
    /// at each call and each session, and waits for none.
    #[must_use]
    pub fn metrics<S: State>(&self, engine: &Engine<S>) -> String {
        exposition(engine, self.gathered(), &Look::at(engine))
    }
}

/// As text of Prometheus.
pub(crate) fn exposition(source: &dyn Source, gathered: &Gathered, look: &Look) -> String {
    let mut text = Text::default();
    write(&mut text, source, gathered, look);
    text.into_text()
}

/// Gives all [`METRICS`] to a form.
pub(crate) fn write(form: &mut dyn Form, source: &dyn Source, gathered: &Gathered, look: &Look) {
    let mut out = Exposition::new(form);
    server(&mut out, gathered, look);
    calls::write(&mut out, source, gathered, look);
    locks::write(&mut out, gathered, look);
    alerts(&mut out, gathered);
    exports(&mut out, gathered);
}

fn server(out: &mut Exposition<'_>, gathered: &Gathered, look: &Look) {
    out.family("freehold_build_info").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    let uptime = look.at.saturating_duration_since(gathered.started()).as_secs_f64();
    out.single("freehold_uptime_seconds", uptime);
    let ready = Readiness::of(look.draining, &look.findings).is_ready();
    out.single("freehold_ready", u64::from(ready));
    out.single("freehold_draining", u64::from(look.draining));
    out.single("freehold_look_seconds", look.took.as_secs_f64());
}

fn alerts(out: &mut Exposition<'_>, gathered: &Gathered) {
    let counts = gathered.alerts();
    let mut family = out.family("freehold_alerts_total");
    for (result, count) in [("delivered", counts.delivered), ("failed", counts.failed), ("lost", counts.lost)]
    {
        family.sample(&[("result", result)], count);
    }
}

fn exports(out: &mut Exposition<'_>, gathered: &Gathered) {
    let mut family = out.family("freehold_otlp_exports_total");
    for (result, count) in gathered.exports().named() {
        family.sample(&[("result", result)], count);
    }
}
