//! The trace that a request belongs to (W3C Trace Context and Baggage), as its `_meta` says.

use serde::Serialize;

/// Bytes of a `traceparent` of the only version there is; later ones may be longer.
const TRACEPARENT_BYTES: usize = 55;
const TRACEPARENT_MOST: usize = 256;
/// What must be passed on at least, and no more of it is, since it goes into each call that a handler makes.
const TRACESTATE_MOST: usize = 512;
const BAGGAGE_MOST: usize = 8 << 10;

/// The trace that a request belongs to. Written as JSON, it is what belongs into the `_meta` of a request that is made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baggage: Option<Box<str>>,
}

impl TraceContext {
    /// Reads the values; what is not of its format, or too long, counts as absent, and `tracestate` does not count without
    /// its `traceparent`.
    pub(crate) fn read(
        traceparent: Option<&str>,
        tracestate: Option<&str>,
        baggage: Option<&str>,
    ) -> Option<Self> {
        let short = |most: usize| {
            move |text: &&str| {
                !text.is_empty()
                    && text.len() <= most
                    && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
            }
        };
        let traceparent = traceparent.filter(|text| is_traceparent(text));
        let tracestate = tracestate.filter(|_| traceparent.is_some()).filter(short(TRACESTATE_MOST));
        let baggage = baggage.filter(short(BAGGAGE_MOST));
        (traceparent.is_some() || baggage.is_some()).then(|| Self {
            traceparent: traceparent.map(Box::from),
            tracestate: tracestate.map(Box::from),
            baggage: baggage.map(Box::from),
        })
    }

    /// `traceparent`, as it came.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// `tracestate`, as it came.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// `baggage`, as it came.
    #[must_use]
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_deref()
    }

    /// The trace's id, of 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.part(1)
    }

    /// The id of the client's span, of 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> Option<&str> {
        self.part(2)
    }

    /// Whether the client records the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.part(3).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.traceparent()?.split('-').nth(index)
    }
}

fn is_traceparent(text: &str) -> bool {
    let known = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let Some(version) = hex(parts.next(), 2) else { return false };
    let length_fits = if version == "00" {
        text.len() == TRACEPARENT_BYTES
    } else {
        (TRACEPARENT_BYTES..=TRACEPARENT_MOST).contains(&text.len()) && text.is_ascii()
    };
    version != "ff"
        && length_fits
        && hex(parts.next(), 32).is_some_and(known)
        && hex(parts.next(), 16).is_some_and(known)
        && hex(parts.next(), 2).is_some()
}

fn hex(part: Option<&str>, length: usize) -> Option<&str> {
    let digits = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    part.filter(|part| part.len() == length && digits(part))
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn what_is_a_traceparent() {
        for (text, fits) in [
            (PARENT, true),
            ("cc-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-what-will-come", true),
            ("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7", false),
            ("", false),
        ] {
            assert_eq!(TraceContext::read(Some(text), None, None).is_some(), fits, "{text}");
        }
    }

    #[test]
    fn its_parts() {
        let trace = TraceContext::read(Some(PARENT), Some("a=1"), Some("user=x")).unwrap();
        assert_eq!(trace.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace.parent_id(), Some("00f067aa0ba902b7"));
        assert!(trace.is_sampled());
        let meta = format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=1","baggage":"user=x"}}"#);
        assert_eq!(serde_json::to_string(&trace).unwrap(), meta);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(TraceContext::read(None, Some("a=1"), None), None);
        assert_eq!(TraceContext::read(Some(PARENT), Some("a\n"), None).unwrap().tracestate(), None);
        assert_eq!(
            TraceContext::read(Some(PARENT), Some(&"a".repeat(513)), None).unwrap().tracestate(),
            None
        );
        let only = TraceContext::read(Some("nonsense"), Some("a=1"), Some("user=x")).unwrap();
        assert_eq!((only.traceparent(), only.tracestate(), only.baggage()), (None, None, Some("user=x")));
        assert!(!only.is_sampled());
    }
}
