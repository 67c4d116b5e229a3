//! The command line.

use crate::{
    config::{LogFormat, LogLevel},
    period::Period,
};
use clap::{Args, Parser, Subcommand};
use freehold_admin::HttpUrl;
use serde::Serialize;
use std::{num::NonZeroUsize, path::PathBuf};

const EXAMPLE: &str = "\
Examples:
  freehold demo
  freehold serve
  npx @modelcontextprotocol/inspector --cli --transport http \\
    --server-url http://127.0.0.1:8808/mcp --method tools/list

Exit codes:
  0        a clean end, also after a drain
  1        a failure while running, such as an address in use
  2        bad usage or a bad configuration
  130/143  ended by a second Ctrl-C / SIGTERM before the drain was over";

const INSPECT_EXAMPLES: &str = "\
Examples:
  freehold inspect
  freehold inspect --watch --search transfer
  freehold inspect --json | jq '.calls.listed[] | select(.waits != [])'
  curl -s http://127.0.0.1:8809/admin/reports/FH-1.json | freehold check -";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  freehold completions bash > ~/.local/share/bash-completion/completions/freehold
  freehold completions zsh > \"${fpath[1]}/_freehold\"
  freehold completions fish > ~/.config/fish/completions/freehold.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  freehold man | man -l -
  freehold man serve > freehold-serve.1
  freehold man --dir ~/.local/share/man/man1";

const SERVE_EXAMPLES: &str = "\
Examples:
  freehold serve
  freehold serve --stdio --timeout 10s
  FREEHOLD_TOKEN=$(openssl rand -hex 32) freehold serve --http 0.0.0.0:8808
  freehold serve --config freehold.toml --log debug --print-config

Settings can also come from variables of the environment (FREEHOLD_MAX_CALLS for --max-calls, and
so on) and from the file that --config or FREEHOLD_CONFIG names (`max-calls = 1000`). Flags win over
variables, variables over the file, the file over the defaults. --print-config shows the outcome
as such a file. Times are written 500ms, 30s, 10m or 2h.

SIGTERM or Ctrl-C drains: nothing new is accepted, calls that run may finish within --drain-grace,
then they are cancelled. A second signal ends the process at once.

Exit codes: 0 clean end, 1 failure while running (address in use), 2 bad usage or configuration,
130 or 143 forced by a second Ctrl-C or SIGTERM.";

/// An MCP server on an engine that no slow handler can hold up.
#[derive(Debug, Parser)]
#[command(name = "freehold", version, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve MCP over HTTP or stdio: the tools echo and slow, and a ledger of accounts.
    #[command(after_help = SERVE_EXAMPLES, mut_args = |argument| argument.hide_env(true))]
    Serve(Box<ServeArguments>),
    /// Watch a naive server and this one next to each other, on the same traffic with deadlocks in it.
    Demo(DemoArguments),
    /// Show what a running server does: its calls, what they hold and wait for, its deadlocks.
    #[command(after_help = INSPECT_EXAMPLES, mut_args = |argument| argument.hide_env(true))]
    Inspect(InspectArguments),
    /// Explain a deadlock report: a JSON file, as an admin server and a log have it.
    Check(CheckArguments),
    /// Ask a running server's admin address whether it is alive: exit code 0 if it is, 1 if not.
    #[command(mut_args = |argument| argument.hide_env(true))]
    Health(HealthArguments),
    /// Write the completions of a shell to standard output.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArguments),
    /// Write a manual page to standard output, or all of them into a folder.
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    /// The admin address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8809/", env = "FREEHOLD_ADMIN_URL")]
    pub(crate) url: HttpUrl,
    /// Its token.
    #[arg(long, value_name = "TOKEN", env = "FREEHOLD_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Ask whether it should get requests (`/readyz`) rather than whether it answers at all (`/livez`).
    #[arg(long)]
    pub(crate) ready: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command whose page is wanted; without it that of `freehold` itself.
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The admin address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8809/", env = "FREEHOLD_ADMIN_URL")]
    pub(crate) url: HttpUrl,
    /// Its token.
    #[arg(long, value_name = "TOKEN", env = "FREEHOLD_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Show only calls with this in their method, tool, session, id, stage or locks.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) search: String,
    /// Show it again and again, until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    pub(crate) watch: bool,
    /// Write all of it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The report; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How long it lasts, in seconds.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(4..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", env = "FREEHOLD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings in effect as TOML, without the token, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What was set by a flag or a variable; the rest comes from the file or the defaults. The names and the meaning of
