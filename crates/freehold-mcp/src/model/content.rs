use serde::Serialize;
use serde_json::Value;

/// One piece of a tool's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// Base64.
        data: String,
        /// Such as `image/png`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: String,
        /// Such as `audio/wav`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// The contents of a resource.
    Resource {
        /// The contents.
        resource: ResourceContents,
    },
    /// A link to a resource.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// What it is called.
        name: String,
    },
}

/// The contents of a resource: text, or base64.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceContents {
    /// Where it is.
    pub uri: String,
    /// Such as `text/plain`.
    #[serde(rename = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Its text, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its bytes in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

impl Content {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A picture; `data` is base64.
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Image { data: data.into(), mime_type: mime_type.into() }
    }

    /// Sound; `data` is base64.
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Audio { data: data.into(), mime_type: mime_type.into() }
    }

    /// A text resource.
    pub fn resource(uri: impl Into<String>, mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        let resource = ResourceContents {
            uri: uri.into(),
            mime_type: Some(mime_type.into()),
            text: Some(text.into()),
            blob: None,
        };
        Self::Resource { resource }
    }
}

/// The answer of a tool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallToolResult {
    /// For the model to read.
    pub content: Vec<Content>,
    /// For programs; fits the tool's output schema if it has one.
    pub structured: Option<Value>,
    /// The tool failed, and `content` tells the model how.
    pub is_error: bool,
}

impl CallToolResult {
    /// An answer of these pieces.
    #[must_use]
    pub fn new(content: Vec<Content>) -> Self {
        Self { content, structured: None, is_error: false }
    }

    /// An answer of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(vec![Content::text(text)])
    }

    /// A failure that the model should read.
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// The answer as a revision writes it: stateless ones mark it as complete and may name the server.
    pub(crate) fn wire<'a>(&'a self, stateless: Option<&'a ServerMeta>) -> Wire<'a> {
        let object = |value: &&Value| stateless.is_some() || value.is_object();
        Wire {
            result_type: stateless.map(|_| "complete"),
            content: &self.content,
            structured: self.structured.as_ref().filter(object),
            is_error: self.is_error,
            meta: stateless,
        }
    }
}

/// `_meta` of a stateless result: who served it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    pub(crate) server_info: Box<serde_json::value::RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    content: &'a [Content],
    /// Revisions with sessions take objects only.
    #[serde(rename = "structuredContent", skip_serializing_if = "Option::is_none")]
    structured: Option<&'a Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a ServerMeta>,
}
