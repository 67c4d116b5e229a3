//! How often each client may ask for completions.
//!
//! # Invariants
//!
//! 1. Of each client one moment is kept: when its burst will be whole again. A client whose moment has passed is as good as
//!    one that never asked, and may be forgotten.
//! 2. No more than [`CompletionLimits::clients`] are kept. Who finds no room counts as unknown, so nobody gets around a limit by
//!    being many.
//! 3. All are looked through only when there is no room, and not again before the longest of their moments can have passed.

use super::limits::CompletionLimits;
use crate::{lock_order, owner::Owner};
use foldhash::fast::RandomState;
use freehold::{Context, ErrorCode, ErrorObject, State};
use freehold_sync::ScopedMutex;
use serde_json::json;
use std::{
    collections::{HashMap, hash_map::Entry},
    time::{Duration, Instant},
};

/// A client asks for completions too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("completions are asked for too often; try again in {} ms", self.millis())]
pub(crate) struct TooOften {
    /// When there is room for the next request.
    retry_after: Duration,
}

impl TooOften {
    /// Whole milliseconds, after which the request is surely let through.
    fn millis(self) -> u64 {
        let millis = self.retry_after.as_nanos().div_ceil(1_000_000);
        u64::try_from(millis).unwrap_or(u64::MAX)
    }
}

impl From<TooOften> for ErrorObject {
    fn from(refused: TooOften) -> Self {
        let data = json!({ "retryAfterMs": refused.millis() });
        // Nothing is wrong with what completes, so no breaker counts it.
        Self::new(ErrorCode::RATE_LIMITED, refused.to_string()).with_data(&data).of_request()
    }
}

/// A rate: how far a burst may be from whole, and what one request takes of it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    each: Duration,
    most: Duration,
}

impl Rate {
    fn new(burst: u32, per_second: u32) -> Self {
        let each = Duration::from_secs(1) / per_second.max(1);
        Self { each, most: each * burst.max(1) }
    }

    /// When the burst is whole again after one more request, if it may come now.
    fn take(self, whole: Instant, now: Instant) -> Result<Instant, TooOften> {
        let next = whole.max(now) + self.each;
        let over = (next - now).saturating_sub(self.most);
        if over.is_zero() { Ok(next) } else { Err(TooOften { retry_after: over }) }
    }
}

/// How often each client may ask. One a server.
pub(crate) struct CompletionRates {
    of_client: Rate,
    of_unknown: Rate,
    clients: usize,
    counted: ScopedMutex<Counted, lock_order::CompletionRates>,
}

#[derive(Default)]
struct Counted {
    clients: HashMap<Owner, Instant, RandomState>,
    unknown: Option<Instant>,
    /// Not before.
    next_clearing: Option<Instant>,
}

