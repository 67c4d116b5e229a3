//! Arguments that are all text on the wire (those of prompts, the variables of templates), read into types.

use serde::{
    de::{
        self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use std::collections::BTreeMap;

/// Arguments by name.
pub(crate) type TextArguments = BTreeMap<String, String>;

/// Reads a struct, a map, or nothing (`()`). Members may be strings, numbers, booleans, enums without contents, and
/// options and newtypes of those.
pub(crate) fn read<T: DeserializeOwned>(arguments: &TextArguments) -> Result<T, Error> {
    T::deserialize(All(arguments))
}

struct All<'a>(&'a TextArguments);

impl<'a> All<'a> {
    fn map(self) -> MapDeserializer<'a, impl Iterator<Item = (&'a str, One<'a>)>, Error> {
        MapDeserializer::new(self.0.iter().map(|(name, text)| (name.as_str(), One(text))))
    }
}

impl<'de> Deserializer<'de> for All<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.map())
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.keys().next() {
            None => visitor.visit_unit(),
            Some(name) => Err(de::Error::custom(format_args!("there is no argument {name:?}"))),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// One argument.
struct One<'a>(&'a str);

impl<'de> IntoDeserializer<'de, Error> for One<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident: $type:ty),* $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::invalid_value(de::Unexpected::Str(self.0), &stringify!($type))),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for One<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    parsed! {
        deserialize_bool => visit_bool: bool,
        deserialize_i8 => visit_i8: i8,
        deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
        deserialize_i128 => visit_i128: i128,
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
        deserialize_u128 => visit_u128: u128,
        deserialize_f32 => visit_f32: f32,
        deserialize_f64 => visit_f64: f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant: StrDeserializer<'de, Error> = self.0.into_deserializer();
        visitor.visit_enum(variant)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::{TextArguments, read};
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        Small,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(u8);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Mixed {
        text: String,
        number: i64,
        real: f64,
        flag: bool,
        size: Size,
        wrapped: Wrapped,
        absent: Option<u32>,
        present: Option<u32>,
    }

    fn arguments(pairs: &[(&str, &str)]) -> TextArguments {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn text_is_read_into_what_the_type_wants() {
        let pairs = [
            ("text", "7"),
            ("number", "-7"),
            ("real", "0.5"),
            ("flag", "true"),
            ("size", "small"),
            ("wrapped", "255"),
            ("present", "1"),
            ("unknown", "ignored"),
        ];
        let mixed = Mixed {
            text: "7".to_owned(),
            number: -7,
            real: 0.5,
            flag: true,
            size: Size::Small,
            wrapped: Wrapped(255),
            absent: None,
            present: Some(1),
        };
        assert_eq!(read(&arguments(&pairs)), Ok(mixed));
        assert_eq!(read(&arguments(&[("a", "b")])), Ok(arguments(&[("a", "b")])));
        assert_eq!(read(&arguments(&[])), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "read for its shape only")]
        struct Numbered {
            number: u8,
        }
        for (pairs, told) in [
            (&[("number", "256")][..], r#"invalid value: string "256", expected u8"#),
            (&[][..], "missing field `number`"),
        ] {
            assert_eq!(read::<Numbered>(&arguments(pairs)).unwrap_err().to_string(), told);
        }
        let told = read::<()>(&arguments(&[("a", "b")])).unwrap_err().to_string();
        assert_eq!(told, r#"there is no argument "a""#);
    }
}
