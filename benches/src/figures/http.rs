//! Server CPU per `tools/call` over HTTP.

use serde::{Deserialize, Serialize};

use crate::load::{Answers, LoadReport};
use crate::mcp_requests::Era;
use crate::server_binaries::Server;
use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// One server in one way of speaking and of answering, at one number of connections, with all its rounds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Subject {
    /// Which server.
    pub server: Server,
    /// How it is spoken to.
    pub era: Era,
    /// How it answers.
    pub answers: Answers,
    /// Connections.
    pub connections: u32,
    /// All rounds.
    pub rounds: Vec<Round>,
}

/// One window.
#[derive(Debug, Deserialize, Serialize)]
pub struct Round {
    /// Requests answered.
    pub requests: u64,
    /// CPU time of the server.
    pub cpu_us_per_request: f64,
    /// Share of the window in which the server waited for its core.
    pub waited_percent: f64,
    /// As the generator saw it.
    pub requests_per_second: f64,
    /// Half of the answers took at most this long.
    pub p50_us: f64,
    /// 99 of 100 took at most this long.
    pub p99_us: f64,
}

impl From<LoadReport> for Round {
    fn from(load: LoadReport) -> Self {
        Self {
            requests: load.requests,
            cpu_us_per_request: load.cpu_us_per_request(),
            waited_percent: load.waited_percent(),
            requests_per_second: load.requests_per_second(),
            p50_us: load.latency.p50_us,
            p99_us: load.latency.p99_us,
        }
    }
}

/// Whether a server is measured in a form.
#[must_use]
pub fn speaks(server: Server, era: Era, answers: Answers) -> bool {
    let streams = answers == Answers::Streamed;
    match server {
        Server::Floor => !streams || era != Era::NoSessionId,
        Server::Freehold | Server::FreeholdWatched | Server::FreeholdRmcp => era != Era::NoSessionId,
        Server::RmcpStateful => era == Era::Session,
        // Told to answer JSON, or knowing no other answer.
        Server::RmcpStateless | Server::Jsonrpsee => era == Era::Stateless && !streams,
        Server::Solidmcp => era == Era::NoSessionId && !streams,
    }
}

/// The figures, each beside the floor.
#[must_use]
pub fn table(subjects: &[Subject]) -> Table {
    let titles = [
        "server",
        "form",
        "answers",
        "connections",
        "CPU µs/request",
        "min",
        "max",
        "x floor",
        "waited %",
        "requests/s",
        "p50 µs",
        "p99 µs",
    ];
    let mut table = Table::new(3, titles);
    for subject in subjects {
        let of = |figure: fn(&Round) -> f64| subject.rounds.iter().map(figure);
        let (low, high) = range(of(|round| round.cpu_us_per_request));
        table.push([
            subject.server.to_string(),
            subject.era.to_string(),
            subject.answers.to_string(),
            subject.connections.to_string(),
            format!("{:.2}", median(of(|round| round.cpu_us_per_request))),
            format!("{low:.2}"),
            format!("{high:.2}"),
            ratio_to_floor(subject, subjects).map_or("".to_owned(), |ratio| format!("{ratio:.2}")),
            format!("{:.1}", range(of(|round| round.waited_percent)).1),
            format!("{:.0}", median(of(|round| round.requests_per_second))),
            format!("{:.0}", median(of(|round| round.p50_us))),
            format!("{:.0}", median(of(|round| round.p99_us))),
        ]);
    }
    table
}

/// The median of the ratios within each round, so that what disturbs a whole round cancels out.
fn ratio_to_floor(subject: &Subject, subjects: &[Subject]) -> Option<f64> {
    ratio_to(Server::Floor, subject, subjects)
}

fn ratio_to(server: Server, subject: &Subject, subjects: &[Subject]) -> Option<f64> {
    let alike = |subject: &Subject| (subject.era, subject.answers, subject.connections);
    let other = subjects.iter().find(|other| other.server == server && alike(other) == alike(subject))?;
    let pairs = subject.rounds.iter().zip(&other.rounds);
    Some(median(pairs.map(|(own, other)| own.cpu_us_per_request / other.cpu_us_per_request)))
}

/// Freehold next to everybody, and rmcp's handler on Freehold's transports next to rmcp.
#[must_use]
pub fn verdicts(subjects: &[Subject]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for own in subjects {
        for peer in subjects.iter().filter(|peer| is_beside(own, peer)) {
            let of = |subject: &Subject| -> String {
                let Subject { server, era, answers, .. } = subject;
                format!("{server} ({era}, {answers})")
            };
            let what = format!("{}, {} connections", of(own), own.connections);
            let cpu = |subject: &Subject| -> Vec<f64> {
                subject.rounds.iter().map(|round| round.cpu_us_per_request).collect()
            };
            verdicts.costs(format!("CPU of a request: {what}"), of(peer), cpu(own), cpu(peer));
            let p99 =
                |subject: &Subject| -> Vec<f64> { subject.rounds.iter().map(|round| round.p99_us).collect() };
            verdicts.costs(format!("p99 of a request: {what}"), of(peer), p99(own), p99(peer));
        }
        if let (Server::Freehold, Some(limit)) = (own.server, most_times_floor(own.era, own.answers)) {
            let Subject { era, answers, connections, .. } = own;
            let what =
                format!("CPU of a request by the floor's: {era}, {answers}, {connections} connections");
            verdicts.goal(what, ratio_to_floor(own, subjects).unwrap_or(f64::NAN), limit, "x");
        }
        if let (Server::FreeholdWatched, Some(ratio)) =
            (own.server, ratio_to(Server::Freehold, own, subjects))
        {
            let Subject { era, answers, connections, .. } = own;
            let what = format!(
                "CPU of a request with telemetry by that without: {era}, {answers}, {connections} connections"
            );
            verdicts.goal(what, ratio, MOST_TIMES_UNWATCHED, "x");
        }
    }
    verdicts
}

