//! Values as JSON text of just their size.

use crate::{limits::KEPT_WRITE_BYTES, shim};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        Error as _, Visitor,
        value::{Error, MapDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::value::{RawValue, to_raw_value};
use std::cell::Cell;

shim::thread_local! {
    /// Where values are written first, so that the text gets one allocation of the right size.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// `value` as JSON, as [`to_raw_value`] gives it, but not by an allocation that is too large first and then shrunk.
///
/// # Errors
///
/// As there.
pub(crate) fn raw_json(value: &impl Serialize) -> Result<Box<RawValue>, serde_json::Error> {
    // Taken, because `value` may write others of its own meanwhile.
    let mut scratch = SCRATCH.with(Cell::take);
    scratch.clear();
    let written = serde_json::to_writer(&mut scratch, value);
    let raw = written.map(|()| std::str::from_utf8(&scratch).ok().and_then(unchecked));
    if scratch.capacity() <= KEPT_WRITE_BYTES {
        SCRATCH.with(|kept| kept.set(scratch));
    }
    raw?.map_or_else(|| to_raw_value(value), Ok)
}

/// A copy of what serde_json wrote, without checking that again.
fn unchecked(json: &str) -> Option<Box<RawValue>> {
    Box::<RawValue>::deserialize(Written(json)).ok()
}

/// JSON text as a raw value's own deserializer. Such a value is a newtype by a name that serde_json knows, and as a map of
/// that name it is its text.
struct Written<'a>(&'a str);

impl<'de> Deserializer<'de> for Written<'_> {
    type Error = Error;

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(std::iter::once((name, self.0))))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("only for raw values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::{raw_json, unchecked};
    use serde::{Serialize, Serializer, ser::Error as _};
    use serde_json::{json, value::to_raw_value};

    /// Writes its content on its own, then as itself.
    struct Nested(serde_json::Value);

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            raw_json(&self.0).map_err(S::Error::custom)?.serialize(serializer)
        }
    }

    #[test]
    fn the_text_is_that_of_serde_json() {
        let long = "x\"\u{e9}".repeat(100_000);
        for value in [json!(null), json!("a\n\u{1f600}"), json!({ "a": [1, 2.5, { "b": "" }] }), json!(long)]
        {
            let expected = to_raw_value(&value).unwrap();
            assert_eq!(raw_json(&value).unwrap().get(), expected.get());
            assert_eq!(raw_json(&[Nested(value)]).unwrap().get(), format!("[{}]", expected.get()));
        }
    }

    #[test]
    fn a_raw_value_takes_written_text_as_it_is() {
        let json = r#"{"a":[1,"b"]}"#;
        assert_eq!(unchecked(json).expect("serde_json takes its own raw values").get(), json);
    }

    #[test]
    fn what_has_no_json_form_is_an_error_and_spoils_nothing() {
        let bad = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert!(raw_json(&bad).is_err());
        assert_eq!(raw_json(&1).unwrap().get(), "1");
    }
}
