//! Prompts, resources, templates and completions: what there is, what is answered, and what ends in an error; by every way.

#[expect(dead_code, reason = "nothing here is written but whole messages")]
mod pipe;
#[expect(dead_code, reason = "the tools of the stage are not called")]
mod stage;
mod ways;
#[expect(dead_code, reason = "answers here come as a whole")]
mod wire;

use freehold_mcp::{
    CacheHint, Cacheable, Completion, CompletionRequest, Content, Field, Form, GetPromptResult, LogLevel,
    McpServer, McpServerBuilder, Prompt, PromptMessage, RegisterError, RelativePath, RequestContext,
    RequestError, Resource, ResourceTemplate, Tool, ToolContext, ToolError,
    freehold::{BreakerOptions, Limits, MethodOptions},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{future::pending, time::Duration};
use ways::{Clients, WAYS, Way, stateless};

const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
const RESOURCE_NOT_FOUND: i32 = -32002;
const DEADLINE_EXCEEDED: i32 = -31003;
const CIRCUIT_OPEN: i32 = -31010;

#[derive(Deserialize, JsonSchema)]
struct Greeting {
    /// Who is greeted.
    name: String,
    /// How often.
    times: Option<u32>,
}

async fn greet(_ctx: &RequestContext, args: Greeting) -> Result<GetPromptResult, RequestError> {
    let text = format!("Greet {} {} times.", args.name, args.times.unwrap_or(1));
    Ok(GetPromptResult::new(vec![
        PromptMessage::user(text),
        PromptMessage::assistant(Content::image("AA==", "image/png")),
        PromptMessage::user(Content::audio("AA==", "audio/wav")),
        PromptMessage::user(Content::resource("notes://a", "text/plain", "A")),
    ])
    .description("A greeting"))
}

async fn picture(_ctx: &RequestContext, (): ()) -> Result<Vec<u8>, RequestError> {
    Ok(vec![0, 255])
}

#[derive(Deserialize)]
struct Row {
    table: String,
    row: u8,
}

async fn row(ctx: &RequestContext, row: Row) -> Result<Option<String>, RequestError> {
    let text = format!("{} {} {}", row.table, row.row, ctx.subject());
    Ok((row.row < 100).then_some(text))
}

async fn complete_table(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    let resolved = of.resolved.get("row").map_or("?", String::as_str);
    let all = (0..150).map(|n| format!("{}{n} of {resolved}", of.value));
    Ok(Completion::new(all.collect()))
}

async fn complete_name(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix(["Ada", "Alan", "Grace"], &of.value))
}

async fn fails_prompt(_ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
    Err(std::io::Error::other("the disk is full"))?
}

async fn hangs(_ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
    pending().await
}

async fn hangs_on(_ctx: &RequestContext, _: CompletionRequest) -> Result<Completion, RequestError> {
    pending().await
}

async fn panics(_ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
    panic!("as it should")
}

async fn panics_on(_ctx: &RequestContext, _: CompletionRequest) -> Result<Completion, RequestError> {
    panic!("as it should")
}

fn builder() -> McpServerBuilder<()> {
    McpServer::builder("offers", "1.0.0")
        .prompt(Prompt::new("greet", "Greets.", greet).title("Greeting").complete("name", complete_name))
        .prompt(Prompt::new("fails", "Fails.", fails_prompt))
        .resource(Resource::text("notes://a", "a", "The letter A.", "A"))
        .resource(
            Resource::new("notes://picture", "picture", "Two bytes.", picture).mime_type("image/png").size(2),
        )
        .resource_template(
            ResourceTemplate::new("db://{table}/{row}", "row", "A row.", row)
                .mime_type("text/plain")
                .complete("table", complete_table),
        )
}

/// A result without what stateless ones have, which is checked.
fn plain(way: Way, mut result: Value, cacheable: bool) -> Value {
    let members = result.as_object_mut().expect("a result is an object");
    if way.is_stateless() {
        assert_eq!(members.remove("resultType"), Some(json!("complete")), "{way:?}");
        let meta = members.remove("_meta").expect("stateless results name the server");
        assert_eq!(meta["io.modelcontextprotocol/serverInfo"]["name"], "offers");
        assert_eq!(members.remove("ttlMs").is_some(), cacheable, "{way:?}");
        assert_eq!(members.remove("cacheScope").is_some(), cacheable, "{way:?}");
    }
    result
}

