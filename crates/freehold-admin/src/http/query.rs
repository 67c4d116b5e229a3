//! What a request asks for in its query.

use crate::{inspection::Query, limits};

/// The first value of `name`, decoded.
pub(super) fn value_of(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        let escaped = bytes.get(at + 1).and_then(hex).zip(bytes.get(at + 2).and_then(hex));
        match (byte, escaped) {
            (b'%', Some((high, low))) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `q` (what is searched for) as it was typed.
pub(super) fn search_of(query: Option<&str>) -> String {
    value_of(query, "q").unwrap_or_default().chars().take(limits::SEARCH).collect()
}

/// `q` and `limit`.
///
/// # Errors
///
/// What is wrong with `limit`.
pub(super) fn query_of(query: Option<&str>) -> Result<Query, String> {
    let most = match value_of(query, "limit") {
        None => limits::LISTED,
        Some(limit) => limit.parse().map_err(|_| {
            format!("limit must be a number of items, at most {}, not {limit:?}", limits::LISTED_MOST)
        })?,
    };
    let search = search_of(query).trim().to_lowercase();
    Ok(Query { search, most: most.min(limits::LISTED_MOST) })
}

#[cfg(test)]
mod tests {
    use super::{query_of, search_of, value_of};

    #[test]
    fn values_are_decoded_and_bounded() {
        let query = Some("a=1&q=tools%2Fcall+%C3%A9&format=svg&limit=3");
        assert_eq!(search_of(query), "tools/call \u{e9}");
        assert_eq!(value_of(query, "format").as_deref(), Some("svg"));
        assert_eq!(value_of(query, "no"), None);
        assert_eq!(query_of(query).unwrap().most, 3);
        assert_eq!(query_of(Some("limit=999999999")).unwrap().most, crate::limits::LISTED_MOST);
        assert!(query_of(Some("limit=all")).unwrap_err().contains("limit"));
        assert_eq!(search_of(Some("q=100%")), "100%");
        assert_eq!(search_of(Some(&format!("q={}", "x".repeat(10_000)))).len(), crate::limits::SEARCH);
        assert_eq!(query_of(None).unwrap().search, "");
    }
}
