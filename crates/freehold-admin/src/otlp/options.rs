//! How metrics are exported, and what is wrong with that.

use crate::{client::HttpUrl, limits};
use freehold::runtime::{Runtime, TokioRuntime};
use http::{HeaderName, HeaderValue, header};
use std::{env, fmt, io, time::Duration};

/// How metrics are exported to a collector of OpenTelemetry.
///
/// # Examples
///
/// ```
/// use freehold_admin::OtlpOptions;
/// use std::time::Duration;
///
/// let options = OtlpOptions {
///     endpoint: Some("http://127.0.0.1:4318/v1/metrics".to_owned()),
///     service_name: Some("ledger".to_owned()),
///     interval: Duration::from_secs(15),
///     ..OtlpOptions::default()
/// };
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct OtlpOptions {
    /// The address that metrics are posted to, with its path: most often `http://HOST:4318/v1/metrics`. See
    /// [`set_collector`](Self::set_collector).
    pub endpoint: Option<String>,
    /// Sent with each export: names and values, such as those of a token. At most [`limits::OTLP_HEADERS`].
    pub headers: Vec<(String, String)>,
    /// The attribute `service.name`; without it `unknown_service:` and the name of the program, as OpenTelemetry wants.
    pub service_name: Option<String>,
    /// The attribute `service.version`.
    pub service_version: Option<String>,
    /// The attribute `service.instance.id`; without it a random one, new for each exporter.
    pub service_instance_id: Option<String>,
    /// More attributes of the resource: names and values. At most [`limits::OTLP_ATTRIBUTES`].
    pub attributes: Vec<(String, String)>,
    /// From one export to the next: 60 s by default, at least [`limits::OTLP_INTERVAL_LEAST`] and at most
    /// [`limits::OTLP_INTERVAL_MOST`].
    pub interval: Duration,
    /// How long one may take, from the connection to the answer: 10 s by default, at most [`limits::OTLP_TIMEOUT_MOST`].
    pub timeout: Duration,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            service_name: None,
            service_version: None,
            service_instance_id: None,
            attributes: Vec::new(),
            interval: limits::OTLP_INTERVAL,
            timeout: limits::OTLP_TIMEOUT,
        }
    }
}

impl fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpOptions")
            .field("endpoint", &self.endpoint)
            .field("headers", &headers)
            .field("service_name", &self.service_name)
            .field("service_version", &self.service_version)
            .field("service_instance_id", &self.service_instance_id)
            .field("attributes", &self.attributes)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl OtlpOptions {
    /// Exports to the collector at this address, such as `http://127.0.0.1:4318`: its metrics go to `/v1/metrics` below it.
    pub fn set_collector(&mut self, url: &str) {
        self.endpoint = Some(format!("{}/v1/metrics", url.trim_end_matches('/')));
    }
}

/// Metrics cannot be exported so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// Nobody said where to.
    #[error(
        "it is not said where metrics go: set the endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT, to an address such as \
         http://127.0.0.1:4318"
    )]
    NoEndpoint,
    /// The address is none that can be posted to.
    #[error(
        "{0:?} is no address of a collector: write http://HOST:4318; for https run a collector or a proxy on this machine \
         that forwards"
    )]
    Endpoint(String),
    /// Another protocol is asked for.
    #[error("the protocol {0:?} is not supported: use http/protobuf, most often on port 4318")]
    Protocol(String),
    /// A header cannot be sent, or is one of ours. Its value is not told.
    #[error(
        "the header {0:?} cannot be sent: use a name and a value as HTTP knows them, and none that says how the body is sent"
    )]
    Header(String),
    /// There are more headers or attributes than their bound.
    #[error("at most {most} {what}, of {bytes} bytes together", bytes = limits::OTLP_TOLD_BYTES)]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Their bound.
        most: usize,
    },
    /// The interval is out of its bounds.
    #[error(
        "an interval of {0:?} is out of its bounds, {least:?} to {most:?}",
        least = limits::OTLP_INTERVAL_LEAST,
        most = limits::OTLP_INTERVAL_MOST
    )]
    Interval(Duration),
    /// The time limit of an export is out of its bounds.
    #[error(
        "a time limit of {0:?} is out of its bounds, more than zero and at most {most:?}",
        most = limits::OTLP_TIMEOUT_MOST
    )]
    Timeout(Duration),
    /// A variable of the environment cannot be read. Its value is not told.
    #[error("the variable {variable} is not {wanted}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// The system has no thread for it.
    #[error("the export of metrics cannot start: {0}")]
    Start(#[source] io::Error),
}

