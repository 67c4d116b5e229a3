//! What a server did, in words.

use super::client::End;
use std::time::Duration;

/// One thing that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at; the same for each server.
    pub label: String,
    /// What it did.
    pub what: String,
    /// Whether that is what the scenario asks for.
    pub held: bool,
}

impl Fact {
    pub(super) fn new(label: impl Into<String>, what: impl Into<String>, held: bool) -> Self {
        Self { label: label.into(), what: what.into(), held }
    }

    /// A fact that asks for nothing.
    pub(super) fn plain(label: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(label, what, true)
    }
}

/// A duration as people read it.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 10.0 => format!("{seconds:.0} s"),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.0} ms", (seconds * 1_000.0).max(1.0)),
    }
}

/// How a request ended, if it did within `limit`.
pub(super) fn ending(end: Option<&(Duration, End)>, limit: Duration) -> String {
    let Some((after, end)) = end else { return format!("no answer within {}", span(limit)) };
    let after = span(*after);
    match end {
        End::Result(result) if result["isError"] == true => format!("answered by a tool error after {after}"),
        End::Result(_) => format!("answered after {after}"),
        End::Error(error) => format!("answered by error {} after {after}", error["code"]),
        End::Status(status) => format!("HTTP {status} after {after}"),
        End::Closed(how) => format!("no answer; {how} after {after}"),
    }
}

/// Whether a request was answered, be it by an error.
pub(super) fn answered(end: Option<&(Duration, End)>) -> bool {
    matches!(end, Some((_, End::Result(_) | End::Error(_))))
}

/// Whether a request was answered by a result that is no error.
pub(super) fn succeeded(end: Option<&(Duration, End)>) -> bool {
    matches!(end, Some((_, End::Result(result))) if result["isError"] != true)
}

/// How many of several requests were answered, and how long the slowest took.
pub(super) fn several(
    label: &str,
    ends: &[Option<(Duration, End)>],
    limit: Duration,
    held: impl Fn(Option<&(Duration, End)>) -> bool,
) -> Fact {
    let all = ends.len();
    let good: Vec<_> = ends.iter().map(Option::as_ref).filter(|end| held(*end)).flatten().collect();
    let slowest =
        good.iter().map(|(after, _)| *after).max().map(|slowest| format!(", slowest {}", span(slowest)));
    let mut what = format!("{} of {all} answered{}", good.len(), slowest.unwrap_or_default());
    if let Some(other) = ends.iter().map(Option::as_ref).find(|end| !held(*end)) {
        what += &format!("; {}", ending(other, limit));
    }
    Fact::new(label, what, good.len() == all)
}

/// Kibibytes as people read them.
pub(super) fn memory(kib: i128) -> String {
    format!("{:+.1} MiB", kib as f64 / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::{End, answered, ending, several, span, succeeded};
    use serde_json::json;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn words() {
        let limit = 10_000 * MS;
        let rows = [
            (None, "no answer within 10 s", false, false),
            (Some((7 * MS, End::Result(json!({})))), "answered after 7 ms", true, true),
            (
                Some((MS, End::Result(json!({ "isError": true })))),
                "answered by a tool error after 1 ms",
                true,
                false,
            ),
            (
                Some((1_500 * MS, End::Error(json!({ "code": -32603 })))),
                "answered by error -32603 after 1.5 s",
                true,
                false,
            ),
            (Some((MS, End::Status(404))), "HTTP 404 after 1 ms", false, false),
            (Some((MS, End::Closed("the end".into()))), "no answer; the end after 1 ms", false, false),
        ];
        for (end, words, is_answer, is_success) in rows {
            assert_eq!(ending(end.as_ref(), limit), words);
            assert_eq!((answered(end.as_ref()), succeeded(end.as_ref())), (is_answer, is_success), "{words}");
        }
    }

    #[test]
    fn of_several_the_first_that_differs_is_told() {
        let ends = [Some((MS, End::Result(json!({})))), None, Some((MS, End::Status(500)))];
        let fact = several("calls", &ends, 2_000 * MS, succeeded);
        assert_eq!(fact.what, "1 of 3 answered, slowest 1 ms; no answer within 2.0 s");
        assert!(!fact.held);
        assert!(several("calls", &ends[..1], MS, succeeded).held);
        assert_eq!(span(Duration::ZERO), "1 ms");
    }
}
