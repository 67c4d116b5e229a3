//! Tasks: calls that outlive their request, in both eras, over HTTP and pipes.

mod client;
#[path = "../stage/mod.rs"]
#[expect(dead_code, reason = "the tests of tasks have a server of their own")]
mod stage;
#[path = "../wire/mod.rs"]
#[expect(dead_code, reason = "the tests of tasks have clients of their own")]
mod wire;
mod workshop;

use client::{Client, Era, LINES, Line, TASKS, a_moment};
use freehold_mcp::{
    Audience, Authorization, AuthorizeError, HttpOptions, McpServer, Principal, TaskLimits,
    freehold::{
        Gate,
        runtime::{Runtime, TokioRuntime},
    },
};
use serde_json::{Value, json};
use stage::within;
use std::{future::ready, time::Duration};
use wire::serve;
use workshop::{workshop, workshop_with};

const CANCELLED: i64 = -32800;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;
const MISSING_CAPABILITY: i64 = -32021;
const OVERLOADED: i64 = -31002;
const DEADLINE_EXCEEDED: i64 = -31003;
const ANSWER_TOO_LARGE: i64 = -31005;
const QUESTION_FAILED: i64 = -31007;

fn related(task: &str) -> Value {
    json!({ "io.modelcontextprotocol/related-task": { "taskId": task } })
}

/// The session's client asks for a task, polls it, and reads its result.
#[tokio::test]
async fn a_session_creates_polls_lists_and_reads() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let got = client.get(&task).await;
        assert_eq!((&got["taskId"], &got["status"]), (&json!(task), &json!("working")));
        assert_eq!((&got["ttl"], &got["pollInterval"]), (&json!(60_000), &json!(1_000)));
        assert_eq!(got["statusMessage"], "waits to be released");
        assert!(got.get("ttlMs").is_none() && got.get("resultType").is_none(), "{got}");
        let (created, updated) = (got["createdAt"].as_str(), got["lastUpdatedAt"].as_str());
        let (created, updated) = (created.expect("it says when"), updated.expect("it says when"));
        assert!(created.len() == 24 && created.ends_with('Z') && created <= updated, "{got}");
        assert_eq!(client.result("tasks/list", json!({})).await, json!({ "tasks": [got] }));
        // What `_meta` says of a task is of no account.
        let params = json!({ "taskId": task, "_meta": related("somebody else's") });
        let mut waiting = client.start("tasks/result", params).await;
        foreman.release(1);
        let answer = client.answer_of(&mut waiting).await;
        let content = json!([{ "type": "text", "text": "released" }]);
        assert_eq!(answer["result"], json!({ "content": content, "_meta": related(&task) }));
        assert_eq!(client.get(&task).await["status"], "completed");
        let again = client.result("tasks/result", json!({ "taskId": task })).await;
        assert_eq!(again, answer["result"], "it can be read again");
    }
}

/// The server decides; everything is in what is polled.
#[tokio::test]
async fn a_stateless_client_polls_for_everything() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let params = json!({ "name": "wait", "arguments": {}, "task": { "ttl": 5 } });
        let created = client.result("tools/call", params).await;
        assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
        assert_eq!((&created["ttlMs"], &created["pollIntervalMs"]), (&json!(3_600_000), &json!(1_000)));
        let task = created["taskId"].as_str().expect("it has an id");
        assert_eq!(foreman.hears().await, "waiting");
        let got = client.get(task).await;
        assert_eq!((&got["resultType"], &got["status"]), (&json!("complete"), &json!("working")));
        assert!(got.get("result").is_none() && got.get("error").is_none(), "{got}");
        foreman.release(1);
        let got = client.until(task, "completed").await;
        assert_eq!(got["result"]["content"][0]["text"], "released");
        assert!(got["result"]["_meta"].get("io.modelcontextprotocol/related-task").is_none());
        assert_eq!(client.error("tasks/list", json!({})).await, METHOD_NOT_FOUND);
        assert_eq!(client.error("tasks/result", json!({ "taskId": task })).await, METHOD_NOT_FOUND);
    }
}

/// Who waits for the result is told of the cancel, and so is the tool.
#[tokio::test]
async fn a_result_that_is_waited_for_ends_with_a_cancel() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        let cancelled = client.result("tasks/cancel", json!({ "taskId": task })).await;
        assert_eq!(cancelled["status"], "cancelled");
        assert_eq!(client.answer_of(&mut waiting).await["error"]["code"], CANCELLED);
        assert_eq!(foreman.hears().await, "cancelled: Client");
        assert_eq!(client.get(&task).await["status"], "cancelled");
        assert_eq!(client.error("tasks/cancel", json!({ "taskId": task })).await, INVALID_PARAMS);
    }
}

