//! Rates and latencies over the last minutes, a sample a second.

use crate::{
    limits, lock_order,
    source::Source,
    telemetry::{Distribution, Gathered},
};
use freehold::{
    Counters,
    runtime::{Runtime, TokioRuntime},
};
use freehold_sync::ScopedMutex;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What happened between two samples.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Calls that ended a second.
    pub(crate) rate: f64,
    /// Those of them that ended in anything but an answer.
    pub(crate) failing: f64,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
}

struct Mark {
    at: Instant,
    times: Distribution,
    counters: Counters,
}

#[derive(Default)]
struct Samples {
    last: Option<Mark>,
    samples: VecDeque<Sample>,
}

#[derive(Default)]
pub(crate) struct History(ScopedMutex<Samples, lock_order::History>);

impl History {
    /// Takes a sample, of the time since the last one.
    pub(crate) fn sample(&self, source: &dyn Source, gathered: &Gathered) {
        let mark = Mark { at: TokioRuntime.now(), times: gathered.all_calls(), counters: source.counters() };
        self.0.with(|history| {
            if let Some(last) = &history.last {
                if history.samples.len() >= limits::HISTORY {
                    history.samples.pop_front();
                }
                history.samples.push_back(sample_between(last, &mark));
            }
            history.last = Some(mark);
        });
    }

    /// Oldest first.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.with(|history| history.samples.iter().cloned().collect())
    }
}

fn good(counters: &Counters) -> u64 {
    counters.answered + counters.degraded
}

fn sample_between(last: &Mark, now: &Mark) -> Sample {
    let seconds = now.at.saturating_duration_since(last.at).as_secs_f64().max(1e-3);
    let ended = now.counters.calls_ended().saturating_sub(last.counters.calls_ended());
    let failing = ended.saturating_sub(good(&now.counters).saturating_sub(good(&last.counters)));
    let times = now.times.since(&last.times);
    Sample {
        rate: ended as f64 / seconds,
        failing: failing as f64 / seconds,
        p50: times.quantile(0.5),
        p99: times.quantile(0.99),
    }
}
