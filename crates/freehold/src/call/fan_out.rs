//! Many calls of one handler at the same time.

use super::{CallError, CallTarget};
use crate::{context::Context, state::State};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

impl<S: State> Context<S> {
    /// Calls one method in many sessions, [`Limits::fan_out`](crate::Limits::fan_out) at a time, and waits for all. The
    /// results come in the order of the targets; one that fails does not end the others.
    ///
    /// One slow session delays the whole, but none of the others' work. All waits are the handler's own, so that a ring
    /// through any of them is found.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the callees that have no result yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{CallError, Context, Engine, ErrorObject};
    ///
    /// async fn length(ctx: &Context<String>, (): ()) -> Result<usize, ErrorObject> {
    ///     Ok(ctx.state().len())
    /// }
    ///
    /// async fn total(ctx: &Context<String>, (): ()) -> Result<usize, ErrorObject> {
    ///     let sessions = ctx.engine().sessions();
    ///     let lengths = ctx.call_each(&sessions, "length", &()).await;
    ///     let lengths: Result<Vec<usize>, CallError> = lengths.into_iter().collect();
    ///     Ok(lengths?.into_iter().sum())
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder("four".to_owned()).method("length", length).method("total", total).build()?;
    /// let (one, _two) = (engine.open()?, engine.open()?);
    /// let answer = engine.process_bytes(&one, br#"{"jsonrpc":"2.0","id":1,"method":"total"}"#).await.unwrap();
    /// assert!(answer.ends_with(br#""result":8}"#));
    /// # Ok(()) }
    /// ```
    pub async fn call_each<R: DeserializeOwned>(
        &self,
        targets: impl IntoIterator<Item = impl Into<CallTarget<S>>>,
        method: &str,
        params: &impl Serialize,
    ) -> Vec<Result<R, CallError>> {
        let params = match serde_json::value::to_raw_value(params) {
            Ok(params) => params,
            Err(error) => {
                let invalid = || Err(CallError::Invalid(error.to_string()));
                return targets.into_iter().map(|_| invalid()).collect();
            }
        };
        let call = |target: CallTarget<S>| {
            let params = params.clone();
            async move {
                let answer = self.call_raw(target, method, Some(params)).await?;
                serde_json::from_str(answer.get()).map_err(CallError::invalid)
            }
        };
        let targets: Vec<CallTarget<S>> = targets.into_iter().map(Into::into).collect();
        all(targets.into_iter().map(call), self.engine().limits().fan_out).await
    }
}

/// A future under way, with its place among the results.
type Running<F> = (usize, Pin<Box<F>>);

/// Runs `futures`, so many at a time. It polls them with the waker it is polled with: `FuturesUnordered` has wakers of its
/// own, which would hide from the graph who waits.
async fn all<F: Future>(futures: impl Iterator<Item = F>, at_a_time: usize) -> Vec<F::Output> {
    let mut waiting = futures.enumerate();
    let mut running: Vec<Running<F>> = Vec::new();
    let mut results: Vec<Option<F::Output>> = Vec::new();
    poll_fn(|cx| {
        loop {
            while running.len() < at_a_time.max(1) {
                let Some((place, future)) = waiting.next() else { break };
                running.push((place, Box::pin(future)));
                results.push(None);
            }
            let before = running.len();
            running.retain_mut(|(place, future)| match future.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    results[*place] = Some(result);
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && before == 0 {
                return Poll::Ready(());
            }
            // Nobody was ready: all of them have been polled with this waker.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::{
        cell::Cell,
        future::poll_fn,
        task::{Context, Poll, Waker},
    };

    #[test]
    fn so_many_run_at_a_time_and_the_results_keep_their_order() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let (now, most) = (&now, &most);
        let work = |number: usize| async move {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            let mut polls = 0;
            poll_fn(|_| {
                polls += 1;
                // The later ones are quicker.
                if polls > 10 - number { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            now.set(now.get() - 1);
            number
        };
        let mut whole = Box::pin(all((0..10).map(work), 3));
        let results = loop {
            if let Poll::Ready(results) = whole.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break results;
            }
        };
        assert_eq!((results, most.get()), ((0..10).collect(), 3));
    }
}