/// Waits until nothing of any task and no call is left.
async fn until_nothing_is_left(server: &McpServer) {
    let empty = async {
        while server.task_gauge() != (0, 0) || !server.engine().calls().is_empty() {
            a_moment().await;
        }
    };
    within(empty).await;
}

/// A tool that fails: in the session's form its task has failed, in the stateless one it has completed; an error of the
/// protocol's own is a failure in both.
#[tokio::test]
async fn failures_have_the_status_of_their_era() {
    for line in LINES {
        let (server, _foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("fail", json!({})).await;
        let got = client.until(&task, "failed").await;
        assert_eq!(got["statusMessage"], "it cannot be done");
        let result = client.result("tasks/result", json!({ "taskId": task })).await;
        assert_eq!((&result["isError"], &result["_meta"]), (&json!(true), &related(&task)));
        let task = client.create("break", json!({})).await;
        client.until(&task, "failed").await;
        let answer = client.ask("tasks/result", json!({ "taskId": task })).await;
        assert_eq!(answer["error"], json!({ "code": -32000, "message": "it broke", "data": { "why": 7 } }));
        let task = client.create("panic", json!({})).await;
        client.until(&task, "failed").await;
        assert_eq!(client.error("tasks/result", json!({ "taskId": task })).await, INTERNAL_ERROR);

        let mut client = Client::of(&server, line, Era::Stateless).await;
        let task = client.create("fail", json!({})).await;
        let got = client.until(&task, "completed").await;
        assert_eq!(got["result"]["isError"], true);
        let task = client.create("break", json!({})).await;
        let got = client.until(&task, "failed").await;
        assert_eq!(got["error"], json!({ "code": -32000, "message": "it broke", "data": { "why": 7 } }));
        assert!(got.get("result").is_none(), "{got}");
    }
}

/// Which calls become tasks, and what those get that cannot be what they want to be.
#[tokio::test]
async fn who_may_and_who_must_create_a_task() {
    let (server, foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let call = |tool: &str| json!({ "name": tool, "arguments": {} });
    let as_task = |tool: &str| json!({ "name": tool, "arguments": {}, "task": {} });
    assert_eq!(client.error("tools/call", as_task("never")).await, METHOD_NOT_FOUND);
    assert_eq!(client.error("tools/call", call("required")).await, METHOD_NOT_FOUND);
    let odd = json!({ "name": "wait", "arguments": {}, "task": { "ttl": "long" } });
    assert_eq!(client.error("tools/call", odd).await, INVALID_PARAMS);
    assert_eq!(client.error("tools/call", as_task("unknown")).await, INVALID_PARAMS);
    let created = client.result("tools/call", as_task("required")).await;
    assert_eq!((&created["task"]["status"], &created["task"]["ttl"]), (&json!("working"), &json!(3_600_000)));
    foreman.release(3);
    assert_eq!(client.result("tools/call", call("wait")).await["content"][0]["text"], "released");
    let nested = client.result("tools/call", call("calls_required")).await;
    assert_eq!(nested["content"][0]["text"], "\"released\"", "a handler's call is no client's");
    let listed = client.result("tools/list", json!({})).await;
    let support = |name: &str| {
        let tools = listed["tools"].as_array().expect("it is a list");
        tools.iter().find(|tool| tool["name"] == name).expect("it is there")["execution"].clone()
    };
    assert_eq!(support("wait"), json!({ "taskSupport": "optional" }));
    assert_eq!(support("required"), json!({ "taskSupport": "required" }));
    assert_eq!(support("never"), json!(null));

    let mut older = client.beside("2025-06-18").await;
    foreman.release(2);
    let ignored = older.result("tools/call", as_task("never")).await;
    assert_eq!(ignored["content"][0]["text"], "released", "older revisions know no tasks");
    assert_eq!(older.result("tools/call", as_task("wait")).await["content"][0]["text"], "released");
    assert_eq!(older.error("tasks/list", json!({})).await, METHOD_NOT_FOUND);
    assert_eq!(older.error("tools/call", call("required")).await, METHOD_NOT_FOUND);
}

/// Of stateless clients only those that declare the extension are told of tasks.
#[tokio::test]
async fn a_stateless_client_must_know_tasks() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        client.capabilities = json!({});
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({ "taskId": task, "inputResponses": {} });
            let error = client.ask(method, params).await["error"].clone();
            assert_eq!(error["code"], MISSING_CAPABILITY, "{method}");
            assert_eq!(error["data"], json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } }));
        }
        let required = json!({ "name": "required", "arguments": {} });
        assert_eq!(client.error("tools/call", required).await, MISSING_CAPABILITY);
        foreman.release(2);
        let plain = client.result("tools/call", json!({ "name": "wait", "arguments": {} })).await;
        assert_eq!(
            (&plain["resultType"], &plain["content"][0]["text"]),
            (&json!("complete"), &json!("released"))
        );
    }
}

