/// How often clients may ask for completions, for [`McpServerBuilder::completions`](crate::McpServerBuilder::completions).
///
/// A client is a principal with all its sessions and stateless requests, or, where that is not known, a session. Each may ask
/// `burst` times at once, and then `per_second` times a second; after a quiet time it has its burst again.
///
/// # Examples
///
/// ```
/// use freehold_mcp::CompletionLimits;
///
/// let limits = CompletionLimits { burst: 20, ..CompletionLimits::default() };
/// assert_eq!(limits.per_second, 20);
/// ```
// Exhaustive, so that the update syntax of the example works outside of this crate too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionLimits {
    /// Requests of one client that may come at once after a quiet time, at least 1: a person types a word, and each letter
    /// asks.
    pub burst: u32,
    /// Requests a second of one client in the long run, at least 1: faster than anybody types.
    pub per_second: u32,
    /// As `burst`, for all together of whom is not known who they are: stateless requests without a principal.
    pub unknown_burst: u32,
    /// As `per_second`, for the same.
    pub unknown_per_second: u32,
    /// Clients that are counted at a time, each until its burst is whole again; those beyond count as unknown.
    pub clients: usize,
}

impl Default for CompletionLimits {
    fn default() -> Self {
        Self { burst: 100, per_second: 20, unknown_burst: 2_000, unknown_per_second: 400, clients: 16_384 }
    }
}