#[tokio::test]
async fn what_there_is_is_listed_and_read() {
    let mut clients = Clients::of(&builder().build().unwrap()).await;
    let rows = [
        (
            "prompts/list",
            json!({}),
            true,
            json!({ "prompts": [
                { "name": "fails", "description": "Fails." },
                { "name": "greet", "description": "Greets.", "title": "Greeting", "arguments": [
                    { "name": "name", "description": "Who is greeted.", "required": true },
                    { "name": "times", "description": "How often.", "required": false },
                ] },
            ] }),
        ),
        (
            "prompts/get",
            json!({ "name": "greet", "arguments": { "name": "Ada", "times": "3" } }),
            false,
            json!({ "description": "A greeting", "messages": [
                { "role": "user", "content": { "type": "text", "text": "Greet Ada 3 times." } },
                { "role": "assistant", "content": { "type": "image", "data": "AA==", "mimeType": "image/png" } },
                { "role": "user", "content": { "type": "audio", "data": "AA==", "mimeType": "audio/wav" } },
                { "role": "user", "content": { "type": "resource", "resource":
                    { "uri": "notes://a", "mimeType": "text/plain", "text": "A" } } },
            ] }),
        ),
        (
            "resources/list",
            json!({}),
            true,
            json!({ "resources": [
                { "uri": "notes://a", "name": "a", "description": "The letter A.", "mimeType": "text/plain" },
                { "uri": "notes://picture", "name": "picture", "description": "Two bytes.",
                  "mimeType": "image/png", "size": 2 },
            ] }),
        ),
        (
            "resources/templates/list",
            json!({}),
            true,
            json!({ "resourceTemplates": [{ "uriTemplate": "db://{table}/{row}", "name": "row",
                "description": "A row.", "mimeType": "text/plain" }] }),
        ),
        (
            "resources/read",
            json!({ "uri": "notes://a" }),
            true,
            json!({ "contents": [{ "uri": "notes://a", "mimeType": "text/plain", "text": "A" }] }),
        ),
        (
            "resources/read",
            json!({ "uri": "notes://picture" }),
            true,
            json!({ "contents": [{ "uri": "notes://picture", "mimeType": "image/png", "blob": "AP8=" }] }),
        ),
        (
            "resources/read",
            json!({ "uri": "db://a%20b/7" }),
            true,
            json!({ "contents": [{ "uri": "db://a%20b/7", "mimeType": "text/plain",
                "text": "a b 7 db://a%20b/7" }] }),
        ),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "greet" }, "argument": { "name": "name", "value": "a" } }),
            false,
            json!({ "completion": { "values": ["Ada", "Alan"], "total": 2, "hasMore": false } }),
        ),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "greet" }, "argument": { "name": "times", "value": "" } }),
            false,
            json!({ "completion": { "values": [], "hasMore": false } }),
        ),
    ];
    for way in WAYS {
        for (method, params, cacheable, result) in &rows {
            let answered = clients.result(way, method, params.clone()).await;
            assert_eq!(plain(way, answered, *cacheable), *result, "{way:?} {method} {params}");
        }
        let params = json!({
            "ref": { "type": "ref/resource", "uri": "db://{table}/{row}" },
            "argument": { "name": "table", "value": "t" },
            "context": { "arguments": { "row": "7" } },
        });
        let completion = clients.result(way, "completion/complete", params).await["completion"].clone();
        assert_eq!((&completion["total"], &completion["hasMore"]), (&json!(150), &json!(true)));
        let values = completion["values"].as_array().unwrap();
        assert_eq!((values.len(), &values[99]), (100, &json!("t99 of 7")));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_told() {
    let mut clients = Clients::of(&builder().build().unwrap()).await;
    let complete =
        |of: Value, argument: &str| json!({ "ref": of, "argument": { "name": argument, "value": "" } });
    let rows = [
        ("resources/read", json!({}), INVALID_PARAMS),
        ("prompts/get", json!({ "name": "nobody" }), INVALID_PARAMS),
        ("prompts/get", json!({ "name": "greet" }), INVALID_PARAMS),
        ("prompts/get", json!({ "name": "greet", "arguments": { "name": 7 } }), INVALID_PARAMS),
        (
            "prompts/get",
            json!({ "name": "greet", "arguments": { "name": "a", "times": "x" } }),
            INVALID_PARAMS,
        ),
        ("prompts/get", json!({ "name": "fails" }), INTERNAL_ERROR),
        ("completion/complete", json!({}), INVALID_PARAMS),
        (
            "completion/complete",
            complete(json!({ "type": "ref/tool", "name": "greet" }), "name"),
            INVALID_PARAMS,
        ),
        (
            "completion/complete",
            complete(json!({ "type": "ref/prompt", "name": "x" }), "name"),
            INVALID_PARAMS,
        ),
        (
            "completion/complete",
            complete(json!({ "type": "ref/prompt", "name": "greet" }), "x"),
            INVALID_PARAMS,
        ),
        (
            "completion/complete",
            complete(json!({ "type": "ref/resource", "uri": "x:y" }), "x"),
            INVALID_PARAMS,
        ),
        ("tools/list", json!({ "cursor": "after:a" }), INVALID_PARAMS),
        ("prompts/list", json!({ "cursor": "" }), INVALID_PARAMS),
        ("resources/list", json!({ "cursor": 7 }), INVALID_PARAMS),
        ("resources/templates/list", json!({ "cursor": "%" }), INVALID_PARAMS),
    ];
    for way in WAYS {
        for (method, params, code) in &rows {
            let error = clients.error(way, method, params.clone()).await;
            assert_eq!(error["code"], *code, "{way:?} {method} {params}: {error}");
        }
        let error = clients.error(way, "prompts/get", json!({ "name": "fails" })).await;
        assert_eq!(error["message"], "the disk is full");
        // Unknown; of another kind than the variable; known to be absent by the function only; no URI.
        for uri in ["notes://b", "db://a/x", "db://a/100", "", "notes"] {
            let error = clients.error(way, "resources/read", json!({ "uri": uri })).await;
            let code = if way.is_stateless() { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
            assert_eq!(error["code"], code, "{way:?} {uri}: {error}");
            assert_eq!(error["data"]["uri"], uri);
        }
    }
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        let error = clients.error(Way::PipeStateless, method, json!({ "uri": "notes://a" })).await;
        assert_eq!(error["code"], METHOD_NOT_FOUND, "{method} is for sessions");
    }
}

async fn nothing(_ctx: &RequestContext, (): ()) -> Result<&'static str, RequestError> {
    Ok("")
}

