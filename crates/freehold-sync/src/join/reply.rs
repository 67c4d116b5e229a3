//! Answers that are owed over channels of the user's own.

use super::{
    JoinHandle,
    completion::{Completer, Completion},
};
use crate::context::{Context, OwnedContext};
use std::{fmt, marker::PhantomData};

/// Makes an answer and the handle to wait for it, for whoever builds request and response on channels of their own.
///
/// As long as the [`Reply`] is not bound, whoever waits for it waits for somebody unknown. Bound to an activity, it is
/// something that this activity holds. The wait has the default limit of 5 s; see [`JoinHandle`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{activity, reply};
///
/// let (reply, response) = reply::<u32>();
/// let callee = activity(async move |ctx| reply.bind(ctx).send(7));
/// tokio::spawn(callee);
/// assert_eq!(activity(async move |ctx| response.join(ctx).await).await.unwrap().unwrap(), 7);
/// # }
/// ```
pub fn reply<T>() -> (Reply<T>, JoinHandle<T>) {
    let completion = Completion::unbound();
    (Reply { completer: Completer(completion.clone()) }, JoinHandle { completion, handle: None })
}

/// An answer that is owed. Dropped without [`send`](Self::send), it ends the wait with [`Ended::Dropped`](crate::Ended::Dropped).
pub struct Reply<T> {
    completer: Completer<T>,
}

impl<T> Reply<T> {
    /// Binds the answer to the activity of `context`: until it is sent, that activity holds it.
    pub fn bind(self, context: &Context) -> BoundReply<'_, T> {
        self.completer.0.lock.bind(context.slot());
        BoundReply { reply: self, context: PhantomData }
    }

    /// As [`bind`](Self::bind), for whoever keeps the answer outside of the activity, to be able to end the wait in its
    /// place: a server that answers for a handler when its deadline has passed.
    ///
    /// Whoever waits counts as waiting for the activity. An answer that comes from elsewhere must therefore be like a cancel
    /// or a deadline: it may end the wait from outside, but nobody may rely on it.
    pub fn bind_apart(self, context: &OwnedContext) -> OwedReply<T> {
        self.completer.0.lock.bind(context.slot());
        OwedReply { reply: self, _keeps: context.clone() }
    }

    /// Sends the answer. It is lost if nobody waits any more.
    pub fn send(self, answer: T) {
        self.completer.complete(Ok(answer));
    }
}

/// An answer that an activity owes and that is kept outside of it; see [`Reply::bind_apart`]. Dropped without
/// [`send`](Self::send), it ends the wait with [`Ended::Dropped`](crate::Ended::Dropped).
#[derive(Debug)]
pub struct OwedReply<T> {
    /// Completed before the slot that it names may be used again.
    reply: Reply<T>,
    _keeps: OwnedContext,
}

impl<T> OwedReply<T> {
    /// Binds the answer to another activity, which owes it from now on.
    pub fn bind_again(self, context: &OwnedContext) -> Self {
        let Self { reply, _keeps } = self;
        reply.bind_apart(context)
    }

    /// Sends the answer; see [`Reply::send`].
    pub fn send(self, answer: T) {
        let Self { reply, _keeps } = self;
        reply.send(answer);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// An answer that an activity owes; see [`Reply::bind`].
#[derive(Debug)]
pub struct BoundReply<'a, T> {
    reply: Reply<T>,
    context: PhantomData<&'a Context>,
}

impl<T> BoundReply<'_, T> {
    /// Sends the answer; see [`Reply::send`].
    pub fn send(self, answer: T) {
        self.reply.send(answer);
    }
}
