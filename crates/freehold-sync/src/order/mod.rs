//! The order of locks: levels that were declared, and pairs of classes that were learned.

mod learned;

#[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
pub(crate) use learned::forget_here;

use crate::{
    class::{ClassRef, LockClass},
    error::LockError,
    events::{self, Event},
    metrics,
    raw::RawLock,
    report::{Actor, Grade, OrderViolation, Rule, Site},
    settings::{self, OrderMode},
    shim::Ordering,
    slot::Slot,
};
use std::{panic::Location, sync::Arc};

/// Checks the acquisition of `lock` by the activity of `slot`, before it can block.
#[inline]
pub(crate) fn check(
    slot: &'static Slot,
    lock: &RawLock,
    site: &'static Location<'static>,
    in_set: bool,
) -> Result<(), LockError> {
    if slot.busy.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    check_against(slot, lock, site, in_set)
}

#[cold]
fn check_against(
    slot: &'static Slot,
    lock: &RawLock,
    site: &'static Location<'static>,
    in_set: bool,
) -> Result<(), LockError> {
    let mode =
        OrderMode::from_u8(slot.order_mode.load(Ordering::Relaxed)).unwrap_or_else(settings::order_mode);
    if mode == OrderMode::Off {
        return Ok(());
    }
    let class = lock.class();
    if let Some(violation) = against_levels(slot, class, site, in_set) {
        metrics::add(&class.metrics.order_violations, 1);
        let violation = Arc::new(violation);
        events::emit(|| Event::Order(violation.clone()));
        match mode {
            OrderMode::Refuse => return Err(LockError::Order(Box::new((*violation).clone()))),
            OrderMode::Panic => panic!("{violation}"),
            OrderMode::Report | OrderMode::Off => {}
        }
    }
    if settings::order_learning() && !in_set {
        learned::learn(slot, class, site);
    }
    Ok(())
}

fn level_of(class: ClassRef) -> u64 {
    // A class that is not known yet was not named, so it has no level.
    class.known().and_then(LockClass::level).map_or(0, |level| level.bit())
}

/// The levels held by the activity and those it was forked from, a bit each.
pub(crate) fn levels_held(slot: &'static Slot) -> u64 {
    slot.held().fold(slot.inherited.load(Ordering::Relaxed), |levels, hold| levels | level_of(hold.class()))
}

fn against_levels(
    slot: &'static Slot,
    class: &'static LockClass,
    site: Site,
    in_set: bool,
) -> Option<OrderViolation> {
    let level = class.level()?;
    let forbidden = if in_set { level.not_below() & !level.bit() } else { level.not_below() };
    if levels_held(slot) & forbidden == 0 {
        return None;
    }
    let hold = slot.held().find(|hold| level_of(hold.class()) & forbidden != 0);
    let held = hold.and_then(|hold| hold.class().known());
    Some(OrderViolation {
        grade: Grade::Potential,
        actor: Actor::of(slot),
        held: held.map_or("a lock of the activity that forked this one", LockClass::name),
        held_at: hold.and_then(|hold| hold.site()),
        wanted: class.name(),
        wanted_at: site,
        rule: Rule::Levels(held.and_then(LockClass::level).unwrap_or(level), level),
    })
}