async fn no_tool(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    Ok("")
}

#[tokio::test]
async fn lists_come_in_pages_and_in_order() {
    let names = ["d", "b", "e", "a", "c"];
    let mut builder = McpServer::builder("offers", "1.0.0").page_size(2);
    let hint = CacheHint::private(Duration::from_secs(7));
    for list in [
        Cacheable::ToolsList,
        Cacheable::PromptsList,
        Cacheable::ResourcesList,
        Cacheable::ResourceTemplatesList,
    ] {
        builder = builder.cache(list, hint);
    }
    for name in names {
        let uri = format!("x:{name}");
        builder = builder
            .tool(Tool::new(name, "", no_tool))
            .prompt(Prompt::new(name, "", nothing))
            .resource(Resource::new(&uri, name, "", nothing))
            .resource_template(ResourceTemplate::new(&format!("{uri}/{{v}}"), name, "", row));
    }
    let mut clients = Clients::of(&builder.build().unwrap()).await;
    let lists = [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ];
    for way in WAYS {
        let mut cursors = Vec::new();
        for (method, member) in lists {
            let (mut listed, mut sizes, mut params) = (String::new(), Vec::new(), json!({}));
            loop {
                let page = clients.result(way, method, params).await;
                let entries = page[member].as_array().unwrap();
                if way.is_stateless() {
                    let hint = (&page["ttlMs"], &page["cacheScope"]);
                    assert_eq!(hint, (&json!(7_000), &json!("private")), "{way:?} {method}");
                }
                sizes.push(entries.len());
                listed.extend(entries.iter().map(|entry| entry["name"].as_str().unwrap()));
                let Some(cursor) = page.get("nextCursor") else { break };
                cursors.push((member, cursor.clone()));
                params = json!({ "cursor": cursor });
            }
            assert_eq!((&*listed, &sizes[..]), ("abcde", &[2, 2, 1][..]), "{way:?} {method}");
        }
        for (method, member) in lists {
            for (of, cursor) in &cursors {
                let answer = clients.ask(way, method, json!({ "cursor": cursor })).await;
                let error = if *of == member { Value::Null } else { json!(INVALID_PARAMS) };
                assert_eq!(answer["error"]["code"], error, "{way:?}: a cursor of {of} for {method}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_says_what_it_has_and_no_more() {
    let plain = json!({ "logging": {}, "tools": { "listChanged": true } });
    let with = |more: Value| {
        let mut all = plain.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let resources = json!({ "listChanged": true, "subscribe": true });
    let prompts = json!({ "listChanged": true });
    let new = || McpServer::builder("offers", "1.0.0");
    let rows = [
        (new(), with(json!({}))),
        (new().prompt(Prompt::new("p", "", nothing)), with(json!({ "prompts": prompts }))),
        (new().resource(Resource::new("x:y", "y", "", nothing)), with(json!({ "resources": resources }))),
        (
            new().resource_template(ResourceTemplate::new("x:{table}/{row}", "t", "", row)),
            with(json!({ "resources": resources })),
        ),
        (new().dynamic_prompts(), with(json!({ "prompts": prompts, "completions": {} }))),
        (new().dynamic_resources(), with(json!({ "resources": resources, "completions": {} }))),
        (builder(), with(json!({ "prompts": prompts, "resources": resources, "completions": {} }))),
    ];
    for (builder, capabilities) in rows {
        let mut clients = Clients::of(&builder.build().unwrap()).await;
        for way in [Way::HttpStateless, Way::PipeStateless] {
            let discovered = clients.result(way, "server/discover", json!({})).await;
            assert_eq!(discovered["capabilities"], capabilities);
        }
        for (capability, method) in [
            ("prompts", "prompts/list"),
            ("resources", "resources/list"),
            ("resources", "resources/templates/list"),
            ("completions", "completion/complete"),
        ] {
            for way in [Way::Http, Way::Pipe, Way::PipeStateless] {
                let answer = clients.ask(way, method, json!({})).await;
                let offered = capabilities.get(capability).is_some();
                let unknown = answer["error"]["code"] == METHOD_NOT_FOUND;
                assert_eq!(unknown, !offered, "{way:?} {method}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused() {
    let server = McpServer::builder("offers", "1.0.0").prompt(Prompt::new("p", "", greet)).build().unwrap();
    let prompts = server.prompts();
    let duplicate = prompts.add(Prompt::new("p", "", nothing)).unwrap_err();
    assert_eq!(duplicate.to_string(), r#"there is a prompt "p" already; remove it first"#);
    let completing = prompts.add(Prompt::new("q", "", greet).complete("name", complete_name)).unwrap_err();
    assert!(matches!(completing, RegisterError::NotOffered { kind: "completions", .. }), "{completing}");
    let resource = server.resources().add(Resource::new("x:y", "y", "", nothing)).unwrap_err();
    assert!(matches!(resource, RegisterError::NotOffered { kind: "resources", .. }), "{resource}");

    let server = McpServer::builder("offers", "1.0.0").dynamic_resources().build().unwrap();
    let resources = server.resources();
    assert_eq!(resources.add(Resource::new("x:y", "y", "", nothing)), Ok(()));
    let uri = resources.add(Resource::new("no uri", "n", "", nothing)).unwrap_err();
    assert_eq!(uri, RegisterError::InvalidUri("no uri".to_owned()));
    let template = |template: &str| ResourceTemplate::new(template, "t", "", row);
    assert!(matches!(resources.add_template(template("x:{a*}")), Err(RegisterError::InvalidTemplate(_))));
    let unknown = resources.add_template(template("x:{a}").complete("b", complete_name)).unwrap_err();
    assert_eq!(unknown.to_string(), r#""x:{a}" has no argument "b" that could be completed"#);
    for n in 0..1_024 {
        assert_eq!(resources.add_template(template(&format!("x:{n}/{{table}}/{{row}}"))), Ok(()));
    }
    assert!(matches!(resources.add_template(template("x:{a}")), Err(RegisterError::Full { .. })));
    assert!(resources.remove_template("x:7/{table}/{row}"));
    assert_eq!(resources.add_template(template("x:{a}")), Ok(()));

    let twice = McpServer::builder("offers", "1.0.0")
        .resource(Resource::new("x:y", "a", "", nothing))
        .resource(Resource::new("x:y", "b", "", nothing));
    let error = twice.build().unwrap_err();
    assert_eq!(error.to_string(), r#"there is a resource "x:y" already; remove it first"#);
}

#[tokio::test]
async fn the_template_that_says_most_reads() {
    async fn which(ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
        Ok(ctx.subject().to_owned())
    }
    async fn says(
        _ctx: &RequestContext,
        vars: std::collections::BTreeMap<String, String>,
    ) -> Result<String, RequestError> {
        Ok(format!("{vars:?}"))
    }
    let server = McpServer::builder("offers", "1.0.0")
        .resource_template(ResourceTemplate::new("x:{+all}", "all", "", says))
        .resource_template(ResourceTemplate::new("x:a/{one}", "one", "", says))
        .resource_template(ResourceTemplate::new("x:a/b{?q}", "query", "", says))
        .resource(Resource::new("x:a/own", "own", "", which))
        .build()
        .unwrap();
    let mut clients = Clients::of(&server).await;
    for (uri, text) in [
        ("x:z/y", r#"{"all": "z/y"}"#),
        ("x:a/c", r#"{"one": "c"}"#),
        ("x:a/b", "{}"),
        ("x:a/b?q=1", r#"{"q": "1"}"#),
        ("x:a/own", "x:a/own"),
    ] {
        let read = clients.result(Way::Http, "resources/read", json!({ "uri": uri })).await;
        assert_eq!(read["contents"][0]["text"], text, "{uri}");
    }
}

#[tokio::test]
async fn no_uri_leads_out_of_a_folder_that_is_served() {
    #[derive(Deserialize)]
    struct File {
        path: RelativePath,
    }
    async fn file(_ctx: &RequestContext, file: File) -> Result<String, RequestError> {
        Ok(file.path.below("served").display().to_string())
    }
    let server = builder().resource_template(ResourceTemplate::new("f:///{+path}", "f", "", file)).build();
    let mut clients = Clients::of(&server.unwrap()).await;
    for (uri, read) in [
        ("f:///a/b", Some("served/a/b")),
        ("f:///a%2Fb", Some("served/a/b")),
        ("f:///../a", None),
        ("f:///a/%2e%2E/b", None),
        ("f:////etc/passwd", None),
        ("f:///%2Fetc/passwd", None),
        ("f:///a%5C..%5Cb", None),
        ("f:///a%00", None),
    ] {
        let answer = clients.ask(Way::Http, "resources/read", json!({ "uri": uri })).await;
        assert_eq!(answer["result"]["contents"][0]["text"].as_str(), read, "{uri}: {answer}");
        assert_eq!(answer["error"]["code"] == RESOURCE_NOT_FOUND, read.is_none(), "{uri}: {answer}");
    }
}

#[tokio::test]
async fn a_handler_that_hangs_or_panics_ends_and_nobody_else_does() {
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its names matter")]
    struct Two {
        hangs: Option<String>,
        panics: Option<String>,
    }
    async fn two(_ctx: &RequestContext, _: Two) -> Result<&'static str, RequestError> {
        Ok("")
    }
    let short = || MethodOptions::new().timeout(Duration::from_millis(50));
    let with_all = || {
        builder()
            .prompt(Prompt::new("hangs", "", hangs).options(short()))
            .prompt(Prompt::new("hangs too", "", hangs))
            .prompt(Prompt::new("panics", "", panics))
            .prompt(Prompt::new("two", "", two).complete("hangs", hangs_on).complete("panics", panics_on))
            .resource(Resource::new("x:hangs", "h", "", hangs).options(short()))
            .resource(Resource::new("x:panics", "p", "", panics))
    };
    let complete = |argument: &str| json!({ "ref": { "type": "ref/prompt", "name": "two" }, "argument": { "name": argument, "value": "" } });
    // As long as ever a machine may be busy, so that a deadline is only that of the handler.
    let patient = with_all().build().unwrap();
    let patient_rows = vec![
        ("prompts/get", json!({ "name": "hangs" }), DEADLINE_EXCEEDED),
        ("prompts/get", json!({ "name": "panics" }), INTERNAL_ERROR),
        ("resources/read", json!({ "uri": "x:hangs" }), DEADLINE_EXCEEDED),
        ("resources/read", json!({ "uri": "x:panics" }), INTERNAL_ERROR),
        ("completion/complete", complete("panics"), INTERNAL_ERROR),
    ];
    // What has no deadline of its own has the server's.
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let hasty = with_all().limits(limits).build().unwrap();
    let hasty_rows = vec![
        ("prompts/get", json!({ "name": "hangs too" }), DEADLINE_EXCEEDED),
        ("completion/complete", complete("hangs"), DEADLINE_EXCEEDED),
    ];
    for (server, rows) in [(patient, patient_rows), (hasty, hasty_rows)] {
        let mut clients = Clients::of(&server).await;
        for way in WAYS {
            for (method, params, code) in &rows {
                let error = clients.error(way, method, params.clone()).await;
                assert_eq!(error["code"], *code, "{way:?} {method} {params}: {error}");
                assert!(!error.to_string().contains("as it should"), "what a panic says is for the log");
            }
            // A list is no call, so it has no deadline to miss.
            clients.result(way, "resources/list", json!({})).await;
        }
    }
}

#[tokio::test]
async fn a_resource_that_fails_again_and_again_is_refused_by_its_own_breaker() {
    async fn fails(_ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
        Err(RequestError::new("no"))
    }
    let breaker =
        BreakerOptions::new().minimum_calls(2).handler_errors(true).open_for(Duration::from_secs(3_600));
    let server = builder()
        .resource(
            Resource::new("x:fails", "f", "", fails).options(MethodOptions::new().breaker(breaker.clone())),
        )
        .resource_template(
            ResourceTemplate::new("guarded:{table}/{row}", "g", "", row)
                .options(MethodOptions::new().breaker(breaker)),
        )
        .build()
        .unwrap();
    let mut clients = Clients::of(&server).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(
            clients.error(Way::Http, "resources/read", json!({ "uri": "x:fails" })).await["code"].clone(),
        );
    }
    assert_eq!(codes, [INTERNAL_ERROR, INTERNAL_ERROR, CIRCUIT_OPEN]);
    // What is not there is no failure of the template that looks for it.
    for _ in 0..3 {
        for (way, code) in [(Way::Http, RESOURCE_NOT_FOUND), (Way::HttpStateless, INVALID_PARAMS)] {
            let error = clients.error(way, "resources/read", json!({ "uri": "guarded:a/100" })).await;
            assert_eq!(error["code"], code, "{error}");
        }
    }
    clients.result(Way::Http, "resources/read", json!({ "uri": "notes://a" })).await;
}

#[tokio::test]
async fn how_long_results_hold_is_said_by_the_builder_the_resource_or_the_read() {
    use freehold_mcp::{ReadResourceResult, ResourceContents};
    async fn own(_ctx: &RequestContext, (): ()) -> Result<ReadResourceResult, RequestError> {
        let contents = vec![ResourceContents::text("x:own", "text/plain", "")];
        Ok(ReadResourceResult::new(contents).cache(CacheHint::public(Duration::from_millis(3))))
    }
    let seconds = Duration::from_secs;
    let server = builder()
        .resource(Resource::new("x:own", "own", "", own).cache(CacheHint::private(seconds(9))))
        .resource(Resource::new("x:hint", "hint", "", nothing).cache(CacheHint::public(seconds(2))))
        .cache(Cacheable::Discover, CacheHint::private(seconds(1)))
        .cache(Cacheable::PromptsList, CacheHint::private(seconds(4)))
        .cache(Cacheable::ResourcesRead, CacheHint::public(Duration::MAX))
        .build()
        .unwrap();
    let mut clients = Clients::of(&server).await;
    let most = (1_u64 << 53) - 1;
    let rows = [
        ("server/discover", json!({}), 1_000, "private"),
        ("tools/list", json!({}), 0, "public"),
        ("prompts/list", json!({}), 4_000, "private"),
        ("resources/list", json!({}), 0, "public"),
        ("resources/templates/list", json!({}), 0, "public"),
        ("resources/read", json!({ "uri": "notes://a" }), most, "public"),
        ("resources/read", json!({ "uri": "x:hint" }), 2_000, "public"),
        ("resources/read", json!({ "uri": "x:own" }), 3, "public"),
        // Sent again with answers: it is nobody else's.
        ("resources/read", json!({ "uri": "x:hint", "inputResponses": {} }), 0, "private"),
    ];
    for way in [Way::HttpStateless, Way::PipeStateless] {
        for (method, params, ttl, scope) in &rows {
            let result = clients.result(way, method, params.clone()).await;
            assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(ttl), &json!(scope)), "{method}");
        }
    }
}

#[tokio::test]
async fn prompts_and_resources_may_ask_their_client() {
    async fn asks(ctx: &RequestContext, (): ()) -> Result<String, RequestError> {
        let answer = ctx.ask(Form::new("Who?").field("name", Field::text())).await?.into_accepted()?;
        Ok(format!("Hello, {}!", answer["name"].as_str().unwrap_or_default()))
    }
    let server = builder()
        .prompt(Prompt::new("asks", "", asks))
        .resource(Resource::new("x:asks", "asks", "", asks))
        .build()
        .unwrap();
    let mut clients = Clients::of(&server).await;
    for (method, params) in
        [("prompts/get", json!({ "name": "asks" })), ("resources/read", json!({ "uri": "x:asks" }))]
    {
        let request = |params: Value| {
            let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            stateless(message, json!({ "elicitation": {} }))
        };
        let asked = clients.pipe.ask(&request(params.clone())).await["result"].clone();
        assert_eq!(asked["resultType"], "input_required", "{method}: {asked}");
        assert_eq!(asked.get("ttlMs"), None, "what is not over cannot be kept");
        let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap();
        let mut again = params.clone();
        again["inputResponses"] = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
        again["requestState"] = asked["requestState"].clone();
        let result = clients.pipe.ask(&request(again)).await["result"].clone();
        assert_eq!(result["resultType"], "complete", "{method}: {result}");
        assert!(result.to_string().contains("Hello, Ada!"), "{method}: {result}");
    }
}

#[tokio::test]
async fn log_messages_are_those_that_the_client_wants() {
    async fn logs(ctx: &RequestContext, (): ()) -> Result<&'static str, RequestError> {
        for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Error] {
            ctx.log(level, &"hello");
        }
        Ok("")
    }
    let server = builder().prompt(Prompt::new("logs", "", logs)).build().unwrap();
    let mut clients = Clients::of(&server).await;
    let pipe = &mut clients.pipe;
    let get = |level: Option<&str>, is_stateless: bool| {
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": { "name": "logs" } });
        let mut message = if is_stateless { stateless(message, json!({})) } else { message };
        if let Some(level) = level {
            message["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!(level);
        }
        message
    };
    let rows = [
        // In a session the level of a request means nothing.
        (None, get(Some("debug"), false), "info error"),
        (Some("error"), get(None, false), "error"),
        (Some("debug"), get(None, false), "debug info error"),
        (Some("emergency"), get(None, false), ""),
        // Without one, the level of a session means nothing.
        (Some("debug"), get(None, true), ""),
        (None, get(Some("debug"), true), "debug info error"),
        (None, get(Some("warning"), true), "error"),
    ];
    for (set, request, logged) in rows {
        if let Some(level) = set {
            let set = json!({ "jsonrpc": "2.0", "id": 0, "method": "logging/setLevel", "params": { "level": level } });
            assert_eq!(pipe.ask(&set).await["result"], json!({}));
        }
        pipe.send_line(&request).await;
        let mut levels = Vec::new();
        let answer = loop {
            let line = pipe.line().await.expect("there is an answer");
            let Some("notifications/message") = line["method"].as_str() else { break line };
            assert_eq!(
                (&line["params"]["logger"], &line["params"]["data"]),
                (&json!("logs"), &json!("hello"))
            );
            levels.push(line["params"]["level"].as_str().unwrap().to_owned());
        };
        assert_eq!(answer["id"], 1);
        assert_eq!(levels.join(" "), logged, "{request}");
    }
    let bad =
        json!({ "jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": { "level": "loud" } });
    assert_eq!(pipe.ask(&bad).await["error"]["code"], INVALID_PARAMS);
    assert_eq!(pipe.ask(&get(Some("loud"), true)).await["error"]["code"], INVALID_PARAMS);
}
