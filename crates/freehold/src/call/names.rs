//! What a call is called: in reports, in errors, and for people.

use super::{Call, Hop};
use crate::{
    message::{ErrorObject, Member},
    state::State,
};
use freehold_sync::{ActivityName, Actor};
use std::sync::Arc;

impl<S: State> Call<S> {
    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.subject.get()
    }

    pub(crate) fn set_subject(&self, subject: Arc<str>) {
        // The first one stays.
        let _ = self.subject.set(subject);
    }

    /// The name of its activity: its subject if it has one, else its method; by the tag, [`explain`](Self::explain) finds
    /// the call again.
    pub(crate) fn activity_name(self: &Arc<Self>) -> ActivityName {
        ActivityName::from(self.shared_label()).about(self)
    }

    /// Its subject if it has one, else its method.
    fn shared_label(&self) -> Arc<str> {
        self.subject().cloned().unwrap_or_else(|| self.engine().methods.shared_name(self.method))
    }

    /// Whether a report speaks of the activity of this call.
    pub(crate) fn is_actor(&self, actor: &Actor) -> bool {
        actor.tag == self.tag()
    }

    /// What reports know it by.
    pub(crate) fn tag(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The error with sessions and ages of those who were in the call's way, if a lock could not be had.
    pub(crate) fn explain(&self, error: ErrorObject) -> ErrorObject {
        error.explained(|actor| {
            if self.is_actor(actor) {
                return Some(self.as_member());
            }
            let found = self.engine().live.find(actor.tag)?;
            // Another one may have its place by now.
            (found.birth() == actor.number).then(|| found.as_member())
        })
    }

    fn as_member(&self) -> Member {
        let age = self.engine().runtime.now().saturating_duration_since(self.started);
        let session = self.session.inner.id.abbreviated();
        Member { label: self.label(), session, age, asks: self.clock.is_asking() }
    }

    /// The method and its subject, for people.
    pub(crate) fn label(&self) -> String {
        match self.subject() {
            Some(subject) => format!("{} {subject}", self.method_name()),
            None => self.method_name().to_owned(),
        }
    }

    /// How a call that it makes knows it.
    pub(crate) fn hop(&self) -> Hop {
        Hop { call: self.call_id(), session: self.session.inner.id, label: self.shared_label() }
    }
}
