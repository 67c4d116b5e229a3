//! Forms: by hand, or of a type.

use super::{AskError, Asked, Capability, Elicited, Field, Question, Respondent, elicitation};
use crate::protocol::method;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json, value::RawValue};
use std::{fmt, marker::PhantomData};

/// A type is none that a form can ask for: forms are flat, and have texts, numbers, booleans and choices among texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no form can ask for this: {0}")]
pub struct UnfitForm(String);

/// `elicitation/create` in form mode: asks the client's person for what stands in some fields.
///
/// Must not be used for passwords, keys and the like; a [`UrlElicitation`](super::UrlElicitation) is for those.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Elicited, Field, Form, ToolContext, ToolError};
///
/// async fn order(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
///     let form = Form::new("What shall it be?")
///         .field("dish", Field::one_of(["soup", "salad"]).default("soup"))
///         .optional("note", Field::text().length(0, 200));
///     Ok(match ctx.ask(form).await? {
///         Elicited::Accept(answer) => format!("{} it is", answer["dish"]),
///         Elicited::Decline | Elicited::Cancel => "Nothing, then".to_owned(),
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Form {
    message: String,
    fields: Vec<(String, Field)>,
    required: Vec<String>,
}

impl Form {
    /// A form without fields yet, and what it says above them.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), fields: Vec::new(), required: Vec::new() }
    }

    /// Adds a field that must be filled in.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, field: Field) -> Self {
        let name = name.into();
        self.required.push(name.clone());
        self.optional(name, field)
    }

    /// Adds a field that may be left empty.
    #[must_use]
    pub fn optional(mut self, name: impl Into<String>, field: Field) -> Self {
        self.fields.push((name.into(), field));
        self
    }

    /// The form of a type: a struct whose members are texts, numbers, booleans, enums without data, or lists of such enums;
    /// an `Option` may be left empty.
    ///
    /// # Errors
    ///
    /// [`UnfitForm`] if the type is another one.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Form, ToolContext, ToolError};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Contact {
    ///     /// Your full name.
    ///     name: String,
    ///     age: Option<u8>,
    /// }
    ///
    /// async fn greet(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ///     let contact = ctx.ask(Form::of::<Contact>("Who are you?")?).await?.into_accepted()?;
    ///     Ok(format!("Hello, {}!", contact.name))
    /// }
    /// ```
    pub fn of<T: DeserializeOwned + JsonSchema>(
        message: impl Into<String>,
    ) -> Result<TypedForm<T>, UnfitForm> {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let form = Self::from_schema(message.into(), schema.as_value())?;
        Ok(TypedForm { form, answer: PhantomData })
    }

    fn from_schema(message: String, schema: &Value) -> Result<Self, UnfitForm> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Err(UnfitForm("it is no struct with members".to_owned()));
        };
        let mut form = Self::new(message);
        for (name, schema) in properties {
            let unfit = |why| UnfitForm(format!("member {name:?}: {why}"));
            let schema =
                without_null(schema).as_object().ok_or_else(|| unfit("it may be anything".to_owned()))?;
            form.fields.push((name.clone(), Field::from_schema(schema).map_err(unfit)?));
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        form.required = required.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(form)
    }

    fn schema(&self, version: &str) -> Result<Value, AskError> {
        let mut properties = Map::new();
        for (name, field) in &self.fields {
            if properties.insert(name.clone(), field.schema(version)?).is_some() {
                return Err(AskError::Invalid(format!("the form has two fields named {name:?}")));
            }
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        Ok(schema)
    }

    /// What of the content belongs to the form, if all of that fits. An empty field may come as null.
    fn fitting(&self, mut content: Map<String, Value>) -> Result<Map<String, Value>, AskError> {
        let mut fitting = Map::new();
        for (name, field) in &self.fields {
            match content.remove(name).filter(|value| !value.is_null()) {
                Some(value) => {
                    field.check(&value).map_err(|why| AskError::Unfit(format!("field {name:?}: {why}")))?;
                    fitting.insert(name.clone(), value);
                }
                None if self.required.contains(name) => {
                    return Err(AskError::Unfit(format!("field {name:?} is missing")));
                }
                None => {}
            }
        }
        Ok(fitting)
    }
}

/// What `Option` adds to a schema of alternatives, taken away.
fn without_null(schema: &Value) -> &Value {
    let Some([one, null]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) else {
        return schema;
    };
    if null.get("type").is_some_and(|kind| kind == "null") { one } else { schema }
}

