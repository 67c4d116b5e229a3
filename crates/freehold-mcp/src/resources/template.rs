use super::{
    output::ResourceOutput,
    resource::{RunRead, Shown, Typed},
};
use crate::{
    cache::CacheHint,
    completion::{Completers, CompletionOutput, CompletionRequest, erased},
    model::{Annotations, Icon},
    request::{RequestError, RequestHandler},
};
use freehold::{MethodOptions, State};
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc};

/// A template of URIs, and the function that reads the resources of these.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{RequestContext, RequestError, ResourceTemplate};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Issue {
///     number: u32,
/// }
///
/// async fn issue(_ctx: &RequestContext, issue: Issue) -> Result<Option<String>, RequestError> {
///     // `None` is answered as a resource that is not there.
///     Ok((issue.number < 100).then(|| format!("Issue {}", issue.number)))
/// }
///
/// let template = ResourceTemplate::new("issues://{number}", "issue", "An issue.", issue).mime_type("text/plain");
/// assert_eq!(template.uri_template(), "issues://{number}");
/// ```
pub struct ResourceTemplate<S: State> {
    pub(super) template: String,
    pub(super) shown: Shown,
    pub(super) options: MethodOptions,
    pub(super) cache: Option<CacheHint>,
    pub(super) completers: Completers<S>,
    pub(super) run: Arc<dyn RunRead<S>>,
}

impl<S: State> ResourceTemplate<S> {
    /// A template whose resources a function reads: `async fn(&RequestContext<S>, A) -> Result<R, E>`, with the variables
    /// as the members of `A`. These are text; numbers, booleans and plain enums are read from it. A URI whose variables do
    /// not fit `A` is that of no resource.
    ///
    /// Templates are those of RFC 6570, levels 1 to 3. `{a}` takes one or more characters other than `/`, `?` and `#`;
    /// `{+a}` any; `{#a}` the fragment; `{.a}` and `{/a}` up to the next dot or slash; `{?a}` and `{&a}` what the query has
    /// of that name, wherever it stands there; `{;a}` the like of a path. Those of queries, parameters and fragments may be
    /// absent. Values are decoded: one may contain a slash or `..`, so one that becomes part of a path should be a
    /// [`RelativePath`](crate::RelativePath).
    ///
    /// A URI that fits several templates is read by the one with the most characters outside of variables.
    pub fn new<A, R, E, H>(uri_template: &str, name: &str, description: &str, handler: H) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: ResourceOutput + Send + 'static,
        E: Into<RequestError> + Send + 'static,
        H: for<'a> RequestHandler<'a, S, A, Output = Result<R, E>> + 'static,
    {
        Self {
            template: uri_template.to_owned(),
            shown: Shown::new(name, description),
            options: MethodOptions::new().read_only(true),
            cache: None,
            completers: Completers::default(),
            run: Arc::new(Typed::new(handler)),
        }
    }

    /// The template.
    #[must_use]
    pub fn uri_template(&self) -> &str {
        &self.template
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.shown.title = Some(title.into());
        self
    }

    /// Says what the contents of all of its resources are; they are marked so, unless they say otherwise.
    #[must_use]
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.shown.mime_type = Some(mime_type.into());
        self
    }

    /// Hints whom its resources are for and how much they matter.
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

    /// As [`Resource::options`](super::Resource::options); what its resources share, such as a circuit breaker, they share.
    #[must_use]
    pub fn options(mut self, options: MethodOptions) -> Self {
        self.options = options;
        self
    }

    /// As [`Resource::cache`](super::Resource::cache).
    #[must_use]
    pub fn cache(mut self, hint: CacheHint) -> Self {
        self.cache = Some(hint);
        self
    }

    /// Completes a variable for clients that ask, by `async fn(&RequestContext<S>, CompletionRequest) -> Result<R, E>`.
    /// A later function for the same variable replaces an earlier one.
    #[must_use]
    pub fn complete<R, E, H>(mut self, variable: &str, handler: H) -> Self
    where
        R: CompletionOutput + Send + 'static,
        E: Into<RequestError> + Send + 'static,
        H: for<'a> RequestHandler<'a, S, CompletionRequest, Output = Result<R, E>> + 'static,
    {
        self.completers.insert(variable.to_owned(), erased(handler));
        self
    }
}

impl<S: State> ResourceTemplate<S> {
    /// Whether it has variables that are completed.
    pub(crate) fn completes(&self) -> bool {
        !self.completers.is_empty()
    }
}

impl<S: State> fmt::Debug for ResourceTemplate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceTemplate").field("uri_template", &self.template).finish_non_exhaustive()
    }
}
