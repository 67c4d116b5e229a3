//! What the load consists of: which call comes next, for whom, and how patient its client is. All of it follows from a seed
//! and the number of the request.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Manner, Speaker};
use super::limits;
use crate::mcp_requests::ToolCall;

/// Numbers that look random (SplitMix64).
#[derive(Debug, Clone, Copy)]
pub struct Draws(u64);

impl Draws {
    /// Those of one request or session.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        let mut draws = Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        draws.next();
        draws
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn part_of(&mut self, span: Duration) -> Duration {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis))
    }
}

/// Which tool is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers at once.
    Echo,
    /// It holds its slot.
    Slow,
    /// The same, answered by a stream of events.
    SlowWithProgress,
    /// It holds its slot, and money that must come back.
    Transfer,
}

/// Of a hundred calls, in this order; the first of the rest are cancelled and the others given up, both while they hold a slot
/// or wait for one.
const ECHOES: u64 = 40;
const SLOW: u64 = 40;
const WITH_PROGRESS: u64 = 10;
const TRANSFERS: u64 = 6;
const CANCELLED: u64 = 2;

/// The share of calls that hold their slot for [`limits::SERVICE`], if nobody cancels.
pub const HOLDING: f64 = (100 - ECHOES) as f64 / 100.0;

/// One call of the load.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The tool.
    pub kind: Kind,
    /// For whom.
    pub speaker: Speaker,
    /// How patient.
    pub manner: Manner,
    accounts: (Arc<str>, Arc<str>),
    text: String,
}

/// What calls are drawn from.
#[derive(Debug, Clone)]
pub struct Mixture {
    /// Where the draws begin.
    pub seed: u64,
    /// The sessions that half of the load shares.
    pub busy: Arc<[Arc<str>]>,
    /// The ledger's accounts, two at least.
    pub accounts: Arc<[Arc<str>]>,
}

impl Mixture {
    /// The call with this number.
    #[must_use]
    pub fn call(&self, number: u64) -> Planned {
        let mut draws = Draws::of(self.seed, number);
        let busy = draws.below(2 * self.busy.len() as u64);
        let speaker = match usize::try_from(busy).ok().and_then(|index| self.busy.get(index)) {
            Some(session) => Speaker::Session(Arc::clone(session)),
            None => Speaker::Stateless,
        };
        let (kind, manner) = kind_and_manner(&mut draws, &speaker);
        Planned { kind, manner, ..self.planned(speaker, number, &mut draws) }
    }

    /// The same call by a patient client that speaks for `speaker`.
    #[must_use]
    pub fn patient_call(&self, number: u64, speaker: Speaker) -> Planned {
        Planned { speaker, manner: Manner::Patient, ..self.call(number) }
    }

    fn planned(&self, speaker: Speaker, number: u64, draws: &mut Draws) -> Planned {
        let accounts = self.accounts.len() as u64;
        let from = draws.below(accounts);
        let to = (from + 1 + draws.below(accounts - 1)) % accounts;
        #[expect(clippy::cast_possible_truncation, reason = "below a length")]
        let account = |index: u64| Arc::clone(&self.accounts[index as usize]);
        Planned {
            kind: Kind::Echo,
            speaker,
            manner: Manner::Patient,
            accounts: (account(from), account(to)),
            text: format!("call {number}"),
        }
    }
}

fn kind_and_manner(draws: &mut Draws, speaker: &Speaker) -> (Kind, Manner) {
    let mut left = draws.below(100);
    for (kind, share) in [
        (Kind::Echo, ECHOES),
        (Kind::Slow, SLOW),
        (Kind::SlowWithProgress, WITH_PROGRESS),
        (Kind::Transfer, TRANSFERS),
    ] {
        if left < share {
            return (kind, Manner::Patient);
        }
        left -= share;
    }
    let after = draws.part_of(limits::SERVICE);
    let kind = if draws.below(2) == 0 { Kind::Slow } else { Kind::Transfer };
    match speaker {
        Speaker::Session(_) if left < CANCELLED => (kind, Manner::Cancels(after)),
        // A stateless client cancels by leaving.
        _ => (kind, Manner::Leaves(after)),
    }
}

impl Planned {
    /// The call itself.
    #[must_use]
    pub fn tool_call(&self) -> ToolCall<'_> {
        let ms = u64::try_from(limits::SERVICE.as_millis()).unwrap_or(u64::MAX);
        match self.kind {
            Kind::Echo => ToolCall::Echo(&self.text),
            Kind::Slow => ToolCall::Slow(ms),
            Kind::SlowWithProgress => ToolCall::SlowWithProgress(ms),
            Kind::Transfer => {
                ToolCall::Transfer { from: &self.accounts.0, to: &self.accounts.1, pause_ms: ms }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Draws, Kind, Mixture};
    use crate::soak::client::{Manner, Speaker};

    #[test]
    fn shares_of_ten_thousand_calls() {
        let names = |prefix: &str| (0..4).map(|n| Arc::from(format!("{prefix}{n}"))).collect();
        let mixture = Mixture { seed: 1, busy: names("s"), accounts: names("a") };
        let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
        for number in 0..10_000 {
            let call = mixture.call(number);
            assert_ne!(call.accounts.0, call.accounts.1);
            let speaker = if matches!(call.speaker, Speaker::Stateless) { "stateless" } else { "session" };
            *shares.entry(speaker).or_default() += 1;
            *shares
                .entry(match call.manner {
                    Manner::Cancels(_) => "cancels",
                    Manner::Leaves(_) => "leaves",
                    _ if call.kind == Kind::Echo => "echo",
                    _ => "holds",
                })
                .or_default() += 1;
        }
        let expected =
            [("session", 50), ("stateless", 50), ("echo", 40), ("holds", 56), ("cancels", 1), ("leaves", 3)];
        for (name, percent) in expected {
            let found = f64::from(shares[name]) / 100.0;
            assert!((found - f64::from(percent)).abs() < 1.5, "{name}: {found} % instead of {percent} %");
        }
    }

    #[test]
    fn draws_repeat_with_seed_and_number() {
        let three = |seed, number| {
            let mut draws = Draws::of(seed, number);
            [(); 3].map(|()| draws.below(1_000_000))
        };
        assert_eq!(three(1, 2), three(1, 2));
        assert_ne!(three(1, 2), three(1, 3));
        assert_ne!(three(1, 2), three(2, 2));
    }
}
