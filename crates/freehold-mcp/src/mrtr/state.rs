//! What a `requestState` says, once it is open.

use super::digest::Digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Names are short: the client carries them.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct StateOfRequest {
    /// Rounds so far.
    #[serde(rename = "n")]
    pub(super) rounds: u32,
    /// What was answered in earlier rounds.
    #[serde(rename = "a", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) answers: BTreeMap<String, Answered>,
    /// What was asked in the last one.
    #[serde(rename = "q", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) open: BTreeMap<String, QuestionDigest>,
    /// What the handler keeps.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Box<RawValue>>,
}

/// An answer, and to what.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Answered(pub(super) QuestionDigest, pub(super) Box<RawValue>);

/// The first half of a question's digest: it only has to notice that a handler asks something else than before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct QuestionDigest([u8; 16]);

impl From<Digest> for QuestionDigest {
    fn from(digest: Digest) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }
}

impl Serialize for QuestionDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for QuestionDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| D::Error::custom("a digest has sixteen bytes"))
    }
}