/// Both eras learn that there are tasks, each in its own way; a server without them says nothing.
#[tokio::test]
async fn tasks_are_advertised_where_there_are_some() {
    let (server, _foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Stateless).await;
    let capabilities = client.result("server/discover", json!({})).await["capabilities"].clone();
    assert_eq!(capabilities["extensions"], json!({ TASKS: {} }));
    assert!(capabilities.get("tasks").is_none(), "{capabilities}");
    let mut client = Client::of(&server, Line::Pipe, Era::Session).await;
    let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    assert_eq!(client.initialized["capabilities"]["tasks"], tasks);
    assert!(client.initialized["capabilities"].get("extensions").is_none());
    drop(client);

    let plain = McpServer::builder("plain", "1.0.0").build().expect("it has nothing");
    client = Client::of(&plain, Line::Http, Era::Session).await;
    assert!(client.initialized["capabilities"].get("tasks").is_none());
    assert_eq!(client.error("tasks/list", json!({})).await, METHOD_NOT_FOUND);
    assert_eq!(client.error("tasks/get", json!({ "taskId": "x" })).await, METHOD_NOT_FOUND);
}

/// What belongs to one session is to another as if it were not there; the other era does not see it either.
#[tokio::test]
async fn nobody_else_reads_or_cancels_a_task() {
    let (server, mut foreman) = workshop();
    let mut owner = Client::of(&server, Line::Http, Era::Session).await;
    let task = owner.create("wait", json!({})).await;
    assert_eq!(foreman.hears().await, "waiting");
    let mut other = owner.beside("2025-11-25").await;
    let mut stateless = Client::of(&server, Line::Http, Era::Stateless).await;
    let mut on_pipe = Client::of(&server, Line::Pipe, Era::Session).await;
    for client in [&mut other, &mut stateless, &mut on_pipe] {
        for method in ["tasks/get", "tasks/cancel"] {
            assert_eq!(client.error(method, json!({ "taskId": task })).await, INVALID_PARAMS, "{method}");
        }
    }
    assert_eq!(other.error("tasks/result", json!({ "taskId": task })).await, INVALID_PARAMS);
    assert_eq!(other.result("tasks/list", json!({})).await, json!({ "tasks": [] }));
    for odd in [json!({}), json!({ "taskId": 7 }), json!({ "taskId": "" }), json!({ "taskId": "+" })] {
        assert_eq!(owner.error("tasks/get", odd).await, INVALID_PARAMS);
    }
    assert_eq!(owner.get(&task).await["status"], "working");
}

