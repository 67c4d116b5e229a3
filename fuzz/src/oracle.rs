//! A second opinion on what an input says, by other means than the decoder's: a whole parse into values. Where it has
//! no clear opinion (not JSON, escapes, ids near a limit) it says nothing.

use freehold::{Limits, RequestId};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// The members of an object in their order, also those that stand twice.
pub struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// How often a member stands.
pub enum Found<'a> {
    /// Not at all.
    Nowhere,
    /// Once, with this value.
    Once(&'a Value),
    /// More than once.
    Twice,
}

impl Members {
    /// Those of an object.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The member of this name.
    pub fn find(&self, name: &str) -> Found<'_> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (None, _) => Found::Nowhere,
            (Some(value), None) => Found::Once(value),
            (Some(_), Some(_)) => Found::Twice,
        }
    }

    /// The member's value if it stands once.
    pub fn once(&self, name: &str) -> Option<&Value> {
        if let Found::Once(value) = self.find(name) { Some(value) } else { None }
    }

    fn lacks(&self, name: &str) -> bool {
        matches!(self.find(name), Found::Nowhere)
    }

    /// The id that whatever becomes of this input must carry.
    pub fn id(&self, limits: &Limits) -> Option<RequestId> {
        /// Bytes of one character at the most, when it is escaped.
        const ESCAPED: usize = 6;
        match self.once("id")? {
            Value::Number(number) => number.as_i64().map(RequestId::from),
            Value::String(text) if text.len() * ESCAPED <= limits.id_bytes => Some(text.as_str().into()),
            _ => None,
        }
    }

    /// Whether nobody could object to this as a request or a notification.
    pub fn is_clearly_a_call(&self, bytes: &[u8], limits: &Limits) -> bool {
        let fits = |method: &Value| method.as_str().is_some_and(|method| method.len() <= limits.method_bytes);
        let structured = match self.find("params") {
            Found::Nowhere => true,
            Found::Once(params) => params.is_object() || params.is_array() || params.is_null(),
            Found::Twice => false,
        };
        // An escape may hide in the version, and makes names longer than they are.
        !bytes.contains(&b'\\')
            && self.once("jsonrpc").is_some_and(|version| version == "2.0")
            && self.once("method").is_some_and(fits)
            && structured
            && (self.lacks("id") || self.id(limits).is_some())
            && self.lacks("result")
            && self.lacks("error")
    }
}

/// A value in which no member of an object stands twice, so that everybody reads the same.
pub struct Clear(pub Value);

impl Clear {
    /// The value that the bytes are.
    pub fn read(bytes: &[u8]) -> Option<Value> {
        serde_json::from_slice::<Self>(bytes).ok().map(|clear| clear.0)
    }
}

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Clear(item)) = items.next_element()? {
                    all.push(item);
                }
                Ok(all.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut all = Map::new();
                while let Some((name, Clear(value))) = map.next_entry::<String, Clear>()? {
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(all.into())
            }
        }
        deserializer.deserialize_any(Anything).map(Self)
    }
}
