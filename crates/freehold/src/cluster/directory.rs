//! Who has which session.

use crate::{runtime::BoxFuture, session::SessionId};

/// One engine of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In the engine that asks, or in the store, from which that engine may take it up.
    Here,
    /// In that one.
    At(NodeId),
    /// Nowhere: it never was, or has ended.
    Nowhere,
}

/// The directory gave no place. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It cannot be reached.
    #[error("the directory of sessions cannot be reached at this moment; nothing happened, try again")]
    Unavailable,
}

/// Knows the owner of every session.
///
/// An answer may be out of date when it arrives: who is asked for a session that it no longer has says
/// [`BusError::NotThere`](super::BusError::NotThere), and the directory is asked once more.
pub trait Directory: Send + Sync + 'static {
    /// Where the session is. Asked with the call's deadline around it; dropped when that passes.
    fn locate(&self, session: SessionId) -> BoxFuture<'_, Result<Place, DirectoryError>>;

    /// The engine that this directory is of has the session now.
    fn claim(&self, session: SessionId);

    /// It has it no longer.
    fn release(&self, session: SessionId);
}

/// The directory of an engine that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alone;

impl Directory for Alone {
    fn locate(&self, _session: SessionId) -> BoxFuture<'_, Result<Place, DirectoryError>> {
        Box::pin(std::future::ready(Ok(Place::Here)))
    }

    fn claim(&self, _session: SessionId) {}

    fn release(&self, _session: SessionId) {}
}
