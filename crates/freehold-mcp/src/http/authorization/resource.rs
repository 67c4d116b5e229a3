//! The server as a protected resource (RFC 9728): its identifier, and what it tells about itself.

use http::Uri;
use serde::Serialize;
use serde_json::{Map, Value};

/// Where metadata is served.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// An [`Authorization`](super::Authorization) cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthorization {
    /// This cannot identify a protected resource.
    #[error(
        "{0:?} cannot identify a protected resource: give an absolute http(s) URI without query, fragment or user, such as \
         https://mcp.example.com/mcp"
    )]
    Resource(String),
    /// Clients would not know where to get a token.
    #[error("name the issuer URL of one authorization server at least")]
    NoAuthorizationServer,
}

/// The canonical URI of a server.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) uri: String,
    origin: String,
    /// Without a slash at its end.
    path: String,
}

impl Resource {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidAuthorization> {
        let invalid = || InvalidAuthorization::Resource(text.to_owned());
        let quotable =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#' | b'?'));
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let (scheme, authority) =
            (uri.scheme_str(), uri.authority().filter(|authority| !authority.as_str().contains('@')));
        let (Some("http" | "https"), Some(authority), true) = (scheme, authority, quotable) else {
            return Err(invalid());
        };
        let scheme = scheme.unwrap_or_default();
        let origin = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { uri: text.to_owned(), origin, path })
    }

    /// Where its metadata is, for clients.
    pub(super) fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.origin, self.path)
    }

    /// Whether its metadata is asked for: at its own path, at the endpoint's, or at the root.
    pub(super) fn is_metadata_path(&self, path: &str, endpoint: &str) -> bool {
        path.strip_prefix(WELL_KNOWN).is_some_and(|rest| {
            rest.is_empty() || rest == self.path || rest == endpoint.trim_end_matches('/')
        })
    }

    /// Whether a token for `audience` is one for this server. Hosts have no case, and a slash at the end says nothing.
    pub(super) fn is_meant_by(&self, audience: &str) -> bool {
        Self::parse(audience).is_ok_and(|other| other.origin == self.origin && other.path == self.path)
    }
}

/// What a protected resource tells about itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) resource: String,
    pub(super) authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes_supported: Vec<String>,
    pub(super) bearer_methods_supported: [&'static str; 1],
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::Resource;

    #[test]
    fn identifiers_and_where_their_metadata_is() {
        for (resource, metadata) in [
            ("https://mcp.example.com", Some("https://mcp.example.com/.well-known/oauth-protected-resource")),
            (
                "https://mcp.example.com/",
                Some("https://mcp.example.com/.well-known/oauth-protected-resource"),
            ),
            (
                "HTTPS://MCP.example.com:8443/a/B",
                Some("https://mcp.example.com:8443/.well-known/oauth-protected-resource/a/B"),
            ),
            ("mcp.example.com", None),
            ("/mcp", None),
            ("ftp://mcp.example.com", None),
            ("https://mcp.example.com/#part", None),
            ("https://mcp.example.com/?a=b", None),
            ("https://user@mcp.example.com/", None),
            ("", None),
        ] {
            let url = Resource::parse(resource).ok().map(|resource| resource.metadata_url());
            assert_eq!(url.as_deref(), metadata, "{resource}");
        }
    }

    #[test]
    fn audiences() {
        let resource = Resource::parse("https://mcp.example.com/mcp").unwrap();
        for (audience, meant) in [
            ("https://mcp.example.com/mcp", true),
            ("HTTPS://MCP.EXAMPLE.COM/mcp/", true),
            ("https://mcp.example.com/MCP", false),
            ("https://mcp.example.com", false),
            ("https://mcp.example.com.evil.test/mcp", false),
            ("http://mcp.example.com/mcp", false),
            ("https://mcp.example.com/mcp/other", false),
            ("mcp", false),
        ] {
            assert_eq!(resource.is_meant_by(audience), meant, "{audience}");
        }
    }

    #[test]
    fn paths_of_metadata() {
        let resource = Resource::parse("https://mcp.example.com/public/mcp").unwrap();
        for (path, is) in [
            ("/.well-known/oauth-protected-resource", true),
            ("/.well-known/oauth-protected-resource/public/mcp", true),
            ("/.well-known/oauth-protected-resource/mcp", true),
            ("/.well-known/oauth-protected-resource/other", false),
            ("/.well-known/oauth-protected-resourcemcp", false),
            ("/mcp", false),
        ] {
            assert_eq!(resource.is_metadata_path(path, "/mcp"), is, "{path}");
        }
    }
}
