//! A client at the other end of a pipe.

use crate::{Inbox, TestServer};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf,
    },
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Numbers that look random and are the same in each run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `0..below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// How bytes are written.
#[derive(Clone, Debug)]
pub enum Pace {
    /// All at once.
    Whole,
    /// In pieces of one to seven bytes, with pauses.
    Torn(Random),
}

/// Writes bytes at a pace.
pub(crate) async fn write_at(
    pace: &mut Pace,
    output: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    let Pace::Torn(random) = pace else {
        output.write_all(bytes).await?;
        return output.flush().await;
    };
    while !bytes.is_empty() {
        let size = (1 + random.below(7) as usize).min(bytes.len());
        output.write_all(&bytes[..size]).await?;
        output.flush().await?;
        bytes = &bytes[size..];
        match random.below(64) {
            0 => tokio::time::sleep(Duration::from_micros(500)).await,
            1..16 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    Ok(())
}

/// Both ends of a client's pipes.
pub(crate) type Pipes = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

/// One session over a pair of pipes.
#[derive(Debug)]
pub(crate) struct StdioLink {
    /// Lines to write; without it the client's end is closed.
    lines: Option<mpsc::UnboundedSender<String>>,
    reads: watch::Sender<bool>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl StdioLink {
    pub(crate) fn new(server: &TestServer, mut pace: Pace, inbox: Arc<Inbox>) -> Self {
        let (input, mut output) = server.pipes();
        let (lines, mut queue) = mpsc::unbounded_channel::<String>();
        let writer = tokio::spawn(async move {
            while let Some(line) = queue.recv().await {
                if write_at(&mut pace, &mut output, line.as_bytes()).await.is_err() {
                    return;
                }
            }
            let _ = output.shutdown().await;
        });
        let (reads, reading) = watch::channel(true);
        let reader = tokio::spawn(read(input, inbox, reading));
        Self { lines: Some(lines), reads, reader, writer }
    }

    pub(crate) fn write(&self, text: String) {
        if let Some(lines) = &self.lines {
            let _ = lines.send(text);
        }
    }

    /// Ends the server's input after what was written; its output is still read.
    pub(crate) fn end_input(&mut self) {
        self.lines = None;
    }

    /// Closes both pipes at once, as a killed process does.
    pub(crate) async fn kill(mut self) {
        self.end_input();
        self.writer.abort();
        self.reader.abort();
        let _ = (&mut self.writer).await;
        let _ = (&mut self.reader).await;
    }

    /// Stops reading, but closes nothing.
    pub(crate) fn pause_reading(&self) {
        self.reads.send_replace(false);
    }

    pub(crate) fn resume_reading(&self) {
        self.reads.send_replace(true);
    }
}

async fn read(input: impl AsyncRead + Unpin, inbox: Arc<Inbox>, mut reading: watch::Receiver<bool>) {
    let mut lines = BufReader::new(input).lines();
    let how = loop {
        let line = tokio::select! {
            biased;
            // A part of a line stays in the reader.
            () = until(&mut reading, false) => {
                until(&mut reading, true).await;
                continue;
            }
            line = lines.next_line() => line,
        };
        match line {
            Ok(Some(line)) => {
                inbox.take(serde_json::from_str(&line).expect("a line is JSON"));
            }
            Ok(None) => break "the end of the output".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    inbox.close(&how);
}

async fn until(reading: &mut watch::Receiver<bool>, wanted: bool) {
    if reading.wait_for(|reads| *reads == wanted).await.is_err() && !wanted {
        // Nobody is left who could pause it.
        std::future::pending::<()>().await;
    }
}
