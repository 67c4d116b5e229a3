//! The fields of a form: the restricted schemas that a client can show.

use super::AskError;
use serde_json::{Map, Number, Value, json};

/// The first revision with defaults for all fields, with titled choices and with choices of several.
const RICH: &str = "2025-11-25";

/// What a text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextFormat {
    /// An address of mail.
    Email,
    /// A URI.
    Uri,
    /// A day, as `2026-07-28`.
    Date,
    /// An instant, as `2026-07-28T12:00:00Z`.
    DateTime,
}

impl TextFormat {
    const ALL: [Self; 4] = [Self::Email, Self::Uri, Self::Date, Self::DateTime];

    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Date => "date",
            Self::DateTime => "date-time",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Self::Email => is_email(text),
            Self::Uri => is_uri(text),
            Self::Date => is_date(text),
            Self::DateTime => is_date_time(text),
        }
    }
}

/// One value of a choice, and what the person sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    value: String,
    title: Option<String>,
}

impl Choice {
    /// A value that is shown by a title.
    pub fn titled(value: impl Into<String>, title: impl Into<String>) -> Self {
        Self { value: value.into(), title: Some(title.into()) }
    }
}

impl<V: Into<String>> From<V> for Choice {
    fn from(value: V) -> Self {
        Self { value: value.into(), title: None }
    }
}

/// A field of a [`Form`](super::Form).
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Choice, Field, TextFormat};
///
/// let mail = Field::text().title("E-mail").format(TextFormat::Email);
/// let age = Field::integer().between(18.0, 120.0);
/// let size = Field::one_of([Choice::titled("s", "Small"), Choice::titled("l", "Large")]).default("s");
/// let toppings = Field::any_of(["cheese", "basil", "olives"]).items(1, 2);
/// ```
#[derive(Clone, Debug)]
pub struct Field {
    kind: Kind,
    title: Option<String>,
    description: Option<String>,
    default: Option<Value>,
    /// A setting that does not go with its kind.
    misfit: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Kind {
    Text { format: Option<TextFormat>, least: Option<u64>, most: Option<u64> },
    Number { whole: bool, least: Option<f64>, most: Option<f64> },
    Boolean,
    OneOf(Vec<Choice>),
    AnyOf { choices: Vec<Choice>, least: Option<u64>, most: Option<u64> },
}

impl Field {
    fn new(kind: Kind) -> Self {
        Self { kind, title: None, description: None, default: None, misfit: None }
    }

    /// A text.
    #[must_use]
    pub fn text() -> Self {
        Self::new(Kind::Text { format: None, least: None, most: None })
    }

    /// A number.
    #[must_use]
    pub fn number() -> Self {
        Self::new(Kind::Number { whole: false, least: None, most: None })
    }

    /// A whole number.
    #[must_use]
    pub fn integer() -> Self {
        Self::new(Kind::Number { whole: true, least: None, most: None })
    }

    /// Yes or no.
    #[must_use]
    pub fn boolean() -> Self {
        Self::new(Kind::Boolean)
    }

    /// One of these.
    pub fn one_of(choices: impl IntoIterator<Item = impl Into<Choice>>) -> Self {
        Self::new(Kind::OneOf(choices.into_iter().map(Into::into).collect()))
    }

