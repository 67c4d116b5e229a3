//! Every bound of this crate, with its unit and its reason.

use std::time::Duration;

/// Pairs of a method and a subject whose calls are counted for themselves; those of all others are counted as `other`.
/// Each may bring a few hundred lines to a scrape.
pub const SERIES: usize = 128;

/// Lock classes that are exported for themselves; all others are added up as `other`.
pub const CLASSES: usize = 128;

/// Permit pools that are watched; one more is refused.
pub const POOLS: usize = 64;

/// Breakers that are exported for themselves. Those of a server with more tools are on the page.
pub const BREAKERS: usize = 256;

/// Sets of lock classes that deadlocks are counted by; those of all others are counted as `other`.
pub const RINGS: usize = 64;

/// Proven reports, suspected ones, order violations and changes of breakers that are kept, of each; the oldest go first.
pub const KEPT: usize = 64;

/// Alerts that wait for one receiver; one more is counted as lost.
pub const ALERTS: usize = 256;

/// How long a webhook may take for one alert, from the connection to the first line of the answer.
pub const WEBHOOK: Duration = Duration::from_secs(5);

/// Receivers of alerts; each has a thread.
pub const RECEIVERS: usize = 16;

/// From one export to a collector of OpenTelemetry to the next, unless told otherwise: what OpenTelemetry defines.
pub const OTLP_INTERVAL: Duration = Duration::from_secs(60);

/// The same, at the least: each export looks at all calls and sessions.
pub const OTLP_INTERVAL_LEAST: Duration = Duration::from_millis(100);

/// The same, at the most.
pub const OTLP_INTERVAL_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an export may take, from the connection to the answer, unless told otherwise: what OpenTelemetry defines.
pub const OTLP_TIMEOUT: Duration = Duration::from_secs(10);

/// The same, at the most.
pub const OTLP_TIMEOUT_MOST: Duration = Duration::from_secs(5 * 60);

/// How long the last export may hold up the end of a program.
pub const OTLP_FLUSH: Duration = Duration::from_secs(5);

/// How long a collector is left alone that asks for it, at the most.
pub const OTLP_REST: Duration = Duration::from_secs(5 * 60);

/// Bytes of a collector's answer, as OpenTelemetry recommends: an export with a longer one has failed, since nobody has read what the
/// collector refused of it.
pub const OTLP_ANSWER: u64 = 4 << 20;

/// Headers that are sent with each export.
pub const OTLP_HEADERS: usize = 32;

/// Attributes of the resource that is exported.
pub const OTLP_ATTRIBUTES: usize = 128;

/// Bytes of all headers, and of all attributes of the resource.
pub const OTLP_TOLD_BYTES: usize = 16 << 10;

/// Seconds of rates and latencies that are kept: what a page shows.
pub const HISTORY: usize = 300;

/// Connections at the same time; one more is closed at once.
pub const CONNECTIONS: usize = 256;

/// Pages that are kept up to date at the same time; one more gets 503 and is told to come back.
pub const VIEWERS: usize = 64;

/// How long the head of a request may take to arrive.
pub const HEADER: Duration = Duration::from_secs(10);

/// How long a viewer may leave what it is sent unread before its stream is closed.
pub const UNREAD: Duration = Duration::from_secs(30);

/// A look at the engine serves all who ask within this time.
pub const LOOK_FRESH: Duration = Duration::from_millis(100);

/// The same where a look is dear: so many times what it cost, so that looking takes at most a twentieth of one thread.
pub const LOOK_COST_FACTOR: u32 = 20;

/// No look is older than this.
pub const LOOK_STALE: Duration = Duration::from_secs(2);

/// How often a page is brought up to date, if that is cheap; news go out at once.
pub const PAGE_EVERY: Duration = Duration::from_secs(1);

/// How many times as long as it took a page rests: at most a hundredth of one thread.
pub const PAGE_COST_FACTOR: u32 = 99;

/// News that come faster than this are told together.
pub const NEWS_EVERY: Duration = Duration::from_millis(100);

/// Calls that a page lists; all are in its groups.
pub const PAGE_CALLS: usize = 20;

/// Items of each list that are looked at for a page.
pub(crate) const PAGE_LISTED: usize = 128;

/// Sessions that a page lists.
pub const PAGE_SESSIONS: usize = 20;

/// Groups of calls, locks, classes and findings that a page lists, of each.
pub const PAGE_ROWS: usize = 24;

/// Items of each list of an inspection, unless it is asked for another number.
pub const LISTED: usize = 1_000;

/// The same where an agent asks, unless it says otherwise: what it is told costs it tokens.
pub const TOLD: usize = 25;

/// The same, at the most.
pub const LISTED_MOST: usize = 20_000;

/// Characters of a search.
pub const SEARCH: usize = 200;

/// Boxes of a graph that is drawn. Those who wait alike are one box; those beyond are counted.
pub const DRAWN: usize = 40;

/// Characters of a label in a graph.
pub const DRAWN_LABEL: usize = 44;

/// How long a ring that closed stays on the page.
pub const RING_SHOWN: Duration = Duration::from_secs(15);

/// Bytes of an answer that the client reads.
pub const ANSWER: u64 = 64 << 20;