/// A list comes in pages, whole and in the order of creation.
#[tokio::test]
async fn tasks_are_listed_in_pages() {
    let (server, mut foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let mut created = Vec::new();
    for _ in 0..150 {
        created.push(client.create("wait", json!({})).await);
        assert_eq!(foreman.hears().await, "waiting");
    }
    let ids = |page: &Value| {
        let tasks = page["tasks"].as_array().expect("it is a list").iter();
        tasks.map(|task| task["taskId"].as_str().expect("it has one").to_owned()).collect::<Vec<_>>()
    };
    let first = client.result("tasks/list", json!({})).await;
    let second = client.result("tasks/list", json!({ "cursor": first["nextCursor"] })).await;
    assert!(second.get("nextCursor").is_none(), "{second}");
    assert_eq!([ids(&first), ids(&second)].concat(), created);
    assert_eq!(client.error("tasks/list", json!({ "cursor": "nonsense" })).await, INVALID_PARAMS);
}

/// A hundred tasks whose clients never came back are gone with their sessions.
#[tokio::test]
async fn abandoned_tasks_leave_nothing_behind() {
    let (server, mut foreman) = workshop();
    let mut over_http = Client::of(&server, Line::Http, Era::Session).await;
    let mut on_pipe = Client::of(&server, Line::Pipe, Era::Session).await;
    let mut stateless_on_pipe = Client::of(&server, Line::Pipe, Era::Stateless).await;
    for _ in 0..34 {
        for client in [&mut over_http, &mut on_pipe, &mut stateless_on_pipe] {
            client.create("wait", json!({})).await;
            assert_eq!(foreman.hears().await, "waiting");
        }
    }
    let task = over_http.create("fail", json!({})).await;
    over_http.until(&task, "failed").await;
    let (tasks, kept) = server.task_gauge();
    assert!(tasks == 103 && kept > 0, "{tasks} tasks, {kept} bytes");
    assert_eq!(server.engine().calls().len(), 102);
    let mut waiting = over_http.start("tasks/result", json!({ "taskId": task })).await;
    assert!(over_http.answer_of(&mut waiting).await.get("result").is_some());
    over_http.close().await;
    drop((on_pipe, stateless_on_pipe));
    let mut cancelled = Vec::new();
    for _ in 0..102 {
        cancelled.push(foreman.hears().await);
    }
    assert!(cancelled.iter().all(|said| said.starts_with("cancelled: ")), "{cancelled:?}");
    until_nothing_is_left(&server).await;
}

/// When its time to live is over a task ends, and nobody can tell that it ever was.
#[tokio::test(start_paused = true)]
async fn a_task_expires() {
    let limits = TaskLimits { ttl: Duration::from_secs(90), ..TaskLimits::default() };
    let (server, mut foreman) = workshop_with(limits, |builder| builder);
    for era in [Era::Session, Era::Stateless] {
        let mut client = Client::of(&server, Line::Pipe, era).await;
        let begun = TokioRuntime.now();
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let ended = client.create("fail", json!({})).await;
        // Time passes while everybody waits.
        let said = foreman.hears_in_time_of(Duration::from_secs(100)).await;
        assert!(said.starts_with("cancelled: "), "{said}");
        let lived = TokioRuntime.now() - begun;
        let ttl = Duration::from_secs(if era == Era::Session { 60 } else { 90 });
        assert!(lived >= ttl && lived < ttl + Duration::from_secs(1), "{lived:?}");
        until_nothing_is_left(&server).await;
        for id in [&task, &ended] {
            assert_eq!(client.error("tasks/get", json!({ "taskId": id })).await, INVALID_PARAMS);
        }
    }
}

/// A task has a deadline of its own, beyond that of calls, and ends there.
#[tokio::test(start_paused = true)]
async fn a_task_ends_at_its_deadline() {
    let limits = TaskLimits { run: Duration::from_secs(45), ..TaskLimits::default() };
    let (server, mut foreman) = workshop_with(limits, |builder| builder);
    let mut client = Client::of(&server, Line::Pipe, Era::Session).await;
    let begun = TokioRuntime.now();
    let task = client.create("wait", json!({})).await;
    assert_eq!(foreman.hears().await, "waiting");
    let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
    let said = foreman.hears_in_time_of(Duration::from_secs(100)).await;
    assert_eq!(said, "cancelled: DeadlineExceeded");
    assert_eq!((TokioRuntime.now() - begun).as_secs(), 45);
    assert_eq!(client.answer_of(&mut waiting).await["error"]["code"], DEADLINE_EXCEEDED);
    assert_eq!(client.get(&task).await["status"], "failed");
}

/// Two tasks that lock in different order: one is ended, and the other goes on.
#[tokio::test]
async fn a_ring_of_tasks_is_broken() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let one = client.create("both_locks", json!({ "first": 0 })).await;
        let two = client.create("both_locks", json!({ "first": 1 })).await;
        assert_eq!((foreman.hears().await, foreman.hears().await), ("has one".into(), "has one".into()));
        foreman.release(2);
        let mut texts = Vec::new();
        for task in [&one, &two] {
            let result = client.result("tasks/result", json!({ "taskId": task })).await;
            texts.push((client.get(task).await["status"].clone(), result["content"][0]["text"].clone()));
        }
        texts.sort_by_key(|(status, _)| status.to_string());
        assert_eq!(texts[0], (json!("completed"), json!("had both")));
        assert_eq!(texts[1].0, "failed");
        let text = texts[1].1.as_str().expect("it says why");
        assert!(text.contains("deadlock") && text.contains("both_locks"), "{text}");
    }
}

/// A task of a session asks its client: on a pipe at once, over HTTP who waits for the result is asked.
#[tokio::test]
async fn a_task_of_a_session_asks_who_waits_for_it() {
    for (line, serial) in [(Line::Http, false), (Line::Pipe, false), (Line::Http, true)] {
        let gate = if serial { Gate::Serial } else { Gate::Concurrent };
        let (server, _foreman) =
            workshop_with(TaskLimits::default(), |builder| builder.engine(|engine| engine.gate(gate)));
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("ask", json!({})).await;
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        let asked = async {
            loop {
                let message = client.next(&mut waiting).await;
                match message["method"].as_str() {
                    Some("notifications/tasks/status") => {
                        assert_eq!(message["params"]["status"], "input_required", "{message}");
                        assert!(message["params"].get("_meta").is_none(), "{message}");
                    }
                    _ => return message,
                }
            }
        };
        let question = within(asked).await;
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"]["message"], "Your name?");
        assert_eq!(question["params"]["_meta"], related(&task));
        assert_eq!(client.get(&task).await["status"], "input_required");
        let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
        client.say(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer })).await;
        let answer = client.answer_of(&mut waiting).await;
        assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!");
        assert_eq!(client.get(&task).await["status"], "completed");
    }
}

