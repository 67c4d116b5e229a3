//! Digests of JSON that do not depend on the order of members: a client may write them in another order the next time.

use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};

/// A digest.
pub(super) type Digest = [u8; 32];

/// Members of `params` that differ between one sending of a request and the next.
const OF_A_ROUND: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// The params are well formed, but no value: a number is beyond all floats, a string holds half a character, or they are
/// nested too deeply. A handler that does not look at that part may still take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a request with such params cannot be sent again with answers: a number, a string or the depth is beyond bounds"
)]
pub(super) struct NoValue;

/// What a request is about: its params without what belongs to a round. None of params that are no value: they must not be
/// alike.
pub(super) fn of_params(params: &RawValue) -> Result<Digest, NoValue> {
    let mut members: Map<String, Value> = serde_json::from_str(params.get()).map_err(|_| NoValue)?;
    for name in OF_A_ROUND {
        members.remove(name);
    }
    let mut hash = Sha256::new();
    object(&mut hash, &members);
    Ok(hash.finalize().into())
}

/// What a question is about: where a person is sent to may carry something that is new each time.
pub(super) fn of_question(method: &str, params: &Value) -> Digest {
    let mut hash = Sha256::new();
    text(&mut hash, method);
    if let Value::Object(params) = params {
        let mut params = params.clone();
        params.remove("url");
        params.remove("elicitationId");
        object(&mut hash, &params);
    }
    hash.finalize().into()
}

/// Each value begins with a letter for its kind, and each that has parts with their number, so that no two values are
/// written alike.
fn value(hash: &mut Sha256, of: &Value) {
    match of {
        Value::Null => hash.update(b"0"),
        Value::Bool(yes) => hash.update(if *yes { b"t" } else { b"f" }),
        Value::Number(number) => {
            hash.update(b"n");
            text(hash, &number.to_string());
        }
        Value::String(string) => {
            hash.update(b"s");
            text(hash, string);
        }
        Value::Array(list) => {
            hash.update(b"a");
            length(hash, list.len());
            list.iter().for_each(|part| value(hash, part));
        }
        Value::Object(members) => object(hash, members),
    }
}

fn object(hash: &mut Sha256, members: &Map<String, Value>) {
    hash.update(b"o");
    length(hash, members.len());
    // Sorted whatever the order of the map, which a feature of serde_json changes.
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    for (name, of) in sorted {
        text(hash, name);
        value(hash, of);
    }
}

fn text(hash: &mut Sha256, text: &str) {
    length(hash, text.len());
    hash.update(text.as_bytes());
}

fn length(hash: &mut Sha256, length: usize) {
    hash.update((length as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::{NoValue, of_params, of_question};
    use serde_json::{json, value::RawValue};

    fn params(json: &str) -> Result<super::Digest, NoValue> {
        of_params(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn the_order_of_members_and_what_belongs_to_a_round_do_not_count() {
        let first = params(r#"{"name":"t","arguments":{"a":[1,{}],"b":null},"_meta":{"x":1}}"#);
        let again =
            r#"{"requestState":"s","arguments":{"b":null,"a":[1,{}]},"name":"t","inputResponses":{}}"#;
        assert_eq!(first, params(again));
        for other in [
            r#"{"name":"u","arguments":{"a":[1,{}],"b":null}}"#,
            r#"{"name":"t","arguments":{"a":[1,[]],"b":null}}"#,
            r#"{"name":"t","arguments":{"a":[1,{}],"b":false}}"#,
            r#"{"name":"t","arguments":{"a":[1,{}],"b":null,"c":1}}"#,
            r#"{"name":"t","arguments":{"a":["1",{}],"b":null}}"#,
            r#"{"name":"t"}"#,
        ] {
            assert_ne!(first, params(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_value_has_no_digest() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for odd in ["1e999", r#""\ud800""#, &deep] {
            assert_eq!(params(&format!(r#"{{"name":"t","odd":{odd}}}"#)), Err(NoValue), "{odd}");
        }
    }

    #[test]
    fn a_url_may_be_new_each_time() {
        let of = |url: &str, message: &str| {
            of_question("elicitation/create", &json!({ "mode": "url", "url": url, "message": message }))
        };
        assert_eq!(of("https://a.example/1", "Go."), of("https://a.example/2", "Go."));
        assert_ne!(of("https://a.example/1", "Go."), of("https://a.example/1", "Stay."));
    }
}