    /// Any of these; revisions before 2025-11-25 cannot ask that.
    pub fn any_of(choices: impl IntoIterator<Item = impl Into<Choice>>) -> Self {
        Self::new(Kind::AnyOf {
            choices: choices.into_iter().map(Into::into).collect(),
            least: None,
            most: None,
        })
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Says what belongs into it.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// What it shows at first. Revisions before 2025-11-25 know that of booleans only, and are not told it of others.
    #[must_use]
    pub fn default(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// What the text has to be.
    #[must_use]
    pub fn format(mut self, wanted: TextFormat) -> Self {
        match &mut self.kind {
            Kind::Text { format, .. } => *format = Some(wanted),
            _ => self.misfit = Some("only a text has a format"),
        }
        self
    }

    /// How many characters the text has at least and at most.
    #[must_use]
    pub fn length(mut self, at_least: u64, at_most: u64) -> Self {
        match &mut self.kind {
            Kind::Text { least, most, .. } => (*least, *most) = (Some(at_least), Some(at_most)),
            _ => self.misfit = Some("only a text has a length"),
        }
        self
    }

    /// Between which figures the number is, both included.
    #[must_use]
    pub fn between(mut self, at_least: f64, at_most: f64) -> Self {
        match &mut self.kind {
            Kind::Number { least, most, .. } => (*least, *most) = (Some(at_least), Some(at_most)),
            _ => self.misfit = Some("only a number has a least and a largest value"),
        }
        self
    }

    /// How many are chosen at least and at most.
    #[must_use]
    pub fn items(mut self, at_least: u64, at_most: u64) -> Self {
        match &mut self.kind {
            Kind::AnyOf { least, most, .. } => (*least, *most) = (Some(at_least), Some(at_most)),
            _ => self.misfit = Some("only a choice of several has a number of items"),
        }
        self
    }

    /// Reads a schema of JSON Schema. Keywords that say nothing to a client are left out.
    pub(super) fn from_schema(schema: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut field = Self::new(kind_of(schema)?);
        (field.title, field.description) = (text("title"), text("description"));
        field.default = schema.get("default").filter(|default| !default.is_null()).cloned();
        Ok(field)
    }

    /// As a revision writes it.
    pub(super) fn schema(&self, version: &str) -> Result<Value, AskError> {
        if let Some(misfit) = self.misfit {
            return Err(AskError::Invalid(misfit.to_owned()));
        }
        if let Some(default) = &self.default {
            self.check(default).map_err(|why| AskError::Invalid(format!("a default does not fit: {why}")))?;
        }
        let rich = version >= RICH;
        let mut schema = match &self.kind {
            Kind::Text { format, least, most } => with(
                json!({ "type": "string" }),
                [
                    ("format", format.map(|format| json!(format.as_str()))),
                    ("minLength", least.map(Value::from)),
                    ("maxLength", most.map(Value::from)),
                ],
            ),
            Kind::Number { whole, least, most } => with(
                json!({ "type": if *whole { "integer" } else { "number" } }),
                [("minimum", least.map(figure)), ("maximum", most.map(figure))],
            ),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::OneOf(choices) => with(json!({ "type": "string" }), one_of(choices, rich)),
            Kind::AnyOf { .. } if !rich => {
                return Err(AskError::NotInRevision("a choice of several in one field"));
            }
            Kind::AnyOf { choices, least, most } => with(
                json!({ "type": "array", "items": items(choices) }),
                [("minItems", least.map(Value::from)), ("maxItems", most.map(Value::from))],
            ),
        };
        let default = self.default.clone().filter(|_| rich || matches!(self.kind, Kind::Boolean));
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        schema = with(
            schema,
            [("title", text(&self.title)), ("description", text(&self.description)), ("default", default)],
        );
        Ok(schema)
    }

    /// Whether a value fits; if not, why.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let fits = match &self.kind {
            Kind::Text { format, least, most } => value.as_str().is_some_and(|text| {
                format.is_none_or(|format| format.fits(text))
                    && within(text.chars().count() as u64, *least, *most)
            }),
            Kind::Number { whole, least, most } => value.as_f64().is_some_and(|figure| {
                (!whole || figure.fract() == 0.0)
                    && least.is_none_or(|least| figure >= least)
                    && most.is_none_or(|most| figure <= most)
            }),
            Kind::Boolean => value.is_boolean(),
            Kind::OneOf(choices) => is_choice(choices, value),
            Kind::AnyOf { choices, least, most } => value.as_array().is_some_and(|chosen| {
                chosen.iter().all(|value| is_choice(choices, value))
                    && within(chosen.len() as u64, *least, *most)
            }),
        };
        if fits { Ok(()) } else { Err(format!("it must be {}", self.wanted())) }
    }

