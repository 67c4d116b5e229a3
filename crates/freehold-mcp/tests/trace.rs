//! The trace that a request belongs to: read, in the span of its handler, and passed on to the tools it calls.

#[expect(dead_code, reason = "its tools do not look at traces")]
mod stage;
#[expect(dead_code, reason = "one kind of request needs a part of it")]
mod wire;

use freehold_mcp::{HttpOptions, McpServer, Tool, ToolContext, ToolError};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber,
};
use wire::{Request, serve};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE_ID}-{PARENT_ID}-01")
}

async fn tells(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    tracing::info!("in the handler");
    Ok(json!(ctx.trace()).to_string())
}

async fn calls(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let told = ctx.call_tool(ctx.session(), "tells", &json!({})).await?;
    Ok(format!("called: {}", told.as_str().unwrap_or_default()))
}

fn server() -> McpServer {
    McpServer::builder("trace", "1.0.0")
        .tool(Tool::new("tells", "Tells its trace.", tells))
        .tool(Tool::new("calls", "Calls another tool.", calls))
        .build()
        .expect("names are unique")
}

fn call(tool: &str, meta: Value) -> Request {
    Request::stateless(1, "tools/call", json!({ "name": tool, "arguments": {}, "_meta": meta }))
}

async fn told(tool: &str, meta: Value) -> String {
    let address = serve(&server(), HttpOptions::default()).await;
    let answer = call(tool, meta).exchange(address).await.json();
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}")).to_owned()
}

async fn it_is_read_and_passed_on() {
    let trace = json!({ "traceparent": traceparent(), "tracestate": "a=1", "baggage": "user=x" });
    let whole = trace.to_string();
    assert_eq!(told("tells", trace.clone()).await, whole);
    assert_eq!(told("calls", trace).await, format!("called: {whole}"));
    assert_eq!(told("tells", json!({})).await, "null");
    for nonsense in [json!("nonsense"), json!(5), json!(["a"])] {
        assert_eq!(told("tells", json!({ "traceparent": nonsense })).await, "null");
    }
}

/// What happens in the spans named `mcp.request`.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    spans: Vec<String>,
    entered: u32,
    events_inside: u32,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "mcp.request" || metadata.target() == module_path!()
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        self.0.lock().unwrap().spans.push(fields.0);
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, _event: &Event<'_>) {
        let mut recorded = self.0.lock().unwrap();
        recorded.events_inside += u32::from(recorded.entered > 0);
    }
    fn enter(&self, _span: &Id) {
        self.0.lock().unwrap().entered += 1;
    }
    fn exit(&self, _span: &Id) {
        self.0.lock().unwrap().entered -= 1;
    }
}

async fn a_handler_runs_in_a_span_of_it() {
    let recorder = Recorder::default();
    let _guard = subscriber::set_default(recorder.clone());
    told("tells", json!({})).await;
    assert!(recorder.0.lock().unwrap().spans.is_empty(), "without a trace there is no span");
    told("tells", json!({ "traceparent": traceparent() })).await;
    let recorded = recorder.0.lock().unwrap();
    let [span] = &recorded.spans[..] else { panic!("one span: {:?}", recorded.spans) };
    for part in [
        r#"mcp.method.name="tools/call""#.to_owned(),
        r#"subject="tells""#.to_owned(),
        format!("trace_id={TRACE_ID:?}"),
        format!("parent_span_id={PARENT_ID:?}"),
        "sampled=true".to_owned(),
    ] {
        assert!(span.contains(&part), "{part} in {span}");
    }
    assert_eq!((recorded.events_inside, recorded.entered), (1, 0));
}

// One test on one thread: what the server does is recorded where the test runs, and tracing remembers of each span, for all
// threads, whether the one that came there first had somebody who listens.
#[tokio::test]
async fn the_trace_of_a_request() {
    a_handler_runs_in_a_span_of_it().await;
    it_is_read_and_passed_on().await;
}