/// A stateless task's questions are polled, and answered one by one.
#[tokio::test]
async fn a_stateless_task_is_answered_by_updates() {
    for line in LINES {
        let (server, _foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let task = client.create("ask_two", json!({})).await;
        let both = async {
            loop {
                let got = client.get(&task).await;
                if got["inputRequests"].as_object().is_some_and(|inputs| inputs.len() == 2) {
                    return got;
                }
                a_moment().await;
            }
        };
        let got = within(both).await;
        assert_eq!(got["status"], "input_required");
        let inputs = got["inputRequests"].as_object().expect("it is an object").clone();
        let key_of = |message: &str| {
            let mut found = inputs.iter().filter(|(_, input)| input["params"]["message"] == message);
            found.next().expect("it is asked").0.clone()
        };
        assert!(inputs.values().all(|input| input["method"] == "elicitation/create"), "{got}");
        let answers = |key: &str, content: u32| {
            let answer = json!({ "action": "accept", "content": { "number": content } });
            json!({ "taskId": task, "inputResponses": { key: answer, "unknown": {} } })
        };
        let (one, two) = (key_of("One?"), key_of("Two?"));
        let taken = client.result("tasks/update", answers(&one, 1)).await;
        assert_eq!(taken["resultType"], "complete");
        let got = client.get(&task).await;
        assert_eq!(got["status"], "input_required");
        let left: Vec<_> = got["inputRequests"].as_object().expect("it is one").keys().cloned().collect();
        assert_eq!(left, std::slice::from_ref(&two));
        client.result("tasks/update", answers(&one, 7)).await;
        client.result("tasks/update", answers(&two, 2)).await;
        let got = client.until(&task, "completed").await;
        assert_eq!(got["result"]["content"][0]["text"], "1 2");
        client.result("tasks/update", answers(&two, 3)).await;
        let cancelled = client.result("tasks/cancel", json!({ "taskId": task })).await;
        assert_eq!(cancelled["resultType"], "complete");
        assert!(cancelled.get("status").is_none(), "{cancelled}");
        assert_eq!(client.get(&task).await["status"], "completed", "it stays what it was");
    }
}

/// A stateless cancel reaches the tool.
#[tokio::test]
async fn a_stateless_task_is_cancelled() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        client.result("tasks/cancel", json!({ "taskId": task })).await;
        assert_eq!(foreman.hears().await, "cancelled: Client");
        let got = client.get(&task).await;
        assert_eq!(got["status"], "cancelled");
        assert!(got.get("error").is_none() && got.get("result").is_none(), "{got}");
    }
}

/// A tool may be answered at once, and be a task only if it takes long.
#[tokio::test(start_paused = true)]
async fn a_patient_request_becomes_a_task_only_if_it_takes_long() {
    let (server, mut foreman) = workshop();
    let mut client = Client::of(&server, Line::Pipe, Era::Stateless).await;
    foreman.release(1);
    let quick = client.result("tools/call", json!({ "name": "patient", "arguments": {} })).await;
    assert_eq!(
        (&quick["resultType"], &quick["content"][0]["text"]),
        (&json!("complete"), &json!("released"))
    );
    assert_eq!(foreman.hears().await, "waiting");
    until_nothing_is_left(&server).await;
    let begun = TokioRuntime.now();
    let task = client.create("patient", json!({})).await;
    assert_eq!((TokioRuntime.now() - begun).as_secs(), 5);
    assert_eq!(foreman.hears().await, "waiting");
    foreman.release(1);
    client.until(&task, "completed").await;
}

/// A tool says when its request is answered with a task; before, it ends with its request.
#[tokio::test]
async fn a_tool_becomes_a_task_when_it_says_so() {
    let (server, mut foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Stateless).await;
    let mut pending = client.start("tools/call", json!({ "name": "becomes_task", "arguments": {} })).await;
    assert_eq!(foreman.hears().await, "is a task: false");
    foreman.release(1);
    let created = client.answer_of(&mut pending).await["result"].clone();
    assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
    assert_eq!(foreman.hears().await, "waiting");
    foreman.release(1);
    let got = client.until(created["taskId"].as_str().expect("it has one"), "completed").await;
    assert_eq!(got["result"]["content"][0]["text"], "became a task: true");

    let abandoned = client.start("tools/call", json!({ "name": "becomes_task", "arguments": {} })).await;
    assert_eq!(foreman.hears().await, "is a task: false");
    assert_eq!(server.task_gauge().0, 2);
    drop(abandoned);
    let one_left = async {
        while server.task_gauge().0 != 1 || !server.engine().calls().is_empty() {
            a_moment().await;
        }
    };
    within(one_left).await;
}