/// these fields are those of [`Config`](crate::config::Config).
#[derive(Args, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Listen on this address [default: 127.0.0.1:8808].
    #[arg(long, value_name = "ADDR", env = "FREEHOLD_HTTP", help_heading = "Transport")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    /// The endpoint's path [default: /mcp].
    #[arg(long, value_name = "PATH", env = "FREEHOLD_PATH", help_heading = "Transport")]
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Serve one client on standard input and output instead of HTTP; standard output then carries the protocol only.
    #[arg(
        long,
        env = "FREEHOLD_STDIO",
        help_heading = "Transport",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_possible_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    stdio: Option<bool>,

    /// Requests must carry this bearer token; needed on any address but loopback.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FREEHOLD_TOKEN",
        hide_env_values = true,
        help_heading = "Access"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Let browsers call from this origin besides those on this machine, or `*` for all; repeatable.
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "FREEHOLD_ALLOW_ORIGIN",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_origin: Option<Vec<String>>,
    /// Serve requests addressed to this host besides loopback names, or `*` for any; repeatable. Off loopback any host
    /// is served unless this is given.
    #[arg(
        long,
        value_name = "HOST",
        env = "FREEHOLD_ALLOW_HOST",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_host: Option<Vec<String>>,

    /// Show metrics, health, inspection and a live page on this address, or `off` [default: 127.0.0.1:8809].
    #[arg(long, value_name = "ADDR", env = "FREEHOLD_ADMIN", help_heading = "Administration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<String>,
    /// Requests to the admin address must carry this token, as a bearer token or as the password in a browser; needed on any
    /// address but loopback.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FREEHOLD_ADMIN_TOKEN",
        hide_env_values = true,
        help_heading = "Administration"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token: Option<String>,
    /// Serve requests to the admin address that are addressed to this host besides loopback names, or `*` for any;
    /// repeatable. Off loopback any host is served unless this is given.
    #[arg(
        long,
        value_name = "HOST",
        env = "FREEHOLD_ADMIN_ALLOW_HOST",
        value_delimiter = ',',
        help_heading = "Administration"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_allow_host: Option<Vec<String>>,
    /// Post deadlocks, changes of circuit breakers and findings of the watchdog as JSON to this address (http only);
    /// repeatable.
    #[arg(
        long,
        value_name = "URL",
        env = "FREEHOLD_ALERT_WEBHOOK",
        value_delimiter = ',',
        help_heading = "Administration"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_webhook: Option<Vec<String>>,
    /// Export what /metrics has to the OpenTelemetry collector at this address (such as http://127.0.0.1:4318; OTLP/HTTP with
    /// protobuf, http only), or `off`. The variables of OpenTelemetry count, too: without this flag
    /// OTEL_EXPORTER_OTLP_ENDPOINT says where, and OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and
    /// OTEL_METRIC_EXPORT_INTERVAL the rest.
    #[arg(long, value_name = "URL", env = "FREEHOLD_OTLP", help_heading = "Administration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp: Option<String>,

    /// Give the client on standard input and output the tool `freehold_inspect` and the resources `freehold://...`, which
    /// answer also while all calls are stuck; only with --stdio. Over HTTP there is the admin address, or the library with an
    /// authorizer.
    #[arg(
        long,
        env = "FREEHOLD_MCP_INSPECTION",
        help_heading = "Administration",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_possible_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_inspection: Option<bool>,

    /// How long a call may take; its progress begins this anew [default: 30s].
    #[arg(long, value_name = "TIME", env = "FREEHOLD_TIMEOUT", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Period>,
    /// How long a call may take at the most, whatever progress it makes [default: 10m].
    #[arg(long, value_name = "TIME", env = "FREEHOLD_TIMEOUT_CAP", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_cap: Option<Period>,
    /// How long a call may run before the log says what it holds and waits for [default: 10s].
    #[arg(long, value_name = "TIME", env = "FREEHOLD_SOFT_LIMIT", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    soft_limit: Option<Period>,
    /// Run tools on so many threads of their own, so that one that blocks its thread delays nobody else, at about half as
    /// much work again for each call; 0 for none [default: 0].
    #[arg(long, value_name = "N", env = "FREEHOLD_TOOL_THREADS", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_threads: Option<usize>,
    /// How long a drain lets running calls finish [default: 10s].
    #[arg(long, value_name = "TIME", env = "FREEHOLD_DRAIN_GRACE", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_grace: Option<Period>,
    /// How long a session may be idle [default: 30m].
    #[arg(long, value_name = "TIME", env = "FREEHOLD_SESSION_TTL", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    session_ttl: Option<Period>,
    /// Sessions at the same time [default: 262144].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_SESSIONS", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_sessions: Option<NonZeroUsize>,
    /// Connections at the same time [default: 65536].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_CONNECTIONS", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<NonZeroUsize>,
    /// Calls at the same time, running and waiting, of all sessions together [default: 65536].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_CALLS", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_calls: Option<NonZeroUsize>,
    /// Calls of one session that may run at the same time [default: 16384].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_CALLS_PER_SESSION", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_calls_per_session: Option<NonZeroUsize>,
    /// Calls of one session that may wait for a slot; one more is refused at once [default: 1024].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_QUEUED_PER_SESSION", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_queued_per_session: Option<usize>,
    /// Bytes of one incoming message [default: 4194304].
    #[arg(long, value_name = "BYTES", env = "FREEHOLD_MAX_MESSAGE_BYTES", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_bytes: Option<NonZeroUsize>,
    /// Accounts of the ledger [default: 65536].
    #[arg(long, value_name = "N", env = "FREEHOLD_MAX_ACCOUNTS", help_heading = "Limits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_accounts: Option<NonZeroUsize>,

    /// Log from this level on, to standard error [default: info].
    #[arg(long, value_name = "LEVEL", env = "FREEHOLD_LOG", help_heading = "Logging")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogLevel>,
    /// How log lines look [default: pretty]. With json nothing else is written.
    #[arg(long, value_name = "FORMAT", env = "FREEHOLD_LOG_FORMAT", help_heading = "Logging")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, Settings};
    use crate::config::Config;
    use clap::{CommandFactory, Parser};

    fn settings(arguments: &[&str]) -> Settings {
        let all = ["freehold", "serve"].iter().chain(arguments);
        let Command::Serve(arguments) = Cli::try_parse_from(all).unwrap().command else {
            unreachable!("the command is serve")
        };
        arguments.settings
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_key_of_the_file_and_a_variable() {
        let serve = Cli::command().find_subcommand("serve").unwrap().clone();
        let keys = toml::Table::try_from(Config {
            token: Some("t".to_owned()),
            admin_token: Some("t".to_owned()),
            otlp: Some("off".to_owned()),
            ..Config::default()
        })
        .unwrap();
        let mut settings = 0;
        for argument in serve.get_arguments().filter(|argument| argument.get_help_heading().is_some()) {
            let name = argument.get_long().unwrap();
            assert!(keys.contains_key(name), "{name} is no key");
            let default = keys[name].to_string().replace('"', "");
            let told = argument.get_help().unwrap().to_string();
            let has_default = !matches!(
                name,
                "stdio"
                    | "token"
                    | "allow-origin"
                    | "allow-host"
                    | "admin-token"
                    | "admin-allow-host"
                    | "alert-webhook"
                    | "otlp"
                    | "mcp-inspection"
            );
            assert_eq!(told.contains(&format!("[default: {default}]")), has_default, "{name}: {told}");
            let variable = format!("FREEHOLD_{}", name.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap().to_str(), Some(&*variable));
            settings += 1;
        }
        assert_eq!(settings, keys.len());
    }

    #[test]
    fn help_shows_no_secret_of_the_environment() {
        let help = Cli::command().find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        assert!(!help.contains("[env"), "{help}");
    }

    #[test]
    fn flags_that_are_not_given_leave_no_trace() {
        let table = toml::Table::try_from(settings(&["--stdio", "--timeout", "2s"])).unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["stdio", "timeout"]);
    }
}