    fn wanted(&self) -> String {
        let values = |choices: &[Choice]| {
            choices.iter().map(|choice| choice.value.as_str()).collect::<Vec<_>>().join(", ")
        };
        match &self.kind {
            Kind::Text { format, least, most } => {
                let format = format.map_or("a text", TextFormat::as_str);
                format!("{format}{}", bounds(*least, *most, "characters"))
            }
            Kind::Number { whole, least, most } => {
                let kind = if *whole { "a whole number" } else { "a number" };
                format!("{kind}{}", bounds(*least, *most, "in value"))
            }
            Kind::Boolean => "true or false".to_owned(),
            Kind::OneOf(choices) => format!("one of {}", values(choices)),
            Kind::AnyOf { choices, least, most } => {
                format!("a list of any of {}{}", values(choices), bounds(*least, *most, "items"))
            }
        }
    }
}

fn bounds<N: std::fmt::Display>(least: Option<N>, most: Option<N>, of: &str) -> String {
    match (least, most) {
        (None, None) => String::new(),
        (Some(least), None) => format!(" of at least {least} {of}"),
        (None, Some(most)) => format!(" of at most {most} {of}"),
        (Some(least), Some(most)) => format!(" of {least} to {most} {of}"),
    }
}

fn with<const N: usize>(mut schema: Value, more: [(&str, Option<Value>); N]) -> Value {
    for (key, value) in more {
        if let Some(value) = value {
            schema[key] = value;
        }
    }
    schema
}

/// Written as a whole number where it is one, as clients expect of a field of such.
fn figure(figure: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
    let whole = figure as i64;
    if whole as f64 == figure {
        return Value::from(whole);
    }
    Number::from_f64(figure).map_or(Value::Null, Value::Number)
}

fn titled(choices: &[Choice]) -> Value {
    let one = |choice: &Choice| json!({ "const": choice.value, "title": choice.title.as_ref().unwrap_or(&choice.value) });
    choices.iter().map(one).collect()
}

fn values(choices: &[Choice]) -> Value {
    choices.iter().map(|choice| choice.value.as_str()).collect()
}

fn have_titles(choices: &[Choice]) -> bool {
    choices.iter().any(|choice| choice.title.is_some())
}

fn one_of(choices: &[Choice], rich: bool) -> [(&'static str, Option<Value>); 2] {
    match (have_titles(choices), rich) {
        (false, _) => [("enum", Some(values(choices))), ("enumNames", None)],
        (true, true) => [("oneOf", Some(titled(choices))), ("enumNames", None)],
        (true, false) => {
            let title = |choice: &Choice| choice.title.clone().unwrap_or_else(|| choice.value.clone());
            let names: Value = choices.iter().map(title).collect();
            [("enum", Some(values(choices))), ("enumNames", Some(names))]
        }
    }
}

fn items(choices: &[Choice]) -> Value {
    if have_titles(choices) {
        json!({ "anyOf": titled(choices) })
    } else {
        json!({ "type": "string", "enum": values(choices) })
    }
}

fn is_choice(choices: &[Choice], value: &Value) -> bool {
    value.as_str().is_some_and(|value| choices.iter().any(|choice| choice.value == value))
}

fn within(count: u64, least: Option<u64>, most: Option<u64>) -> bool {
    least.is_none_or(|least| count >= least) && most.is_none_or(|most| count <= most)
}

fn kind_of(schema: &Map<String, Value>) -> Result<Kind, String> {
    if let Some(choices) = choices_of(schema)? {
        return Ok(Kind::OneOf(choices));
    }
    let whole = |key: &str| schema.get(key).and_then(Value::as_u64);
    let figure = |key: &str| schema.get(key).and_then(Value::as_f64);
    match type_of(schema) {
        Some("string") => {
            let format = schema.get("format").and_then(Value::as_str).and_then(TextFormat::named);
            Ok(Kind::Text { format, least: whole("minLength"), most: whole("maxLength") })
        }
        Some(number @ ("number" | "integer")) => {
            Ok(Kind::Number { whole: number == "integer", least: figure("minimum"), most: figure("maximum") })
        }
        Some("boolean") => Ok(Kind::Boolean),
        Some("array") => {
            let items = schema.get("items").and_then(Value::as_object);
            let choices = items.map(choices_of).transpose()?.flatten();
            let choices = choices.ok_or("a list must be one of choices")?;
            Ok(Kind::AnyOf { choices, least: whole("minItems"), most: whole("maxItems") })
        }
        other => Err(format!("a form has no field of type {}", other.unwrap_or("(none)"))),
    }
}

/// The type; of something optional, that of what it is when it is there.
fn type_of(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

fn choices_of(schema: &Map<String, Value>) -> Result<Option<Vec<Choice>>, String> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let names = schema.get("enumNames").and_then(Value::as_array);
        let name = |index: usize| names?.get(index)?.as_str().map(str::to_owned);
        let values = values.iter().filter(|value| !value.is_null()).enumerate();
        let choice = |(index, value): (usize, &Value)| {
            value.as_str().map(|value| Choice { value: value.to_owned(), title: name(index) })
        };
        let choices: Option<Vec<_>> = values.map(choice).collect();
        return choices.map(Some).ok_or_else(|| "the values of a choice must be texts".to_owned());
    }
    let listed = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
    let Some(listed) = listed else { return Ok(None) };
    let mut choices = Vec::new();
    for part in listed.iter().filter_map(Value::as_object) {
        let text = |key: &str| part.get(key).and_then(Value::as_str).map(str::to_owned);
        match text("const") {
            Some(value) => {
                choices.push(Choice { value, title: text("title").or_else(|| text("description")) });
            }
            None => match choices_of(part)? {
                Some(more) => choices.extend(more),
                None => return Err("a form has no field of alternatives other than texts".to_owned()),
            },
        }
    }
    Ok(Some(choices))
}

fn is_email(text: &str) -> bool {
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    plain && text.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

fn is_uri(text: &str) -> bool {
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    plain && text.split_once(':').is_some_and(|(before, rest)| scheme(before) && !rest.is_empty())
}

/// The figures of a pattern such as `dddd-dd-dd`, if the text is of it.
fn figures(text: &str, pattern: &str) -> Option<Vec<u32>> {
    if text.len() != pattern.len() {
        return None;
    }
    let mut figures = vec![0];
    for (byte, wanted) in text.bytes().zip(pattern.bytes()) {
        match wanted {
            b'd' if byte.is_ascii_digit() => {
                let last = figures.last_mut()?;
                *last = *last * 10 + u32::from(byte - b'0');
            }
            b'd' => return None,
            _ if byte == wanted => figures.push(0),
            _ => return None,
        }
    }
    Some(figures)
}

fn is_date(text: &str) -> bool {
    let Some(&[year, month, day]) = figures(text, "dddd-dd-dd").as_deref() else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let Some((clock, rest)) = time.split_at_checked("hh:mm:ss".len()) else { return false };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return false;
            }
            offset
        }
        None => rest,
    };
    let clock = figures(clock, "dd:dd:dd").is_some_and(|all| all[0] < 24 && all[1] < 60 && all[2] <= 60);
    let zone = |text: &str| figures(text, "dd:dd").is_some_and(|all| all[0] < 24 && all[1] < 60);
    let offset = matches!(offset, "Z" | "z") || offset.strip_prefix(['+', '-']).is_some_and(zone);
    is_date(date) && clock && offset
}

