//! The settings in effect: flags over variables over the file over the defaults.

use crate::{cli::Settings, period::Period};
use freehold::Limits;
use freehold_admin::{AdminOptions, InvalidWebhook, OtlpError, Webhook};
use freehold_mcp::HttpOptions;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// The settings in effect. The names are those of the flags, which say what they mean.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) http: String,
    pub(crate) path: String,
    pub(crate) stdio: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    pub(crate) allow_origin: Vec<String>,
    pub(crate) allow_host: Vec<String>,
    pub(crate) admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token: Option<String>,
    pub(crate) admin_allow_host: Vec<String>,
    pub(crate) alert_webhook: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otlp: Option<String>,
    pub(crate) mcp_inspection: bool,
    pub(crate) timeout: Period,
    pub(crate) timeout_cap: Period,
    pub(crate) soft_limit: Period,
    pub(crate) tool_threads: usize,
    pub(crate) drain_grace: Period,
    pub(crate) session_ttl: Period,
    pub(crate) max_sessions: NonZeroUsize,
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) max_calls: NonZeroUsize,
    pub(crate) max_calls_per_session: NonZeroUsize,
    pub(crate) max_queued_per_session: usize,
    pub(crate) max_message_bytes: NonZeroUsize,
    pub(crate) max_accounts: NonZeroUsize,
    pub(crate) log: LogLevel,
    pub(crate) log_format: LogFormat,
}

/// From which level on something is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

impl LogFormat {
    /// A program that reads what is written would stumble over anything but log lines.
    pub(crate) fn is_for_people(self) -> bool {
        self == Self::Pretty
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("the configuration file {} is not valid: {error}", file.display())]
    Invalid { file: PathBuf, error: Box<toml::de::Error> },
    #[error("the settings do not fit together: {0}")]
    Layers(#[from] toml::ser::Error),
    #[error("the settings are not valid: {0}")]
    Merged(Box<toml::de::Error>),
    #[error("{address:?} is no address to listen on: {reason}; write HOST:PORT, such as 127.0.0.1:8808")]
    Address { address: String, reason: String },
    #[error("the path {0:?} must begin with a slash and have neither a query nor a fragment")]
    EndpointPath(String),
    #[error("the token must have at least one character and only visible ASCII ones")]
    Token,
    #[error("the timeout of {timeout} is above its cap of {cap}; raise --timeout-cap or lower --timeout")]
    TimeoutAboveCap { timeout: Period, cap: Period },
    #[error(
        "{0} can be reached from other machines, and no token is set: set FREEHOLD_TOKEN (or --token) to a secret \
         that clients send as `Authorization: Bearer TOKEN`, or listen on loopback with --http 127.0.0.1:8808"
    )]
    TokenNeeded(String),
    #[error(
        "the admin address {0} can be reached from other machines, and no token is set for it: set FREEHOLD_ADMIN_TOKEN \
         (or --admin-token) to a secret, or listen on loopback with --admin 127.0.0.1:8809, or use --admin off"
    )]
    AdminTokenNeeded(String),
    #[error(
        "--mcp-inspection is for the client on standard input and output, so it needs --stdio; over HTTP use the admin \
         address (--admin), which shows the same"
    )]
    InspectionOverHttp,
    #[error("{url:?} cannot get alerts: {error}")]
    Webhook { url: String, error: InvalidWebhook },
    #[error("--otlp {url:?} gets no metrics: {error}")]
    Otlp { url: String, error: OtlpError },
}

impl Default for Config {
    fn default() -> Self {
        let limits = Limits::default();
        let http = HttpOptions::default();
        Self {
            http: "127.0.0.1:8808".to_owned(),
            path: http.path,
            stdio: false,
            token: None,
            allow_origin: Vec::new(),
            allow_host: Vec::new(),
            admin: DEFAULT_ADMIN.to_owned(),
            admin_token: None,
            admin_allow_host: Vec::new(),
            alert_webhook: Vec::new(),
            otlp: None,
            mcp_inspection: false,
            timeout: limits.deadline.into(),
            timeout_cap: limits.deadline_cap.into(),
            soft_limit: limits.soft_limit.into(),
            tool_threads: 0,
            drain_grace: limits.drain_grace.into(),
            session_ttl: limits.session_ttl.into(),
            max_sessions: at_least_one(limits.sessions),
            max_connections: at_least_one(http.connections),
            max_calls: at_least_one(limits.calls_total),
            max_calls_per_session: at_least_one(limits.running_per_session),
            max_queued_per_session: limits.queued_per_session,
            max_message_bytes: at_least_one(limits.message_bytes),
            // At about 1 KiB each, 64 MiB.
            max_accounts: at_least_one(65_536),
            log: LogLevel::Info,
            log_format: LogFormat::Pretty,
        }
    }
}

