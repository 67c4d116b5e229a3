//! The messages: what is exported as protobuf, and what the collector says to it.

use crate::{
    client::Posted,
    metrics::{Form, Kind, Labels, Metric, Value},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        self as otlp, AggregationTemporality, HistogramDataPoint, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use std::{io, time::Duration};

/// From when to when was counted, as times since 1970.
#[derive(Clone, Copy)]
pub(super) struct Period {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// One export, as it grows.
pub(super) struct Message {
    metrics: Vec<otlp::Metric>,
    from: u64,
    to: u64,
}

impl Message {
    pub(super) fn new(period: Period) -> Self {
        Self { metrics: Vec::new(), from: nanos(period.from), to: nanos(period.to) }
    }

    /// As protobuf, of a resource with these attributes.
    pub(super) fn into_bytes(mut self, resource: &[(String, String)]) -> Vec<u8> {
        // A metric without a point is none in this protocol.
        self.metrics.retain(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
            Some(Data::Sum(sum)) => !sum.data_points.is_empty(),
            Some(Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
            _ => false,
        });
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let attributes = resource.iter().map(|(name, value)| attribute(name, value)).collect();
        let metrics = ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: self.metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec()
    }

    fn data(&mut self) -> Option<&mut Data> {
        self.metrics.last_mut()?.data.as_mut()
    }
}

impl Form for Message {
    fn family(&mut self, metric: &'static Metric) {
        let temporality = AggregationTemporality::Cumulative.into();
        let data = match metric.kind {
            Kind::Gauge => Data::Gauge(otlp::Gauge::default()),
            Kind::Counter => Data::Sum(otlp::Sum {
                data_points: Vec::new(),
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            Kind::Histogram => Data::Histogram(otlp::Histogram {
                data_points: Vec::new(),
                aggregation_temporality: temporality,
            }),
        };
        self.metrics.push(otlp::Metric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: unit(metric.name).to_owned(),
            data: Some(data),
            ..otlp::Metric::default()
        });
    }

    fn sample(&mut self, labels: Labels<'_>, value: Value) {
        let value = match value {
            Value::Count(count) => number_data_point::Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
            Value::Real(real) => number_data_point::Value::AsDouble(real),
        };
        let mut point = NumberDataPoint {
            attributes: attributes(labels),
            time_unix_nano: self.to,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let from = self.from;
        match self.data() {
            Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
            Some(Data::Sum(sum)) => {
                point.start_time_unix_nano = from;
                sum.data_points.push(point);
            }
            _ => debug_assert!(false, "a sample of what is neither a counter nor a gauge"),
        }
    }

    fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], beyond: u64, sum: f64) {
        let bucket_counts: Vec<_> = buckets.iter().map(|(_, count)| *count).chain([beyond]).collect();
        let point = HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.from,
            time_unix_nano: self.to,
            count: bucket_counts.iter().sum(),
            sum: Some(sum),
            bucket_counts,
            explicit_bounds: buckets.iter().map(|(bound, _)| *bound).collect(),
            ..HistogramDataPoint::default()
        };
        match self.data() {
            Some(Data::Histogram(histogram)) => histogram.data_points.push(point),
            _ => debug_assert!(false, "a distribution of what is no histogram"),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// As UCUM writes it, by the ends of names that the conventions of Prometheus prescribe.
fn unit(name: &str) -> &'static str {
    match name.trim_end_matches("_total") {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_ratio") => "1",
        _ => "",
    }
}

/// A label without a value says the same as one that is not there.
fn attributes(labels: Labels<'_>) -> Vec<KeyValue> {
    let told = labels.iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// What became of an export, as the collector says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    /// In part.
    Rejected {
        points: i64,
        reason: String,
    },
    Failed {
        status: u16,
        /// How long it wants to be left alone.
        rest: Duration,
    },
}

impl Verdict {
    pub(super) fn of(answer: &Posted) -> io::Result<Self> {
        let Posted { status, retry_after, body } = answer;
        if !(200..=299).contains(status) {
            return Ok(Self::Failed { status: *status, rest: retry_after.unwrap_or_default() });
        }
        let told = ExportMetricsServiceResponse::decode(&**body).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the answer is not that of a collector ({error})"),
            )
        })?;
        Ok(match told.partial_success {
            Some(part) if part.rejected_data_points > 0 => {
                Self::Rejected { points: part.rejected_data_points, reason: part.error_message }
            }
            _ => Self::Delivered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Data, ExportMetricsServiceRequest, Message, Period};
    use crate::metrics::{Form, METRICS};
    use prost::Message as _;
    use std::time::Duration;

    #[test]
    fn a_distribution_keeps_what_is_beyond_its_buckets() {
        let period = Period { from: Duration::from_secs(1), to: Duration::from_secs(3) };
        let mut message = Message::new(period);
        let name = "freehold_call_duration_seconds";
        message.family(METRICS.iter().find(|metric| metric.name == name).unwrap());
        message.histogram(&[("method", "echo"), ("subject", "")], &[(0.01, 2), (0.1, 1)], 4, 7.5);
        let sent = ExportMetricsServiceRequest::decode(&*message.into_bytes(&[])).unwrap();
        let [metric] = &*sent.resource_metrics[0].scope_metrics[0].metrics else {
            panic!("one metric: {sent:?}")
        };
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!("no histogram: {metric:?}") };
        let [point] = &*histogram.data_points else { panic!("one point: {histogram:?}") };
        assert_eq!((&*metric.name, &*metric.unit), (name, "s"));
        assert_eq!(point.bucket_counts, [2, 1, 4]);
        assert_eq!((point.count, point.sum), (7, Some(7.5)));
        assert_eq!(point.explicit_bounds, [0.01, 0.1]);
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 3_000_000_000));
        let labels: Vec<_> = point.attributes.iter().map(|attribute| &*attribute.key).collect();
        assert_eq!(labels, ["method"]);
    }
}
