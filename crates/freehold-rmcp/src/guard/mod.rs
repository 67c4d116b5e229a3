//! A handler that stays on rmcp's transports, with bounds around each of its requests.
//!
//! What such a wrapper cannot cure is in the transports themselves: two requests with one id, and a client that does not
//! read one of its streams.

mod contain;
mod handler;
mod options;
mod watch;

pub use handler::Guarded;
pub use options::GuardOptions;

#[cfg(test)]
pub(crate) use handler::DELEGATED;

use contain::{Contained, Panicked};
use freehold_mcp::freehold::{
    ErrorCode,
    runtime::{Runtime, TokioRuntime, until},
};
use freehold_sync::Signal;
use rmcp::{
    ServerHandler,
    model::{ErrorCode as RmcpCode, ErrorData},
};
use serde_json::json;
use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Guards `handler` with the default [`GuardOptions`].
///
/// # Examples
///
/// ```no_run
/// use freehold_rmcp::guard;
/// use rmcp::{ServerHandler, ServiceExt};
/// # fn stdio() -> (tokio::io::Empty, tokio::io::Empty) { (tokio::io::empty(), tokio::io::empty()) }
///
/// struct Nothing;
/// impl ServerHandler for Nothing {}
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guarded = guard(Nothing);
/// // `stdio()` is rmcp's; `watch` tells the guard when the client's input ends.
/// let transport = guarded.watch(stdio());
/// guarded.serve(transport).await?.waiting().await?;
/// # Ok(())
/// # }
/// ```
pub fn guard<H: ServerHandler>(handler: H) -> Guarded<H> {
    Guard::new(GuardOptions::default()).wrap(handler)
}

/// The bounds that some handlers share. A cheap handle.
#[derive(Clone)]
pub struct Guard {
    shared: Arc<Bounds>,
}

struct Bounds {
    options: GuardOptions,
    runtime: Arc<dyn Runtime>,
    running: Semaphore,
    waiting: AtomicUsize,
}

/// Why a request is not waited for any longer.
enum End {
    Deadline,
    Cancelled,
    Input,
}

impl Guard {
    /// A guard on tokio's clock.
    #[must_use]
    pub fn new(options: GuardOptions) -> Self {
        Self::on(options, Arc::new(TokioRuntime))
    }

    /// A guard whose clock is that of `runtime`.
    #[must_use]
    pub fn on(options: GuardOptions, runtime: Arc<dyn Runtime>) -> Self {
        let running = Semaphore::new(options.running.min(Semaphore::MAX_PERMITS));
        Self { shared: Arc::new(Bounds { options, runtime, running, waiting: AtomicUsize::new(0) }) }
    }

    /// Guards a handler. All handlers of a guard share its bounds, such as those that rmcp's `StreamableHttpService` makes for
    /// its sessions.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_rmcp::{Guard, GuardOptions};
    /// use rmcp::ServerHandler;
    /// use std::time::Duration;
    ///
    /// struct Nothing;
    /// impl ServerHandler for Nothing {}
    ///
    /// let guard = Guard::new(GuardOptions { deadline: Duration::from_secs(5), ..GuardOptions::default() });
    /// // For `StreamableHttpService::new(make, ...)`:
    /// let make = move || Ok::<_, std::io::Error>(guard.wrap(Nothing));
    /// # make().unwrap();
    /// ```
    pub fn wrap<H: ServerHandler>(&self, handler: H) -> Guarded<H> {
        Guarded::new(handler, self.clone())
    }

    fn options(&self) -> &GuardOptions {
        &self.shared.options
    }

    fn now(&self) -> Instant {
        self.shared.runtime.now()
    }

    /// Runs the handling of one request within the bounds.
    async fn request<T>(
        &self,
        method: &'static str,
        told: &Told,
        handling: impl Future<Output = Result<T, ErrorData>> + Send,
    ) -> Result<T, ErrorData> {
        let deadline = self.now() + self.options().deadline;
        let in_turn = async {
            let _permit = tokio::select! {
                biased;
                permit = self.permit() => permit?,
                // There is nothing yet that would need its grace.
                () = told.token.cancelled() => {
                    return Err(error(ErrorCode::CANCELLED, format!("{method} was cancelled before its turn")));
                }
            };
            handling.await
        };
        // The deadline and the end of the input hold for the wait, too.
        self.bounded(method, told, Some(deadline), in_turn).await
    }

