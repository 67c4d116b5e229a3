//! The server as an OAuth resource server: it takes bearer tokens that an authorization server issued for it, tells clients
//! where to get them (RFC 9728), and what they lack (RFC 6750).
//!
//! A token is checked for each request, by the application's [`Authorizer`]. What it says is the request's [`Principal`]; a
//! session belongs to the one that opened it, and to any other it is as if it did not exist.

mod challenge;
mod principal;
mod resource;

pub use principal::{Audience, Principal};
pub use resource::InvalidAuthorization;

use super::{
    HttpService,
    answer::{self, HttpBody, Refusal},
    front_door,
    headers::subject_name,
    limits::{AUTHORIZER_WAIT, TOKEN_BYTES},
};
use crate::context::RequestContext;
use bytes::Bytes;
use challenge::{Challenge, is_scope};
use freehold::{
    ErrorCode, ErrorObject, Message, RequestId, State,
    runtime::{BoxFuture, until},
};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER},
};
use resource::{Metadata, Resource};
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc};

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// It is malformed, expired, revoked, or not for this server; the client is told why, and gets 401.
    #[error("the access token is not valid: {0}")]
    Invalid(Cow<'static, str>),
    /// It cannot be checked now; the client gets 503.
    #[error("access tokens cannot be checked at the moment; try again")]
    Unavailable,
}

/// What a request is about, as far as its scopes depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationTarget<'a> {
    /// The method, such as `tools/call`.
    pub method: &'a str,
    /// What the method names: the tool, the prompt, the URI of the resource, the id of the task; for `completion/complete` the
    /// prompt, or the URI template of the resources. Nothing for other methods (`subscriptions/listen` may name many), and if
    /// the request does not say it in the form that its method wants.
    pub name: Option<&'a str>,
}

/// Checks access tokens. A closure from a token to a future of a [`Principal`] is one.
pub trait Authorizer: Send + Sync + 'static {
    /// Whom a token speaks for. It must be valid now; for whom it was issued is checked by the [`Audience`] of what is
    /// returned. Called for each request: keep what is expensive to find out.
    ///
    /// Has ten seconds, then the request is answered with 503. A panic is answered with 500.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when its client goes away.
    ///
    /// # Errors
    ///
    /// [`AuthorizeError`].
    fn authorize(&self, token: &str) -> BoxFuture<'static, Result<Principal, AuthorizeError>>;

    /// The scopes that a request needs, all of them; none by default. Must not block.
    fn required_scopes(&self, target: &AuthorizationTarget<'_>) -> Vec<String> {
        let _ = target;
        Vec::new()
    }

    /// Whether a principal has a scope; by default if its token names it. Where broader scopes imply narrower ones, say so here.
    fn grants(&self, principal: &Principal, scope: &str) -> bool {
        principal.scopes.contains(scope)
    }
}

impl<F, Fut> Authorizer for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Principal, AuthorizeError>> + Send + 'static,
{
    fn authorize(&self, token: &str) -> BoxFuture<'static, Result<Principal, AuthorizeError>> {
        Box::pin(self(token.to_owned()))
    }
}

