//! Logs go to standard error, and through a bounded queue: a reader of standard error that stopped reading must hold
//! nobody up. At a full queue lines are lost, not waited for.

use crate::config::{Config, LogFormat, LogLevel};
use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// Lines that may wait for standard error.
const QUEUED_LINES: usize = 4_096;
/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Starts to log as configured.
pub(crate) fn start(config: &Config) -> io::Result<LogFlush> {
    let (queue, entries) = sync_channel(QUEUED_LINES);
    thread::Builder::new().name("log".to_owned()).spawn(move || write(&entries))?;
    let logs = tracing_subscriber::fmt()
        .with_max_level(filter(config.log))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(LogQueue(queue.clone()));
    match config.log_format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Pretty => logs.init(),
    }
    Ok(LogFlush(queue))
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

enum Entry {
    Line(Vec<u8>),
    /// All lines before it were written when it is dropped.
    Flush(SyncSender<()>),
}

fn write(entries: &Receiver<Entry>) {
    for entry in entries {
        match entry {
            // Nobody reads a closed standard error.
            Entry::Line(line) => drop(io::stderr().write_all(&line)),
            Entry::Flush(done) => drop(done),
        }
    }
}

/// Waits for lines that were logged and not yet written.
#[derive(Clone)]
pub(crate) struct LogFlush(SyncSender<Entry>);

impl LogFlush {
    /// Waits until all lines are written, but not for a reader that stopped reading.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(0);
        if self.0.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

struct LogQueue(SyncSender<Entry>);

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &LogQueue {
    /// Takes one line, which is how they come.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Entry::Line(line.to_owned()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
