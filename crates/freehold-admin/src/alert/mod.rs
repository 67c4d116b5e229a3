//! Alerts: what somebody should be woken for, told to receivers that may be slow or dead.

mod webhook;

pub use webhook::{InvalidWebhook, Webhook};

use crate::limits;
use freehold::Event;
use freehold_sync::Deadlock;
use serde::Serialize;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// Something that an operator should know now. As JSON, what a [`Webhook`] posts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// What kind of thing happened.
    pub kind: AlertKind,
    /// It in one line.
    pub summary: String,
    /// The report's id, where there is one: `/admin/reports/ID` has all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What it is about: the classes of a deadlock, the method or tool of anything else.
    pub subject: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What kind of thing happened. As JSON, in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// A deadlock was proven and broken.
    DeadlockProven,
    /// A wait lasts, and may be a deadlock.
    DeadlockSuspected,
    /// A circuit breaker opened.
    BreakerOpened,
    /// A circuit breaker closed, or lets probes through.
    BreakerRecovered,
    /// A call is past its soft limit.
    CallSlow,
    /// A handler blocks its thread.
    ThreadBlocked,
    /// That thread goes on.
    ThreadUnblocked,
}

impl Alert {
    pub(crate) fn of_report(report: &Deadlock) -> Self {
        let proven = report.grade == freehold_sync::Grade::Proven;
        Self {
            kind: if proven { AlertKind::DeadlockProven } else { AlertKind::DeadlockSuspected },
            summary: report.headline(),
            report: Some(report.id.clone()),
            subject: crate::telemetry::classes_of(report),
            advice: Some(report.advice()),
        }
    }

    pub(crate) fn of_engine(event: &Event<'_>) -> Option<Self> {
        let about = |kind, method: &str, subject: &Option<&str>, summary: String| Self {
            kind,
            summary,
            report: None,
            subject: subject.unwrap_or(method).to_owned(),
            advice: None,
        };
        Some(match event {
            Event::BreakerChanged { method, subject, from, to } => {
                let opened = *to == freehold::BreakerState::Open;
                let kind = if opened { AlertKind::BreakerOpened } else { AlertKind::BreakerRecovered };
                let name = subject.unwrap_or(method);
                about(
                    kind,
                    method,
                    subject,
                    format!("the circuit breaker of {name} went from {from} to {to}"),
                )
            }
            Event::CallSlow { method, subject, stage, age, limit, .. } => {
                let name = subject.unwrap_or(method);
                let stage = stage.name();
                let summary = format!("{name} runs for {age:.1?}, longer than {limit:.1?} (stage: {stage})");
                about(AlertKind::CallSlow, method, subject, summary)
            }
            Event::ThreadBlocked { method, subject, thread, lasts, .. } => {
                let name = subject.unwrap_or(method);
                let summary = format!("{name} blocks the thread {thread} for {lasts:.1?} already");
                about(AlertKind::ThreadBlocked, method, subject, summary)
            }
            Event::ThreadUnblocked { method, subject, thread, lasted, .. } => {
                let name = subject.unwrap_or(method);
                let summary = format!("{name} had blocked the thread {thread} for {lasted:.1?}");
                about(AlertKind::ThreadUnblocked, method, subject, summary)
            }
            _ => return None,
        })
    }
}

/// Gets alerts, one after the other, on a thread of its own; it may take its time.
pub trait ReceiveAlert: Send + 'static {
    /// Takes one alert.
    ///
    /// # Errors
    ///
    /// If it could not be passed on; it is counted, logged and lost.
    fn receive(&mut self, alert: &Alert) -> io::Result<()>;
}

impl<F: FnMut(&Alert) -> io::Result<()> + Send + 'static> ReceiveAlert for F {
    fn receive(&mut self, alert: &Alert) -> io::Result<()> {
        self(alert)
    }
}

/// What became of alerts, over all receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertCounts {
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
}

#[derive(Default)]
struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

/// The queue of one receiver. Its thread ends with it.
pub(crate) struct Outlet {
    queue: SyncSender<Arc<Alert>>,
    counters: Arc<Counters>,
}

impl Outlet {
    pub(crate) fn open(receiver: Box<dyn ReceiveAlert>) -> io::Result<Self> {
        let (queue, alerts) = sync_channel(limits::ALERTS);
        let counters = Arc::<Counters>::default();
        let counted = counters.clone();
        thread::Builder::new()
            .name("freehold-alerts".to_owned())
            .spawn(move || deliver(receiver, &alerts, &counted))?;
        Ok(Self { queue, counters })
    }
}

fn deliver(mut receiver: Box<dyn ReceiveAlert>, alerts: &Receiver<Arc<Alert>>, counters: &Counters) {
    for alert in alerts {
        match catch_unwind(AssertUnwindSafe(|| receiver.receive(&alert))) {
            Ok(Ok(())) => &counters.delivered,
            Ok(Err(error)) => {
                tracing::warn!(%error, alert = alert.summary, "an alert could not be delivered");
                &counters.failed
            }
            Err(payload) => {
                // Its drop may panic, too.
                std::mem::forget(payload);
                tracing::error!(alert = alert.summary, "a receiver of alerts panicked");
                &counters.failed
            }
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Outlets(Vec<Outlet>);

impl Outlets {
    pub(crate) fn new(outlets: Vec<Outlet>) -> Self {
        Self(outlets)
    }

    /// Never waits.
    pub(crate) fn send(&self, alert: &Alert) {
        if self.0.is_empty() {
            return;
        }
        let alert = Arc::new(alert.clone());
        for outlet in &self.0 {
            if outlet.queue.try_send(alert.clone()).is_err() {
                outlet.counters.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn counts(&self) -> AlertCounts {
        let sum = |of: fn(&Counters) -> &AtomicU64| {
            self.0.iter().map(|outlet| of(&outlet.counters).load(Ordering::Relaxed)).sum()
        };
        AlertCounts {
            delivered: sum(|counters| &counters.delivered),
            failed: sum(|counters| &counters.failed),
            lost: sum(|counters| &counters.lost),
        }
    }
}