impl Question for Form {
    type Answer = Elicited<Map<String, Value>>;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        respondent.require(Capability::ElicitationForm)?;
        let schema = self.schema(respondent.version)?;
        // Without a mode it is a form in every revision.
        let params = json!({ "message": self.message, "requestedSchema": schema });
        Ok(Asked { method: method::ELICIT, kind: "form", params })
    }

    fn read(&self, answer: &RawValue) -> Result<Self::Answer, AskError> {
        elicitation::read(answer)?.try_map(|content| self.fitting(content.unwrap_or_default()))
    }
}

/// A [`Form`] of a type; see [`Form::of`].
pub struct TypedForm<T> {
    form: Form,
    answer: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for TypedForm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedForm").field(&self.form).finish()
    }
}

impl<T: DeserializeOwned + Send> Question for TypedForm<T> {
    type Answer = Elicited<T>;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        self.form.asked(respondent)
    }

    fn read(&self, answer: &RawValue) -> Result<Elicited<T>, AskError> {
        self.form.read(answer)?.try_map(|content| {
            serde_json::from_value(Value::Object(content)).map_err(|error| AskError::Unfit(error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Elicited, Form, Question};
    use crate::ask::{AskError, Field};
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::{Value, json, value::to_raw_value};

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        /// For one.
        Small,
        /// For two.
        Large,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Topping {
        Cheese,
        Basil,
    }

    fn yes() -> bool {
        true
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Order {
        /// What to eat.
        dish: String,
        count: u8,
        size: Option<Size>,
        toppings: Vec<Topping>,
        #[serde(default = "yes")]
        warm: bool,
        note: Option<String>,
    }

    #[test]
    fn the_form_of_a_type() {
        let form = Form::of::<Order>("What?").unwrap();
        assert_eq!(
            form.form.schema("2026-07-28").unwrap(),
            json!({
                "type": "object",
                "properties": {
                    "dish": { "type": "string", "description": "What to eat." },
                    "count": { "type": "integer", "minimum": 0, "maximum": 255 },
                    "size": {
                        "type": "string",
                        "oneOf": [
                            { "const": "small", "title": "For one." },
                            { "const": "large", "title": "For two." },
                        ],
                    },
                    "toppings": { "type": "array", "items": { "type": "string", "enum": ["cheese", "basil"] } },
                    "warm": { "type": "boolean", "default": true },
                    "note": { "type": "string" },
                },
                "required": ["dish", "count", "toppings"],
            })
        );
        let content = json!({ "dish": "soup", "count": 2, "toppings": ["basil"], "note": null, "other": [] });
        let answer = to_raw_value(&json!({ "action": "accept", "content": content })).unwrap();
        let order = Order {
            dish: "soup".into(),
            count: 2,
            size: None,
            toppings: vec![Topping::Basil],
            warm: true,
            note: None,
        };
        assert_eq!(form.read(&answer).unwrap(), Elicited::Accept(order));
    }

    #[test]
    fn what_no_form_can_ask_for() {
        #[derive(Debug, Deserialize, JsonSchema)]
        #[expect(dead_code, reason = "only its schema is read")]
        struct Deep {
            inner: Order,
        }
        #[derive(Debug, Deserialize, JsonSchema)]
        #[expect(dead_code, reason = "only its schema is read")]
        struct Listed {
            names: Vec<String>,
        }
        assert!(Form::of::<Deep>("?").unwrap_err().to_string().contains("inner"));
        assert!(Form::of::<Listed>("?").unwrap_err().to_string().contains("names"));
        assert!(Form::of::<u8>("?").is_err());
        assert!(Form::of::<std::collections::HashMap<String, Value>>("?").is_err());
    }

    #[test]
    fn answers_are_checked() {
        let form = Form::new("?").field("name", Field::text()).optional("age", Field::integer());
        for (answer, fits) in [
            (json!({ "action": "accept", "content": { "name": "A", "age": 3 } }), true),
            (json!({ "action": "accept", "content": { "name": "A" } }), true),
            (json!({ "action": "accept", "content": { "age": 3 } }), false),
            (json!({ "action": "accept", "content": { "name": null } }), false),
            (json!({ "action": "accept", "content": { "name": "A", "age": "3" } }), false),
            (json!({ "action": "accept" }), false),
            (json!({ "action": "decline" }), true),
            (json!({ "action": "cancel", "content": { "age": "3" } }), true),
            (json!({ "action": "perhaps" }), false),
            (json!(12345), false),
            (json!({}), false),
        ] {
            let raw = to_raw_value(&answer).unwrap();
            let read = form.read(&raw);
            assert_eq!(read.is_ok(), fits, "{answer}");
            assert!(read.is_ok() || matches!(read, Err(AskError::Unfit(_))));
        }
    }
}
