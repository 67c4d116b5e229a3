//! See a server on the Freehold engine from outside: metrics, health, inspection, reports, alerts, and a live page.
//!
//! A [`Telemetry`] observes an engine; an [`AdminServer`] shows what it gathered and what the engine does at this moment, on
//! an address and a thread of its own, so that it answers also when every thread of the engine is blocked.
//!
//! | Address | What |
//! |---|---|
//! | `/` | the page: rates and latencies, running handlers and what they wait for, the wait-for graph, contention, breakers, reports |
//! | `/metrics` | [`METRICS`] as text of Prometheus |
//! | `/livez` | 200 as long as the process answers |
//! | `/readyz` | 503 while the engine drains and while a finding of the watchdog stands, with the reasons |
//! | `/admin/inspect` | an [`Inspection`] as JSON; `?q=TEXT` searches, `?limit=N` bounds each list |
//! | `/admin/reports`, `/admin/reports/ID` | deadlocks as JSON, text (`.txt`), DOT (`.dot`) and SVG (`.svg`), and as a page |
//!
//! With the feature `mcp`, `Telemetry::operators` gives the same inspection as a tool and as resources of an MCP server, for
//! operators only: see `freehold_mcp::Operators`. With the feature `otlp`, `OtlpExporter` posts the metrics to a collector of
//! OpenTelemetry.
//!
//! ```
//! use freehold::Engine;
//! use freehold_admin::{AdminOptions, AdminServer, Telemetry};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = Telemetry::new();
//! let engine = Engine::builder(()).observer(telemetry.clone()).build()?;
//! let admin = AdminServer::bind("127.0.0.1:0", AdminOptions::default())?.start(&engine, &telemetry)?;
//! println!("the page is at {}", admin.url());
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod alert;
mod client;
mod graph;
mod health;
mod history;
mod http;
mod inspection;
pub mod limits;
mod lock_order;
mod look;
#[cfg(feature = "mcp")]
mod mcp;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod reports;
mod server;
mod source;
mod telemetry;

pub use alert::{Alert, AlertKind, InvalidWebhook, ReceiveAlert, Webhook};
pub use client::{Answer, HttpUrl, InvalidUrl};
pub use inspection::{
    ActivityRow, BreakerRow, CallGroup, CallRow, Calls, ClassRow, FindingRow, HoldRow, Inspection, LockRow,
    ReportRow, ServerRow, SessionRow, Sessions, ViolationRow, WaitRow,
};
pub use metrics::{Kind, METRICS, Metric};
#[cfg(feature = "otlp")]
pub use otlp::{OtlpError, OtlpExporter, OtlpOptions, RunningOtlp};
pub use server::{AdminError, AdminOptions, AdminServer, RunningAdmin};
pub use telemetry::{Telemetry, WatchPoolError};
