//! The variables of the environment that OpenTelemetry defines.

use super::options::{OtlpError, OtlpOptions};
use percent_encoding::percent_decode_str;
use std::time::Duration;

const NUMBER: &str = "a number of milliseconds";
const PAIRS: &str = "a list such as name=value,other=value, with what is special in it percent-encoded";

impl OtlpOptions {
    /// What the standard variables say, each read by `variable`; an empty one is not set.
    ///
    /// | Variable | |
    /// |---|---|
    /// | `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT` | where to: the first as it is, the second with `/v1/metrics` below it |
    /// | `OTEL_EXPORTER_OTLP_METRICS_HEADERS`, else `OTEL_EXPORTER_OTLP_HEADERS` | headers |
    /// | `OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`, else `OTEL_EXPORTER_OTLP_TIMEOUT` | milliseconds |
    /// | `OTEL_EXPORTER_OTLP_METRICS_PROTOCOL`, else `OTEL_EXPORTER_OTLP_PROTOCOL` | only `http/protobuf`, if an endpoint is set |
    /// | `OTEL_METRIC_EXPORT_INTERVAL` | milliseconds |
    /// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the resource |
    /// | `OTEL_SDK_DISABLED=true`, `OTEL_METRICS_EXPORTER` without `otlp` | no endpoint |
    ///
    /// # Errors
    ///
    /// [`OtlpError::Variable`] if one cannot be read; [`OtlpError::Protocol`].
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_admin::OtlpOptions;
    ///
    /// let options = OtlpOptions::from_environment(|name| std::env::var(name).ok())?;
    /// if options.endpoint.is_none() {
    ///     println!("nobody wants metrics");
    /// }
    /// # Ok::<(), freehold_admin::OtlpError>(())
    /// ```
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, OtlpError> {
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, set(name)?)));
        let mut options = Self::default();
        if let Some(url) = set("OTEL_EXPORTER_OTLP_ENDPOINT") {
            options.set_collector(&url);
        }
        options.endpoint = set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").or(options.endpoint);
        if is_off(&set) {
            options.endpoint = None;
        }
        let protocol = first(["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((_, protocol)) = protocol
            && protocol != "http/protobuf"
            && options.endpoint.is_some()
        {
            return Err(OtlpError::Protocol(protocol));
        }
        if let Some((name, list)) =
            first(["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"])
        {
            options.headers = pairs(name, &list)?;
        }
        if let Some((name, text)) =
            first(["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"])
        {
            options.timeout = milliseconds(name, &text)?;
        }
        const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
        if let Some(text) = set(INTERVAL) {
            options.interval = milliseconds(INTERVAL, &text)?;
        }
        const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(list) = set(ATTRIBUTES) {
            options.take_attributes(pairs(ATTRIBUTES, &list)?);
        }
        options.service_name = set("OTEL_SERVICE_NAME").or(options.service_name);
        Ok(options)
    }

    fn take_attributes(&mut self, attributes: Vec<(String, String)>) {
        for (name, value) in attributes {
            match &*name {
                "service.name" => self.service_name = Some(value),
                "service.version" => self.service_version = Some(value),
                "service.instance.id" => self.service_instance_id = Some(value),
                _ => self.attributes.push((name, value)),
            }
        }
    }
}

fn is_off(set: &impl Fn(&str) -> Option<String>) -> bool {
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let others =
        set("OTEL_METRICS_EXPORTER").is_some_and(|list| !list.split(',').any(|name| name.trim() == "otlp"));
    disabled || others
}

fn milliseconds(variable: &'static str, text: &str) -> Result<Duration, OtlpError> {
    let number = text.parse().map_err(|_| OtlpError::Variable { variable, wanted: NUMBER })?;
    Ok(Duration::from_millis(number))
}

fn pairs(variable: &'static str, list: &str) -> Result<Vec<(String, String)>, OtlpError> {
    let wrong = || OtlpError::Variable { variable, wanted: PAIRS };
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text.trim()).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| wrong())
    };
    let told = list.split(',').filter(|pair| !pair.trim().is_empty());
    told.map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        Ok((decoded(name)?, decoded(value)?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{OtlpError, OtlpOptions};
    use std::time::Duration;

    fn of(variables: &[(&str, &str)]) -> Result<OtlpOptions, OtlpError> {
        OtlpOptions::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_special_to_metrics_wins_over_what_is_for_all() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all.test:4318/");
        let special = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics.test/here");
        let endpoint = |variables: &[(&str, &str)]| of(variables).unwrap().endpoint;
        assert_eq!(endpoint(&[]), None);
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
        assert_eq!(endpoint(&[all]).as_deref(), Some("http://all.test:4318/v1/metrics"));
        assert_eq!(endpoint(&[all, special]).as_deref(), Some("http://metrics.test/here"));
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_METRICS_EXPORTER", "none")] {
            assert_eq!(endpoint(&[all, off]), None, "{off:?}");
        }
        assert!(endpoint(&[all, ("OTEL_METRICS_EXPORTER", "console, otlp")]).is_some());
        let timeouts = [("OTEL_EXPORTER_OTLP_TIMEOUT", "1"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2500")];
        assert_eq!(of(&timeouts).unwrap().timeout, Duration::from_millis(2_500));
    }

    #[test]
    fn the_rest_is_read_as_the_specification_says() {
        let options = of(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key = s%2Cx%3D , other=b=c,"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=no,service.version=7,service.instance.id=i,zone=b%20c",
            ),
            ("OTEL_SERVICE_NAME", "ledger"),
        ])
        .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(options.headers, [pair("api-key", "s,x="), pair("other", "b=c")]);
        assert_eq!(options.interval, Duration::from_secs(15));
        assert_eq!(options.service_name.as_deref(), Some("ledger"));
        assert_eq!(options.service_version.as_deref(), Some("7"));
        assert_eq!(options.service_instance_id.as_deref(), Some("i"));
        assert_eq!(options.attributes, [pair("zone", "b c")]);
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%ff"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "-1"),
        ] {
            let error = of(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains(value), "{error}");
        }
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert!(of(&[grpc]).is_ok(), "nothing is exported");
        let error = of(&[grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.test:4317")]).unwrap_err();
        assert!(error.to_string().contains("http/protobuf"), "{error}");
    }
}
