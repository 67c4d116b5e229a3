use super::{authorization::Authorization, resumption::Resumption};
use std::{fmt, time::Duration};

/// How the HTTP face behaves; its bounds of time have their reasons here, those of size are the engine's
/// [`Limits`](freehold::Limits).
#[derive(Clone)]
pub struct HttpOptions {
    /// The endpoint's path.
    pub path: String,
    /// Origins that browsers may call from, besides those on this machine (`http://localhost:6274`, or `*` for all).
    pub allowed_origins: Vec<String>,
    /// Hosts that requests may be addressed to, besides this machine's loopback names (or `*` for all): a defence
    /// against DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Lets clients of revisions with sessions come back to a stream after they lost its connection, and calls go on
    /// meanwhile. Without it a call is cancelled when its client is gone.
    pub resumption: Option<Resumption>,
    /// Requests must carry an access token of OAuth, which this checks.
    pub authorization: Option<Authorization>,
    /// Requests must carry this bearer token. For a secret that a machine's user shares with the server; it says nothing of who
    /// calls. Not together with `authorization`.
    pub token: Option<String>,
    /// How often a quiet stream carries a comment, so that proxies and the client see that it lives. A call that takes
    /// longer than this is answered by a stream.
    pub keep_alive: Duration,
    /// How long a request's head may take to arrive.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long the client may leave what it is sent unread before its connection is closed.
    pub write_timeout: Duration,
    /// Connections at the same time; one more is answered with 503 and closed.
    pub connections: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            path: "/mcp".to_owned(),
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            resumption: None,
            authorization: None,
            token: None,
            keep_alive: Duration::from_secs(15),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            connections: 65_536,
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("path", &self.path)
            .field("allowed_origins", &self.allowed_origins)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("resumption", &self.resumption)
            .field("authorization", &self.authorization)
            .field("token", &self.token.as_ref().map(|_| "(set)"))
            .finish_non_exhaustive()
    }
}