impl CompletionRates {
    pub(crate) fn new(limits: CompletionLimits) -> Self {
        Self {
            of_client: Rate::new(limits.burst, limits.per_second),
            of_unknown: Rate::new(limits.unknown_burst, limits.unknown_per_second),
            clients: limits.clients,
            counted: ScopedMutex::of(Counted::default()),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// [`TooOften`]: it is one too many, and does not count.
    pub(crate) fn take<S: State>(&self, context: &Context<S>) -> Result<(), TooOften> {
        // A connection is one client, whichever form its requests have.
        let owner = Owner::counted(context.session(), false);
        self.count(owner, context.engine().runtime().now())
    }

    fn count(&self, owner: Owner, now: Instant) -> Result<(), TooOften> {
        self.counted.with(|counted| {
            if owner != Owner::Anybody {
                counted.make_room(self.clients, now, self.of_client.most);
                let full = counted.clients.len() >= self.clients;
                match counted.clients.entry(owner) {
                    Entry::Occupied(mut whole) => {
                        *whole.get_mut() = self.of_client.take(*whole.get(), now)?;
                        return Ok(());
                    }
                    Entry::Vacant(vacant) if !full => {
                        vacant.insert(self.of_client.take(now, now)?);
                        return Ok(());
                    }
                    Entry::Vacant(_) => {}
                }
            }
            let whole = counted.unknown.unwrap_or(now);
            counted.unknown = Some(self.of_unknown.take(whole, now)?);
            Ok(())
        })
    }
}

impl Counted {
    /// Forgets who has its burst again, if there is no room.
    fn make_room(&mut self, most: usize, now: Instant, longest: Duration) {
        if self.clients.len() < most || self.next_clearing.is_some_and(|next| now < next) {
            return;
        }
        self.clients.retain(|_, whole| *whole > now);
        self.next_clearing = Some(now + longest);
    }
}

#[cfg(test)]
mod tests {
    use super::{CompletionLimits, CompletionRates, TooOften};
    use crate::{
        http::{Audience, Principal},
        owner::Owner,
    };
    use freehold::runtime::{Runtime, TokioRuntime};
    use std::{sync::Arc, time::Duration};

    fn client(name: &str) -> Owner {
        Owner::Principal(Arc::new((&Principal::new(name, Audience::Verified)).into()))
    }

    const MS: Duration = Duration::from_millis(1);

    /// Two at once and ten a second for each; three, and twenty, for all the unknown.
    fn rates(clients: usize) -> CompletionRates {
        CompletionRates::new(CompletionLimits {
            burst: 2,
            per_second: 10,
            unknown_burst: 3,
            unknown_per_second: 20,
            clients,
        })
    }

    fn too_often(millis: u32) -> Result<(), TooOften> {
        Err(TooOften { retry_after: MS * millis })
    }

    #[test]
    fn a_burst_then_a_rate_and_what_is_refused_does_not_count() {
        let (rates, start) = (rates(8), TokioRuntime.now());
        let ask = |name: &str, at: u32| rates.count(client(name), start + MS * at);
        assert_eq!([ask("a", 0), ask("a", 0), ask("a", 0)], [Ok(()), Ok(()), too_often(100)]);
        assert_eq!([ask("a", 99), ask("a", 99)], [too_often(1), too_often(1)]);
        assert_eq!([ask("a", 100), ask("a", 100)], [Ok(()), too_often(100)]);
        assert_eq!([ask("b", 100), ask("b", 100), ask("b", 100)], [Ok(()), Ok(()), too_often(100)]);
        assert_eq!([ask("a", 9_000), ask("a", 9_000), ask("a", 9_000)], [Ok(()), Ok(()), too_often(100)]);
    }

    #[test]
    fn who_is_not_known_shares_one_count() {
        let (rates, start) = (rates(8), TokioRuntime.now());
        let ask = |at: u32| rates.count(Owner::Anybody, start + MS * at);
        assert_eq!([ask(0), ask(0), ask(0), ask(0)], [Ok(()), Ok(()), Ok(()), too_often(50)]);
        assert_eq!([ask(50), ask(50)], [Ok(()), too_often(50)]);
        assert_eq!(rates.count(client("a"), start), Ok(()), "who is known is not concerned");
    }

    #[test]
    fn who_finds_no_room_is_unknown_until_somebody_is_forgotten() {
        let (rates, start) = (rates(2), TokioRuntime.now());
        let ask = |name: &str, at: u32| rates.count(client(name), start + MS * at);
        let kept = || rates.counted.with(|counted| counted.clients.len());
        assert_eq!([ask("a", 0), ask("b", 0)], [Ok(()), Ok(())]);
        assert_eq!(
            [ask("c", 0), ask("d", 0), ask("c", 0)],
            [Ok(()), Ok(()), Ok(())],
            "the burst of the unknown"
        );
        assert_eq!([ask("c", 0), ask("d", 0)], [too_often(50), too_often(50)]);
        assert_eq!((ask("a", 0), ask("a", 0), kept()), (Ok(()), too_often(100), 2));
        assert_eq!((ask("c", 300), ask("c", 300), ask("c", 300)), (Ok(()), Ok(()), too_often(100)));
        assert_eq!(kept(), 1, "those whose burst was whole are forgotten");
    }
}
