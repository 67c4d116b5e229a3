//! What handlers do.

use super::{
    books::{Books, Entry},
    plan::Step,
};
use crate::{Context, ErrorObject, StateError, runtime::pause};
use freehold_sync::MutexGuard;
use futures_util::{FutureExt, future::join};
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

type Ctx = Context<u64>;

/// The parameters of a script: which one, the number of the request if a client made it, and the handlers above.
pub(super) type Params = (usize, Option<u64>, Vec<u64>);

/// Lets others run; so often.
pub(super) async fn give_way(mut times: usize) {
    poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) async fn run(ctx: &Ctx, (script, sent, above): Params) -> Result<u64, ErrorObject> {
    let books = ctx.app::<Books>().clone();
    let entry = books.enter(ctx.session().id(), sent, &above);
    let mut guards = Vec::new();
    for step in &books.scripts[script] {
        one(ctx, &books, &entry, &above, *step, &mut guards).await?;
    }
    Ok(entry.number)
}

async fn one<'a>(
    ctx: &'a Ctx,
    books: &'a Arc<Books>,
    entry: &Entry,
    above: &[u64],
    step: Step,
    guards: &mut Vec<MutexGuard<'a, ()>>,
) -> Result<(), ErrorObject> {
    let call = |session: usize, script: usize| {
        let params: Params = (script, None, above.iter().copied().chain([entry.number]).collect());
        ctx.call::<u64>(books.target(session), "run", &params)
    };
    super::trace(|| format!("handler {}: {step:?}", entry.number));
    match step {
        Step::GiveWay => give_way(1).await,
        Step::Rest(millis) => pause(&**ctx.engine().runtime(), Duration::from_millis(millis)).await,
        Step::Obey => {
            ctx.cancelled().await;
        }
        Step::Update => changed(ctx, books, ctx.update(|state| *state += 1)).await?,
        Step::Transact => {
            let body = |state| async move {
                give_way(1).await;
                Ok::<_, StateError>((state + 1, ()))
            };
            changed(ctx, books, ctx.transact(body)).await?;
        }
        Step::Ask => {
            if ctx.ask::<u64>("question", &0).await.is_ok() {
                books.got_an_answer();
            }
        }
        Step::Notify => ctx.notify("note", &0).expect("a number is JSON"),
        Step::Lock(lock) => guards.push(ctx.lock(&books.locks[lock]).await?),
        Step::Call(session, script) => drop(call(session, script).await?),
        Step::Both(one, two) => {
            let (one, two) = join(call(one.0, one.1), call(two.0, two.1)).await;
            let _ = (one?, two?);
        }
        Step::Abandon(session, script) => {
            let mut callee = call(session, script);
            let _ = (&mut callee).now_or_never();
            give_way(1).await;
        }
        Step::Detach => ctx.detach(give_way(2)),
        Step::CloseOwn => {
            ctx.session().close(crate::CloseReason::Server);
        }
        Step::Drain => {
            entry.drains(above);
            ctx.drain(Duration::from_millis(500)).await;
        }
        Step::Fail => return Err(ErrorObject::invalid_params("on purpose")),
    }
    Ok(())
}

async fn changed(
    ctx: &Ctx,
    books: &Books,
    change: impl Future<Output = Result<(), StateError>>,
) -> Result<(), StateError> {
    let session = ctx.session().id();
    books.changes(session);
    let done = change.await;
    books.changed(session, done.is_ok());
    done
}