/// Where the admin server listens unless told otherwise.
const DEFAULT_ADMIN: &str = "127.0.0.1:8809";

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

impl Config {
    /// Lays `settings` (flags over variables) over the file over the defaults, and checks the outcome.
    pub(crate) fn load(file: Option<&Path>, settings: &Settings) -> Result<Self, ConfigError> {
        let base = file.map_or_else(|| Ok(Self::default()), read)?;
        let config = base.overlaid(settings)?;
        config.check()?;
        Ok(config)
    }

    fn overlaid(&self, settings: &Settings) -> Result<Self, ConfigError> {
        let mut table = toml::Table::try_from(self)?;
        table.extend(toml::Table::try_from(settings)?);
        table.try_into().map_err(|error| ConfigError::Merged(Box::new(error)))
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            return Err(ConfigError::EndpointPath(self.path.clone()));
        }
        let visible = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if [&self.token, &self.admin_token].into_iter().flatten().any(|token| !visible(token)) {
            return Err(ConfigError::Token);
        }
        self.webhooks()?;
        if self.mcp_inspection && !self.stdio {
            return Err(ConfigError::InspectionOverHttp);
        }
        if self.timeout > self.timeout_cap {
            return Err(ConfigError::TimeoutAboveCap { timeout: self.timeout, cap: self.timeout_cap });
        }
        Ok(())
    }

    /// Where to listen, and whether that is on this machine only. Off it, a token is required.
    pub(crate) fn addresses(&self) -> Result<(Vec<SocketAddr>, Reach), ConfigError> {
        let (found, reach) = resolve(&self.http)?;
        if reach == Reach::Network && self.token.is_none() {
            return Err(ConfigError::TokenNeeded(self.http.clone()));
        }
        Ok((found, reach))
    }

    /// The same of the admin server, if there is to be one.
    pub(crate) fn admin_addresses(&self) -> Result<Option<(Vec<SocketAddr>, Reach)>, ConfigError> {
        if self.admin == "off" {
            return Ok(None);
        }
        let (found, reach) = resolve(&self.admin)?;
        if reach == Reach::Network && self.admin_token.is_none() {
            return Err(ConfigError::AdminTokenNeeded(self.admin.clone()));
        }
        Ok(Some((found, reach)))
    }

    /// Whether nobody said where the admin server is to be.
    pub(crate) fn is_default_admin(&self) -> bool {
        self.admin == DEFAULT_ADMIN
    }

    pub(crate) fn admin_options(&self, reach: Reach) -> AdminOptions {
        let any_host = reach == Reach::Network && self.admin_allow_host.is_empty();
        AdminOptions {
            token: self.admin_token.clone(),
            allowed_hosts: if any_host { vec!["*".to_owned()] } else { self.admin_allow_host.clone() },
        }
    }

    pub(crate) fn webhooks(&self) -> Result<Vec<Webhook>, ConfigError> {
        let webhook = |url: &String| {
            Webhook::new(url).map_err(|error| ConfigError::Webhook { url: url.clone(), error })
        };
        self.alert_webhook.iter().map(webhook).collect()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            message_bytes: self.max_message_bytes.get(),
            running_per_session: self.max_calls_per_session.get(),
            queued_per_session: self.max_queued_per_session,
            calls_total: self.max_calls.get(),
            deadline: self.timeout.duration(),
            deadline_cap: self.timeout_cap.duration(),
            soft_limit: self.soft_limit.duration(),
            sessions: self.max_sessions.get(),
            session_ttl: self.session_ttl.duration(),
            drain_grace: self.drain_grace.duration(),
            ..Limits::default()
        }
    }

    pub(crate) fn http_options(&self, reach: Reach) -> HttpOptions {
        let any_host = reach == Reach::Network && self.allow_host.is_empty();
        HttpOptions {
            path: self.path.clone(),
            allowed_origins: self.allow_origin.clone(),
            allowed_hosts: if any_host { vec!["*".to_owned()] } else { self.allow_host.clone() },
            token: self.token.clone(),
            connections: self.max_connections.get(),
            ..HttpOptions::default()
        }
    }

    /// The settings as a configuration file; the tokens are left out.
    pub(crate) fn to_toml(&self) -> Result<String, ConfigError> {
        let mut text = toml::to_string(&Self { token: None, admin_token: None, ..self.clone() })?;
        for (name, token) in [("token", &self.token), ("admin-token", &self.admin_token)] {
            if token.is_some() {
                text.push_str(&format!("# {name} is set; it is not shown\n"));
            }
        }
        Ok(text)
    }
}

