//! The inspection over the server's own MCP endpoint, for an agent that is to find out why the server is stuck.

use crate::{
    inspection::{Inspection, Query},
    limits,
    look::LastLook,
    metrics,
    reports::Form,
    telemetry::{Gathered, Telemetry},
};
use freehold::{Engine, State};
use freehold_mcp::{Asker, Operators, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const TOOL: &str = "freehold_inspect";
const WHAT_IT_SHOWS: &str = "Shows what this server does at this moment, as JSON: running calls with what they hold and \
wait for, locks with holders and waiters, sessions, circuit breakers, findings of the watchdog, and recent deadlocks. Answers \
at once, also while all other calls are stuck. Begin without arguments; then search for what stands out, or ask for a report.";

/// What may be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    /// Only calls, sessions and activities with this in their method, tool, session, id, stage or locks.
    search: String,
    /// Items of each list.
    limit: Option<usize>,
    /// The id of a deadlock, such as FH-1: the whole report as text, instead of the inspection.
    report: Option<String>,
}

impl Asked {
    fn query(&self) -> Query {
        let search: String = self.search.chars().take(limits::SEARCH).collect();
        let most = self.limit.unwrap_or(limits::TOLD).min(limits::LISTED_MOST);
        Query { search: search.trim().to_lowercase(), most }
    }
}

/// What the tool and the resources share.
struct Inspector {
    gathered: Arc<Gathered>,
    look: LastLook,
}

impl Inspector {
    fn inspection<S: State>(&self, engine: &Engine<S>, query: &Query) -> Inspection {
        Inspection::of(&self.look.fresh(engine), engine, &self.gathered, query)
    }

    fn metrics<S: State>(&self, engine: &Engine<S>) -> String {
        metrics::exposition(engine, &self.gathered, &self.look.fresh(engine))
    }

    fn report(&self, id: &str) -> Option<String> {
        self.gathered.report(id).map(|kept| Form::Text.write(&kept.report))
    }

    fn asked<S: State>(&self, engine: &Engine<S>, asked: &Asked) -> Result<String, ToolError> {
        let Some(id) = &asked.report else {
            return Ok(serde_json::to_string(&self.inspection(engine, &asked.query()))?);
        };
        self.report(id).ok_or_else(|| {
            let kept: Vec<_> = self.gathered.reports().iter().map(|kept| kept.report.id.clone()).collect();
            ToolError::new(format_args!("no report {id:?} is kept; these are: {}", kept.join(", ")))
        })
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}

impl Telemetry {
    /// The inspection for operators of an MCP server, for [`McpServerBuilder::operators`](freehold_mcp::McpServerBuilder): the
    /// tool `freehold_inspect`, and the resources `freehold://inspection`, `freehold://metrics`, `freehold://reports` and
    /// `freehold://reports/ID`. `may` says who is one. Others see nothing of it.
    ///
    /// It needs no slot, no turn and no lock of the application, so it answers while all calls are stuck; not if these also
    /// block every thread of the transport (see [`EngineBuilder::handlers_on`](freehold::EngineBuilder::handlers_on), and
    /// [`AdminServer`](crate::AdminServer), which has a thread of its own). A look runs in the reader of the connection that asks;
    /// looks take at most a twentieth of a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_admin::Telemetry;
    /// use freehold_mcp::McpServer;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = Telemetry::new();
    /// let operators = telemetry.operators(|asker| {
    ///     asker.principal().is_some_and(|principal| principal.scopes.contains("operate"))
    /// });
    /// let server = McpServer::builder("watched", "1.0.0")
    ///     .engine(|engine| engine.observer(telemetry.clone()))
    ///     .operators(operators)
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn operators<S: State>(
        &self,
        may: impl Fn(&Asker<'_>) -> bool + Send + Sync + 'static,
    ) -> Operators<S> {
        let shared = Arc::new(Inspector { gathered: self.gathered().clone(), look: LastLook::default() });
        let [tool, inspection, metrics, reports, report] = std::array::from_fn(|_| shared.clone());
        let whole = |most| Query { most, ..Query::default() };
        Operators::new(may)
            .tool(TOOL, WHAT_IT_SHOWS, move |engine: &Engine<S>, asked: Asked| tool.asked(engine, &asked))
            .resource(
                "freehold://inspection",
                "inspection",
                "Everything that the server does at this moment.",
                "application/json",
                move |engine| json(&inspection.inspection(engine, &whole(limits::LISTED))),
            )
            .resource(
                "freehold://metrics",
                "metrics",
                "All metrics, as text of Prometheus.",
                "text/plain",
                move |engine| metrics.metrics(engine),
            )
            .resource(
                "freehold://reports",
                "reports",
                "Recent deadlocks, the newest first.",
                "application/json",
                move |engine| json(&reports.inspection(engine, &whole(limits::LISTED)).reports),
            )
            .resources_under(
                "freehold://reports/",
                "id",
                "report",
                "A deadlock by its id: who waited for whom, where, and what to change.",
                "text/plain",
                move |_, id| report.report(id),
            )
    }
}
