//! Whose turns a call waits for, and whether it has one.

use super::Call;
use crate::{
    gate::{NoPlace, Place, Whose},
    shim::Ordering,
    state::State,
};
use std::sync::Arc;

impl<S: State> Call<S> {
    /// Where it waits for its turn, if there are turns to wait for and it is not of those that run beside them.
    pub(crate) fn place(self: &Arc<Self>) -> Result<Option<Place<S>>, NoPlace> {
        let engine = self.engine();
        if engine.methods.options(self.method).beside {
            return Ok(None);
        }
        self.whose_turn().enter(&engine.limits)
    }

    /// Whose turns it has to wait for: those inside of its nearest caller in the same session, if it has one there; else the
    /// session's, if it is serial.
    fn whose_turn(self: &Arc<Self>) -> Whose<S> {
        let in_session = |call: &&Arc<Self>| Arc::ptr_eq(&call.session.inner, &self.session.inner);
        let caller = self.with_callers().skip(1).find(in_session).cloned();
        match caller.or_else(|| self.caller_by_way_of_others()) {
            Some(caller) if caller.has_turn() => Whose::Call(caller),
            _ => Whose::Session(self.session.inner.clone()),
        }
    }

    /// Its nearest caller in the same session, if the chain went through other engines in between.
    fn caller_by_way_of_others(&self) -> Option<Arc<Self>> {
        let id = self.session.inner.id;
        let hop = self.path().iter().rev().find(|hop| hop.session == id)?;
        self.session.inner.calls.all().into_iter().find(|call| call.call_id() == hop.call)
    }

    pub(crate) fn has_turn(&self) -> bool {
        // Acquire pairs with `set_turn`: a callee that finds it may queue inside of it.
        self.turn.load(Ordering::Acquire)
    }

    pub(crate) fn set_turn(&self, has: bool) {
        self.turn.store(has, Ordering::Release);
    }
}
