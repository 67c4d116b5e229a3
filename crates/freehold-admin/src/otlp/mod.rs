//! Metrics to a collector of OpenTelemetry, over OTLP/HTTP with protobuf.
//!
//! # Invariants
//!
//! 1. One thread makes and sends all exports of an exporter, so one is in flight at the most, and none waits in a queue: what
//!    could not be sent is in the next export, as all counts are cumulative.
//! 2. An export ends with its time limit; the last one with that of the shutdown, which waits no longer than
//!    [`limits::OTLP_FLUSH`].
//!
//! No thread of the engine waits for it.

mod environment;
mod message;
mod options;

pub use options::{OtlpError, OtlpOptions};

use crate::{
    limits,
    look::Look,
    metrics,
    source::Source,
    telemetry::{Gathered, Telemetry},
};
use freehold::{
    Engine, State,
    runtime::{Runtime, TokioRuntime},
};
use message::{Message, Period, Verdict};
use options::Target;
use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// An exporter whose options are valid; nothing is sent before [`start`](Self::start).
///
/// It posts all [`METRICS`](crate::METRICS), under the same names, to a collector of OpenTelemetry: counters as monotonic
/// cumulative sums, distributions as cumulative explicit-bucket histograms, both since the telemetry began (what is counted of
/// locks, for the whole process, may have begun earlier). It speaks plain HTTP, without compression: for a collector elsewhere, or one
/// that wants TLS, run a collector or a proxy on this machine that forwards.
#[derive(Clone, Debug)]
pub struct OtlpExporter(Target);

impl OtlpExporter {
    /// One with these options.
    ///
    /// # Errors
    ///
    /// All of [`OtlpError`] but [`OtlpError::Start`]: an option is missing, out of its bounds or not supported.
    pub fn new(options: OtlpOptions) -> Result<Self, OtlpError> {
        Target::of(options).map(Self)
    }

    /// Where it posts to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint.to_string()
    }

    /// Exports from now on, each interval, on a thread of its own, until what is returned is dropped. Keeps the engine alive until
    /// then.
    ///
    /// An export that fails or is too late is not sent again: the next one has it all. What became of exports is counted in
    /// `freehold_otlp_exports_total`: *delivered*; *rejected*, of which the collector refused a part; *failed*; *skipped*, as a former
    /// one took longer than the interval, or as the collector asked for a pause.
    ///
    /// # Errors
    ///
    /// [`OtlpError::Start`].
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::Engine;
    /// use freehold_admin::{OtlpExporter, OtlpOptions, Telemetry};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = Telemetry::new();
    /// let engine = Engine::builder(()).observer(telemetry.clone()).build()?;
    /// let mut options = OtlpOptions::from_environment(|name| std::env::var(name).ok())?;
    /// options.set_collector("http://127.0.0.1:4318");
    /// options.service_name = Some("ledger".to_owned());
    /// let exports = OtlpExporter::new(options)?.start(&engine, &telemetry)?;
    /// // At the end: the last export.
    /// drop(exports);
    /// # Ok(()) }
    /// ```
    pub fn start<S: State>(
        self,
        engine: &Engine<S>,
        telemetry: &Telemetry,
    ) -> Result<RunningOtlp, OtlpError> {
        let running = TokioRuntime.now().saturating_duration_since(telemetry.gathered().started());
        let exports = Exports {
            source: Box::new(engine.clone()),
            telemetry: telemetry.clone(),
            began: TokioRuntime.unix_time().saturating_sub(running),
            target: self.0,
            failing: false,
        };
        let (stop, stopped) = sync_channel(1);
        let run = move || exports.run(&stopped);
        thread::Builder::new().name("freehold-otlp".to_owned()).spawn(run).map_err(OtlpError::Start)?;
        Ok(RunningOtlp { stop })
    }
}

/// Exports that go on. Dropped, it makes a last one, and blocks the thread until that is sent: up to
/// [`limits::OTLP_FLUSH`], also while a former export is still under way.
#[derive(Debug)]
#[must_use = "exports end when this is dropped"]
pub struct RunningOtlp {
    stop: SyncSender<Stop>,
}

