//! Panics on purpose.

use std::sync::Once;

/// Every panic on purpose contains this; nothing of it may reach a client.
pub const SEEDED_PANIC: &str = "seeded panic with a secret";

/// Panics when it is dropped.
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // A second panic during an unwinding would end the process, whatever the engine does.
        if !std::thread::panicking() {
            panic!("{SEEDED_PANIC} in a drop");
        }
    }
}

/// Keeps panics on purpose out of the output; others are reported as before.
pub fn hide_seeded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.contains(SEEDED_PANIC)) {
                report(panic);
            }
        }));
    });
}
