//! Whether the server should get requests.

use crate::inspection::finding_row;
use freehold::Finding;

/// Ready, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readiness(Vec<String>);

/// Findings that are named.
const NAMED: usize = 8;

impl Readiness {
    pub(crate) fn of(draining: bool, findings: &[Finding]) -> Self {
        let mut reasons = Vec::new();
        if draining {
            reasons.push("draining".to_owned());
        }
        reasons.extend(findings.iter().take(NAMED).map(|finding| finding_row(finding).summary));
        if findings.len() > NAMED {
            reasons.push(format!("and {} more", findings.len() - NAMED));
        }
        Self(reasons)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn reasons(&self) -> &[String] {
        &self.0
    }

    /// What `/readyz` says: a line for each reason.
    pub(crate) fn text(&self) -> String {
        if self.is_ready() { "ready\n".to_owned() } else { format!("not ready\n{}\n", self.0.join("\n")) }
    }
}
