//! One look at everything, shared by all who ask at about the same time.

use crate::{
    limits, lock_order,
    source::{SessionSnapshot, SessionStates, Source},
};
use freehold::{
    BreakerSnapshot, CallSnapshot, Counters, Finding, SessionId,
    runtime::{Runtime, TokioRuntime},
};
use freehold_sync::{Actor, Observation, Observed, ScopedMutex, observe};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// What was seen at one look.
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// How long looking took.
    pub(crate) took: Duration,
    /// Oldest first.
    pub(crate) calls: Vec<CallSnapshot>,
    pub(crate) call_count: usize,
    pub(crate) places_taken: usize,
    pub(crate) observation: Observation,
    pub(crate) breakers: Vec<BreakerSnapshot>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) counters: Counters,
    pub(crate) retries_left: u64,
    pub(crate) draining: bool,
    pub(crate) session_states: SessionStates,
    /// Those with most calls first.
    pub(crate) sessions: Vec<SessionSnapshot>,
    /// The most slots that one session has in use.
    pub(crate) most_running: usize,
    /// The most calls that wait for a slot in one session.
    pub(crate) most_queued: usize,
    /// By the tag of its activity, where a call is in `calls`.
    by_tag: HashMap<usize, usize>,
    /// By the tag of its activity, where the activity is in `observation`.
    members: HashMap<usize, usize>,
}

impl Look {
    pub(crate) fn at(source: &dyn Source) -> Self {
        let at = TokioRuntime.now();
        let calls = source.calls();
        let observation = observe();
        let busy = busiest(&calls);
        let (session_states, sessions) = source.sessions(&busy, limits::LISTED_MOST);
        let most = |gauge: fn(&SessionSnapshot) -> usize| sessions.iter().map(gauge).max().unwrap_or(0);
        let most_running = most(|session| session.gauges.running);
        let most_queued = most(|session| session.gauges.queued);
        let by_tag = calls.iter().enumerate().map(|(index, call)| (call.tag, index)).collect();
        let members = observation.members.iter().enumerate();
        let members = members.filter(|(_, member)| member.actor.tag != 0);
        let members = members.map(|(index, member)| (member.actor.tag, index)).collect();
        Self {
            at,
            calls,
            call_count: source.call_count(),
            places_taken: source.places_taken(),
            observation,
            breakers: source.breakers(),
            findings: source.findings(),
            counters: source.counters(),
            retries_left: source.retries_left(),
            draining: source.is_draining(),
            session_states,
            sessions,
            most_running,
            most_queued,
            by_tag,
            members,
            took: TokioRuntime.now().saturating_duration_since(at),
        }
    }

    /// The call whose activity this is.
    pub(crate) fn call_of(&self, actor: &Actor) -> Option<&CallSnapshot> {
        if actor.tag == 0 { None } else { self.by_tag.get(&actor.tag).map(|index| &self.calls[*index]) }
    }

    /// What the call holds and waits for.
    pub(crate) fn member_of(&self, call: &CallSnapshot) -> Option<&Observed> {
        self.members.get(&call.tag).map(|index| &self.observation.members[*index])
    }
}

/// The sessions with calls, those with most first.
fn busiest(calls: &[CallSnapshot]) -> Vec<SessionId> {
    let mut counts: HashMap<SessionId, usize> = HashMap::new();
    for call in calls {
        *counts.entry(call.session).or_default() += 1;
    }
    let mut sessions: Vec<_> = counts.into_iter().collect();
    sessions.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
    sessions.into_iter().map(|(session, _)| session).collect()
}

/// The last look, as long as it is fresh.
#[derive(Default)]
pub(crate) struct LastLook(ScopedMutex<Option<Arc<Look>>, lock_order::LastLook>);

impl LastLook {
    /// A fresh one. Two threads that ask at the same time may both look: better than that one waits for the other.
    pub(crate) fn fresh(&self, source: &dyn Source) -> Arc<Look> {
        let now = TokioRuntime.now();
        if let Some(last) = self.0.with(|last| last.clone())
            && now.saturating_duration_since(last.at) < last.fresh_for()
        {
            return last;
        }
        let look = Arc::new(Look::at(source));
        let old = self.0.with(|last| last.replace(look.clone()));
        drop(old);
        look
    }

    /// Until when the last look serves, if it was before `news`, which it may not show.
    pub(crate) fn serves_without(&self, news: Instant) -> Option<Instant> {
        let last = self.0.with(|last| last.clone())?;
        (last.at < news).then(|| last.at + last.fresh_for())
    }
}

impl Look {
    fn fresh_for(&self) -> Duration {
        (self.took * limits::LOOK_COST_FACTOR).clamp(limits::LOOK_FRESH, limits::LOOK_STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold::Engine;

    #[tokio::test]
    async fn a_look_that_may_not_show_the_news_says_when_the_next_one_is() {
        let (engine, last) = (Engine::builder(()).build().unwrap(), LastLook::default());
        let before = TokioRuntime.now();
        assert_eq!(last.serves_without(before), None, "nobody has looked");
        let look = last.fresh(&engine);
        assert_eq!(last.serves_without(before), None, "it has seen what was there");
        assert_eq!(last.serves_without(look.at), None);
        let next = last.serves_without(TokioRuntime.now().max(look.at + Duration::from_nanos(1)));
        assert_eq!(next, Some(look.at + look.fresh_for()));
    }
}
