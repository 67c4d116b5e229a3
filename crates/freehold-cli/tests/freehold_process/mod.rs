//! The binary as a child process: what it writes as it writes it, and how it ends. Limits of time mean failure only.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// `freehold serve`, without settings from the environment of the tests.
pub(crate) fn freehold(arguments: &[&str]) -> Command {
    other(&[&["serve"], arguments].concat())
}

/// Any of the binary's commands, without settings from the environment of the tests.
pub(crate) fn other(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["FREEHOLD_", "OTEL_"].iter().any(|own| name.starts_with(own)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let Output { status, stdout, stderr } = within("its end", move || child.wait_with_output().unwrap());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("waited {LIMIT:?} for {what}"))
}

/// Lines as they come.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(LIMIT).expect("another line")
    }

    /// The next line with `text` in it.
    pub(crate) fn until(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.0.recv_timeout(LIMIT) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with {text:?} in {seen:#?}"),
            }
        }
    }

    /// All lines up to the end of the stream.
    pub(crate) fn rest(self) -> Vec<String> {
        within("the end of the stream", move || self.0.iter().collect())
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) =
            (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// A server on HTTP and a free port, and its `HOST:PORT`.
    pub(crate) fn http(arguments: &[&str]) -> (Self, String) {
        let server = Self::start(freehold(&[&["--http", "127.0.0.1:0"], arguments].concat()));
        let line = server.stderr.until("http://");
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        (server, address)
    }

    pub(crate) fn write_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The exit code, once it has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        ended(&mut self.child)
    }
}

/// The exit code of a child, once it has ended.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    for _ in 0..LIMIT.as_millis() / POLL.as_millis() {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::park_timeout(POLL);
    }
    child.kill().unwrap();
    panic!("it goes on after {LIMIT:?}");
}

/// How often a child is asked whether it ended.
const POLL: Duration = Duration::from_millis(10);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
