use super::output::{GetPromptResult, PromptOutput};
use crate::{
    completion::{Completers, CompletionOutput, CompletionRequest, erased},
    context::RequestContext,
    model::Icon,
    request::{RequestError, RequestHandler},
    text_arguments::{self, TextArguments},
    tools::schema_of,
};
use freehold::{ErrorObject, MethodOptions, State, runtime::BoxFuture};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, marker::PhantomData, sync::Arc};

/// An argument as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ShownArgument {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    required: bool,
}

/// The arguments that a schema's properties are, in their order.
fn arguments_of(schema: &Value) -> Vec<ShownArgument> {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |property: &Value, member: &str| property[member].as_str().map(str::to_owned);
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| ShownArgument {
            name: name.clone(),
            title: text(property, "title"),
            description: text(property, "description"),
            required: required.iter().any(|required| required == name),
        })
        .collect()
}

/// Gets a prompt whose types are erased.
pub(crate) trait RunPrompt<S: State>: Send + Sync {
    /// Reads the arguments and starts; `Err` says what does not fit.
    fn start(&self, context: RequestContext<S>, arguments: &TextArguments) -> Result<Getting, String>;
}

/// A prompt under way. The context is in there; an error is as its client will see it.
pub(crate) type Getting = BoxFuture<'static, Result<GetPromptResult, ErrorObject>>;

/// A prompt: its name, its arguments, and the function that makes its messages.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Prompt, RequestContext, RequestError};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Review {
///     /// The code to review.
///     code: String,
///     /// How many remarks there may be.
///     most: Option<u32>,
/// }
///
/// async fn review(_ctx: &RequestContext, args: Review) -> Result<String, RequestError> {
///     Ok(format!("Make up to {} remarks on:\n{}", args.most.unwrap_or(5), args.code))
/// }
///
/// let prompt = Prompt::new("review", "Asks for a review.", review);
/// assert_eq!(prompt.name(), "review");
/// ```
pub struct Prompt<S: State> {
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) icons: Vec<Icon>,
    pub(super) arguments: Vec<ShownArgument>,
    pub(super) options: MethodOptions,
    pub(super) completers: Completers<S>,
    pub(super) run: Arc<dyn RunPrompt<S>>,
}

impl<S: State> Prompt<S> {
    /// A prompt of a function: `async fn(&RequestContext<S>, A) -> Result<R, E>`. Its arguments are the members of `A`
    /// (`()` for none), with their documentation. They are text; numbers, booleans and plain enums are read from it.
    pub fn new<A, R, E, H>(name: &str, description: &str, handler: H) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: PromptOutput + Send + 'static,
        E: Into<RequestError> + Send + 'static,
        H: for<'a> RequestHandler<'a, S, A, Output = Result<R, E>> + 'static,
    {
        Self {
            name: name.to_owned(),
            title: None,
            description: description.to_owned(),
            icons: Vec::new(),
            arguments: arguments_of(&schema_of::<A>()),
            options: MethodOptions::new(),
            completers: Completers::default(),
            run: Arc::new(Typed { handler: Arc::new(handler), arguments: PhantomData::<fn(A)> }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a picture for lists.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.icons.push(icon);
        self
    }

    /// Sets how getting it is treated: deadline, soft limit, circuit breaker, and, if it is said to change nothing, whether
    /// and how often it is run again. As [`MethodOptions::new`] at first.
    #[must_use]
    pub fn options(mut self, options: MethodOptions) -> Self {
        self.options = options;
        self
    }

    /// Completes an argument for clients that ask, by `async fn(&RequestContext<S>, CompletionRequest) -> Result<R, E>`.
    /// A later function for the same argument replaces an earlier one.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Completion, CompletionRequest, Prompt, RequestContext, RequestError};
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Review { language: String }
    /// # async fn review(_ctx: &RequestContext, args: Review) -> Result<String, RequestError> { Ok(args.language) }
    ///
    /// async fn language(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    ///     Ok(Completion::of_prefix(["python", "ruby", "rust"], &of.value))
    /// }
    ///
    /// let prompt = Prompt::new("review", "Asks for a review.", review).complete("language", language);
    /// # assert_eq!(prompt.name(), "review");
    /// ```
    #[must_use]
    pub fn complete<R, E, H>(mut self, argument: &str, handler: H) -> Self
    where
        R: CompletionOutput + Send + 'static,
        E: Into<RequestError> + Send + 'static,
        H: for<'a> RequestHandler<'a, S, CompletionRequest, Output = Result<R, E>> + 'static,
    {
        self.completers.insert(argument.to_owned(), erased(handler));
        self
    }

    /// Whether it has arguments that are completed.
    pub(crate) fn completes(&self) -> bool {
        !self.completers.is_empty()
    }
}

impl<S: State> fmt::Debug for Prompt<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Typed<H, A> {
    handler: Arc<H>,
    arguments: PhantomData<fn(A)>,
}

impl<S, A, R, E, H> RunPrompt<S> for Typed<H, A>
where
    S: State,
    A: DeserializeOwned + Send + 'static,
    R: PromptOutput + Send + 'static,
    E: Into<RequestError> + Send + 'static,
    H: for<'a> RequestHandler<'a, S, A, Output = Result<R, E>> + 'static,
{
    fn start(&self, context: RequestContext<S>, arguments: &TextArguments) -> Result<Getting, String> {
        let arguments = text_arguments::read::<A>(arguments).map_err(|error| error.to_string())?;
        let handler = self.handler.clone();
        Ok(Box::pin(async move {
            let got = handler.call(&context, arguments).await.map_err(Into::into);
            got.map(R::into_prompt)
                .map_err(|error| error.into_error(context.subject(), context.is_stateless()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::arguments_of;
    use crate::tools::schema_of;
    use schemars::JsonSchema;
    use serde_json::json;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "read for its schema only")]
    struct Arguments {
        /// The first one.
        second_in_the_alphabet: String,
        /// An optional one.
        #[schemars(title = "A number")]
        another: Option<u32>,
    }

    #[test]
    fn arguments_come_from_the_type() {
        let shown = json!(arguments_of(&schema_of::<Arguments>()));
        let both = json!([
            { "name": "another", "title": "A number", "description": "An optional one.", "required": false },
            { "name": "second_in_the_alphabet", "description": "The first one.", "required": true },
        ]);
        assert_eq!(shown, both);
        assert_eq!(arguments_of(&schema_of::<()>()), []);
    }
}