/// The addresses behind a name, and from where they can be reached.
fn resolve(address: &str) -> Result<(Vec<SocketAddr>, Reach), ConfigError> {
    let invalid = |reason: String| ConfigError::Address { address: address.to_owned(), reason };
    let found = address.to_socket_addrs().map_err(|error| invalid(error.to_string()))?;
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(invalid("the name has no address".to_owned()));
    }
    let local = found.iter().all(|address| address.ip().to_canonical().is_loopback());
    Ok((found, if local { Reach::ThisMachine } else { Reach::Network }))
}

/// From where the server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    ThisMachine,
    Network,
}

fn read(file: &Path) -> Result<Config, ConfigError> {
    let text =
        fs::read_to_string(file).map_err(|error| ConfigError::Unreadable { file: file.to_owned(), error })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Invalid { file: file.to_owned(), error: Box::new(error) })
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml().map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError, Reach};
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn overlaid(file: &str, arguments: &[&str]) -> Result<Config, ConfigError> {
        let all = ["freehold", "serve"].iter().chain(arguments);
        let Command::Serve(arguments) = Cli::try_parse_from(all).unwrap().command else {
            unreachable!("the command is serve")
        };
        let config = toml::from_str::<Config>(file).unwrap().overlaid(&arguments.settings)?;
        config.check().map(|()| config)
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "timeout = \"5s\"\nmax-calls = 7\nallow-origin = [\"http://a.test\"]\nstdio = true";
        let config = overlaid(file, &["--timeout", "2s", "--stdio=false"]).unwrap();
        assert_eq!(config.timeout.to_string(), "2s");
        assert_eq!(config.max_calls.get(), 7);
        assert_eq!(config.allow_origin, ["http://a.test"]);
        assert!(!config.stdio);
        assert_eq!(config.drain_grace, Config::default().drain_grace);
        let listed = overlaid(file, &["--allow-origin", "http://b.test,http://c.test"]).unwrap();
        assert_eq!(listed.allow_origin, ["http://b.test", "http://c.test"]);
    }

    #[test]
    fn what_is_printed_is_a_file_that_says_the_same() {
        let config = overlaid("token = \"secret\"", &["--timeout", "1500ms", "--log", "debug"]).unwrap();
        let printed = config.to_toml().unwrap();
        assert!(!printed.contains("secret"), "{printed}");
        assert_eq!(toml::from_str::<Config>(&printed).unwrap(), Config { token: None, ..config });
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        for (file, named) in [
            ("max-cals = 1", "max-cals"),
            ("max-calls = 0", "max-calls"),
            ("timeout = \"soon\"", "span of time"),
            ("log = \"loud\"", "loud"),
        ] {
            let error = toml::from_str::<Config>(file).unwrap_err().to_string();
            assert!(error.contains(named), "{file}: {error}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for arguments in [["--timeout", "20m"], ["--path", "mcp"], ["--token", ""], ["--token", "a b"]] {
            assert!(overlaid("", &arguments).is_err(), "{arguments:?}");
        }
        assert!(overlaid("", &["--timeout", "20m", "--timeout-cap", "1h"]).is_ok());
    }

    #[test]
    fn a_token_is_needed_off_loopback() {
        let reach = |arguments: &[&str]| overlaid("", arguments).unwrap().addresses().map(|(_, reach)| reach);
        for local in ["127.0.0.1:0", "[::1]:0", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(reach(&["--http", local]).unwrap(), Reach::ThisMachine, "{local}");
        }
        for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1"] {
            assert!(matches!(reach(&["--http", open]), Err(ConfigError::TokenNeeded(_))), "{open}");
            assert_eq!(reach(&["--http", open, "--token", "t"]).unwrap(), Reach::Network, "{open}");
        }
        for wrong in ["8808", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(matches!(reach(&["--http", wrong]), Err(ConfigError::Address { .. })), "{wrong}");
        }
    }

    #[test]
    fn off_loopback_any_host_is_served_unless_some_are_named() {
        let hosts =
            |arguments: &[&str], reach| overlaid("", arguments).unwrap().http_options(reach).allowed_hosts;
        assert_eq!(hosts(&[], Reach::Network), ["*"]);
        assert_eq!(hosts(&["--allow-host", "mcp.test"], Reach::Network), ["mcp.test"]);
        assert!(hosts(&[], Reach::ThisMachine).is_empty());
    }
}