/// A task's questions are polled; one that was meant for the request's next round has no such round.
#[tokio::test]
async fn a_task_fails_with_a_question_that_nobody_can_answer() {
    for line in LINES {
        let (server, _foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let call = json!({ "name": "asks_too_early", "arguments": {} });
        let created = client.result("tools/call", call).await;
        let task = created["taskId"].as_str().expect("it is a task");
        let ended = async {
            loop {
                let got = client.get(task).await;
                if got["status"] != "working" {
                    return got;
                }
                a_moment().await;
            }
        };
        let got = within(ended).await;
        assert_eq!(
            (&got["status"], &got["error"]["code"]),
            (&json!("failed"), &json!(QUESTION_FAILED)),
            "{got}"
        );
    }
}

/// More tasks than an owner, or all of them, may have are refused; what is kept of results is bounded.
#[tokio::test]
async fn tasks_are_bounded() {
    let limits = TaskLimits {
        per_owner: 2,
        total: 3,
        result_bytes: 2_000,
        results_bytes: 3_000,
        ..TaskLimits::default()
    };
    let (server, _foreman) = workshop_with(limits, |builder| builder);
    let mut one = Client::of(&server, Line::Http, Era::Session).await;
    let mut two = one.beside("2025-11-25").await;
    let wait = || json!({ "name": "wait", "arguments": {}, "task": {} });
    let large = one.create("big", json!({ "bytes": 2_000 })).await;
    one.until(&large, "failed").await;
    assert_eq!(one.error("tasks/result", json!({ "taskId": large })).await, ANSWER_TOO_LARGE);
    let fits = one.create("big", json!({ "bytes": 1_700 })).await;
    one.until(&fits, "completed").await;
    assert_eq!(one.error("tools/call", wait()).await, OVERLOADED, "of one owner");
    let no_room = two.create("big", json!({ "bytes": 1_700 })).await;
    two.until(&no_room, "failed").await;
    assert_eq!(two.error("tasks/result", json!({ "taskId": no_room })).await, ANSWER_TOO_LARGE);
    assert_eq!(two.error("tools/call", wait()).await, OVERLOADED, "of all");
    one.close().await;
    until_count(&server, 1).await;
    let room = two.create("big", json!({ "bytes": 1_700 })).await;
    two.until(&room, "completed").await;
}

/// What an ended task still has to say is kept with its result, counted and bounded as that is.
#[tokio::test]
async fn messages_that_wait_with_a_result_are_bounded() {
    let said = async |results_bytes: usize, messages: u32, bytes: usize| {
        let limits = TaskLimits { results_bytes, ..TaskLimits::default() };
        let (server, _foreman) = workshop_with(limits, |builder| builder);
        let mut client = Client::of(&server, Line::Http, Era::Session).await;
        let arguments = json!({ "messages": messages, "bytes": bytes });
        let meta = json!({ "progressToken": 1 });
        let call = json!({ "name": "chatty", "arguments": arguments, "task": {}, "_meta": meta });
        let created = client.result("tools/call", call).await;
        let task = created["task"]["taskId"].as_str().expect("it is a task").to_owned();
        client.until(&task, "completed").await;
        let (_, kept) = server.task_gauge();
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        let mut heard = 0;
        loop {
            let message = client.next(&mut waiting).await;
            if message.get("method").is_none() {
                assert_eq!(message["result"]["content"][0]["text"], "said it");
                break;
            }
            assert_eq!(message["method"], "notifications/progress");
            heard += 1;
        }
        client.close().await;
        until_nothing_is_left(&server).await;
        (kept, heard)
    };
    let (kept, heard) = said(256 << 20, 2, 1_000).await;
    assert!(kept > 2_000 && heard == 2, "{kept} bytes, {heard} messages");
    let (kept, heard) = said(1_500, 2, 1_000).await;
    assert!(kept < 1_000 && heard == 0, "there is room for the result only: {kept} bytes, {heard} messages");
    let (kept, heard) = said(256 << 20, 40, 64 << 10).await;
    assert!(kept <= 1_100_000 && (1..=16).contains(&heard), "{kept} bytes, {heard} messages");
}

/// Who reads the result later is not asked what the tool has done without.
#[tokio::test]
async fn the_questions_of_an_ended_task_are_not_asked() {
    let (server, foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let task = client.create("ask_in_vain", json!({})).await;
    client.until(&task, "input_required").await;
    foreman.release(1);
    client.until(&task, "completed").await;
    let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
    let first = client.next(&mut waiting).await;
    assert_eq!(first["result"]["content"][0]["text"], "did without", "{first}");
}

/// An error may carry data, which is kept as a result is.
#[tokio::test]
async fn the_errors_of_tasks_count_as_results() {
    let (server, _foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let task = client.create("break", json!({})).await;
    client.until(&task, "failed").await;
    assert_eq!(server.task_gauge().1, "it broke".len() + r#"{"why":7}"#.len());
    client.close().await;
    until_nothing_is_left(&server).await;

    let limits = TaskLimits { result_bytes: 10, ..TaskLimits::default() };
    let (server, _foreman) = workshop_with(limits, |builder| builder);
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let task = client.create("break", json!({})).await;
    client.until(&task, "failed").await;
    assert_eq!(client.error("tasks/result", json!({ "taskId": task })).await, ANSWER_TOO_LARGE);
}

async fn until_count(server: &McpServer, count: usize) {
    let reached = async {
        while server.task_gauge().0 != count {
            a_moment().await;
        }
    };
    within(reached).await;
}

/// A drain waits for tasks as for all calls, cancels them after its grace, and whoever waits for a result gets an end.
#[tokio::test]
async fn a_drain_ends_tasks() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        // It is there when the drain begins.
        let arrived = async {
            while server.engine().calls().iter().all(|call| call.method != "tasks/result") {
                a_moment().await;
            }
        };
        within(arrived).await;
        let report = within(server.engine().drain(Duration::from_millis(1))).await;
        assert_eq!((report.running, report.cancelled), (2, 2));
        assert!(report.abandoned.is_empty(), "{report:?}");
        assert_eq!(foreman.hears().await, "cancelled: Shutdown");
        assert_eq!(client.answer_of(&mut waiting).await["error"]["code"], CANCELLED);
        until_nothing_is_left(&server).await;
    }
}

/// A subscription hears how its tasks are, until all have ended; of those of others, and of none, it hears nothing.
#[tokio::test]
async fn a_subscription_hears_of_tasks() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let mut stranger = Client::of(&server, Line::Http, Era::Session).await;
        let foreign = stranger.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let waits = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let asks = client.create("ask", json!({})).await;
        let question = client.until(&asks, "input_required").await["inputRequests"].clone();
        let wanted = json!({ "notifications": { "taskIds": [waits, asks, foreign, "nonsense"] } });
        let mut stream = client.start("subscriptions/listen", wanted.clone()).await;
        let acknowledged = client.next(&mut stream).await;
        let mut honoured = [waits.clone(), asks.clone()];
        honoured.sort();
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["notifications"], json!({ "taskIds": honoured }));
        let subscription = acknowledged["params"]["_meta"].clone();
        let mut hears = async |client: &mut Client| {
            let message = client.next(&mut stream).await;
            assert_eq!(message["method"], "notifications/tasks", "{message}");
            assert_eq!(message["params"]["_meta"], subscription);
            message["params"].clone()
        };
        let mut now = [hears(&mut client).await, hears(&mut client).await];
        now.sort_by_key(|params| params["status"].to_string());
        assert_eq!((&now[0]["status"], &now[0]["taskId"]), (&json!("input_required"), &json!(asks)));
        assert_eq!(now[0]["inputRequests"], question);
        assert_eq!((&now[1]["status"], &now[1]["taskId"]), (&json!("working"), &json!(waits)));
        let key = question.as_object().and_then(|asked| asked.keys().next()).expect("it asks").clone();
        let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
        client.result("tasks/update", json!({ "taskId": asks, "inputResponses": { key: answer } })).await;
        let mut told = hears(&mut client).await;
        if told["status"] == "working" {
            told = hears(&mut client).await;
        }
        assert_eq!((&told["status"], &told["taskId"]), (&json!("completed"), &json!(asks)));
        assert_eq!(told["result"]["content"][0]["text"], "Hello, Ada!");
        client.result("tasks/cancel", json!({ "taskId": waits })).await;
        let told = hears(&mut client).await;
        assert_eq!((&told["status"], &told["taskId"]), (&json!("cancelled"), &json!(waits)));
        assert_eq!(client.answer_of(&mut stream).await["result"]["resultType"], "complete");
        client.capabilities = json!({});
        assert_eq!(client.error("subscriptions/listen", wanted).await, MISSING_CAPABILITY);
    }
}

