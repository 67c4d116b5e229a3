//! What idle sessions cost.

use serde::{Deserialize, Serialize};

use crate::server_binaries::Server;
use crate::table::Table;
use crate::verdicts::Verdicts;

/// One server.
#[derive(Debug, Deserialize, Serialize)]
pub struct Figures {
    /// Which server.
    pub server: Server,
    /// How many sessions were opened.
    pub sessions: u32,
    /// Resident memory before.
    pub resident_bytes_before: u64,
    /// With all sessions open.
    pub resident_bytes_after: u64,
    /// When each had answered an echo.
    pub resident_bytes_after_echoes: u64,
    /// Opened a second.
    pub sessions_per_second: f64,
    /// CPU time of the server to open one.
    pub cpu_us_per_session: f64,
    /// Echoes a second, one a session.
    pub echoes_per_second: f64,
}

impl Figures {
    /// Growth of resident memory for each session.
    #[must_use]
    pub fn bytes_per_session(&self) -> f64 {
        self.growth_to(self.resident_bytes_after)
    }

    /// The same when each had answered an echo.
    #[must_use]
    pub fn bytes_after_echoes(&self) -> f64 {
        self.growth_to(self.resident_bytes_after_echoes)
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
    fn growth_to(&self, bytes: u64) -> f64 {
        (bytes as f64 - self.resident_bytes_before as f64) / f64::from(self.sessions)
    }
}

/// The figures, and Freehold's by rmcp's.
#[must_use]
pub fn table(all: &[Figures]) -> Table {
    let mut table = Table::new(
        1,
        [
            "server",
            "sessions",
            "bytes/session",
            "after an echo each",
            "sessions/s",
            "CPU µs/session",
            "echoes/s",
        ],
    );
    for figures in all {
        table.push([
            figures.server.to_string(),
            figures.sessions.to_string(),
            format!("{:.0}", figures.bytes_per_session()),
            format!("{:.0}", figures.bytes_after_echoes()),
            format!("{:.0}", figures.sessions_per_second),
            format!("{:.1}", figures.cpu_us_per_session),
            format!("{:.0}", figures.echoes_per_second),
        ]);
    }
    push_ratio(&mut table, all);
    table
}

fn push_ratio(table: &mut Table, all: &[Figures]) {
    let find = |server| all.iter().find(|figures| figures.server == server);
    if let (Some(own), Some(rmcp)) = (find(Server::Freehold), find(Server::RmcpStateful)) {
        table.push([
            "freehold : rmcp".to_owned(),
            String::new(),
            format!("{:.3}", own.bytes_per_session() / rmcp.bytes_per_session()),
            String::new(),
            format!("{:.2}", own.sessions_per_second / rmcp.sessions_per_second),
            format!("{:.3}", own.cpu_us_per_session / rmcp.cpu_us_per_session),
            format!("{:.2}", own.echoes_per_second / rmcp.echoes_per_second),
        ]);
    }
}

/// The most that an idle session should take.
const MOST_BYTES: f64 = 2048.0;
/// The most that opening one should take, by what rmcp takes.
const MOST_TIMES_TO_OPEN: f64 = 1.0 / 3.0;

/// Freehold next to rmcp.
#[must_use]
pub fn verdicts(all: &[Figures]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let find = |server| all.iter().find(|figures| figures.server == server);
    let Some(own) = find(Server::Freehold) else { return verdicts };
    verdicts.goal("memory of an idle session over HTTP", own.bytes_per_session(), MOST_BYTES, "bytes");
    let Some(rmcp) = find(Server::RmcpStateful) else { return verdicts };
    let peer = "rmcp-stateful";
    verdicts.costs("memory of an idle session", peer, [own.bytes_per_session()], [rmcp.bytes_per_session()]);
    verdicts.costs("CPU of opening a session", peer, [own.cpu_us_per_session], [rmcp.cpu_us_per_session]);
    verdicts.rates("sessions opened a second", peer, [own.sessions_per_second], [rmcp.sessions_per_second]);
    verdicts.rates("echoes a second, one a session", peer, [own.echoes_per_second], [rmcp.echoes_per_second]);
    let to_open = rmcp.sessions_per_second / own.sessions_per_second;
    verdicts.goal("time to open a session, by rmcp's", to_open, MOST_TIMES_TO_OPEN, "x");
    verdicts
}
