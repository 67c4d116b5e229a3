use freehold::ErrorObject;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// What a request brings of a round before it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    #[serde(borrow, default)]
    pub(super) input_responses: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) request_state: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// Nearly all requests have none of it, which a glance shows.
    pub(super) fn of(params: Option<&'a RawValue>) -> Result<Self, ErrorObject> {
        let Some(params) = params else { return Ok(Self::default()) };
        let has = |name: &str| memmem::find(params.get().as_bytes(), name.as_bytes()).is_some();
        if !has("inputResponses") && !has("requestState") {
            return Ok(Self::default());
        }
        serde_json::from_str(params.get()).map_err(|error| {
            ErrorObject::invalid_params(format_args!(
                "inputResponses must be an object, and requestState a string: {error}"
            ))
        })
    }
}
