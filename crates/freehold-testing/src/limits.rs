//! Every bound of this crate, with its unit and its reason.

use std::time::Duration;

/// Schedules of an exploration that says nothing else: about a second for a small program.
pub(crate) const SCHEDULES: u64 = 200;
/// Virtual time that a run may take: above any deadline.
pub(crate) const VIRTUAL: Duration = Duration::from_secs(3_600);
/// Virtual time that calls, their tasks and their locks have to end in after the program: above the grace of a cancelled
/// handler.
pub(crate) const AFTERWARDS: Duration = Duration::from_secs(60);
/// Steps at one instant of virtual time: more are tasks that wake each other for ever.
pub(crate) const STEPS_AT_ONE_INSTANT: u64 = 200_000;
/// Steps before tasks of tokio's own may run: handlers may spawn such.
pub(crate) const STEPS_IN_A_ROW: usize = 16;
/// Lines of a trace that are kept.
pub(crate) const TRACE_LINES: usize = 100_000;
/// Lines of a trace that a failure prints.
pub(crate) const PRINTED_LINES: usize = 60;
/// Findings of one kind that a run keeps.
pub(crate) const FINDINGS: usize = 64;
