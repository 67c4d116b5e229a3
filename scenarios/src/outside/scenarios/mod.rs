//! The scenarios of the suite that make sense from outside, under the same numbers.

mod s01_slow_tool;
mod s03_ask_back;
mod s04_full_house;
mod s06_unread;
mod s09_blocked_threads;
mod s11_torn_frames;
mod s12_peer_dies;
mod s13_every_id;
mod s14_panics;
mod s15_deadlines;
mod s16_client_goes_away;
mod s17_quiet_streams;
mod s18_abandoned;
mod s21_handshake;
mod s22_slow_subscriber;

use super::{Drive, Fact};
use std::{future::Future, pin::Pin};

type Facts = Result<Vec<Fact>, String>;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its number.
    pub number: &'static str,
    /// Its name.
    pub title: &'static str,
    /// What the clients do.
    pub done: &'static str,
    run: for<'a> fn(&'a Drive) -> Pin<Box<dyn Future<Output = Facts> + Send + 'a>>,
}

impl Scenario {
    /// Drives a server through it, and looks at the server afterwards.
    pub async fn run(&self, drive: &Drive) -> Vec<Fact> {
        let mut facts = (self.run)(drive)
            .await
            .unwrap_or_else(|problem| vec![Fact::new("the scenario could not go on", problem, false)]);
        facts.extend(drive.afterwards().await);
        facts
    }
}

macro_rules! scenarios {
    ($($number:literal $module:ident $title:literal: $done:literal;)*) => {
        /// All of them.
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            number: $number,
            title: $title,
            done: $done,
            run: |drive| Box::pin($module::run(drive)),
        }),*];
    };
}

scenarios! {
    "S-01" s01_slow_tool "A slow tool in one session must not delay any other session":
        "One session calls `never`. Two others initialize, list the tools, ping and call `echo`; then the first session is deleted.";
    "S-03" s03_ask_back "A tool asks its own client, which asks the server back":
        "`ask` is called by a client with no other stream. Another, which listens, calls `ask` and, before it answers the question, `echo`; then again `ask`, eight calls deep, the innermost question answered first; then five `ask` at once, answered when all five have asked.";
    "S-04" s04_full_house "Ping and cancel overtake a full house":
        "One session has an `ask` and 500 `never` under way. It pings, cancels the first `never`, answers the question, and calls `echo`.";
    "S-06" s06_unread "A client that never reads":
        "One session calls `progress` with 20,000 notifications of 1 KiB and reads nothing of its stream. For three seconds it calls `echo` over connections of their own, each 100 ms; so does another session. Then the stream is read.";
    "S-09" s09_blocked_threads "Handlers that block their thread":
        "One session calls `block` four times at once. Another pings until all four are answered.";
    "S-11" s11_torn_frames "Torn frames":
        "One session calls `burst` 100 times at once, with answers of 64 KiB; each request is written in pieces of one to seven bytes.";
    "S-12" s12_peer_dies "The client dies with 20 calls pending":
        "One session has 20 `never` under way, all its connections are reset, and nothing more is heard of it but, in the end, an `echo`.";
    "S-13" s13_every_id "Every id is answered, whatever was sent":
        "One session posts messages that are not what they should be, each with an id; the last two are two calls under one id, the second while the first is under way.";
    "S-14" s14_panics "Handlers that panic":
        "20 calls of `panic` at once, and 20 of `echo` beside them.";
    "S-15" s15_deadlines "Every wait has an end":
        "`stubborn` is called; `ask` is called and the question never answered; a connection sends a request without the last byte of its body. Nobody cancels anything.";
    "S-16" s16_client_goes_away "The client goes away in the middle of the work":
        "Ten `never` in one session: one is cancelled, then the connection of one is reset, then the session is deleted.";
    "S-17" s17_quiet_streams "Quiet streams":
        "50 sessions open their own stream and stay silent there; each calls `echo` ten times. Then 300 times a stream is opened and dropped.";
    "S-18" s18_abandoned "Abandoned sessions":
        "2,000 requests that are to be refused. 2,000 clients initialize and are not heard of again. Then all these sessions are deleted.";
    "S-21" s21_handshake "Handshake races":
        "`ping` and `tools/list` before `notifications/initialized`; `initialize` once more within a session that has a call under way; 64 clients at once.";
    "S-22" s22_slow_subscriber "One slow subscriber":
        "Five sessions listen and join; one of them never reads. `publish` sends 400 messages of 16 KiB to each.";
}

/// The others, and why they are not here.
pub const NOT_VISIBLE: &[(&str, &str, &str)] = &[
    (
        "S-02",
        "Engine calls made from inside every hook",
        "not visible from outside: hooks are called within the process",
    ),
    (
        "S-05",
        "Two sessions that call each other",
        "not visible from outside: sessions call each other within the process",
    ),
    (
        "S-07",
        "Every holder wants one more",
        "not visible from outside: pools of permits are within the process",
    ),
    ("S-08", "Chatty child behind the gateway", "not over HTTP: about the pipes of a gateway's children"),
    (
        "S-10",
        "Signal between the check and the wait",
        "not visible from outside: about interleavings within the process",
    ),
    (
        "S-19",
        "Stop with everything open",
        "not compared: how it stops is left to the program that uses rmcp or the TypeScript SDK",
    ),
    (
        "S-20",
        "Client gone, processes gone",
        "not over HTTP: about the processes of stdio servers and gateways",
    ),
];