/// That it is time for the last export.
#[derive(Debug)]
struct Stop {
    /// When nobody waits for it any more.
    end: Instant,
    /// Dropped once it is done.
    done: SyncSender<()>,
}

impl Drop for RunningOtlp {
    fn drop(&mut self) {
        let (done, ended) = sync_channel(0);
        // There is room: only a drop sends.
        if self.stop.try_send(Stop { end: TokioRuntime.now() + limits::OTLP_FLUSH, done }).is_ok() {
            let _ = ended.recv_timeout(limits::OTLP_FLUSH);
        }
    }
}

/// The thread's own.
struct Exports {
    source: Box<dyn Source>,
    telemetry: Telemetry,
    target: Target,
    /// When counts began, as time since 1970.
    began: Duration,
    /// Whether the last one failed: the log says so once, and once more when it is over.
    failing: bool,
}

impl Exports {
    fn run(mut self, stopped: &Receiver<Stop>) {
        let mut due = TokioRuntime.now() + self.target.interval;
        let mut not_before = due;
        loop {
            match stopped.recv_timeout(due.saturating_duration_since(TokioRuntime.now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Stop { end, done }) => {
                    self.flush(end);
                    drop(done);
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if TokioRuntime.now() < not_before {
                self.gathered().exports().skipped(1);
            } else {
                let rest = self.export(self.target.timeout);
                not_before = TokioRuntime.now() + rest;
            }
            due = self.next_after(due);
        }
    }

    /// The next instant of the interval that is still to come; those that passed are skipped.
    fn next_after(&self, due: Instant) -> Instant {
        let interval = self.target.interval;
        let late = TokioRuntime.now().saturating_duration_since(due + interval);
        let missed = u32::try_from(late.as_nanos().div_ceil(interval.as_nanos())).unwrap_or(u32::MAX);
        self.gathered().exports().skipped(missed.into());
        due + interval + interval * missed
    }

    /// The last one, if there is time.
    fn flush(&mut self, end: Instant) {
        let left = end.saturating_duration_since(TokioRuntime.now());
        if left.is_zero() {
            self.gathered().exports().skipped(1);
        } else {
            self.export(left.min(self.target.timeout));
        }
    }

    /// Makes one and sends it; how long the collector wants to be left alone.
    fn export(&mut self, patience: Duration) -> Duration {
        let body = self.message();
        let Target { endpoint, headers, .. } = &self.target;
        let answer = endpoint.post_protobuf(headers, &body, patience, limits::OTLP_ANSWER);
        let exports = self.telemetry.gathered().exports();
        match answer.and_then(|answer| Verdict::of(&answer)) {
            Ok(Verdict::Delivered) => {
                exports.delivered();
                self.works();
            }
            Ok(Verdict::Rejected { points, reason }) => {
                exports.rejected();
                tracing::warn!(points, reason, "the collector refused a part of the metrics");
                self.works();
            }
            Ok(Verdict::Failed { status, rest }) => {
                exports.failed();
                self.fails(&io::Error::other(format!("the collector answered with status {status}")));
                return rest.min(limits::OTLP_REST);
            }
            Err(error) => {
                exports.failed();
                self.fails(&error);
            }
        }
        Duration::ZERO
    }

    fn message(&self) -> Vec<u8> {
        let look = Look::at(&*self.source);
        // The time of day may have been set back meanwhile.
        let period = Period { from: self.began, to: TokioRuntime.unix_time().max(self.began) };
        let mut message = Message::new(period);
        metrics::write(&mut message, &*self.source, self.gathered(), &look);
        message.into_bytes(&self.target.resource)
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(endpoint = %self.target.endpoint, "the collector of metrics takes exports again");
        }
    }

    fn fails(&mut self, error: &io::Error) {
        let endpoint = &self.target.endpoint;
        if self.failing {
            tracing::debug!(%error, %endpoint, "metrics could not be exported");
        } else {
            tracing::warn!(%error, %endpoint, "metrics could not be exported; the next export has all of them");
        }
        self.failing = true;
    }

    fn gathered(&self) -> &Gathered {
        self.telemetry.gathered()
    }
}
