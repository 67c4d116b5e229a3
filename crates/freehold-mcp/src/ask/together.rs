use super::{AskError, Question};
use crate::context::RequestContext;
use freehold::State;
use futures_util::future::{try_join, try_join_all, try_join3, try_join4};
use std::future::Future;

/// Questions that are asked together: two to four of any kinds in a tuple, or any number of one kind in a `Vec`.
/// See [`RequestContext::ask_all`].
pub trait Together: Send {
    /// Their answers, in the same order.
    type Answers: Send;

    #[doc(hidden)]
    fn ask<S: State>(
        self,
        context: &RequestContext<S>,
    ) -> impl Future<Output = Result<Self::Answers, AskError>> + Send;
}

impl<Q: Question> Together for Vec<Q> {
    type Answers = Vec<Q::Answer>;

    async fn ask<S: State>(self, context: &RequestContext<S>) -> Result<Self::Answers, AskError> {
        // All get their keys before the first one is asked.
        let asking: Vec<_> = self.into_iter().map(|question| context.ask(question)).collect();
        try_join_all(asking).await
    }
}

macro_rules! together {
    ($join:ident, $($question:ident $value:ident),+) => {
        impl<$($question: Question),+> Together for ($($question,)+) {
            type Answers = ($($question::Answer,)+);

            async fn ask<S: State>(self, context: &RequestContext<S>) -> Result<Self::Answers, AskError> {
                let ($($value,)+) = self;
                $join($(context.ask($value)),+).await
            }
        }
    };
}

together!(try_join, A a, B b);
together!(try_join3, A a, B b, C c);
together!(try_join4, A a, B b, C c, D d);