/// Who waits for the result hears of progress, by the token of the request that began the task, and by its task; of one
/// that has ended, nothing more.
#[tokio::test]
async fn progress_of_a_task_has_the_token_of_its_request() {
    let (server, mut foreman) = workshop();
    let mut client = Client::of(&server, Line::Http, Era::Session).await;
    let params = json!({ "name": "wait", "arguments": {}, "task": {}, "_meta": { "progressToken": "p1" } });
    let created = client.result("tools/call", params).await;
    let task = created["task"]["taskId"].as_str().expect("it has an id");
    assert_eq!(foreman.hears().await, "waiting");
    let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
    let told = client.next(&mut waiting).await;
    assert_eq!(told["method"], "notifications/progress");
    assert_eq!((&told["params"]["progressToken"], &told["params"]["progress"]), (&json!("p1"), &json!(1.0)));
    assert_eq!(told["params"]["_meta"], related(task));
    foreman.release(1);
    let answer = client.next(&mut waiting).await;
    assert_eq!(answer["result"]["content"][0]["text"], "released");
    let again = client.ask("tasks/result", json!({ "taskId": task })).await;
    assert_eq!(again["result"], answer["result"], "and nothing before it");
}

/// Of a server whose tokens are a name and a number.
fn who_is_who() -> HttpOptions {
    const ISSUER: &str = "https://as.example.com";
    let authorize = |token: String| {
        let (who, _) = token.split_once('.').expect("a token is a name and a number");
        ready(Ok::<_, AuthorizeError>(Principal::new(who, Audience::Verified).issued_by(ISSUER)))
    };
    let authorization = Authorization::new("https://mcp.example.com/mcp", [ISSUER], authorize);
    let authorization = Some(authorization.expect("the resource is one"));
    HttpOptions { authorization, ..HttpOptions::default() }
}

