use crate::{
    http::{OfRequest, Principal},
    peer::Peer,
};
use freehold::{Session, SessionId, State};
use std::sync::Arc;

/// Whose something is: a task, which others may neither see nor cancel; a count of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A session: its tasks are in the form of revisions with sessions, and end with it.
    Session(SessionId),
    /// A session that is a connection, for the stateless requests that came through it; they end with it, too.
    Connection(SessionId),
    /// Whoever sends stateless requests as this principal; where clients are counted, also in its sessions.
    Principal(Arc<Identity>),
    /// Stateless clients that need not say who they are. The id of a task is what its owner knows and nobody can guess.
    Anybody,
}

/// What two principals have in common that are the same ([`Principal::is_same`]).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    subject: String,
    issuer: Option<String>,
    client: Option<String>,
}

impl From<&Principal> for Identity {
    fn from(principal: &Principal) -> Self {
        let Principal { subject, issuer, client, .. } = principal;
        Self { subject: subject.clone(), issuer: issuer.clone(), client: client.clone() }
    }
}

impl Owner {
    /// The owner of what `session` asks for. A session that nobody can address is that of one stateless request, to which
    /// its transport attaches whom it is from.
    pub(crate) fn of<S: State>(session: &Session<S>, stateless: bool) -> Self {
        match (session.is_addressed(), stateless) {
            (true, false) => Self::Session(session.id()),
            (true, true) => Self::Connection(session.id()),
            (false, _) => {
                match session.attachment().and_then(|OfRequest { principal, .. }| principal.as_deref()) {
                    Some(principal) => Self::Principal(Arc::new(Identity::from(principal))),
                    None => Self::Anybody,
                }
            }
        }
    }

    /// As whom `session` counts for what is bounded for each client: a principal is one, however many sessions it opens.
    pub(crate) fn counted<S: State>(session: &Session<S>, stateless: bool) -> Self {
        match Peer::of(session).and_then(|peer| peer.principal.as_deref()) {
            Some(principal) => Self::Principal(Arc::new(Identity::from(principal))),
            None => Self::of(session, stateless),
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

#[cfg(test)]
mod tests {
    use super::Identity;
    use crate::http::{Audience, Principal};

    #[test]
    fn two_principals_have_one_identity_if_they_are_the_same() {
        let alice = || Principal::new("alice", Audience::Verified).issued_by("a").of_client("c");
        let others = [
            alice().with_scopes(["files:read"]),
            Principal::new("bob", Audience::Verified).issued_by("a").of_client("c"),
            alice().issued_by("b"),
            alice().of_client("d"),
            Principal::new("alice", Audience::Verified),
        ];
        for other in others {
            let same = Identity::from(&alice()) == Identity::from(&other);
            assert_eq!(same, alice().is_same(&other), "{other:?}");
        }
    }
}
