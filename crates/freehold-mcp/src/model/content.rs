use super::{Annotations, ResourceLink};
use crate::protocol::key;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

/// One piece of a tool's answer, or of a prompt.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Annotations, Content, Role};
///
/// let chart = Content::image("iVBORw0KGgo=", "image/png")
///     .annotated(Annotations::new().audience([Role::User]).priority(0.9))
///     .meta("com.example/source", "sensor 7");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Text.
    #[non_exhaustive]
    Text {
        /// The text.
        text: String,
        /// For whom it is, and how important.
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Box<Annotations>>,
        /// What the protocol has no word for.
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<Box<Map<String, Value>>>,
    },
    /// A picture.
    #[non_exhaustive]
    Image {
        /// Base64.
        data: String,
        /// Such as `image/png`.
        #[serde(rename = "mimeType")]
        mime_type: String,
        /// For whom it is, and how important.
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Box<Annotations>>,
        /// What the protocol has no word for.
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<Box<Map<String, Value>>>,
    },
    /// Sound.
    #[non_exhaustive]
    Audio {
        /// Base64.
        data: String,
        /// Such as `audio/wav`.
        #[serde(rename = "mimeType")]
        mime_type: String,
        /// For whom it is, and how important.
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Box<Annotations>>,
        /// What the protocol has no word for.
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<Box<Map<String, Value>>>,
    },
    /// The contents of a resource.
    #[non_exhaustive]
    Resource {
        /// The contents.
        resource: ResourceContents,
        /// For whom it is, and how important.
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Box<Annotations>>,
        /// What the protocol has no word for.
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<Box<Map<String, Value>>>,
    },
    /// A link to a resource.
    ResourceLink(Box<ResourceLink>),
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// The contents of a resource: text, or base64.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// What the protocol has no word for.
    #[serde(rename = "_meta", skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
}

impl ResourceContents {
    /// A text.
    pub fn text(uri: impl Into<String>, mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::without_contents(uri, mime_type) }
    }

    /// Bytes; `blob` is base64.
    pub fn blob(uri: impl Into<String>, mime_type: impl Into<String>, blob: impl Into<String>) -> Self {
        Self { blob: Some(blob.into()), ..Self::without_contents(uri, mime_type) }
    }

    fn without_contents(uri: impl Into<String>, mime_type: impl Into<String>) -> Self {
        let mime_type = Some(mime_type.into());
        Self { uri: uri.into(), mime_type, text: None, blob: None, meta: Map::new() }
    }
}

impl Content {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), annotations: None, meta: None }
    }

    /// A picture; `data` is base64.
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Image { data: data.into(), mime_type: mime_type.into(), annotations: None, meta: None }
    }

    /// Sound; `data` is base64.
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Audio { data: data.into(), mime_type: mime_type.into(), annotations: None, meta: None }
    }

    /// A text resource.
    pub fn resource(uri: impl Into<String>, mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        ResourceContents::text(uri, mime_type, text).into()
    }

    /// A link to a resource; [`ResourceLink`] says more of it.
    pub fn link(uri: impl Into<String>, name: impl Into<String>) -> Self {
        ResourceLink::new(uri, name).into()
    }

    /// Says for whom it is, how important, and of when.
    #[must_use]
    pub fn annotated(mut self, annotations: Annotations) -> Self {
        let slot = match &mut self {
            Self::Text { annotations, .. }
            | Self::Image { annotations, .. }
            | Self::Audio { annotations, .. }
            | Self::Resource { annotations, .. } => annotations,
            Self::ResourceLink(link) => {
                link.annotations = Some(annotations);
                return self;
            }
        };
        *slot = Some(Box::new(annotations));
        self
    }

    /// Puts `value` into its `_meta`. A key has a prefix of your own, such as `com.example/`.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let meta = match &mut self {
            Self::Text { meta, .. }
            | Self::Image { meta, .. }
            | Self::Audio { meta, .. }
            | Self::Resource { meta, .. } => &mut **meta.get_or_insert_default(),
            Self::ResourceLink(link) => &mut link.meta,
        };
        meta.insert(key.into(), value.into());
        self
    }
}

impl From<ResourceContents> for Content {
    fn from(resource: ResourceContents) -> Self {
        Self::Resource { resource, annotations: None, meta: None }
    }
}

