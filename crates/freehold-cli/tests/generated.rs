//! What the binary generates of itself: completions and manual pages; and `freehold health`.

mod freehold_process;

use freehold_process::{Server, other, run};
use std::{fs, net::TcpListener, path::PathBuf};

const COMMANDS: [&str; 7] = ["serve", "demo", "inspect", "check", "health", "completions", "man"];

fn written(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(other(arguments));
    assert_eq!((code, &*stderr), (Some(0), ""), "{arguments:?}");
    stdout
}

#[test]
fn completions_of_every_shell_know_the_commands_and_the_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = written(&["completions", shell]);
        for word in COMMANDS.into_iter().chain(["max-calls", "alert-webhook", "seconds"]) {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let (code, _, errors) = run(other(&["completions", "tcsh"]));
    assert!(code == Some(2) && errors.contains("possible values: bash"), "{errors}");
}

#[test]
fn there_is_a_manual_page_for_each_command_and_it_has_its_flags() {
    let main = written(&["man"]);
    assert!(main.contains(".TH freehold 1"), "{main}");
    assert!(!main.contains("help(1)"), "a page that there is not is named: {main}");
    for command in COMMANDS {
        assert!(main.contains(&format!("freehold\\-{command}(1)")), "{command} is not in {main}");
        let page = written(&["man", command]);
        assert!(page.contains(&format!(".TH freehold-{command} 1")), "{page}");
    }
    let serve = written(&["man", "serve"]);
    assert!(serve.contains("\\-\\-max\\-calls") && serve.contains("FREEHOLD_TOKEN=$(openssl"), "{serve}");
}

#[test]
fn a_page_of_what_is_no_command_is_bad_usage() {
    let (code, _, errors) = run(other(&["man", "dance"]));
    assert!(code == Some(2) && errors.contains("no command \"dance\""), "{code:?} {errors}");
}

#[test]
fn all_pages_are_written_into_a_folder() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man1");
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    assert_eq!(written(&["man", "--dir", dir.to_str().unwrap()]), "");
    let mut found: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let mut expected: Vec<_> = COMMANDS.iter().map(|name| format!("freehold-{name}.1")).collect();
    expected.push("freehold.1".to_owned());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let serve = fs::read_to_string(dir.join("freehold-serve.1")).unwrap();
    assert_eq!(serve, written(&["man", "serve"]));
}

#[test]
fn health_says_by_its_exit_code_whether_a_server_is_alive() {
    let token = "not-in-any-log";
    let (server, _) = Server::http(&["--admin", "127.0.0.1:0", "--admin-token", token]);
    let line = server.stderr.until("the admin page");
    let admin = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let url = format!("http://{admin}/");
    for more in [&[][..], &["--ready"]] {
        let (code, _, errors) = run(other(&[&["health", "--url", &url, "--token", token], more].concat()));
        assert_eq!((code, &*errors), (Some(0), ""), "{more:?}");
    }
    // A port where nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, errors) = run(other(&["health", "--url", &format!("http://{nobody}/")]));
    assert!(code == Some(1) && errors.contains("does not answer"), "{code:?} {errors}");
}
