//! What must not pass the lints: guards of the engine's tables that live across an await, and time that goes around the
//! seam. Each function is refused for its own reason.

/// A guard of a table without locks.
pub async fn holds_a_table_guard(sessions: &papaya::HashMap<u32, u32>) -> Option<u32> {
    let sessions = sessions.pin_owned();
    handler().await;
    sessions.get(&1).copied()
}

/// The guard that such a table hands to its own functions.
pub async fn holds_a_reclamation_guard(sessions: &papaya::HashMap<u32, u32>) -> Option<u32> {
    let guard = sessions.guard();
    handler().await;
    sessions.get(&1, &guard).copied()
}

/// A lock's guard.
pub async fn holds_a_lock(sessions: &std::sync::Mutex<Vec<u32>>) -> usize {
    let Ok(sessions) = sessions.lock() else { return 0 };
    handler().await;
    sessions.len()
}

/// A clock beside the seam.
pub fn reads_the_clock() -> std::time::Instant {
    std::time::Instant::now()
}

async fn handler() {}
