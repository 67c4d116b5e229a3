use super::{
    Fact, Observed,
    client::{Call, End, Manner, Session, Target},
    facts::{ending, span, succeeded},
};
use crate::Cut;
use serde_json::json;
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often is looked at what nobody tells.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server may take to end what is left of a scenario, before that is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// Over which CPU time is measured.
const REST: Duration = Duration::from_secs(1);

/// The limits of the scenarios. Reaching one only ever says that something had not come until then.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// What has not come within this counts as not coming.
    pub hang: Duration,
    /// The same, where a server may want to wait itself: for handlers, people and the rest of a request.
    pub unanswered: Duration,
    /// How long a handler blocks its thread where one does.
    pub block: Duration,
    /// How long a stream is left silent.
    pub silence: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            hang: Duration::from_secs(10),
            unanswered: Duration::from_secs(75),
            block: Duration::from_secs(3),
            silence: Duration::from_secs(20),
        }
    }
}

/// A server under a scenario.
#[derive(Debug)]
pub struct Drive {
    /// Its endpoint.
    pub target: Target,
    /// The limits.
    pub times: Times,
    /// Its process, if it can be looked at.
    pub process: Option<Observed>,
    sessions: Mutex<Vec<Session>>,
}

impl Drive {
    /// Of the server there.
    #[must_use]
    pub fn new(target: Target, times: Times, process: Option<Observed>) -> Self {
        Self { target, times, process, sessions: Mutex::default() }
    }

    /// Waits for something, but not for ever.
    pub(super) async fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::time::timeout(self.times.hang, future).await.ok()
    }

    /// Waits for the end of a request, but not for ever.
    pub(super) async fn end(&self, call: &Call) -> Option<(Duration, End)> {
        self.within(call.end()).await
    }

    /// The ends of requests that were sent at once; the limit is for all together.
    pub(super) async fn ends(&self, calls: &[Arc<Call>]) -> Vec<Option<(Duration, End)>> {
        let until = tokio::time::Instant::now() + self.times.hang;
        let mut ends = Vec::with_capacity(calls.len());
        for call in calls {
            ends.push(tokio::time::timeout_at(until, call.end()).await.ok());
        }
        ends
    }

    /// Says how a request ended.
    pub(super) fn ending(&self, end: Option<&(Duration, End)>) -> String {
        ending(end, self.times.hang)
    }

    /// Initializes a session without saying so.
    pub(super) async fn greet(&self) -> Result<(Session, Duration), String> {
        match self.within(Session::greet(&self.target)).await {
            Some(Ok((session, after))) => {
                self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session.clone());
                Ok((session, after))
            }
            Some(Err(end)) => Err(format!("initialize ended by {end:?}")),
            None => Err(format!("no answer to initialize within {}", span(self.times.hang))),
        }
    }

    /// Opens a session.
    pub(super) async fn open(&self) -> Result<Session, String> {
        let (session, _) = self.greet().await?;
        self.end(&session.initialized()).await;
        Ok(session)
    }

    /// Opens a session and its own stream, as most clients do: questions come there, or on the stream of the call that asks.
    pub(super) async fn open_listening(&self) -> Result<Session, String> {
        let session = self.open().await?;
        let stream = session.listen(Manner::Plain);
        self.within(stream.until(|seen| seen.head)).await.ok_or("the session's own stream does not open")?;
        Ok(session)
    }

    /// Opens several, one after the other.
    pub(super) async fn open_several(&self, count: usize) -> Result<Vec<Session>, String> {
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            sessions.push(self.open().await?);
        }
        Ok(sessions)
    }

    /// How many handlers run, as one of the sessions asks.
    async fn running(&self, by: &Session) -> Option<usize> {
        match self.end(&by.call("running", json!({}))).await? {
            (_, End::Result(result)) => result["content"][0]["text"].as_str()?.parse().ok(),
            _ => None,
        }
    }

    /// Waits until the number of running handlers is as wanted: after how long, or what it was at last.
    pub(super) async fn handlers(
        &self,
        by: &Session,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Duration, Option<usize>> {
        let begun = Instant::now();
        loop {
            let now = self.running(by).await;
            match now {
                Some(now) if wanted(now) => return Ok(begun.elapsed()),
                Some(_) if begun.elapsed() < self.times.hang => tokio::time::sleep(LOOK).await,
                _ => return Err(now),
            }
        }
    }

    /// Waits until so many handlers run, which a scenario needs to go on.
    pub(super) async fn handlers_begin(&self, by: &Session, count: usize) -> Result<(), String> {
        let begun = self.handlers(by, |running| running >= count).await;
        begun.map(drop).map_err(|running| format!("of {count} handlers {running:?} run"))
    }

    /// Says when at most so many handlers were left.
    pub(super) async fn handlers_end(&self, label: &str, by: &Session, left: usize) -> Fact {
        let limit = span(self.times.hang);
        match self.handlers(by, |running| running <= left).await {
            Ok(after) => Fact::new(label, format!("ended within {}", span(after)), true),
            Err(Some(running)) => {
                Fact::new(label, format!("{} still running after {limit}", running - left), false)
            }
            Err(None) => Fact::new(label, "not known: no answer", false),
        }
    }

    /// What holds after every scenario, once its clients are gone: a new client is served, and nothing is left.
    pub(super) async fn afterwards(&self) -> Vec<Fact> {
        let twice = self.leave().await;
        let mut facts = Vec::new();
        if twice > 0 {
            facts.push(Fact::new("afterwards: requests that were answered twice", twice.to_string(), false));
        }
        match self.open().await {
            Ok(fresh) => {
                let echo = self.end(&fresh.call("echo", json!({ "text": "afterwards" }))).await;
                facts.push(Fact::new(
                    "afterwards: echo of a new client",
                    self.ending(echo.as_ref()),
                    succeeded(echo.as_ref()),
                ));
                facts.push(
                    self.handlers_end("afterwards: handlers of the clients that left", &fresh, 0).await,
                );
                self.end(&fresh.delete()).await;
            }
            Err(problem) => facts.push(Fact::new("afterwards: echo of a new client", problem, false)),
        }
        facts.extend(self.rest().await);
        facts
    }

    /// Every client ends its session, and closes its connections; how many requests were answered more than once.
    async fn leave(&self) -> usize {
        let sessions = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        let deleted: Vec<_> = sessions.iter().map(Session::delete).collect();
        let until = tokio::time::Instant::now() + SETTLE;
        for call in &deleted {
            let _ = tokio::time::timeout_at(until, call.end()).await;
        }
        sessions.iter().for_each(|session| session.cut(Cut::Close));
        let calls = sessions.iter().flat_map(Session::calls);
        calls.filter(|call| call.look(|seen| seen.answers.len() > 1)).count()
    }

    /// The process at rest.
    async fn rest(&self) -> Option<Fact> {
        let process = self.process?;
        let before = process.cpu();
        tokio::time::sleep(REST).await;
        let label = "afterwards: its process";
        let (Some(before), Some(after), true) = (before, process.cpu(), process.runs()) else {
            return Some(Fact::new(label, "ended", false));
        };
        let share = (after - before) / REST.as_secs_f64();
        Some(Fact::new(label, format!("runs, {:.0} % of a core", share * 100.0), share <= 0.05))
    }
}