/// Options that were found valid.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) endpoint: HttpUrl,
    /// As they are sent.
    pub(super) headers: String,
    pub(super) resource: Vec<(String, String)>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl fmt::Debug for Target {
    /// Without the headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("endpoint", &self.endpoint)
            .field("resource", &self.resource)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Target {
    pub(super) fn of(options: OtlpOptions) -> Result<Self, OtlpError> {
        let endpoint = options.endpoint.as_deref().ok_or(OtlpError::NoEndpoint)?;
        let endpoint = endpoint.parse().map_err(|_| OtlpError::Endpoint(endpoint.to_owned()))?;
        let OtlpOptions { interval, timeout, .. } = options;
        if !(limits::OTLP_INTERVAL_LEAST..=limits::OTLP_INTERVAL_MOST).contains(&interval) {
            return Err(OtlpError::Interval(interval));
        }
        if timeout.is_zero() || timeout > limits::OTLP_TIMEOUT_MOST {
            return Err(OtlpError::Timeout(timeout));
        }
        bounded("headers", &options.headers, limits::OTLP_HEADERS)?;
        let headers =
            options.headers.iter().map(|(name, value)| header_line(name, value)).collect::<Result<_, _>>()?;
        let resource = resource(options);
        bounded("attributes of the resource", &resource, limits::OTLP_ATTRIBUTES)?;
        Ok(Self { endpoint, headers, resource, interval, timeout })
    }
}

fn bounded(what: &'static str, pairs: &[(String, String)], most: usize) -> Result<(), OtlpError> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if pairs.len() > most || bytes > limits::OTLP_TOLD_BYTES {
        return Err(OtlpError::TooMany { what, most });
    }
    Ok(())
}

/// Those that say how the body is sent.
const OURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TRANSFER_ENCODING,
];

fn header_line(name: &str, value: &str) -> Result<String, OtlpError> {
    let invalid = || OtlpError::Header(name.to_owned());
    let known = HeaderName::try_from(name).map_err(|_| invalid())?;
    let told = HeaderValue::from_str(value).map_err(|_| invalid())?;
    let told = told.to_str().map_err(|_| invalid())?;
    if OURS.contains(&known) {
        return Err(invalid());
    }
    Ok(format!("{known}: {told}\r\n"))
}

/// The attributes of the resource, each once: those with a field of their own win.
fn resource(options: OtlpOptions) -> Vec<(String, String)> {
    let name = options.service_name.unwrap_or_else(unknown_service);
    let instance = options.service_instance_id.unwrap_or_else(random_id);
    let mut resource = vec![("service.name".to_owned(), name), ("service.instance.id".to_owned(), instance)];
    resource.extend(options.service_version.map(|version| ("service.version".to_owned(), version)));
    for (name, value) in options.attributes {
        if !resource.iter().any(|(known, _)| *known == name) {
            resource.push((name, value));
        }
    }
    resource
}

fn unknown_service() -> String {
    let program = env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
    program.map_or("unknown_service".to_owned(), |program| format!("unknown_service:{program}"))
}

