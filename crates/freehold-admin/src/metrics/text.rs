//! The Prometheus text format, version 0.0.4.

use super::names::{Kind, METRICS};
use std::fmt::Write;

/// Writes families one after the other, in any order; each once.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    #[cfg(debug_assertions)]
    written: Vec<&'static str>,
}

impl Exposition {
    /// Begins the family `name`, which is one of [`METRICS`].
    pub(super) fn family(&mut self, name: &'static str) -> Family<'_> {
        let described = METRICS.iter().find(|metric| metric.name == name);
        debug_assert!(described.is_some(), "{name} is not described");
        #[cfg(debug_assertions)]
        {
            assert!(!self.written.contains(&name), "{name} is written twice");
            self.written.push(name);
        }
        if let Some(metric) = described {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
        }
        Family { text: &mut self.text, name }
    }

    /// A family with one value and no labels.
    pub(super) fn single(&mut self, name: &'static str, value: impl Into<Value>) {
        self.family(name).sample(&[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A figure.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Count(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Into<Value>) {
        self.line("", labels, None, value.into());
    }

    /// A histogram: the upper ends of its buckets in seconds with how many are in each alone, how many are beyond, and the
    /// sum in seconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], beyond: u64, sum: f64) {
        let mut count = 0;
        for (bound, in_bucket) in buckets {
            count += in_bucket;
            self.line("_bucket", labels, Some(&bound.to_string()), Value::Count(count));
        }
        count += beyond;
        self.line("_bucket", labels, Some("+Inf"), Value::Count(count));
        self.line("_sum", labels, None, Value::Real(sum));
        self.line("_count", labels, None, Value::Count(count));
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: Value) {
        let text = &mut *self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            text.push(separator);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        let _ = match value {
            Value::Count(count) => writeln!(text, " {count}"),
            Value::Real(real) => writeln!(text, " {real}"),
        };
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn it_is_written_as_the_format_says() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("freehold_call_duration_seconds");
        family.histogram(&[("method", "a\"b\\c\nd")], &[(0.01, 2), (0.1, 1)], 1, 1.25);
        let text = exposition.into_text();
        let lines: Vec<_> = text.lines().skip(1).collect();
        let labels = r#"method="a\"b\\c\nd""#;
        assert_eq!(
            lines,
            [
                "# TYPE freehold_call_duration_seconds histogram",
                &format!("freehold_call_duration_seconds_bucket{{{labels},le=\"0.01\"}} 2"),
                &format!("freehold_call_duration_seconds_bucket{{{labels},le=\"0.1\"}} 3"),
                &format!("freehold_call_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
                &format!("freehold_call_duration_seconds_sum{{{labels}}} 1.25"),
                &format!("freehold_call_duration_seconds_count{{{labels}}} 4"),
            ]
        );
    }
}
