//! Where the boxes of a graph stand: in layers, each above whom it waits for.

/// Sweeps over the layers that put each box near those it is bound to.
const SWEEPS: usize = 4;

/// Where each node stands: its layer, and its place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) layers: Vec<Vec<usize>>,
    /// By node.
    pub(super) layer_of: Vec<usize>,
}

/// Which strongly connected component each of `count` nodes is in, by a number of its own.
///
/// After Tarjan, with a stack of its own: chains may be long.
pub(super) fn components(count: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let next = successors(count, pairs);
    let (mut order, mut low) = (vec![UNSEEN; count], vec![0; count]);
    let (mut component, mut on_stack) = (vec![UNSEEN; count], vec![false; count]);
    let (mut stack, mut seen) = (Vec::new(), 0);
    for root in 0..count {
        if order[root] != UNSEEN {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, at)) = path.last_mut() {
            let node = *node;
            if *at == 0 {
                (order[node], low[node]) = (seen, seen);
                seen += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = next[node].get(*at) {
                *at += 1;
                if order[to] == UNSEEN {
                    path.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(order[to]);
                }
                continue;
            }
            path.pop();
            if let Some((above, _)) = path.last() {
                low[*above] = low[*above].min(low[node]);
            }
            if low[node] == order[node] {
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component[member] = node;
                    if member == node {
                        break;
                    }
                }
            }
        }
    }
    component
}

fn successors(count: usize, pairs: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); count];
    for (from, to) in pairs {
        next[*from].push(*to);
    }
    next
}

/// The arrows that do not go back: without those that close a ring, as a search in depth meets them.
fn forward(count: usize, pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Visit {
        Not,
        Open,
        Done,
    }
    let next = successors(count, pairs);
    let mut visits = vec![Visit::Not; count];
    let mut forward = Vec::new();
    let mut awaited = vec![false; count];
    for (_, to) in pairs {
        awaited[*to] = true;
    }
    // From those nobody waits for, so that rings hang below whoever waits behind them.
    let mut roots: Vec<_> = (0..count).collect();
    roots.sort_by_key(|root| awaited[*root]);
    for root in roots {
        if visits[root] != Visit::Not {
            continue;
        }
        let mut path = vec![(root, 0)];
        visits[root] = Visit::Open;
        while let Some((node, at)) = path.last_mut() {
            let node = *node;
            let Some(&to) = next[node].get(*at) else {
                visits[node] = Visit::Done;
                path.pop();
                continue;
            };
            *at += 1;
            if visits[to] != Visit::Open {
                forward.push((node, to));
            }
            if visits[to] == Visit::Not {
                visits[to] = Visit::Open;
                path.push((to, 0));
            }
        }
    }
    forward
}

/// Puts `count` nodes into layers.
pub(super) fn layers(count: usize, pairs: &[(usize, usize)]) -> Layers {
    let forward = forward(count, pairs);
    let mut layer_of = vec![0; count];
    // The longest way from the top; without rings it is at most as long as there are nodes.
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in &forward {
            if layer_of[*to] <= layer_of[*from] {
                layer_of[*to] = layer_of[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let depth = layer_of.iter().max().map_or(0, |deepest| deepest + 1);
    let mut layers = vec![Vec::new(); depth];
    for (node, layer) in layer_of.iter().enumerate() {
        layers[*layer].push(node);
    }
    let mut placed = Layers { layers, layer_of };
    for sweep in 0..SWEEPS {
        placed.sweep(count, pairs, sweep % 2 == 0);
    }
    placed
}

impl Layers {
    /// Orders each layer by the middle of its neighbours in the layers above (or below).
    fn sweep(&mut self, count: usize, pairs: &[(usize, usize)], down: bool) {
        let mut place = vec![0.0; count];
        let note = |place: &mut Vec<f64>, layer: &[usize]| {
            for (index, node) in layer.iter().enumerate() {
                place[*node] = index as f64 - layer.len() as f64 / 2.0;
            }
        };
        for layer in &self.layers {
            note(&mut place, layer);
        }
        let depth = self.layers.len();
        let order: Vec<_> = if down { (0..depth).collect() } else { (0..depth).rev().collect() };
        for index in order {
            let is_before = |other: usize| {
                if down { self.layer_of[other] < index } else { self.layer_of[other] > index }
            };
            let middle = |node: usize| {
                let bound = pairs.iter().filter_map(|(from, to)| match (*from == node, *to == node) {
                    (true, false) => Some(*to),
                    (false, true) => Some(*from),
                    _ => None,
                });
                let bound: Vec<_> =
                    bound.filter(|other| is_before(*other)).map(|other| place[other]).collect();
                if bound.is_empty() { place[node] } else { bound.iter().sum::<f64>() / bound.len() as f64 }
            };
            let mut sorted: Vec<_> = self.layers[index].iter().map(|node| (middle(*node), *node)).collect();
            sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            self.layers[index] = sorted.into_iter().map(|(_, node)| node).collect();
            note(&mut place, &self.layers[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{components, layers};

    #[test]
    fn rings_are_found_and_chains_are_none() {
        let ring_of = components(6, &[(0, 1), (1, 2), (2, 0), (3, 0), (4, 5), (5, 5)]);
        assert!(ring_of[0] == ring_of[1] && ring_of[1] == ring_of[2], "{ring_of:?}");
        let others: std::collections::HashSet<_> = ring_of[2..].iter().collect();
        assert_eq!(others.len(), 4, "{ring_of:?}");
    }

    #[test]
    fn two_rings_with_one_member_in_common_are_one_component() {
        let ring_of = components(5, &[(0, 1), (1, 0), (1, 2), (2, 3), (3, 1), (4, 0)]);
        assert!(ring_of[..4].iter().all(|ring| *ring == ring_of[0]), "{ring_of:?}");
        assert_ne!(ring_of[4], ring_of[0]);
    }

    #[test]
    fn whoever_waits_stands_above() {
        let placed = layers(5, &[(0, 1), (1, 2), (0, 2), (3, 2), (2, 4), (4, 2)]);
        let layer = |node: usize| placed.layer_of[node];
        assert!(layer(0) < layer(1) && layer(1) < layer(2) && layer(3) < layer(2));
        assert!(layer(2) < layer(4), "the arrow that closes the ring goes back");
        assert_eq!(placed.layers.iter().map(Vec::len).sum::<usize>(), 5);
    }

    #[test]
    fn a_chain_as_long_as_there_are_nodes_has_as_many_layers() {
        let pairs: Vec<_> = (0..99).map(|node| (node, node + 1)).collect();
        assert_eq!(layers(100, &pairs).layers.len(), 100);
        assert_eq!(layers(0, &[]).layers.len(), 0);
    }
}