/// How requests are authorized; see [`HttpOptions::authorization`](super::HttpOptions::authorization).
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Audience, Authorization, AuthorizeError, HttpOptions, Principal};
///
/// # fn main() -> Result<(), freehold_mcp::InvalidAuthorization> {
/// let check = |token: String| async move {
///     // Verify its signature and its expiry, or ask the authorization server.
///     match token.as_str() {
///         "alice's" => Ok(Principal::new("alice", Audience::Verified).with_scopes(["tools"])),
///         _ => Err(AuthorizeError::Invalid("unknown".into())),
///     }
/// };
/// let authorization =
///     Authorization::new("https://mcp.example.com/mcp", ["https://as.example.com"], check)?.scopes(["tools"]);
/// let options = HttpOptions { authorization: Some(authorization), ..HttpOptions::default() };
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Authorization {
    authorizer: Arc<dyn Authorizer>,
    resource: Arc<Resource>,
    metadata: Metadata,
    scopes: Vec<String>,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Authorization {
    /// For the server that clients know as `resource`, with tokens of these authorization servers (issuer URLs, one at least).
    ///
    /// # Errors
    ///
    /// [`InvalidAuthorization`].
    pub fn new<T: Into<String>>(
        resource: &str,
        authorization_servers: impl IntoIterator<Item = T>,
        authorizer: impl Authorizer,
    ) -> Result<Self, InvalidAuthorization> {
        let resource = Resource::parse(resource)?;
        let authorization_servers: Vec<String> = authorization_servers.into_iter().map(Into::into).collect();
        if authorization_servers.is_empty() {
            return Err(InvalidAuthorization::NoAuthorizationServer);
        }
        let metadata = Metadata {
            resource: resource.uri.clone(),
            authorization_servers,
            scopes_supported: Vec::new(),
            bearer_methods_supported: ["header"],
            more: Map::new(),
        };
        Ok(Self {
            authorizer: Arc::new(authorizer),
            resource: Arc::new(resource),
            metadata,
            scopes: Vec::new(),
        })
    }

    /// The scopes that a client without a token is told to ask for. Names that are no scopes are left out.
    #[must_use]
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into).filter(|scope| is_scope(scope)));
        self
    }

    /// The scopes that the metadata lists.
    #[must_use]
    pub fn scopes_supported<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.metadata
            .scopes_supported
            .extend(scopes.into_iter().map(Into::into).filter(|scope| is_scope(scope)));
        self
    }

    /// Adds a member to the metadata, such as `resource_name` or `resource_documentation`.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: Value) -> Self {
        self.metadata.more.insert(name.into(), value);
        self
    }

    fn refuse(&self, challenge: &Challenge<'_>, id: Option<RequestId>) -> Response<HttpBody> {
        challenge.response(id, &self.resource.metadata_url())
    }

    fn unauthorized(&self, error: Option<&'static str>, description: &str) -> Refusal {
        let scopes = self.scopes.iter().map(String::as_str).collect();
        let status =
            if error == Some("invalid_request") { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
        self.refuse(&Challenge { status, error, description, scopes }, None).into()
    }

    /// The token of a request.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let malformed = |reason| Err(self.unauthorized(Some("invalid_request"), reason));
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let missing = || self.unauthorized(None, "send the header Authorization: Bearer TOKEN");
        let value = values.next().ok_or_else(missing)?;
        if values.next().is_some() {
            return malformed("the header Authorization stands twice");
        }
        let Ok(value) = value.to_str() else { return malformed("the header Authorization is not text") };
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let token = token.trim_matches(' ');
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let (body, padding) = token.split_at(token.trim_end_matches('=').len());
        if body.is_empty() || !body.bytes().all(fits) || padding.len() + body.len() > TOKEN_BYTES {
            return malformed("the access token is malformed");
        }
        Ok(token)
    }

    fn check_audience(&self, principal: &Principal) -> Result<(), Refusal> {
        let meant = match &principal.audience {
            Audience::Verified => true,
            Audience::Claimed(audience) => {
                audience.iter().any(|audience| self.resource.is_meant_by(audience))
            }
        };
        let reason = "the access token was issued for another resource";
        if meant { Ok(()) } else { Err(self.unauthorized(Some("invalid_token"), reason)) }
    }

    /// Checks that the principal may do what the request is about.
    fn check_scopes(&self, principal: &Principal, message: &Message<'_>) -> Result<(), Refusal> {
        let Message::Request(request) = message else { return Ok(()) };
        let name = subject_name(&request.method, request.params.as_deref());
        let target = AuthorizationTarget { method: &request.method, name: name.as_deref() };
        let id = || Some(request.id.clone());
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let required = self.authorizer.required_scopes(&target);
            let enough = required.iter().all(|scope| self.authorizer.grants(principal, scope));
            (required, enough)
        }));
        let Ok((required, enough)) = checked else { return Err(broken(id()).into()) };
        if enough {
            return Ok(());
        }
        let challenge = Challenge {
            status: StatusCode::FORBIDDEN,
            error: Some("insufficient_scope"),
            description: "the access token does not allow this: ask for one with these scopes",
            scopes: required.iter().map(String::as_str).filter(|scope| is_scope(scope)).collect(),
        };
        Err(self.refuse(&challenge, id()).into())
    }
}