/// A random UUID, version 4, as OpenTelemetry recommends.
fn random_id() -> String {
    let mut bytes = [0; 16];
    TokioRuntime.fill_random(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::{OtlpError, OtlpOptions, Target, random_id};
    use crate::limits;
    use std::time::Duration;

    fn to(endpoint: &str) -> OtlpOptions {
        OtlpOptions { endpoint: Some(endpoint.to_owned()), ..OtlpOptions::default() }
    }

    fn with_header(name: &str, value: &str) -> OtlpOptions {
        OtlpOptions { headers: vec![(name.to_owned(), value.to_owned())], ..to("http://a.test") }
    }

    #[test]
    fn a_collector_has_its_metrics_below_its_address() {
        for (url, endpoint) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
            ("http://a.test/", "http://a.test:80/v1/metrics"),
            ("http://a.test:1/otlp", "http://a.test:1/otlp/v1/metrics"),
        ] {
            let mut options = OtlpOptions::default();
            options.set_collector(url);
            assert_eq!(Target::of(options).unwrap().endpoint.to_string(), endpoint);
        }
    }

    #[test]
    fn options_out_of_their_bounds_are_refused() {
        let refused = |options: OtlpOptions| Target::of(options).unwrap_err();
        assert!(matches!(refused(OtlpOptions::default()), OtlpError::NoEndpoint));
        for endpoint in ["https://a.test:4318", "a.test:4318", ""] {
            assert!(matches!(refused(to(endpoint)), OtlpError::Endpoint(_)), "{endpoint}");
        }
        for interval in [Duration::ZERO, Duration::from_millis(1), limits::OTLP_INTERVAL_MOST * 2] {
            let options = OtlpOptions { interval, ..to("http://a.test") };
            assert!(matches!(refused(options), OtlpError::Interval(_)), "{interval:?}");
        }
        for timeout in [Duration::ZERO, limits::OTLP_TIMEOUT_MOST * 2] {
            let options = OtlpOptions { timeout, ..to("http://a.test") };
            assert!(matches!(refused(options), OtlpError::Timeout(_)), "{timeout:?}");
        }
        for (name, value) in
            [("Host", "x"), ("content-length", "1"), ("a b", "x"), ("a", "x\r\nb: y"), ("a", "\u{e9}")]
        {
            assert!(matches!(refused(with_header(name, value)), OtlpError::Header(_)), "{name}: {value}");
        }
        let many = vec![("a".to_owned(), "b".to_owned()); limits::OTLP_HEADERS + 1];
        assert!(matches!(
            refused(OtlpOptions { headers: many, ..to("http://a.test") }),
            OtlpError::TooMany { .. }
        ));
        let long = vec![("a".to_owned(), "b".repeat(limits::OTLP_TOLD_BYTES))];
        assert!(matches!(
            refused(OtlpOptions { attributes: long, ..to("http://a.test") }),
            OtlpError::TooMany { .. }
        ));
    }

    #[test]
    fn values_of_headers_are_shown_nowhere() {
        let options = with_header("authorization", "s3cret");
        let target = Target::of(options.clone()).unwrap();
        assert!(target.headers.contains("s3cret"));
        let refused = Target::of(with_header("a b", "s3cret")).unwrap_err();
        for shown in [format!("{options:?}"), format!("{target:?}"), format!("{refused:?} {refused}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn a_resource_has_each_attribute_once() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = OtlpOptions {
            service_name: Some("ledger".to_owned()),
            attributes: vec![pair("service.name", "other"), pair("zone", "b"), pair("zone", "c")],
            ..to("http://a.test")
        };
        let resource = Target::of(options).unwrap().resource;
        let of = |name: &str| -> Vec<_> {
            resource.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
        };
        assert_eq!((of("service.name"), of("zone")), (vec!["ledger"], vec!["b"]));
        assert_eq!(of("service.instance.id").len(), 1);
        let unknown = Target::of(to("http://a.test")).unwrap().resource;
        assert!(
            unknown
                .iter()
                .any(|(name, value)| name == "service.name" && value.starts_with("unknown_service:"))
        );
    }

    #[test]
    fn instances_have_ids_of_their_own() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{one}");
        assert_eq!(&one[14..15], "4", "{one}");
    }
}
