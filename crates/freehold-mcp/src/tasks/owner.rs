use freehold::{Session, SessionId, State};
use std::sync::Arc;

/// Who may see and cancel a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A session: its tasks are in the form of revisions with sessions, and end with it.
    Session(SessionId),
    /// A session that is a connection, for the stateless requests that came through it; they end with it, too.
    Connection(SessionId),
    /// Whoever sends stateless requests as this principal; nobody in particular where clients need not say who they are.
    /// Then the id of a task is what its owner knows and nobody can guess.
    Principal(Option<Arc<str>>),
}

impl Owner {
    /// The owner of what `session` asks for.
    pub(crate) fn of<S: State>(session: &Session<S>, stateless: bool) -> Self {
        match (session.is_addressed(), stateless) {
            (true, false) => Self::Session(session.id()),
            (true, true) => Self::Connection(session.id()),
            (false, _) => Self::Principal(None),
        }
    }

    /// Those whose tasks end with this session.
    pub(crate) fn all_of_session(session: SessionId) -> [Self; 2] {
        [Self::Session(session), Self::Connection(session)]
    }

    /// Whether its tasks are told in the form of the stateless revisions.
    pub(crate) fn is_stateless(&self) -> bool {
        !matches!(self, Self::Session(_))
    }
}
