//! Handlers on threads of their own.

use super::{BoxFuture, Look, Rouse, Runtime, Timer, TokioRuntime, watch};
use crate::fault::{self, Fault};
use std::{pin::Pin, time::Instant};
use tokio::runtime::Handle;

/// [`Runtime`] on two runtimes of tokio: one for transports and the engine's own tasks, one for handlers.
///
/// A handler that blocks its thread (a sleep, a blocking read, a long computation, a nested `block_on`) takes a thread of
/// the second one only. Whatever handlers do, messages are read and written, pings answered, calls cancelled and, by
/// the watchdog, ended at their deadlines. Other handlers wait for a thread meanwhile: give it as many as handlers may
/// block at a time.
///
/// It has its price: a handler that would be ready at once is a task of another thread here, and each call wakes a thread
/// twice.
///
/// # Examples
///
/// ```
/// use freehold::{Context, Engine, ErrorObject};
///
/// async fn blocks(_: &Context<()>, (): ()) -> Result<(), ErrorObject> {
///     std::thread::sleep(std::time::Duration::from_millis(10));
///     Ok(())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let handlers = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build()?;
/// let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
/// io.block_on(async {
///     let engine = Engine::builder(()).method("blocks", blocks).handlers_on(handlers.handle()).build()?;
///     let session = engine.open()?;
///     let request = br#"{"jsonrpc":"2.0","id":1,"method":"blocks"}"#;
///     assert!(engine.process_bytes(&session, request).await.is_some());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SplitRuntime {
    io: Handle,
    handlers: Handle,
}

impl SplitRuntime {
    /// Handlers run on `handlers`, everything else on `io`; time must be enabled on both.
    #[must_use]
    pub fn new(io: Handle, handlers: Handle) -> Self {
        Self { io, handlers }
    }
}

impl Runtime for SplitRuntime {
    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        TokioRuntime.timer(at)
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        self.io.spawn(future);
    }

    fn spawn_handler(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        if fault::active(Fault::SameThreads) {
            self.io.spawn(future);
        } else {
            self.handlers.spawn(future);
        }
    }

    fn starts_inline(&self) -> bool {
        fault::active(Fault::SameThreads)
    }

    fn watch(&self, name: &'static str, look: Look) -> Option<Rouse> {
        watch::on_a_thread(name, Some(self.io.clone()), look)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        TokioRuntime.fill_random(bytes);
    }
}
