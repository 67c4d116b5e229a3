//! The Prometheus text format, version 0.0.4.

use super::{
    exposition::{Form, Labels, Value},
    names::{Kind, Metric},
};
use std::fmt::Write;

/// The text, as it grows.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    /// Of the family that was begun last.
    name: &'static str,
}

impl Text {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: Value) {
        let text = &mut self.text;
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

impl Form for Text {
    fn family(&mut self, metric: &'static Metric) {
        let Metric { name, help, .. } = metric;
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: Labels<'_>, value: Value) {
        self.line("", labels, None, value);
    }

    fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], beyond: u64, sum: f64) {
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
    use super::{super::exposition::Exposition, Text};

    #[test]
    fn it_is_written_as_the_format_says() {
        let mut text = Text::default();
        let mut exposition = Exposition::new(&mut text);
        let mut family = exposition.family("freehold_call_duration_seconds");
        family.histogram(&[("method", "a\"b\\c\nd")], &[(0.01, 2), (0.1, 1)], 1, 1.25);
        let text = text.into_text();
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