/// A principal's sessions and stateless requests have the tasks of one owner together.
#[tokio::test]
async fn the_tasks_of_a_principal_are_counted_together() {
    let (server, _foreman) =
        workshop_with(TaskLimits { per_owner: 2, ..TaskLimits::default() }, |builder| builder);
    let address = serve(&server, who_is_who()).await;
    let mut one = Client::who_is("alice.1", address, Era::Session).await;
    let mut two = Client::who_is("alice.2", address, Era::Session).await;
    let mut stateless = Client::who_is("alice.3", address, Era::Stateless).await;
    let mut bob = Client::who_is("bob.1", address, Era::Session).await;
    let wait = || json!({ "name": "wait", "arguments": {}, "task": {} });
    let of_one = one.create("wait", json!({})).await;
    two.create("wait", json!({})).await;
    for client in [&mut one, &mut two, &mut stateless] {
        assert_eq!(client.error("tools/call", wait()).await, OVERLOADED);
    }
    assert_eq!(two.error("tasks/get", json!({ "taskId": of_one })).await, INVALID_PARAMS, "of a session");
    bob.create("wait", json!({})).await;
    one.close().await;
    until_count(&server, 2).await;
    let of_all = stateless.create("wait", json!({})).await;
    assert_eq!(two.error("tools/call", wait()).await, OVERLOADED);
    assert_eq!(stateless.get(&of_all).await["status"], "working");
}

/// Of two principals neither sees, answers or cancels what the other has, in either era; one that comes with another
/// token is the same.
#[tokio::test]
async fn a_task_belongs_to_its_principal() {
    let (server, mut foreman) = workshop();
    let address = serve(&server, who_is_who()).await;
    let mut alice = Client::who_is("alice.1", address, Era::Stateless).await;
    let task = alice.create("wait", json!({})).await;
    assert_eq!(foreman.hears().await, "waiting");
    let mut bob = Client::who_is("bob.1", address, Era::Stateless).await;
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({ "taskId": task, "inputResponses": {} });
        assert_eq!(bob.error(method, params).await, INVALID_PARAMS, "{method}");
    }
    let wanted = json!({ "notifications": { "taskIds": [task] } });
    let mut stream = bob.start("subscriptions/listen", wanted).await;
    let acknowledged = bob.next(&mut stream).await;
    assert_eq!(acknowledged["params"]["notifications"], json!({}));
    let mut alice_again = Client::who_is("alice.2", address, Era::Stateless).await;
    assert_eq!(alice_again.get(&task).await["status"], "working");
    alice_again.result("tasks/cancel", json!({ "taskId": task })).await;
    assert_eq!(foreman.hears().await, "cancelled: Client");

    let mut alice = Client::who_is("alice.1", address, Era::Session).await;
    let task = alice.create("wait", json!({})).await;
    assert_eq!(foreman.hears().await, "waiting");
    let mut bob = Client::who_is("bob.1", address, Era::Session).await;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        assert_eq!(bob.error(method, json!({ "taskId": task })).await, INVALID_PARAMS, "{method}");
    }
    assert_eq!(bob.result("tasks/list", json!({})).await, json!({ "tasks": [] }));
    assert_eq!(alice.get(&task).await["status"], "working");
}
