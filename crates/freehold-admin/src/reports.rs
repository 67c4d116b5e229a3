//! A report in its written forms.

use crate::graph::{self, WaitGraph};
use freehold_sync::Deadlock;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
    Dot,
    Svg,
}

impl Form {
    /// By the ending of a file, or the value of `format`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "txt" | "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "dot" => Some(Self::Dot),
            "svg" => Some(Self::Svg),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Dot => "text/vnd.graphviz; charset=utf-8",
            Self::Svg => "image/svg+xml",
        }
    }

    pub(crate) fn write(self, report: &Deadlock) -> String {
        match self {
            Self::Text => report.to_string(),
            Self::Json => report.to_json(),
            Self::Dot => report.to_dot(),
            Self::Svg => graph::standalone(&WaitGraph::of_report(report), &report.headline()),
        }
    }
}
