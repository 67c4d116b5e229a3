//! Echoes beside a client that does not read.

use serde::{Deserialize, Serialize};

use crate::server_binaries::Server;
use crate::stats::{Latency, median};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// One round of one server.
#[derive(Debug, Deserialize, Serialize)]
pub struct Round {
    /// Which server.
    pub server: Server,
    /// Before the flood.
    pub alone: Echoes,
    /// Beside it.
    pub flooded: Echoes,
    /// Growth of the server beside it.
    pub resident_growth_bytes: i64,
    /// What was left on it.
    pub stream: Stream,
}

/// Echoes sent one after the other.
#[derive(Debug, Deserialize, Serialize)]
pub struct Echoes {
    /// How many were answered.
    pub answered: usize,
    /// Whether an echo was given up; no more were sent after it.
    pub given_up: bool,
    /// How long they took.
    pub latency: Latency,
}

/// What was on the flooded stream once it was read after all.
#[derive(Debug, Deserialize, Serialize)]
pub struct Stream {
    /// Bytes that could be read.
    pub bytes: u64,
    /// Whether the answer of the call was on it.
    pub answered: bool,
    /// Whether the connection was closed.
    pub closed: bool,
}

/// The figures, by server.
#[must_use]
pub fn table(rounds: &[Round]) -> Table {
    let mut table = Table::new(
        2,
        [
            "server",
            "echo",
            "answered",
            "given up",
            "p50 µs",
            "p99 µs",
            "max µs",
            "memory growth KiB",
            "stream read later",
        ],
    );
    for server in servers(rounds) {
        let rounds: Vec<&Round> = rounds.iter().filter(|round| round.server == server).collect();
        let mut alone = row(&rounds, |round| &round.alone);
        let mut flooded = row(&rounds, |round| &round.flooded);
        alone[..2].clone_from_slice(&[server.to_string(), "alone".to_owned()]);
        flooded[..2].clone_from_slice(&[server.to_string(), "beside the flood".to_owned()]);
        flooded[7] = format!("{:.0}", median(rounds.iter().map(|round| growth_kib(round))));
        flooded[8] = rounds.first().map_or(String::new(), |round| fate(&round.stream));
        table.push(alone);
        table.push(flooded);
    }
    table
}

/// In the order in which they were measured.
fn servers(rounds: &[Round]) -> Vec<Server> {
    let mut servers = Vec::new();
    for round in rounds {
        if !servers.contains(&round.server) {
            servers.push(round.server);
        }
    }
    servers
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
fn growth_kib(round: &Round) -> f64 {
    round.resident_growth_bytes as f64 / 1024.0
}

fn row(rounds: &[&Round], echoes: fn(&Round) -> &Echoes) -> [String; 9] {
    let of = |figure: fn(&Latency) -> f64| {
        let answered = rounds.iter().map(|round| echoes(round)).filter(|echoes| echoes.answered > 0);
        let figure = median(answered.map(|echoes| figure(&echoes.latency)));
        if figure.is_nan() { String::new() } else { format!("{figure:.0}") }
    };
    let mut cells = [const { String::new() }; 9];
    cells[2] = rounds.iter().map(|round| echoes(round).answered).sum::<usize>().to_string();
    cells[3] = rounds.iter().filter(|round| echoes(round).given_up).count().to_string();
    cells[4] = of(|latency| latency.p50_us);
    cells[5] = of(|latency| latency.p99_us);
    cells[6] = of(|latency| latency.max_us);
    cells
}

fn fate(stream: &Stream) -> String {
    let end = match (stream.answered, stream.closed) {
        (true, _) => "then the answer",
        (false, true) => "then closed",
        (false, false) => "then silence",
    };
    format!("{} KiB, {end}", stream.bytes / 1024)
}

/// Freehold next to rmcp: the echoes, where both answered, and the growth.
#[must_use]
pub fn verdicts(rounds: &[Round]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let of = |server| rounds.iter().filter(move |round| round.server == server);
    let pairs = || of(Server::Freehold).zip(of(Server::RmcpStateful));
    let peer = "rmcp-stateful";
    let answered = || pairs().filter(|(_, peer)| peer.flooded.answered > 0);
    let p99 = |round: &Round| round.flooded.latency.p99_us;
    let (own, others) = (answered().map(|(own, _)| p99(own)), answered().map(|(_, peer)| p99(peer)));
    verdicts.costs("p99 of an echo beside the flood", peer, own, others);
    let grown = || pairs().filter(|(_, peer)| growth_kib(peer) > 0.0);
    let (own, others) = (grown().map(|(own, _)| growth_kib(own)), grown().map(|(_, peer)| growth_kib(peer)));
    verdicts.costs("memory growth beside the flood", peer, own, others);
    let given_up = of(Server::Freehold).filter(|round| round.flooded.given_up).count();
    verdicts.goal("echoes given up beside the flood", given_up as f64, 0.0, "");
    verdicts
}
