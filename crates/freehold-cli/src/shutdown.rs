//! The end: the first signal drains, a second one forces.

use crate::logging::LogFlush;
use freehold::{DrainReport, Engine, State};
use std::{io, process, time::Duration};

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    /// What shells report of a process that the signal killed.
    fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Receives the signals from its creation on.
pub(crate) struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    pub(crate) fn receive() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
        }
    }
}

#[cfg(not(unix))]
impl StopSignals {
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    pub(crate) fn receive() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> StopSignal {
        // Without a source of signals there is none to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        StopSignal::Interrupt
    }
}

/// Drains `engine` at the first signal; ends the process at a second one. Never returns by itself: spawn it.
pub(crate) async fn drain_on_signal<S: State>(
    engine: Engine<S>,
    grace: Duration,
    mut signals: StopSignals,
    log: LogFlush,
) {
    let first = signals.next().await;
    let calls = engine.call_count();
    tracing::info!(signal = ?first, calls, ?grace, "draining; a second signal ends it at once");
    let drained = engine.drain(grace);
    let second = tokio::select! {
        second = signals.next() => second,
        _ = drained => signals.next().await,
    };
    tracing::warn!(signal = ?second, calls = engine.call_count(), "ended by force");
    log.flush();
    process::exit(second.exit_code());
}

/// If a drain has begun, waits for its end and tells how it went.
pub(crate) async fn finish_drain<S: State>(engine: &Engine<S>, grace: Duration) {
    if !engine.is_draining() {
        return;
    }
    let DrainReport { running, cancelled, abandoned, sessions, .. } = engine.drain(grace).await;
    if abandoned.is_empty() {
        tracing::info!(running, cancelled, sessions, "drained");
    } else {
        tracing::warn!(running, cancelled, sessions, ?abandoned, "drained; some handlers did not end");
    }
}