/// The application's code panicked.
fn broken(id: Option<RequestId>) -> Response<HttpBody> {
    answer::error(StatusCode::INTERNAL_SERVER_ERROR, id, ErrorObject::internal())
}

impl<S: State> HttpService<S> {
    /// The metadata of the protected resource, if that is what is asked for. It is public.
    pub(super) fn metadata<B>(&self, request: &Request<B>) -> Option<Response<HttpBody>> {
        let authorization = self.options.authorization.as_ref()?;
        if !authorization.resource.is_metadata_path(request.uri().path(), &self.options.path) {
            return None;
        }
        if let Err(refusal) = front_door::check_host(&self.options, request) {
            return Some(*refusal);
        }
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => {
                let json = serde_json::to_vec(&authorization.metadata).unwrap_or_default();
                answer::json_bytes(StatusCode::OK, Bytes::from(json))
            }
            Method::OPTIONS => answer::empty(StatusCode::NO_CONTENT),
            _ => front_door::method_not_allowed("GET, HEAD, OPTIONS"),
        };
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        Some(response)
    }

    /// On whose behalf a request comes.
    pub(super) async fn authorize(
        &self,
        authorization: &Authorization,
        headers: &HeaderMap,
    ) -> Result<Arc<Principal>, Refusal> {
        let token = authorization.token(headers)?;
        let runtime = self.server.engine().runtime();
        let authorized =
            AssertUnwindSafe(async { authorization.authorizer.authorize(token).await }).catch_unwind();
        let unavailable = || Err(AuthorizeError::Unavailable);
        let authorized = match until(&**runtime, runtime.now() + AUTHORIZER_WAIT, authorized).await {
            Some(Err(_panic)) => return Err(broken(None).into()),
            Some(Ok(authorized)) => authorized,
            None => unavailable(),
        };
        match authorized {
            Ok(principal) => {
                authorization.check_audience(&principal)?;
                Ok(Arc::new(principal))
            }
            Err(error @ AuthorizeError::Invalid(_)) => {
                Err(authorization.unauthorized(Some("invalid_token"), &error.to_string()))
            }
            Err(AuthorizeError::Unavailable) => {
                let error = ErrorObject::new(ErrorCode::OVERLOADED, AuthorizeError::Unavailable.to_string());
                let mut response = answer::error(StatusCode::SERVICE_UNAVAILABLE, None, error);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                Err(response.into())
            }
        }
    }

    /// Checks that the principal, if there is one, may do what a message asks for.
    pub(super) fn check_scopes(
        &self,
        principal: Option<&Arc<Principal>>,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        match (&self.options.authorization, principal) {
            (Some(authorization), Some(principal)) => authorization.check_scopes(principal, message),
            _ => Ok(()),
        }
    }
}

/// Whether a session that one principal opened, or nobody in particular, is another's.
pub(super) fn owns(opened: Option<&Arc<Principal>>, asks: Option<&Arc<Principal>>) -> bool {
    match (opened, asks) {
        (None, None) => true,
        (Some(opened), Some(asks)) => opened.is_same(asks),
        _ => false,
    }
}

impl<S: State> RequestContext<S> {
    /// On whose behalf the request came, with what its own token allows: over HTTP with an
    /// [`Authorization`], or where a layer in front put a `Principal` into the request's extensions. For a call that another one
    /// made, that of the nearest above it that has one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.extension()
    }
}
