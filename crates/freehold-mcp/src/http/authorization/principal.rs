use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// For whom a token was issued (RFC 8707). A server must not take tokens that were issued for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// What the token's `aud` says; the server refuses it unless its own resource is among them.
    Claimed(Vec<String>),
    /// The [`Authorizer`](super::Authorizer) has made sure that the token is for this server, such as by introspection.
    Verified,
}

/// On whose behalf a request comes, as its token says. Handlers find it with
/// [`RequestContext::principal`](crate::RequestContext::principal); sessions belong to the principal that opened them, and do
/// not exist for any other.
///
/// Two are the same if subject, issuer and client are.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Audience, Principal};
///
/// let audience = Audience::Claimed(vec!["https://mcp.example.com/mcp".to_owned()]);
/// let principal = Principal::new("alice", audience).issued_by("https://as.example.com").with_scopes(["files:read"]);
/// assert!(principal.scopes.contains("files:read"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Principal {
    /// Who it is (`sub`), unique within its issuer.
    pub subject: String,
    /// Who says so (`iss`).
    pub issuer: Option<String>,
    /// The OAuth client that the token was issued to (`client_id`).
    pub client: Option<String>,
    /// For whom the token was issued.
    pub audience: Audience,
    /// What the token allows.
    pub scopes: BTreeSet<String>,
    /// What else the token says, as far as handlers want to know it.
    pub claims: Map<String, Value>,
}

impl Principal {
    /// One without scopes.
    pub fn new(subject: impl Into<String>, audience: Audience) -> Self {
        Self {
            subject: subject.into(),
            issuer: None,
            client: None,
            audience,
            scopes: BTreeSet::new(),
            claims: Map::new(),
        }
    }

    /// Sets who issued its token.
    #[must_use]
    pub fn issued_by(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Sets the client that its token was issued to.
    #[must_use]
    pub fn of_client(self, client: impl Into<String>) -> Self {
        Self { client: Some(client.into()), ..self }
    }

    /// Adds scopes.
    #[must_use]
    pub fn with_scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds a claim.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<String>, value: Value) -> Self {
        self.claims.insert(name.into(), value);
        self
    }

    /// What tells it from others, as bytes.
    pub(crate) fn identity(&self) -> Box<[u8]> {
        // Three members, each quoted: no two principals give the same.
        let identity = serde_json::to_vec(&(&self.subject, &self.issuer, &self.client));
        identity.unwrap_or_default().into_boxed_slice()
    }

    /// Whether both stand for the same subject of the same issuer, by way of the same client; their tokens may differ.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.subject, &self.issuer, &self.client) == (&other.subject, &other.issuer, &other.client)
    }
}
