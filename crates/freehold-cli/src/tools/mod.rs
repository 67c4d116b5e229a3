//! The tools that are served.

mod echo;
mod ledger;
mod slow;

use freehold_mcp::McpServerBuilder;

/// What models are told about the server.
pub(crate) const INSTRUCTIONS: &str = "\
echo returns its text; slow takes as long as it is told and reports progress. The other tools keep a ledger: open \
accounts, move money between them, and audit that none was lost or created. Amounts are whole cents. Accounts outlive \
the session and are found by the id that open_account returns.";

/// Adds all of them.
pub(crate) fn add(builder: McpServerBuilder<()>) -> McpServerBuilder<()> {
    ledger::tools().into_iter().fold(builder.tool(echo::tool()).tool(slow::tool()), McpServerBuilder::tool)
}

#[cfg(test)]
mod simulated;
