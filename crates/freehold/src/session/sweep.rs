//! The sweep: a task that closes sessions which nobody uses, and gives back the memory of idle ones.

use super::{CloseReason, Session};
use crate::{
    contain::contain,
    engine::EngineState,
    fault::{self, Fault},
    runtime::pause,
    state::State,
};
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

/// The sweep runs this many times in the shorter of the two life times, within these bounds.
const SWEEPS_PER_LIFE: u32 = 10;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);
/// How many sessions are looked at when one must give way at the cap: a bound on the work of one opening.
const EVICTION_SAMPLE: usize = 256;

/// Starts the task; it ends with the engine.
pub(crate) fn start<S: State>(engine: &Arc<EngineState<S>>) {
    let (weak, runtime) = (Arc::downgrade(engine), engine.runtime.clone());
    let shorter = engine.limits.session_ttl.min(engine.limits.initialize_window);
    let interval = (shorter / SWEEPS_PER_LIFE).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
    let task = async move {
        loop {
            pause(&*runtime, interval).await;
            let Some(engine) = Weak::upgrade(&weak) else { return };
            // A value of a user's that panics in its drop must not end all expiry.
            if contain(|| sweep(&engine)).is_err() {
                tracing::error!("a sweep panicked; the next one goes on");
            }
        }
    };
    engine.runtime.spawn("session sweep", Box::pin(task));
}

fn sweep<S: State>(engine: &Arc<EngineState<S>>) {
    if fault::active(Fault::NeverExpire) {
        return;
    }
    let now = engine.runtime.now();
    // Looked at under the table's guard, closed outside of it: closing runs hooks.
    let handle = |inner: &Arc<_>| Session { inner: Arc::clone(inner), engine: engine.clone() };
    let over = engine.registry.filter(|inner| {
        let session = handle(inner);
        session.shrink();
        verdict(&session, now).is_some()
    });
    for inner in over {
        let session = handle(&inner);
        // Again, since it may have come to life in between.
        if let Some(reason) = verdict(&session, now) {
            session.close(reason);
        }
    }
}

/// Why the session's time is over, if it is.
fn verdict<S: State>(session: &Session<S>, now: Instant) -> Option<CloseReason> {
    let idle = now.saturating_duration_since(session.idle_since()?);
    let limits = &session.engine.limits;
    if idle >= limits.session_ttl {
        Some(CloseReason::Expired)
    } else if !session.inner.initialized.load(Ordering::Acquire) && idle >= limits.initialize_window {
        Some(CloseReason::NeverInitialized)
    } else {
        None
    }
}

/// Closes the idlest of a sample of sessions without live calls; whether there was one.
pub(crate) fn evict_one<S: State>(engine: &Arc<EngineState<S>>) -> bool {
    let sample = engine.registry.sessions(EVICTION_SAMPLE);
    let idle = sample.into_iter().filter_map(|inner| {
        let session = Session { inner, engine: engine.clone() };
        session.idle_since().map(|since| (since, session))
    });
    let idlest = idle.min_by_key(|(since, _)| *since);
    idlest.is_some_and(|(_, session)| session.close(CloseReason::Evicted))
}
