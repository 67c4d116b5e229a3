//! A random program: who sends what, when, and what becomes of it on the way.

use crate::world::MUTEXES;
use freehold::cluster::Injected;
use freehold_testing::Random;
use serde_json::{Value, json};
use std::time::Duration;

/// What a client does about its request once it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits for the answer.
    Waits,
    /// It cancels after so long.
    Cancels(Duration),
    /// It goes away after so long.
    Leaves(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) session: usize,
    pub(crate) id: i64,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    pub(crate) fate: Fate,
}

/// How a client reads its session's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Answers each question after so long.
    Answers(Duration),
    /// Reads one message, then nothing for so long, then the next.
    Slow(Duration),
    /// Reads, and answers nothing.
    Mute,
    /// Never reads.
    Absent,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Nothing is in it that does not end soon by itself: so nothing may come to its time limit.
    pub(crate) calm: bool,
    /// For each session, whether it is serial, and how its stream is read.
    pub(crate) sessions: Vec<(bool, Reader)>,
    pub(crate) requests: Vec<Sent>,
    /// Sessions that are closed in the middle.
    pub(crate) closes: Vec<(usize, Duration)>,
    /// A drain in the middle.
    pub(crate) drains: Option<Duration>,
    pub(crate) store: Vec<Option<Injected>>,
    /// How long the store takes for a commit, at most.
    pub(crate) store_takes: Duration,
}

/// What a store may do wrong.
const FAILURES: [Injected; 6] = [
    Injected::Unavailable,
    Injected::UnknownDone,
    Injected::UnknownNotDone,
    Injected::StillUnknown,
    Injected::TooLarge,
    Injected::Conflict,
];

fn within(random: &mut Random, micros: usize) -> Duration {
    Duration::from_micros(random.below(micros) as u64)
}

impl Plan {
    pub(crate) fn random(random: &mut Random) -> Self {
        let calm = random.chance(1, 2);
        let sessions: Vec<_> = (0..random.within(1..5))
            .map(|_| {
                let reader = match random.below(5) {
                    0 if !calm => Reader::Mute,
                    1 if !calm => Reader::Absent,
                    2 if !calm => Reader::Slow(within(random, 50_000)),
                    _ => Reader::Answers(within(random, 5_000)),
                };
                (random.chance(1, 3), reader)
            })
            .collect();
        let requests =
            (0..random.within(3..24)).map(|_| Self::request(random, sessions.len(), calm)).collect();
        let closes = (0..random.below(3))
            .filter(|_| !calm)
            .map(|_| (random.below(sessions.len()), within(random, 40_000)))
            .collect();
        let drains = (!calm && random.chance(1, 4)).then(|| within(random, 40_000));
        let failing = random.chance(1, 2);
        let store = (0..40).map(|_| (failing && random.chance(1, 3)).then(|| *random.pick(&FAILURES)));
        let store = store.collect();
        let store_takes = if random.chance(1, 2) { within(random, 3_000) } else { Duration::ZERO };
        Self { calm, sessions, requests, closes, drains, store, store_takes }
    }

    fn request(random: &mut Random, sessions: usize, calm: bool) -> Sent {
        let (method, params) = match random.below(10) {
            0..=6 => ("wander", json!(random.next_u64())),
            7 | 8 => ("pair", json!([random.below(MUTEXES), random.below(MUTEXES)])),
            _ if calm => ("ping", json!(null)),
            _ => ("obeys", json!(null)),
        };
        let fate = match random.below(8) {
            0 => Fate::Cancels(within(random, 8_000)),
            1 => Fate::Leaves(within(random, 8_000)),
            _ => Fate::Waits,
        };
        // Few ids: some are used while they are in flight.
        let id = random.below(200) as i64;
        Sent { at: within(random, 20_000), session: random.below(sessions), id, method, params, fate }
    }
}
