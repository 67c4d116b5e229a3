//! Freehold next to a peer, and next to what it should cost: the one form in which the figures of all programs are compared.

/// A cost of Freehold's next to that of a peer.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What was measured, of which form of Freehold.
    pub what: String,
    /// Next to whom.
    pub peer: String,
    /// Freehold's cost by the peer's, each within one round: above 1 Freehold costs more. For rates, which are better when they
    /// are higher, the other way round.
    pub ratios: Vec<f64>,
}

/// What something should cost at most.
#[derive(Debug, Clone)]
pub struct Goal {
    /// What.
    pub what: String,
    /// What it costs.
    pub value: f64,
    /// What it should cost at most.
    pub limit: f64,
    /// Of what both are so many.
    pub unit: &'static str,
}

impl Goal {
    /// Whether it is reached. A value that is none (nothing was measured) is not.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.value <= self.limit
    }
}

/// What the figures of one program say.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    /// Next to peers.
    pub comparisons: Vec<Comparison>,
    /// Next to goals.
    pub goals: Vec<Goal>,
}

impl Verdicts {
    /// Adds a comparison of costs, round by round; without a round there is none.
    pub fn costs(
        &mut self,
        what: impl Into<String>,
        peer: impl Into<String>,
        own: impl IntoIterator<Item = f64>,
        others: impl IntoIterator<Item = f64>,
    ) {
        let ratios: Vec<_> = own.into_iter().zip(others).map(|(own, other)| own / other).collect();
        if !ratios.is_empty() {
            self.comparisons.push(Comparison { what: what.into(), peer: peer.into(), ratios });
        }
    }

    /// Adds a comparison of rates, round by round.
    pub fn rates(
        &mut self,
        what: impl Into<String>,
        peer: impl Into<String>,
        own: impl IntoIterator<Item = f64>,
        others: impl IntoIterator<Item = f64>,
    ) {
        self.costs(what, peer, others, own);
    }

    /// Adds a goal.
    pub fn goal(&mut self, what: impl Into<String>, value: f64, limit: f64, unit: &'static str) {
        self.goals.push(Goal { what: what.into(), value, limit, unit });
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Verdicts};

    #[test]
    fn above_one_is_worse_for_costs_and_rates() {
        let mut verdicts = Verdicts::default();
        verdicts.costs("CPU", "peer", [2.0, 3.0], [1.0, 6.0]);
        verdicts.rates("calls a second", "peer", [10.0], [20.0]);
        let ratios: Vec<_> = verdicts.comparisons.into_iter().map(|comparison| comparison.ratios).collect();
        assert_eq!(ratios, [vec![2.0, 0.5], vec![2.0]]);
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let goal = |value| Goal { what: String::new(), value, limit: 1.5, unit: "x" };
        let reached = [1.0, 1.5, 1.6, f64::NAN].map(|value| goal(value).is_reached());
        assert_eq!(reached, [true, true, false, false]);
    }
}
