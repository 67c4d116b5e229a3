//! The order that was learned: which classes were taken under which, and what was taken the other way round.

use crate::{
    class::LockClass,
    events::{self, Event},
    limits, metrics,
    raw::Kind,
    report::{Actor, Grade, OrderViolation, Rule, Site},
    slot::Slot,
};
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Which classes were taken under which.
#[derive(Default)]
struct Learned {
    /// By class: the classes taken while it was held, and where.
    after: HashMap<u32, HashMap<u32, Site>>,
    pairs: usize,
    /// Pairs that were reported.
    told: HashSet<(u32, u32)>,
    full: bool,
}

static LEARNED: OnceLock<Mutex<Learned>> = OnceLock::new();

thread_local!(
    /// The last pairs this thread proved, so that a loop over two locks does not take the table's lock each time.
    static PROVED: Cell<[u64; 16]> = const { Cell::new([0; 16]) };
);

#[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
thread_local!(
    /// What the simulation of this thread learned.
    static SIMULATED: std::cell::RefCell<Learned> = std::cell::RefCell::default();
);

pub(super) fn learn(slot: &'static Slot, class: &'static LockClass, site: Site) {
    let wanted = class.number();
    for hold in slot.held() {
        let held_class = hold.class().known().or_else(|| Some(hold.class().resolve(Kind::Mutex)));
        let Some(held_class) = held_class else { continue };
        let held = held_class.number();
        if held == wanted || proved(held, wanted) {
            continue;
        }
        let (inversion, filled) = learn_pair(held, wanted, site);
        if filled {
            events::emit(|| Event::OrderFull);
        }
        if let Some(earlier) = inversion {
            metrics::add(&metrics::GLOBAL.potential, 1);
            events::emit(|| {
                Event::Order(Arc::new(OrderViolation {
                    grade: Grade::Potential,
                    actor: Actor::of(slot),
                    held: held_class.name(),
                    held_at: hold.site(),
                    wanted: class.name(),
                    wanted_at: site,
                    rule: Rule::Learned(earlier),
                }))
            });
        }
    }
}

/// In a simulation what is learned is its own, so that one run does not hang on those before it.
fn with_learned<R>(look: impl FnOnce(&mut Learned) -> R) -> R {
    #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
    if crate::simulation::is_here() {
        return SIMULATED.with_borrow_mut(look);
    }
    look(&mut LEARNED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner))
}

/// A simulation begins or ends on this thread.
#[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
pub(crate) fn forget_here() {
    SIMULATED.take();
    PROVED.take();
}

/// Whether this thread proved the pair before; notes it.
fn proved(held: u32, wanted: u32) -> bool {
    let pair = u64::from(held) << 32 | u64::from(wanted);
    PROVED.with(|proved| {
        let mut pairs = proved.get();
        let place = &mut pairs[(held.wrapping_mul(31).wrapping_add(wanted) % 16) as usize];
        let known = *place == pair;
        *place = pair;
        proved.set(pairs);
        known
    })
}

/// Adds the pair. If it is against what was learned, returns where the other way round was seen, the first time; and
/// whether this pair was the first for which there was no room.
fn learn_pair(held: u32, wanted: u32, site: Site) -> (Option<Option<Site>>, bool) {
    with_learned(|learned| learn_pair_in(learned, held, wanted, site))
}

fn learn_pair_in(learned: &mut Learned, held: u32, wanted: u32, site: Site) -> (Option<Option<Site>>, bool) {
    if learned.after.get(&held).is_some_and(|after| after.contains_key(&wanted)) {
        return (None, false);
    }
    let inversion = path(learned, wanted, held);
    let mut filled = false;
    if learned.pairs >= limits::LEARNED_PAIRS {
        filled = !std::mem::replace(&mut learned.full, true);
    } else {
        learned.pairs += 1;
        learned.after.entry(held).or_default().insert(wanted, site);
    }
    (inversion.filter(|_| learned.told.insert((held, wanted))), filled)
}

/// Whether `to` was ever taken, directly or by way of others, while `from` was held; and where the first step was.
fn path(learned: &Learned, from: u32, to: u32) -> Option<Option<Site>> {
    let mut seen = HashSet::from([from]);
    let mut next: Vec<(u32, Option<Site>)> = vec![(from, None)];
    while let Some((class, first)) = next.pop() {
        for (after, site) in learned.after.get(&class).into_iter().flatten() {
            let first = first.or(Some(*site));
            if *after == to {
                return Some(first);
            }
            if seen.insert(*after) {
                next.push((*after, first));
            }
        }
    }
    None
}
