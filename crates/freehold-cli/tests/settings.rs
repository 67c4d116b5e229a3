//! Where settings come from, and which mistakes end with which exit code.

mod freehold_process;

use freehold_process::{Lines, Server, freehold, run};
use std::{fs, io, mem, net::TcpListener, path::PathBuf, process::Command};

/// A configuration file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

fn printed(command: Command) -> toml::Table {
    let (code, stdout, stderr) = run(command);
    assert_eq!((code, &*stderr), (Some(0), ""));
    stdout.parse().unwrap()
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_defaults() {
    let file = file("precedence.toml", "timeout = \"1s\"\nmax-calls = 1\nmax-sessions = 1\nlog = \"warn\"");
    let mut command = freehold(&["--print-config", "--timeout", "3s", "--config", file.to_str().unwrap()]);
    command.env("FREEHOLD_TIMEOUT", "2s").env("FREEHOLD_MAX_CALLS", "2").env("FREEHOLD_STDIO", "true");
    let settings = printed(command);
    for (key, value) in [
        ("timeout", toml::Value::from("3s")),
        ("max-calls", 2.into()),
        ("stdio", true.into()),
        ("max-sessions", 1.into()),
        ("log", "warn".into()),
        ("http", "127.0.0.1:8808".into()),
        ("path", "/mcp".into()),
        ("drain-grace", "10s".into()),
    ] {
        assert_eq!(settings[key], value, "{key}");
    }
}

#[test]
fn the_printed_settings_are_a_file_and_show_no_token() {
    let mut command = freehold(&["--print-config", "--max-accounts", "5"]);
    command.env("FREEHOLD_TOKEN", "very-secret");
    let (code, stdout, _) = run(command);
    assert_eq!(code, Some(0));
    assert!(!stdout.contains("very-secret") && stdout.contains("token is set"), "{stdout}");
    let file = file("printed.toml", &stdout);
    let mut command = freehold(&["--print-config"]);
    command.env("FREEHOLD_CONFIG", file);
    assert_eq!(printed(command), stdout.parse().unwrap());
}

#[test]
fn mistakes_in_settings_end_with_2_and_name_what_to_change() {
    let misspelt = file("misspelt.toml", "max-cals = 1\n");
    let misspelt = misspelt.to_str().unwrap();
    for (arguments, named) in [
        (&["--config", misspelt][..], "max-cals"),
        (&["--config", "/nowhere/freehold.toml"], "/nowhere/freehold.toml"),
        (&["--http", "0.0.0.0:0"], "FREEHOLD_TOKEN"),
        (&["--http", "[::]:0"], "--token"),
        (&["--http", "8808"], "HOST:PORT"),
        (&["--timeout", "0s"], "--timeout"),
        (&["--timeout", "1h"], "--timeout-cap"),
        (&["--max-calls", "0"], "--max-calls"),
        (&["--log", "loud"], "--log"),
        (&["--token", "two words"], "token"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let (code, stdout, stderr) = run(freehold(arguments));
        assert_eq!((code, &*stdout), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_named() {
    let mut command = freehold(&["--print-config"]);
    command.env("FREEHOLD_TIMEOUT", "soon");
    let (code, _, stderr) = run(command);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--timeout") && stderr.contains("soon"), "{stderr}");
}

#[test]
fn an_address_in_use_is_named_with_the_flag_to_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = run(freehold(&["--http", &address]));
    assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("--http"), "{stderr}");
}

#[test]
fn off_loopback_it_starts_with_a_token_and_says_that_tls_is_missing() {
    let mut command = freehold(&["--http", "0.0.0.0:0"]);
    command.env("FREEHOLD_TOKEN", "very-secret");
    let server = Server::start(command);
    server.stderr.until("without TLS");
    let hints = (0..8).map(|_| server.stdout.next()).collect::<Vec<_>>().join("\n");
    assert!(hints.contains("Bearer") && !hints.contains("very-secret"), "{hints}");
}

#[cfg(unix)]
#[test]
fn with_logs_for_programs_nothing_else_is_written() {
    let (mut server, _) = Server::http(&["--admin", "off", "--log-format", "json"]);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert_eq!(mem::replace(&mut server.stdout, Lines::of(io::empty())).rest(), Vec::<String>::new());
    for line in mem::replace(&mut server.stderr, Lines::of(io::empty())).rest() {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn help_has_an_example_and_the_exit_codes() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(arguments);
        let (code, help, _) = run(command);
        assert_eq!(code, Some(0));
        assert!(help.contains("freehold serve") && help.contains("xit codes"), "{help}");
    }
}