#[cfg(test)]
mod tests {
    use super::{Choice, Field, TextFormat};
    use serde_json::{Value, json};

    fn check(field: &Field, rows: impl IntoIterator<Item = (Value, bool)>) {
        for (value, fits) in rows {
            assert_eq!(field.check(&value).is_ok(), fits, "{field:?}: {value}");
        }
    }

    #[test]
    fn what_fits_a_field() {
        check(
            &Field::text().length(2, 3),
            [
                (json!("ab"), true),
                (json!("äöü"), true),
                (json!("a"), false),
                (json!("abcd"), false),
                (json!(12), false),
            ],
        );
        check(
            &Field::integer().between(1.0, 3.0),
            [
                (json!(1), true),
                (json!(3.0), true),
                (json!(1.5), false),
                (json!(0), false),
                (json!("1"), false),
            ],
        );
        check(&Field::number(), [(json!(1.5), true), (json!(true), false)]);
        check(&Field::boolean(), [(json!(false), true), (json!("false"), false)]);
        check(&Field::one_of(["a", "b"]), [(json!("a"), true), (json!("c"), false), (json!(["a"]), false)]);
        check(
            &Field::any_of(["a", "b", "c"]).items(1, 2),
            [
                (json!(["a", "c"]), true),
                (json!([]), false),
                (json!(["a", "b", "c"]), false),
                (json!(["d"]), false),
            ],
        );
    }

    #[test]
    fn formats() {
        use TextFormat::{Date, DateTime, Email, Uri};
        for (format, text, fits) in [
            (Email, "a@b.example", true),
            (Email, "a b@c", false),
            (Email, "@b", false),
            (Email, "a@", false),
            (Uri, "urn:x", true),
            (Uri, "https://a.example/?b#c", true),
            (Uri, "a.example", false),
            (Uri, "1a:b", false),
            (Date, "2024-02-29", true),
            (Date, "2023-02-29", false),
            (Date, "2023-04-31", false),
            (Date, "2023-13-01", false),
            (Date, "23-01-01", false),
            (DateTime, "2026-07-28T12:00:00Z", true),
            (DateTime, "2026-07-28t12:00:00.25+02:00", true),
            (DateTime, "2026-07-28T12:00:00", false),
            (DateTime, "2026-07-28T25:00:00Z", false),
            (DateTime, "2026-07-28T12:00:00.Z", false),
            (DateTime, "2026-07-28 12:00:00Z", false),
            (DateTime, "2026-07-28T12:00:0ü", false),
        ] {
            assert_eq!(format.fits(text), fits, "{text}");
        }
    }

    #[test]
    fn older_revisions_know_less() {
        let titled = Field::one_of([Choice::titled("a", "A")]).default("a");
        assert_eq!(
            titled.schema("2025-06-18").unwrap(),
            json!({ "type": "string", "enum": ["a"], "enumNames": ["A"] })
        );
        assert_eq!(
            titled.schema("2025-11-25").unwrap(),
            json!({ "type": "string", "oneOf": [{ "const": "a", "title": "A" }], "default": "a" })
        );
        let several = Field::any_of(["a"]);
        assert!(several.schema("2025-06-18").is_err());
        assert_eq!(
            several.schema("2026-07-28").unwrap(),
            json!({ "type": "array", "items": { "type": "string", "enum": ["a"] } })
        );
        let yes = Field::boolean().default(true);
        assert_eq!(yes.schema("2025-06-18").unwrap(), json!({ "type": "boolean", "default": true }));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for field in [
            Field::boolean().length(1, 2),
            Field::text().between(1.0, 2.0),
            Field::integer().format(TextFormat::Email),
            Field::one_of(["a"]).items(1, 2),
            Field::one_of(["a"]).default("b"),
        ] {
            assert!(field.schema("2026-07-28").is_err(), "{field:?}");
        }
    }
}
