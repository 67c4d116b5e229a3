use crate::{
    cache::{CacheHint, CacheScope},
    model::{ResourceContents, ServerMeta},
    request::RequestError,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::Map;

/// The answer to `resources/read`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadResourceResult {
    /// The contents: one, as a rule; more where reading one thing gives several, such as the files of a directory.
    pub contents: Vec<ResourceContents>,
    /// How long they hold, if not as the resource says.
    pub cache: Option<CacheHint>,
}

impl ReadResourceResult {
    /// An answer of these contents.
    #[must_use]
    pub fn new(contents: Vec<ResourceContents>) -> Self {
        Self { contents, cache: None }
    }

    /// Says how long they hold, and for whom.
    #[must_use]
    pub fn cache(mut self, hint: CacheHint) -> Self {
        self.cache = Some(hint);
        self
    }

    /// The answer as a revision writes it.
    pub(crate) fn wire<'a>(&'a self, hint: CacheHint, stateless: Option<&'a ServerMeta>) -> Wire<'a> {
        let hint = stateless.map(|_| self.cache.unwrap_or(hint));
        Wire {
            result_type: stateless.map(|_| "complete"),
            contents: &self.contents,
            ttl_ms: hint.map(CacheHint::ttl_ms),
            cache_scope: hint.map(|hint| hint.scope),
            meta: stateless,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    contents: &'a [ResourceContents],
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<CacheScope>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a ServerMeta>,
}

/// What reading a resource may return: text, bytes, or whole contents.
pub trait ResourceOutput {
    /// The answer, for the resource that was asked for.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError>;
}

fn contents(
    uri: &str,
    mime_type: Option<&str>,
    text: Option<String>,
    blob: Option<String>,
) -> Result<ReadResourceResult, RequestError> {
    let mime_type = mime_type.map(str::to_owned);
    let contents = ResourceContents { uri: uri.to_owned(), mime_type, text, blob, meta: Map::new() };
    Ok(ReadResourceResult::new(vec![contents]))
}

impl ResourceOutput for ReadResourceResult {
    fn into_read(self, _uri: &str, _mime_type: Option<&str>) -> Result<Self, RequestError> {
        Ok(self)
    }
}

impl ResourceOutput for Vec<ResourceContents> {
    fn into_read(self, _uri: &str, _mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        Ok(ReadResourceResult::new(self))
    }
}

impl ResourceOutput for ResourceContents {
    fn into_read(self, _uri: &str, _mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        Ok(ReadResourceResult::new(vec![self]))
    }
}

impl ResourceOutput for String {
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        contents(uri, mime_type, Some(self), None)
    }
}

impl ResourceOutput for &'static str {
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        contents(uri, mime_type, Some(self.to_owned()), None)
    }
}

/// Bytes; they go out as base64.
impl ResourceOutput for Vec<u8> {
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        contents(uri, mime_type, None, Some(BASE64_STANDARD.encode(self)))
    }
}

/// Bytes; they go out as base64.
impl ResourceOutput for &'static [u8] {
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        contents(uri, mime_type, None, Some(BASE64_STANDARD.encode(self)))
    }
}

/// There may be no such resource, though the template fits its URI.
impl<R: ResourceOutput> ResourceOutput for Option<R> {
    fn into_read(self, uri: &str, mime_type: Option<&str>) -> Result<ReadResourceResult, RequestError> {
        self.ok_or_else(RequestError::no_such_resource)?.into_read(uri, mime_type)
    }
}
