//! The written forms of a deadlock.

#[cfg(feature = "json")]
use super::Actor;
use super::{Action, Deadlock, Edge};
use std::fmt::{self, Write};

impl fmt::Display for Deadlock {
    /// The whole report as text: the headline, a block for each edge, what was done, and the advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deadlock {} [{:016x}]: {}", self.id, self.fingerprint, self.headline())?;
        for (index, edge) in self.edges.iter().enumerate() {
            write_edge(f, index + 1, edge)?;
        }
        match self.action {
            Action::Victim(index) => {
                writeln!(f, "  broken: the wait of {} ({}) failed", index + 1, self.edges[index].waiter)?;
            }
            Action::EndedHolder => {
                if let Some(edge) = self.edges.last() {
                    writeln!(
                        f,
                        "  broken: {} was ended; nothing was left that could have woken it",
                        edge.holder
                    )?;
                }
            }
            Action::Reordered(index) => {
                let Edge { waiter, holder, .. } = &self.edges[index];
                writeln!(
                    f,
                    "  broken: the wait of {} ({waiter}) went past that of {holder}; nobody failed",
                    index + 1
                )?;
            }
            Action::Reported => writeln!(f, "  not broken: it is not proven; it ends at its deadlines")?,
        }
        writeln!(f, "  advice: {}", self.advice())
    }
}

fn write_edge(f: &mut fmt::Formatter<'_>, number: usize, edge: &Edge) -> fmt::Result {
    writeln!(f, "  {number}. {}", edge.waiter)?;
    write!(f, "       waits {:?} for {} ({})", edge.waited, edge.lock, edge.mode)?;
    match edge.waits_at {
        Some(site) => writeln!(f, " at {site}")?,
        None => writeln!(f)?,
    }
    write!(f, "       held by {}", edge.holder)?;
    if let Some(held) = edge.held_for {
        write!(f, " for {held:?}")?;
    }
    match edge.held_at {
        Some(site) => writeln!(f, ", acquired at {site}")?,
        None => writeln!(f)?,
    }
    if edge.holder.foreign_wakers > 0 {
        writeln!(
            f,
            "       which {} waker(s) outside of the graph could still wake",
            edge.holder.foreign_wakers
        )?;
    }
    Ok(())
}

impl Deadlock {
    /// The report as JSON.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn to_json(&self) -> String {
        use serde_json::json;
        let actor = |actor: &Actor| {
            json!({
                "number": actor.number,
                "name": actor.name,
                "site": actor.site.map(ToString::to_string),
                "foreign_wakers": actor.foreign_wakers,
            })
        };
        let edges: Vec<_> = self
            .edges
            .iter()
            .map(|edge| {
                json!({
                    "waiter": actor(&edge.waiter),
                    "lock": { "class": edge.lock.class, "address": format!("{:#x}", edge.lock.address) },
                    "mode": edge.mode.to_string(),
                    "waited_nanos": edge.waited.as_nanos() as u64,
                    "waits_at": edge.waits_at.map(ToString::to_string),
                    "holder": actor(&edge.holder),
                    "held_at": edge.held_at.map(ToString::to_string),
                    "held_nanos": edge.held_for.map(|held| held.as_nanos() as u64),
                })
            })
            .collect();
        let (action, victim, moved_up) = match self.action {
            Action::Victim(index) => ("victim", Some(index), None),
            Action::EndedHolder => ("ended_holder", None, None),
            Action::Reordered(index) => ("reordered", None, Some(index)),
            Action::Reported => ("reported", None, None),
        };
        json!({
            "id": self.id,
            "fingerprint": format!("{:016x}", self.fingerprint),
            "grade": self.grade.name(),
            "headline": self.headline(),
            "ring": self.is_ring(),
            "behind": self.behind,
            "action": action,
            "victim": victim,
            "moved_up": moved_up,
            "suggested_order": self.suggested_order(),
            "advice": self.advice(),
            "edges": edges,
        })
        .to_string()
    }

    /// The ring as a graph in the DOT language: activities as boxes, an arrow from each waiter to its holder.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_dot(&mut dot);
        dot
    }

    fn write_dot(&self, dot: &mut String) -> fmt::Result {
        writeln!(dot, "digraph \"{}\" {{", escaped(&self.id))?;
        writeln!(dot, "  label=\"{}\";\n  node [shape=box];", escaped(&self.headline()))?;
        for (index, edge) in self.edges.iter().enumerate() {
            let victim = if self.action == Action::Victim(index) {
                ", style=filled, fillcolor=\"#f4b6b6\""
            } else {
                ""
            };
            let name = edge.waiter.to_string();
            writeln!(dot, "  a{} [label=\"{}\"{victim}];", index + 1, escaped(&name))?;
        }
        // A chain may come back to one of its members other than the first.
        let of_last = |last: &Edge| self.edges.iter().position(|edge| edge.waiter.is(&last.holder));
        let last = self.edges.last().map_or(0, |last| of_last(last).unwrap_or(self.edges.len()));
        if let Some(edge) = self.edges.last().filter(|_| last == self.edges.len()) {
            writeln!(dot, "  a{} [label=\"{}\"];", last + 1, escaped(&edge.holder.to_string()))?;
        }
        for (index, edge) in self.edges.iter().enumerate() {
            let label = format!("{} {}", edge.mode, edge.lock.class);
            let holder = if index + 1 == self.edges.len() { last } else { index + 1 };
            writeln!(dot, "  a{} -> a{} [label=\"{}\"];", index + 1, holder + 1, escaped(&label))?;
        }
        writeln!(dot, "}}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
