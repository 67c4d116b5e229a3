use crate::http::Principal;
use freehold::Extension;

/// What the transport knows of a client that is on standard input and output: whoever started the process.
#[derive(Debug)]
pub(crate) struct OverStdio;

/// Who asks for what is for operators only: as the transport made sure of, whatever the request says.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a>(Option<&'a Extension>);

impl<'a> Asker<'a> {
    pub(crate) fn of(extension: Option<&'a Extension>) -> Self {
        Self(extension)
    }

    /// On whose behalf the request comes, if its token says so; with the scopes of this very request's token.
    #[must_use]
    pub fn principal(&self) -> Option<&'a Principal> {
        self.0?.downcast_ref()
    }

    /// Whether it is the process that started this one, on standard input and output
    /// ([`McpServer::serve_stdio`](crate::McpServer::serve_stdio)). Not so on other streams, which could come from anywhere.
    #[must_use]
    pub fn is_on_stdio(&self) -> bool {
        self.0.is_some_and(|extension| extension.is::<OverStdio>())
    }
}
