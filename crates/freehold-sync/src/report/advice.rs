//! What to change so that a deadlock does not come back: by the shape of its edges.

use super::{Action, Deadlock, Edge, Mode};
use crate::class::UNNAMED;
use std::fmt::Write;

impl Deadlock {
    /// What to change so that it does not come back, in a sentence; it depends on the shape of the report.
    #[must_use]
    pub fn advice(&self) -> String {
        let mut advice = self.by_shape();
        if self.edges.iter().any(|edge| edge.lock.class.starts_with(UNNAMED)) {
            advice.push_str("; name what is unnamed here, with `with_class`");
        }
        advice
    }

    fn by_shape(&self) -> String {
        let Some(last) = self.edges.last() else { return String::new() };
        match (self.action, self.edges.as_slice()) {
            (Action::EndedHolder, _) => orphan(last),
            (Action::Victim(_), _) if !self.is_ring() => forgotten(last),
            (Action::Reported, _) if !self.is_ring() => slow(last),
            (Action::Reordered(_), [only]) => twice_at_once(only),
            (_, [only]) => with_oneself(only),
            (_, edges) if edges.iter().any(waits_for_an_end) => self.through_an_end(),
            (_, edges) if edges.iter().all(|edge| edge.lock.address == last.lock.address) => {
                within_one(edges)
            }
            _ => self.order(),
        }
    }

    /// The classes of the locks and pools of the ring, each once, by name.
    pub(super) fn classes(&self) -> Vec<&'static str> {
        let locks = self.edges.iter().filter(|edge| !waits_for_an_end(edge));
        let mut classes: Vec<_> = locks.map(|edge| edge.lock.class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    fn order(&self) -> String {
        match self.suggested_order() {
            Some(order) => {
                format!("take these in one order everywhere, for example {}", order.join(", then "))
            }
            None => "take locks of one class together, with `lock_all`".into(),
        }
    }

    fn through_an_end(&self) -> String {
        let classes = self.classes();
        if classes.is_empty() {
            return "they wait for each other's end: one of them has to finish, or answer, before it waits"
                .into();
        }
        let mut advice = format!(
            "do not hold {} while waiting for an activity that takes it: give it back before the call, or hand on \
             what it guards",
            classes.join(" or ")
        );
        if let Some(order) = self.suggested_order() {
            let _ = write!(
                advice,
                "; or let callers and those they call take these in one order, for example {}",
                order.join(", then ")
            );
        }
        advice
    }
}

pub(super) fn waits_for_an_end(edge: &Edge) -> bool {
    matches!(edge.mode, Mode::End | Mode::Child)
}

/// It waits for nobody who lives, and nothing wakes it.
fn orphan(last: &Edge) -> String {
    let what = held(last);
    format!(
        "give what it waited for an end, with `ctx.within`, or give {what} back before; whoever should have woken it \
         is gone or has forgotten it"
    )
}

/// Its activity is done, and what it held is still held.
fn forgotten(last: &Edge) -> String {
    format!("a guard of {} was forgotten (`mem::forget`) when its activity ended: drop it", last.lock.class)
}

fn slow(last: &Edge) -> String {
    if last.holder.is_unknown() {
        let class = last.lock.class;
        return format!(
            "take {class} through a context, in an activity, so that its holder is known; this may be slow, or a \
             deadlock that nobody can prove"
        );
    }
    format!(
        "it may only be slow: see what the last one waits for while it has {}, and give it back before, or limit \
         this wait",
        held(last)
    )
}

fn held(edge: &Edge) -> &'static str {
    if waits_for_an_end(edge) { "what others need" } else { edge.lock.class }
}

/// A ring of one.
fn with_oneself(edge: &Edge) -> String {
    let class = edge.lock.class;
    match edge.mode {
        Mode::Lock => format!("it locks {class} twice: hand the guard on, or drop it before"),
        Mode::Read => {
            format!("it reads {class} while it writes it: read through the write guard, or downgrade that")
        }
        Mode::Write => format!(
            "it writes {class} while it has it already: drop that guard before, or take `write` from the start; a \
             read guard cannot become a write guard"
        ),
        Mode::Permits(_) => all_at_once(class),
        Mode::End | Mode::Child => "it waits for an answer that it owes itself: send it before".into(),
    }
}

/// Two waits of one activity for one thing.
fn twice_at_once(edge: &Edge) -> String {
    let class = edge.lock.class;
    format!(
        "it waits for {class} twice at a time, and for more of it first: ask once, for all that is needed"
    )
}

/// A ring within one lock or pool.
fn within_one(edges: &[Edge]) -> String {
    let class = edges[0].lock.class;
    let mode = |wanted: fn(&Mode) -> bool| edges.iter().any(|edge| wanted(&edge.mode));
    if mode(|mode| matches!(mode, Mode::Permits(_))) {
        return all_at_once(class);
    }
    if mode(|mode| *mode == Mode::Read) {
        return format!(
            "it reads {class} again while it reads it, and a writer stands in between: read once, and hand the guard \
             on"
        );
    }
    format!("all read {class} and want to write it: who will write takes `write` from the start")
}

fn all_at_once(class: &str) -> String {
    format!("take all permits of {class} that are needed at once, with `ctx.permits`")
}
