//! Everything that is exported, once, whatever form it is sent or shown in.

use super::names::{METRICS, Metric};

/// What takes the samples: text, or a message.
pub(crate) trait Form {
    /// Begins a family; what follows belongs to it.
    fn family(&mut self, metric: &'static Metric);

    /// One value of a counter or a gauge.
    fn sample(&mut self, labels: Labels<'_>, value: Value);

    /// A histogram: the upper ends of its buckets in seconds with how many are in each alone, how many are beyond, and the
    /// sum in seconds.
    fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], beyond: u64, sum: f64);
}

pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A figure.
#[derive(Clone, Copy)]
pub(crate) enum Value {
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

/// Gives families to a form one after the other, in any order; each once.
pub(super) struct Exposition<'a> {
    form: &'a mut dyn Form,
    #[cfg(debug_assertions)]
    written: Vec<&'static str>,
}

impl<'a> Exposition<'a> {
    pub(super) fn new(form: &'a mut dyn Form) -> Self {
        Self {
            form,
            #[cfg(debug_assertions)]
            written: Vec::new(),
        }
    }

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
            self.form.family(metric);
        }
        Family(self.form)
    }

    /// A family with one value and no labels.
    pub(super) fn single(&mut self, name: &'static str, value: impl Into<Value>) {
        self.family(name).sample(&[], value);
    }
}

/// The family that was begun last.
pub(super) struct Family<'a>(&'a mut dyn Form);

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Into<Value>) {
        self.0.sample(labels, value.into());
    }

    /// See [`Form::histogram`].
    pub(super) fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], beyond: u64, sum: f64) {
        self.0.histogram(labels, buckets, beyond, sum);
    }
}