    /// A place among those that run, or the error of a full house.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, ErrorData> {
        if let Ok(permit) = self.shared.running.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&self.shared).ok_or_else(|| self.overloaded())?;
        self.shared.running.acquire().await.map_err(|_| self.overloaded())
    }

    /// Runs a handling until it is over, its deadline has passed, or nobody waits for it any more.
    async fn bounded<T>(
        &self,
        method: &'static str,
        told: &Told,
        deadline: Option<Instant>,
        handling: impl Future<Output = Result<T, ErrorData>> + Send,
    ) -> Result<T, ErrorData> {
        let runtime = &*self.shared.runtime;
        let mut handling = Contained::new(handling);
        let end = tokio::select! {
            biased;
            outcome = &mut handling => return outcome.unwrap_or_else(|Panicked| Err(panicked(method))),
            () = told.token.cancelled() => End::Cancelled,
            () = told.input.wait_until_set() => End::Input,
            () = at(runtime, deadline) => End::Deadline,
        };
        let patience = match end {
            End::Deadline => None,
            End::Cancelled => Some(self.options().cancel_grace),
            End::Input => Some(self.options().after_input),
        };
        if let Some(patience) = patience {
            let last = (self.now() + patience).min(deadline.unwrap_or(self.now() + patience));
            if let Some(outcome) = until(runtime, last, &mut handling).await {
                return outcome.unwrap_or_else(|Panicked| Err(panicked(method)));
            }
        }
        // Tasks that the handler left behind learn of it by the token.
        told.token.cancel();
        Err(match end {
            End::Deadline => self.deadline_error(method),
            End::Cancelled => error(ErrorCode::CANCELLED, format!("{method} was cancelled and did not end")),
            End::Input => {
                error(ErrorCode::CANCELLED, format!("the client's input ended before {method} did"))
            }
        })
    }

    /// Runs the handling of a notification, which nobody waits for.
    async fn notification(&self, method: &'static str, handling: impl Future<Output = ()> + Send) {
        let deadline = self.now() + self.options().deadline;
        match until(&*self.shared.runtime, deadline, Contained::new(handling)).await {
            Some(Ok(())) => {}
            Some(Err(Panicked)) => tracing::error!(method, "the handler panicked"),
            None => tracing::warn!(method, "the handler did not end before its deadline"),
        }
    }

    fn deadline_error(&self, method: &str) -> ErrorData {
        let waited = self.options().deadline;
        let mut told = error(ErrorCode::DEADLINE_EXCEEDED, format!("{method} did not end within {waited:?}"));
        told.data = Some(json!({ "timeoutMs": waited.as_millis() as u64 }));
        told
    }

    fn overloaded(&self) -> ErrorData {
        let retry_after = self.options().retry_after.as_millis() as u64;
        let mut told =
            error(ErrorCode::OVERLOADED, format!("too many requests at once; try again in {retry_after} ms"));
        told.data = Some(json!({ "retryAfterMs": retry_after }));
        told
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("options", self.options()).finish_non_exhaustive()
    }
}

/// Waits until `deadline`, or for ever.
async fn at(runtime: &dyn Runtime, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => runtime.timer(deadline).await,
        None => std::future::pending().await,
    }
}

fn error(code: ErrorCode, message: String) -> ErrorData {
    ErrorData::new(RmcpCode(code.0), message, None)
}

/// Without detail: what it panicked with is in the log.
fn panicked(method: &'static str) -> ErrorData {
    tracing::error!(method, "the handler panicked");
    ErrorData::internal_error("the handler failed", None)
}

/// A request that waits for its turn.
struct Waiting<'a>(&'a Bounds);

impl<'a> Waiting<'a> {
    fn enter(bounds: &'a Bounds) -> Option<Self> {
        let most = bounds.options.waiting;
        // Relaxed: only the number counts, nothing is published with it.
        let entered = bounds.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < most).then_some(waiting + 1)
        });
        entered.is_ok().then_some(Self(bounds))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The end of a client's input, if its transport is watched.
#[derive(Clone, Default)]
struct Input(Arc<Signal>);

impl Input {
    fn end(&self) {
        self.0.set(std::num::NonZeroU8::MIN);
    }

    async fn wait_until_set(&self) {
        self.0.wait().await;
    }
}

/// What tells a request that nobody waits for it any more.
struct Told {
    token: CancellationToken,
    input: Input,
}

#[cfg(test)]
mod tests {
    use super::{Guard, GuardOptions, Input, Told};
    use freehold_mcp::freehold::{
        ErrorCode,
        runtime::{Runtime, TokioRuntime, until},
    };
    use futures_util::{FutureExt, poll};
    use std::{pin::pin, sync::atomic::Ordering, time::Duration};
    use tokio_util::sync::CancellationToken;

    /// A guard whose only place is taken.
    fn full(options: GuardOptions) -> Guard {
        let guard = Guard::new(GuardOptions { running: 1, deadline: Duration::from_secs(3_600), ..options });
        guard.shared.running.try_acquire().expect("it is free").forget();
        guard
    }

    fn told() -> Told {
        Told { token: CancellationToken::new(), input: Input::default() }
    }

    #[tokio::test]
    async fn a_cancelled_request_does_not_wait_for_its_turn() {
        let (guard, told) = (full(GuardOptions::default()), told());
        let handling = async { panic!("it has no place") };
        let mut request = pin!(guard.request::<()>("wait", &told, handling));
        assert!(poll!(&mut request).is_pending());
        assert_eq!(guard.shared.waiting.load(Ordering::Relaxed), 1);
        told.token.cancel();
        let error = request.now_or_never().expect("it ends at once").expect_err("it was cancelled");
        assert_eq!(error.code.0, ErrorCode::CANCELLED.0);
        assert_eq!(guard.shared.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_request_waits_for_its_turn_only_so_long_after_the_input() {
        let after_input = Duration::from_millis(10);
        let (guard, told) = (full(GuardOptions { after_input, ..GuardOptions::default() }), told());
        let handling = async { panic!("it has no place") };
        let mut request = pin!(guard.request::<()>("wait", &told, handling));
        assert!(poll!(&mut request).is_pending());
        told.input.end();
        let ended = until(&TokioRuntime, TokioRuntime.now() + Duration::from_secs(20), request).await;
        let error = ended.expect("it ends").expect_err("the input has ended");
        assert_eq!(error.code.0, ErrorCode::CANCELLED.0);
    }

    /// Whose turn comes soon enough is still served.
    #[tokio::test]
    async fn a_request_that_gets_its_turn_after_the_input_is_handled() {
        let after_input = Duration::from_secs(60);
        let (guard, told) = (full(GuardOptions { after_input, ..GuardOptions::default() }), told());
        let mut request = pin!(guard.request("wait", &told, async { Ok(7) }));
        assert!(poll!(&mut request).is_pending());
        told.input.end();
        assert!(poll!(&mut request).is_pending());
        guard.shared.running.add_permits(1);
        assert_eq!(request.await.expect("it is handled"), 7);
    }
}
