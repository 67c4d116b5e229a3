//! What stateless results say of how long they hold, and for whom.

use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Who may reuse a result that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CacheScope {
    /// Anybody: it is the same for all.
    Public,
    /// Who asks with the same authorization.
    Private,
}

/// How long a result holds, and for whom. Revisions with sessions do not know it.
///
/// A hint guards nothing: whoever must not see something must be refused where it is read.
///
/// # Examples
///
/// ```
/// use freehold_mcp::CacheHint;
/// use std::time::Duration;
///
/// let hint = CacheHint::public(Duration::from_secs(300));
/// assert_ne!(hint, CacheHint::private(Duration::ZERO));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CacheHint {
    /// How long a client may take it for fresh; counted in milliseconds, and zero for not at all.
    pub ttl: Duration,
    /// Who may reuse it.
    pub scope: CacheScope,
}

impl CacheHint {
    /// The same for everybody, for so long.
    #[must_use]
    pub const fn public(ttl: Duration) -> Self {
        Self { ttl, scope: CacheScope::Public }
    }

    /// For who asked, for so long.
    #[must_use]
    pub const fn private(ttl: Duration) -> Self {
        Self { ttl, scope: CacheScope::Private }
    }

    /// The time in milliseconds, as far as JSON readers can count.
    pub(crate) fn ttl_ms(self) -> u64 {
        const LARGEST_SAFE: u64 = (1 << 53) - 1;
        u64::try_from(self.ttl.as_millis()).map_or(LARGEST_SAFE, |ms| ms.min(LARGEST_SAFE))
    }

    /// Adds it to a result.
    pub(crate) fn write(self, result: &mut Value) {
        result["ttlMs"] = json!(self.ttl_ms());
        result["cacheScope"] = json!(self.scope);
    }
}

/// The requests whose results carry a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cacheable {
    /// `server/discover`.
    Discover,
    /// `tools/list`.
    ToolsList,
    /// `prompts/list`.
    PromptsList,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourceTemplatesList,
    /// `resources/read`, of resources that say nothing themselves.
    ResourcesRead,
}

/// The hints of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheHints([CacheHint; 6]);

impl Default for CacheHints {
    /// Nothing holds: the lists are the same for all, of contents nothing is known.
    fn default() -> Self {
        let mut hints = Self([CacheHint::public(Duration::ZERO); 6]);
        hints.set(Cacheable::ResourcesRead, CacheHint::private(Duration::ZERO));
        hints
    }
}

impl CacheHints {
    pub(crate) fn set(&mut self, of: Cacheable, hint: CacheHint) {
        self.0[of as usize] = hint;
    }

    pub(crate) fn get(&self, of: Cacheable) -> CacheHint {
        self.0[of as usize]
    }
}
