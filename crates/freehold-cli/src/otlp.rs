//! The export of metrics by `freehold serve`.

use crate::{
    config::{Config, ConfigError},
    failure::Failure,
};
use freehold::{Engine, State};
use freehold_admin::{OtlpError, OtlpExporter, OtlpOptions, RunningOtlp, Telemetry};
use std::env;

/// Where metrics go to, if anywhere.
pub(crate) struct OtlpTarget {
    exporter: Option<OtlpExporter>,
    /// Why the variables of OpenTelemetry are not followed. They may be meant for other programs, so that is no mistake of usage.
    ignored: Option<OtlpError>,
}

impl OtlpTarget {
    pub(crate) fn of(config: &Config) -> Result<Self, ConfigError> {
        let none = Self { exporter: None, ignored: None };
        match config.otlp.as_deref() {
            Some("off") => Ok(none),
            Some(url) => {
                let exporter =
                    asked_for(url).map_err(|error| ConfigError::Otlp { url: url.to_owned(), error })?;
                Ok(Self { exporter: Some(exporter), ..none })
            }
            None => Ok(match by_environment() {
                Ok(exporter) => Self { exporter, ..none },
                Err(error) => Self { ignored: Some(error), ..none },
            }),
        }
    }

    /// Exports from now on; nothing if that is not wanted.
    pub(crate) fn start<S: State>(
        self,
        engine: &Engine<S>,
        telemetry: &Telemetry,
    ) -> Result<Option<RunningOtlp>, Failure> {
        if let Some(error) = self.ignored {
            tracing::warn!(%error, "no export of metrics; --otlp off says that none is wanted");
        }
        let Some(exporter) = self.exporter else { return Ok(None) };
        let endpoint = exporter.endpoint();
        let running = exporter.start(engine, telemetry);
        let running = running
            .map_err(|error| Failure::Otlp { endpoint: endpoint.clone(), reason: error.to_string() })?;
        tracing::info!(endpoint, "exporting metrics");
        Ok(Some(running))
    }
}

fn options(variable: impl Fn(&str) -> Option<String>) -> Result<OtlpOptions, OtlpError> {
    let mut options = OtlpOptions::from_environment(variable)?;
    if options.service_name.is_none() {
        options.service_name = Some("freehold".to_owned());
        options.service_version.get_or_insert_with(|| env!("CARGO_PKG_VERSION").to_owned());
    }
    Ok(options)
}

fn asked_for(url: &str) -> Result<OtlpExporter, OtlpError> {
    // Where to is said already, whatever the variables say.
    let mut options = options(|name| env::var(name).ok().filter(|_| !name.ends_with("_ENDPOINT")))?;
    options.set_collector(url);
    OtlpExporter::new(options)
}

fn by_environment() -> Result<Option<OtlpExporter>, OtlpError> {
    let options = options(|name| env::var(name).ok())?;
    options.endpoint.is_some().then(|| OtlpExporter::new(options)).transpose()
}
