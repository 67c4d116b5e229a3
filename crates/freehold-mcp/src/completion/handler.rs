use super::output::{Completion, CompletionOutput};
use crate::{
    context::RequestContext,
    request::{RequestError, RequestHandler},
};
use freehold::{ErrorObject, State, runtime::BoxFuture};
use std::{collections::BTreeMap, sync::Arc};

/// What a client wants to have completed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// The argument or variable.
    pub argument: String,
    /// What of it is there already.
    pub value: String,
    /// Other arguments that are settled, as far as the client says.
    pub resolved: BTreeMap<String, String>,
}

/// Completes one argument, with its types erased.
pub(crate) trait RunCompletion<S: State>: Send + Sync {
    fn start(&self, context: RequestContext<S>, request: CompletionRequest) -> Completing;
}

/// A completion under way. The context is in there.
pub(crate) type Completing = BoxFuture<'static, Result<Completion, ErrorObject>>;

/// Functions by the argument that they complete.
pub(crate) type Completers<S> = BTreeMap<String, Arc<dyn RunCompletion<S>>>;

/// The function with its types erased.
pub(crate) fn erased<S, R, E, H>(handler: H) -> Arc<dyn RunCompletion<S>>
where
    S: State,
    R: CompletionOutput + Send + 'static,
    E: Into<RequestError> + Send + 'static,
    H: for<'a> RequestHandler<'a, S, CompletionRequest, Output = Result<R, E>> + 'static,
{
    Arc::new(Typed(Arc::new(handler)))
}

struct Typed<H>(Arc<H>);

impl<S, R, E, H> RunCompletion<S> for Typed<H>
where
    S: State,
    R: CompletionOutput + Send + 'static,
    E: Into<RequestError> + Send + 'static,
    H: for<'a> RequestHandler<'a, S, CompletionRequest, Output = Result<R, E>> + 'static,
{
    fn start(&self, context: RequestContext<S>, request: CompletionRequest) -> Completing {
        let handler = self.0.clone();
        Box::pin(async move {
            let completed = handler.call(&context, request).await.map_err(Into::into);
            completed
                .map(R::into_completion)
                .map_err(|error| error.into_error(context.subject(), context.is_stateless()))
        })
    }
}