impl From<ResourceLink> for Content {
    fn from(link: ResourceLink) -> Self {
        Self::ResourceLink(Box::new(link))
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
    /// What the protocol has no word for. The keys of the protocol's own are the server's.
    pub meta: Map<String, Value>,
}

impl CallToolResult {
    /// An answer of these pieces.
    #[must_use]
    pub fn new(content: Vec<Content>) -> Self {
        Self { content, structured: None, is_error: false, meta: Map::new() }
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
            meta: ResultMeta { own: &self.meta, server: stateless },
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
    #[serde(rename = "_meta", skip_serializing_if = "ResultMeta::is_empty")]
    meta: ResultMeta<'a>,
}

/// `_meta` of a result: what the tool put there, and what the server has to say.
struct ResultMeta<'a> {
    own: &'a Map<String, Value>,
    server: Option<&'a ServerMeta>,
}

impl ResultMeta<'_> {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.server.is_none()
    }
}

impl Serialize for ResultMeta<'_> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        // Only stateless results name the server, and then it is the server that does.
        let own = self.own.iter().filter(|(name, _)| self.server.is_none() || *name != key::SERVER_INFO);
        let mut members = serializer.serialize_map(None)?;
        if let Some(ServerMeta { server_info }) = self.server {
            members.serialize_entry(key::SERVER_INFO, server_info)?;
        }
        for (name, value) in own {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{CallToolResult, Content, ServerMeta};
    use crate::model::{Annotations, Icon, IconTheme, ResourceContents, ResourceLink, Role};
    use serde_json::{json, value::to_raw_value};

    #[test]
    fn content_is_written_as_the_protocol_has_it() {
        let note = || {
            Annotations::new()
                .audience([Role::User, Role::Assistant])
                .priority(7.0)
                .last_modified("2025-01-12")
        };
        let noted =
            json!({ "audience": ["user", "assistant"], "priority": 1.0, "lastModified": "2025-01-12" });
        let meta = json!({ "com.example/a": 1 });
        let annotated = |content: Content| json!(content.annotated(note()).meta("com.example/a", 1));
        assert_eq!(json!(Content::text("t")), json!({ "type": "text", "text": "t" }));
        assert_eq!(
            annotated(Content::text("t")),
            json!({ "type": "text", "text": "t", "annotations": noted, "_meta": meta })
        );
        assert_eq!(
            annotated(Content::image("i", "image/png")),
            json!({ "type": "image", "data": "i", "mimeType": "image/png", "annotations": noted, "_meta": meta })
        );
        assert_eq!(
            annotated(Content::audio("a", "audio/wav")),
            json!({ "type": "audio", "data": "a", "mimeType": "audio/wav", "annotations": noted, "_meta": meta })
        );
        assert_eq!(
            annotated(ResourceContents::blob("x:y", "a/b", "AA==").into()),
            json!({
                "type": "resource",
                "resource": { "uri": "x:y", "mimeType": "a/b", "blob": "AA==" },
                "annotations": noted,
                "_meta": meta,
            })
        );
        let link = ResourceLink::new("x:y", "y")
            .title("Y")
            .description("It.")
            .mime_type("a/b")
            .size(7)
            .icon(Icon::new("data:,").mime_type("image/png").size("48x48").theme(IconTheme::Light));
        assert_eq!(
            annotated(link.into()),
            json!({
                "type": "resource_link",
                "uri": "x:y",
                "name": "y",
                "title": "Y",
                "description": "It.",
                "mimeType": "a/b",
                "size": 7,
                "icons": [{ "src": "data:,", "mimeType": "image/png", "sizes": ["48x48"], "theme": "light" }],
                "annotations": noted,
                "_meta": meta,
            })
        );
    }

    #[test]
    fn the_meta_of_a_result_is_the_tool_s_and_the_server_s() {
        const INFO: &str = "io.modelcontextprotocol/serverInfo";
        let server = ServerMeta { server_info: to_raw_value("the server").unwrap() };
        let mut result = CallToolResult::new(Vec::new());
        assert_eq!(json!(result.wire(None)), json!({ "content": [] }));
        result.meta.insert("com.example/a".to_owned(), json!(1));
        result.meta.insert(INFO.to_owned(), json!("somebody else"));
        let stateless = json!(result.wire(Some(&server)));
        assert_eq!(stateless["_meta"], json!({ INFO: "the server", "com.example/a": 1 }));
    }
}
