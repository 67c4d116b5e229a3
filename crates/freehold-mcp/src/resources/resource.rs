use super::output::{ReadResourceResult, ResourceOutput};
use crate::{
    cache::CacheHint,
    context::RequestContext,
    model::{Annotations, Icon},
    request::{RequestError, RequestHandler},
    text_arguments::{self, TextArguments},
};
use freehold::{MethodOptions, State, runtime::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, marker::PhantomData, sync::Arc};

/// What a list shows of a resource or a template, besides its URI.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) icons: Vec<Icon>,
}

fn is_default(annotations: &Annotations) -> bool {
    *annotations == Annotations::default()
}

impl Shown {
    pub(super) fn new(name: &str, description: &str) -> Self {
        Self { name: name.to_owned(), description: description.to_owned(), ..Self::default() }
    }
}

/// Reads a resource whose types are erased.
pub(crate) trait RunRead<S: State>: Send + Sync {
    /// Reads the variables and starts; `Err` says what does not fit.
    fn start(
        &self,
        context: RequestContext<S>,
        variables: &TextArguments,
        mime_type: Option<Arc<str>>,
    ) -> Result<Reading, String>;
}

/// A read under way. The context is in there; an error is as its client will see it.
pub(crate) type Reading = BoxFuture<'static, Result<ReadResourceResult, freehold::ErrorObject>>;

/// A resource: its URI, what lists show of it, and the function that reads it.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{RequestContext, RequestError, Resource};
///
/// async fn readme(_ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
///     Ok(std::fs::read_to_string("README.md")?)
/// }
///
/// let resource = Resource::new("notes://readme", "readme", "What this is.", readme).mime_type("text/markdown");
/// assert_eq!(resource.uri(), "notes://readme");
/// ```
pub struct Resource<S: State> {
    pub(super) uri: String,
    pub(super) shown: Shown,
    pub(super) options: MethodOptions,
    pub(super) cache: Option<CacheHint>,
    pub(super) run: Arc<dyn RunRead<S>>,
}

impl<S: State> Resource<S> {
    /// A resource that a function reads: `async fn(&RequestContext<S>, ()) -> Result<R, E>`.
    ///
    /// The URI begins with a scheme; its other members are up to you. Reading it changes nothing, so a read that was ended
    /// to break a deadlock is run again, unless [`options`](Self::options) say otherwise.
    pub fn new<R, E, H>(uri: &str, name: &str, description: &str, handler: H) -> Self
    where
        R: ResourceOutput + Send + 'static,
        E: Into<RequestError> + Send + 'static,
        H: for<'a> RequestHandler<'a, S, (), Output = Result<R, E>> + 'static,
    {
        Self {
            uri: uri.to_owned(),
            shown: Shown::new(name, description),
            options: MethodOptions::new().read_only(true),
            cache: None,
            run: Arc::new(Typed::new(handler)),
        }
    }

    /// A resource that is always this text.
    pub fn text(uri: &str, name: &str, description: &str, text: impl Into<Arc<str>>) -> Self {
        let run = Arc::new(Fixed(text.into()));
        let resource = Self::new(uri, name, description, nothing);
        Self { run, ..resource }.mime_type("text/plain")
    }

    /// Its URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.shown.title = Some(title.into());
        self
    }

    /// Says what its contents are, such as `text/markdown`; they are marked so, unless they say otherwise.
    #[must_use]
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.shown.mime_type = Some(mime_type.into());
        self
    }

    /// Says how many bytes it has.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.shown.size = Some(bytes);
        self
    }

    /// Hints whom it is for and how much it matters.
    #[must_use]
    pub fn annotations(mut self, annotations: Annotations) -> Self {
        self.shown.annotations = annotations;
        self
    }

    /// Adds a picture for lists.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.shown.icons.push(icon);
        self
    }

    /// Sets how its reads are treated: deadline, soft limit, circuit breaker, whether and how often they are run again.
    /// Replaces what was set before, also that it is read-only.
    #[must_use]
    pub fn options(mut self, options: MethodOptions) -> Self {
        self.options = options;
        self
    }

    /// Says how long its contents hold, and for whom; else as the server says of
    /// [`Cacheable::ResourcesRead`](crate::Cacheable::ResourcesRead).
    #[must_use]
    pub fn cache(mut self, hint: CacheHint) -> Self {
        self.cache = Some(hint);
        self
    }
}

impl<S: State> fmt::Debug for Resource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("uri", &self.uri).finish_non_exhaustive()
    }
}

async fn nothing<S: State>(_context: &RequestContext<S>, (): ()) -> Result<&'static str, RequestError> {
    Ok("")
}

/// A text that does not change.
struct Fixed(Arc<str>);

impl<S: State> RunRead<S> for Fixed {
    fn start(
        &self,
        context: RequestContext<S>,
        _variables: &TextArguments,
        mime_type: Option<Arc<str>>,
    ) -> Result<Reading, String> {
        let read = self.0.to_string().into_read(context.subject(), mime_type.as_deref());
        let read = read.map_err(|error| error.into_error(context.subject(), context.is_stateless()));
        Ok(Box::pin(std::future::ready(read)))
    }
}

/// A function of variables.
pub(super) struct Typed<H, A> {
    handler: Arc<H>,
    variables: PhantomData<fn(A)>,
}

impl<H, A> Typed<H, A> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), variables: PhantomData }
    }
}

impl<S, A, R, E, H> RunRead<S> for Typed<H, A>
where
    S: State,
    A: DeserializeOwned + Send + 'static,
    R: ResourceOutput + Send + 'static,
    E: Into<RequestError> + Send + 'static,
    H: for<'a> RequestHandler<'a, S, A, Output = Result<R, E>> + 'static,
{
    fn start(
        &self,
        context: RequestContext<S>,
        variables: &TextArguments,
        mime_type: Option<Arc<str>>,
    ) -> Result<Reading, String> {
        let variables = text_arguments::read::<A>(variables).map_err(|error| error.to_string())?;
        let handler = self.handler.clone();
        Ok(Box::pin(async move {
            let read = handler.call(&context, variables).await.map_err(Into::into);
            let read = read.and_then(|read| read.into_read(context.subject(), mime_type.as_deref()));
            read.map_err(|error| error.into_error(context.subject(), context.is_stateless()))
        }))
    }
}
