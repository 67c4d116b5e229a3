//! What the detector tells of, and what the books say to it.

use super::{
    host::{Action, Context, Deadlock},
    world::World,
};
use freehold_sync::{Event, Grade, Subscription, subscribe};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

/// The program that this thread runs.
struct Now {
    world: World,
    keys: usize,
    sweeping: bool,
    /// A panic of a subscriber is caught, so this is asked for.
    wrong: Option<String>,
}

thread_local!(static NOW: RefCell<Option<Now>> = const { RefCell::new(None) });

/// Holds every verdict of this thread against the books from now on, until it is dropped.
pub(super) struct Judged;

impl Judged {
    pub(super) fn by(world: World) -> Self {
        static TOLD: OnceLock<Subscription> = OnceLock::new();
        TOLD.get_or_init(|| {
            subscribe(|event| {
                if let Event::Deadlock(report) = event
                    && report.grade == Grade::Proven
                {
                    judge(report);
                }
            })
        });
        NOW.set(Some(Now { world, keys: 0, sweeping: false, wrong: None }));
        Self
    }

    /// # Panics
    ///
    /// When a verdict was wrong.
    pub(super) fn check(&self) {
        let wrong = NOW.with_borrow_mut(|now| now.as_mut().and_then(|now| now.wrong.take()));
        assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }

    /// What is found meanwhile no end of a poll has seen.
    pub(super) fn sweeping<T>(&self, look: impl FnOnce() -> T) -> T {
        let set =
            |sweeping| NOW.with_borrow_mut(|now| now.iter_mut().for_each(|now| now.sweeping = sweeping));
        set(true);
        let seen = look();
        set(false);
        seen
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        drop(NOW.take());
    }
}

/// By which the books know an activity: its name, which reports give.
pub(super) fn key(ctx: &Context) -> usize {
    let key = NOW.with_borrow_mut(|now| {
        let now = now.as_mut().expect("a program runs");
        now.keys += 1;
        now.keys
    });
    ctx.set_name(key.to_string());
    key
}

fn judge(report: &Arc<Deadlock>) {
    NOW.with_borrow_mut(|now| {
        // Verdicts on other threads are those of others.
        let Some(now) = now else { return };
        let judged = now.judge(report);
        now.wrong = now.wrong.take().or(judged.err());
    });
}

impl Now {
    fn judge(&self, report: &Arc<Deadlock>) -> Result<(), String> {
        let key = |name: &str| name.parse().map_err(|_| format!("{name:?} is nobody here: {report}"));
        let mut members = BTreeSet::new();
        for edge in &report.edges {
            members.insert(key(&edge.waiter.name)?);
            members.insert(key(&edge.holder.name)?);
        }
        let culprit = match report.action {
            Action::Victim(edge) | Action::Reordered(edge) => Some(key(&report.edges[edge].waiter.name)?),
            _ => None,
        };
        let members: Vec<_> = members.into_iter().collect();
        self.world.pronounced(&members, culprit, self.sweeping, report)
    }
}
