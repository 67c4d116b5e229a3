//! Several engines in one process.

use super::{
    Bus, BusError, Directory, DirectoryError, FaultyBus, FaultyDirectory, Inbound, Injections, NodeId, Place,
    RemoteCall, RemoteNotification, RemoteResult,
};
use crate::{
    builder::{BuildError, EngineBuilder},
    call::CallId,
    engine::Engine,
    hash::Hashing,
    runtime::BoxFuture,
    session::SessionId,
    state::State,
};
use papaya::HashMap;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Engines in one process that know each other's sessions and call each other: for tests, and for servers that keep several
/// kinds of sessions apart. A cheap handle; see [the module](super) for an example.
#[derive(Clone, Default)]
pub struct MemoryCluster {
    inner: Arc<Cluster>,
    injections: Injections,
}

#[derive(Default)]
struct Cluster {
    nodes: HashMap<NodeId, Arc<dyn Inbound>, Hashing>,
    sessions: HashMap<SessionId, NodeId, Hashing>,
    next: AtomicU64,
}

impl MemoryCluster {
    /// One whose directory and bus fail as told; see [`Injections`].
    #[must_use]
    pub fn with_injections(injections: &Injections) -> Self {
        Self { inner: Arc::default(), injections: injections.clone() }
    }

    /// Builds an engine as one of the cluster. It leaves when it is gone.
    ///
    /// # Errors
    ///
    /// As [`EngineBuilder::build`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn join<S: State>(&self, builder: EngineBuilder<S>) -> Result<Engine<S>, BuildError> {
        let node = NodeId(self.inner.next.fetch_add(1, Ordering::Relaxed) + 1);
        let directory = MemoryDirectory { cluster: self.inner.clone(), node };
        let bus = MemoryBus { cluster: self.inner.clone() };
        let directory = FaultyDirectory::new(directory, &self.injections);
        let bus = FaultyBus::new(bus, &self.injections);
        let engine = builder.cluster(node, Arc::new(directory), Arc::new(bus)).build()?;
        self.inner.nodes.pin().insert(node, engine.inbound());
        Ok(engine)
    }
}

impl std::fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCluster").field("nodes", &self.inner.nodes.pin().len()).finish_non_exhaustive()
    }
}

struct MemoryDirectory {
    cluster: Arc<Cluster>,
    node: NodeId,
}

impl Directory for MemoryDirectory {
    fn locate(&self, session: SessionId) -> BoxFuture<'_, Result<Place, DirectoryError>> {
        let place = match self.cluster.sessions.pin().get(&session) {
            Some(node) if *node != self.node => Place::At(*node),
            // Or in the store that the engine has.
            _ => Place::Here,
        };
        Box::pin(std::future::ready(Ok(place)))
    }

    fn claim(&self, session: SessionId) {
        self.cluster.sessions.pin().insert(session, self.node);
    }

    fn release(&self, session: SessionId) {
        let sessions = self.cluster.sessions.pin();
        // Another one may have claimed it since; then there is nothing to take away.
        let _ = sessions.remove_if(&session, |_, node| *node == self.node);
    }
}

struct MemoryBus {
    cluster: Arc<Cluster>,
}

impl MemoryBus {
    fn node(&self, node: NodeId) -> Result<Arc<dyn Inbound>, BusError> {
        self.cluster.nodes.pin().get(&node).cloned().ok_or(BusError::Unavailable)
    }
}

impl Bus for MemoryBus {
    fn call(&self, to: NodeId, call: RemoteCall) -> BoxFuture<'_, Result<RemoteResult, BusError>> {
        let node = self.node(to);
        Box::pin(async move { node?.call(call).await })
    }

    fn cancel(&self, to: NodeId, call: CallId) {
        if let Ok(node) = self.node(to) {
            node.cancel(call);
        }
    }

    fn push(&self, to: NodeId, notification: RemoteNotification) -> BoxFuture<'_, Result<(), BusError>> {
        let pushed = self.node(to).and_then(|node| node.push(&notification));
        Box::pin(std::future::ready(pushed))
    }
}
