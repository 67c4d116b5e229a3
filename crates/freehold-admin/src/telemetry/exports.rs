//! What became of exports to a collector of OpenTelemetry.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted without an order (Relaxed): each stands for itself.
#[derive(Debug, Default)]
pub(crate) struct ExportCounts {
    delivered: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

impl ExportCounts {
    pub(crate) fn named(&self) -> [(&'static str, u64); 4] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("delivered", of(&self.delivered)),
            ("rejected", of(&self.rejected)),
            ("failed", of(&self.failed)),
            ("skipped", of(&self.skipped)),
        ]
    }
}

#[cfg(feature = "otlp")]
impl ExportCounts {
    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, exports: u64) {
        self.skipped.fetch_add(exports, Ordering::Relaxed);
    }
}
