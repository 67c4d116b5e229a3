//! Every bound that the protocol adds to those of the engine ([`Limits`](freehold::Limits)), with its unit and its reason.

/// Entries on one page of a list, unless the builder says otherwise: a list is nearly always one page, and a page of
/// tools with large schemas is still far below the bound of an answer.
pub(crate) const PAGE_ENTRIES: usize = 500;
/// The same, at most.
pub(crate) const PAGE_ENTRIES_MOST: usize = 10_000;
/// Templates of one server: a read whose URI is no resource's own tries each of them.
pub(crate) const TEMPLATES: usize = 1_024;
/// Variables of one template.
pub(crate) const TEMPLATE_VARIABLES: usize = 32;
/// Bytes of a URI or a URI template, wherever one is taken: what is subscribed to is kept, and what is read is matched.
pub(crate) const URI_BYTES: usize = 8 << 10;
/// Values in one answer to `completion/complete`; the protocol's own bound.
pub(crate) const COMPLETION_VALUES: usize = 100;
/// Changes that a slow subscription may be behind before it is told, instead of each, that all it asked for may have
/// changed.
pub(crate) const CHANGES_KEPT: usize = 1_024;
/// Characters of the name of a tool, at most: what revision 2025-11-25 says.
pub(crate) const TOOL_NAME_LONGEST: usize = 128;
/// How deep a schema may nest. Those of people stay below ten; each level costs stack when it is compiled and used.
pub(crate) const SCHEMA_DEEPEST: usize = 64;
/// Objects and arrays in a schema: what is checked for every call must be seen through.
pub(crate) const SCHEMA_PARTS: usize = 10_000;
/// Steps that a regular expression of a schema may go back, for one text: beyond, the text does not fit.
pub(crate) const PATTERN_BACKTRACKS: usize = 100_000;
/// Bytes that a regular expression of a schema may take when it is compiled.
pub(crate) const PATTERN_BYTES: usize = 1 << 20;
/// What does not fit is told with so many reasons at most.
pub(crate) const MISFITS_TOLD: usize = 8;
/// Bytes of one of these reasons, and of the path before it, at most: keys and patterns may be as long as anybody likes.
pub(crate) const MISFIT_BYTES: usize = 256;
