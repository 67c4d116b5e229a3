//! `_meta` of a request: what it says of itself.

use crate::{
    ask::Capability,
    protocol::{STATELESS_VERSIONS, unsupported_version},
};
use freehold::ErrorObject;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::{LogLevel, TraceContext};

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
    #[serde(default, rename = "io.github.freehold-rs/ofStateless")]
    of_stateless: Option<IgnoredAny>,
    #[serde(borrow, default)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tracestate: Option<&'a RawValue>,
    #[serde(borrow, default)]
    baggage: Option<&'a RawValue>,
}

/// What the client declared it can do, as far as a server asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    sampling: bool,
    sampling_tools: bool,
    sampling_context: bool,
    elicitation_form: bool,
    elicitation_url: bool,
    roots: bool,
}

impl Capabilities {
    pub(crate) fn have(self, capability: Capability) -> bool {
        match capability {
            Capability::Sampling => self.sampling,
            Capability::SamplingTools => self.sampling_tools,
            Capability::SamplingContext => self.sampling_context,
            Capability::ElicitationForm => self.elicitation_form,
            Capability::ElicitationUrl => self.elicitation_url,
            Capability::Roots => self.roots,
        }
    }

    /// Whether the client can be asked anything.
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Declared = Option<IgnoredAny>;
        #[derive(Default, Deserialize)]
        struct Sampling {
            #[serde(default)]
            tools: Declared,
            #[serde(default)]
            context: Declared,
        }
        #[derive(Default, Deserialize)]
        struct Elicitation {
            #[serde(default)]
            form: Declared,
            #[serde(default)]
            url: Declared,
        }
        #[derive(Deserialize)]
        struct All {
            #[serde(default)]
            sampling: Option<Sampling>,
            #[serde(default)]
            elicitation: Option<Elicitation>,
            #[serde(default)]
            roots: Declared,
        }
        let All { sampling, elicitation, roots } = All::deserialize(deserializer)?;
        let elicits = elicitation.is_some();
        let Elicitation { form, url } = elicitation.unwrap_or_default();
        let samples = sampling.is_some();
        let Sampling { tools, context } = sampling.unwrap_or_default();
        Ok(Self {
            sampling: samples,
            sampling_tools: tools.is_some(),
            sampling_context: context.is_some(),
            // Declared without a mode, it means forms.
            elicitation_form: elicits && (form.is_some() || url.is_none()),
            elicitation_url: url.is_some(),
            roots: roots.is_some(),
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
    /// Whether a handler of a stateless request makes this call in its own session.
    pub(crate) fn is_of_stateless(&self) -> bool {
        self.of_stateless.is_some()
    }

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

    /// The trace that the request belongs to.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        if self.traceparent.is_none() && self.baggage.is_none() {
            return None;
        }
        let text = |raw: Option<&RawValue>| serde_json::from_str::<Cow<'_, str>>(raw?.get()).ok();
        let (parent, state, baggage) = (text(self.traceparent), text(self.tracestate), text(self.baggage));
        TraceContext::read(parent.as_deref(), state.as_deref(), baggage.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;
    use crate::ask::Capability;

    #[test]
    fn what_a_client_declares() {
        use Capability::{ElicitationForm, ElicitationUrl, Roots, Sampling, SamplingContext, SamplingTools};
        let all = [Sampling, SamplingTools, SamplingContext, ElicitationForm, ElicitationUrl, Roots];
        for (json, declared) in [
            ("{}", vec![]),
            (r#"{"sampling":{}}"#, vec![Sampling]),
            (r#"{"sampling":{"tools":{},"context":{}}}"#, vec![Sampling, SamplingTools, SamplingContext]),
            (r#"{"elicitation":{}}"#, vec![ElicitationForm]),
            (r#"{"elicitation":{"form":{}}}"#, vec![ElicitationForm]),
            (r#"{"elicitation":{"url":{}}}"#, vec![ElicitationUrl]),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, vec![ElicitationForm, ElicitationUrl]),
            (r#"{"roots":{"listChanged":true},"experimental":{"x":1}}"#, vec![Roots]),
        ] {
            let capabilities: Capabilities = serde_json::from_str(json).unwrap();
            let have: Vec<_> = all.into_iter().filter(|one| capabilities.have(*one)).collect();
            assert_eq!(have, declared, "{json}");
            assert_eq!(capabilities.any(), !declared.is_empty(), "{json}");
        }
    }
}
