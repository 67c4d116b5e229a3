//! What the admin server says, read from the text format of Prometheus.

use anyhow::{Context, Result, ensure};

/// One scrape.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Reads a scrape.
    ///
    /// # Errors
    ///
    /// At a line that is no sample.
    pub fn parse(text: &str) -> Result<Self> {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let sample = |line: &str| {
            let (key, value) = line.rsplit_once(' ').context("no value")?;
            Ok((key.to_owned(), value.parse()?))
        };
        let samples = samples
            .map(|line| sample(line).map_err(|failure: anyhow::Error| failure.context(line.to_owned())));
        Ok(Self(samples.collect::<Result<_>>()?))
    }

    /// The sum of all samples of this name with these labels; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `sum`, which begins with -0.
        self.samples(name, labels).fold(0.0, |sum, sample| sum + sample)
    }

    /// The same of what is always there.
    ///
    /// # Errors
    ///
    /// When there is no such sample: what is not measured must not look like 0.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        ensure!(self.samples(name, labels).next().is_some(), "no metric {name} with {labels:?}");
        Ok(self.sum(name, labels))
    }

    fn samples(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        self.0.iter().filter_map(move |(key, value)| {
            let (found, labels) = key.split_once('{').unwrap_or((key, ""));
            (found == name && wanted.iter().all(|label| labels.contains(label))).then_some(*value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_by_name_and_labels() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"p q\"} 2\na{x=\"2\",y=\"p q\"} 3\na_count 5\nb 0.5\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.sum("a", &[]), 5.0);
        assert_eq!(metrics.sum("a", &[("x", "2")]), 3.0);
        assert_eq!(metrics.sum("a", &[("y", "p q")]), 5.0);
        assert_eq!(metrics.sum("a", &[("x", "3")]), 0.0);
        assert_eq!(metrics.total("b", &[]).unwrap(), 0.5);
        assert!(metrics.total("c", &[]).is_err());
        assert!(Metrics::parse("a{x=\"1\"} many\n").is_err());
    }
}