fn is_beside(own: &Subject, peer: &Subject) -> bool {
    let pair = match own.server {
        Server::Freehold => {
            !matches!(peer.server, Server::Freehold | Server::FreeholdWatched | Server::FreeholdRmcp)
        }
        Server::FreeholdRmcp => matches!(peer.server, Server::RmcpStateful | Server::RmcpStateless),
        _ => false,
    };
    // Who gives no session ids has no other form than its own, which is next to sessions.
    let form = if peer.server == Server::Solidmcp { Era::Session } else { peer.era };
    pair && own.connections == peer.connections && own.answers == peer.answers && own.era == form
}

const MOST_TIMES_UNWATCHED: f64 = 1.05;

fn most_times_floor(era: Era, answers: Answers) -> Option<f64> {
    match (era, answers) {
        (Era::NoSessionId, _) => None,
        (_, Answers::Streamed) => Some(2.2),
        (Era::Session, Answers::Plain) => Some(1.6),
        (Era::Stateless, Answers::Plain) => Some(1.8),
    }
}

#[cfg(test)]
mod tests {
    use super::{Round, Subject, speaks, verdicts};
    use crate::load::Answers;
    use crate::mcp_requests::Era;
    use crate::server_binaries::Server;

    fn subject(server: Server, era: Era, answers: Answers) -> Subject {
        let cost = if server == Server::Freehold { 12.0 } else { 10.0 };
        let round = Round {
            requests: 1,
            cpu_us_per_request: cost,
            waited_percent: 0.0,
            requests_per_second: 1.0,
            p50_us: 1.0,
            p99_us: 2.0,
        };
        Subject { server, era, answers, connections: 16, rounds: vec![round] }
    }

    #[test]
    fn freehold_is_next_to_everybody_in_the_matching_form() {
        let servers = [
            Server::Floor,
            Server::Freehold,
            Server::FreeholdWatched,
            Server::FreeholdRmcp,
            Server::RmcpStateful,
            Server::RmcpStateless,
            Server::Jsonrpsee,
            Server::Solidmcp,
        ];
        let mut subjects = Vec::new();
        for answers in [Answers::Plain, Answers::Streamed] {
            for era in [Era::Session, Era::NoSessionId, Era::Stateless] {
                let spoken = servers.into_iter().filter(|&server| speaks(server, era, answers));
                subjects.extend(spoken.map(|server| subject(server, era, answers)));
            }
        }
        let verdicts = verdicts(&subjects);
        let cpu = verdicts.comparisons.iter().filter(|comparison| comparison.what.starts_with("CPU"));
        let pairs: Vec<_> = cpu.map(|comparison| (&*comparison.what, &*comparison.peer)).collect();
        let own = |server: &str| format!("CPU of a request: {server}, 16 connections");
        let expected = [
            ("freehold (session, plain)", "floor (session, plain)"),
            ("freehold (session, plain)", "rmcp-stateful (session, plain)"),
            ("freehold (session, plain)", "solidmcp (no session id, plain)"),
            ("freehold-rmcp (session, plain)", "rmcp-stateful (session, plain)"),
            ("freehold (stateless, plain)", "floor (stateless, plain)"),
            ("freehold (stateless, plain)", "rmcp-stateless (stateless, plain)"),
            ("freehold (stateless, plain)", "jsonrpsee (stateless, plain)"),
            ("freehold-rmcp (stateless, plain)", "rmcp-stateless (stateless, plain)"),
            ("freehold (session, streamed)", "floor (session, streamed)"),
            ("freehold (session, streamed)", "rmcp-stateful (session, streamed)"),
            ("freehold-rmcp (session, streamed)", "rmcp-stateful (session, streamed)"),
            ("freehold (stateless, streamed)", "floor (stateless, streamed)"),
        ]
        .map(|(server, peer)| (own(server), peer));
        assert_eq!(pairs.len(), expected.len(), "{pairs:?}");
        for ((what, peer), (own, beside)) in pairs.into_iter().zip(&expected) {
            assert_eq!((what, peer), (&**own, *beside));
        }
        let goals: Vec<_> = verdicts.goals.iter().map(|goal| (goal.value, goal.limit)).collect();
        let watched = (10.0 / 12.0, 1.05);
        let expected = [(1.2, 1.6), watched, (1.2, 1.8), watched, (1.2, 2.2), watched, (1.2, 2.2), watched];
        assert_eq!(goals, expected);
    }
}
