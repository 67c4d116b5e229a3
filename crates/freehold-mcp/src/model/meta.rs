//! `_meta` of a request: what it says of itself.

use crate::protocol::{STATELESS_VERSIONS, unsupported_version};
use freehold::ErrorObject;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::LogLevel;

/// `_meta` as it stands.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    pub(crate) progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    client_info: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<&'a RawValue>,
}

/// What the client declared it can do, as far as a server asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) sampling: bool,
    pub(crate) elicitation: bool,
    pub(crate) roots: bool,
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Declared {
            #[serde(default)]
            sampling: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            elicitation: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            roots: Option<serde::de::IgnoredAny>,
        }
        let declared = Declared::deserialize(deserializer)?;
        Ok(Self {
            sampling: declared.sampling.is_some(),
            elicitation: declared.elicitation.is_some(),
            roots: declared.roots.is_some(),
        })
    }
}

/// What a stateless request says of its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) capabilities: Capabilities,
    pub(crate) log_level: Option<LogLevel>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read for its shape only")]
struct ClientInfo<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

/// `params` with nothing read but `_meta`.
#[derive(Deserialize)]
struct MetaOnly<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl<'a> Meta<'a> {
    /// `_meta` of some params; absent or malformed ones say nothing.
    pub(crate) fn of(params: Option<&'a RawValue>) -> Self {
        let only = params.and_then(|params| serde_json::from_str::<MetaOnly<'a>>(params.get()).ok());
        let meta = only.and_then(|only| only.meta);
        meta.and_then(|meta| Self::from_raw(meta).ok()).unwrap_or_default()
    }

    /// Reads the member `_meta`. It must be an object: serde would take an array for one, too.
    pub(crate) fn from_raw(raw: &'a RawValue) -> Result<Self, ErrorObject> {
        if !raw.get().starts_with('{') {
            return Err(ErrorObject::invalid_params("_meta must be an object"));
        }
        serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)
    }

    /// Whether the request claims to be of a stateless revision, rightly or not.
    pub(crate) fn claims_stateless(&self) -> bool {
        self.version.is_some()
    }

    /// Whether it is a whole stateless envelope of a revision spoken here.
    pub(crate) fn is_valid(&self) -> bool {
        self.read().is_ok()
    }

    /// The revision it names, if that is a string.
    pub(crate) fn version(&self) -> Option<Cow<'a, str>> {
        self.version.and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// Checks the shape of a stateless envelope; not yet whether its revision is spoken here.
    pub(crate) fn check_shape(&self) -> Result<(), ErrorObject> {
        let object = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().starts_with('{'));
        let mut missing = Vec::new();
        if self.version().is_none() {
            missing.push("io.modelcontextprotocol/protocolVersion");
        }
        if !object(self.capabilities) {
            missing.push("io.modelcontextprotocol/clientCapabilities");
        }
        if !missing.is_empty() {
            let reason = format!("missing or malformed in params._meta: {}", missing.join(", "));
            return Err(ErrorObject::invalid_params(reason));
        }
        let fits = |info: &RawValue| {
            info.get().starts_with('{') && serde_json::from_str::<ClientInfo<'_>>(info.get()).is_ok()
        };
        if self.client_info.is_some_and(|info| !fits(info)) {
            let reason = "io.modelcontextprotocol/clientInfo needs the strings name and version";
            return Err(ErrorObject::invalid_params(reason));
        }
        Ok(())
    }

    /// Checks that the revision it names is a stateless one that is spoken here.
    pub(crate) fn check_version(&self) -> Result<(), ErrorObject> {
        let version = self.version().unwrap_or_default();
        if STATELESS_VERSIONS.contains(&&*version) { Ok(()) } else { Err(unsupported_version(&version)) }
    }

    /// The envelope of a stateless request.
    pub(crate) fn read(&self) -> Result<RequestMeta, ErrorObject> {
        self.check_shape()?;
        self.check_version()?;
        self.client()
    }

    /// What it says of the client; a part of [`read`](Self::read).
    pub(crate) fn client(&self) -> Result<RequestMeta, ErrorObject> {
        let capabilities = match self.capabilities {
            Some(raw) => serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)?,
            None => Capabilities::default(),
        };
        let log_level = match self.log_level {
            Some(raw) => serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)?,
            None => None,
        };
        Ok(RequestMeta { capabilities, log_level })
    }
}
