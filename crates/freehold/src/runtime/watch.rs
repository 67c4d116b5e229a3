//! Looking on a thread of its own.

use std::{thread, time::Duration};
use tokio::runtime::Handle;

/// What is called again and again; it says when next.
pub type Look = Box<dyn FnMut() -> NextLook + Send>;

/// Has [`NextLook::WhenRoused`] end, from any thread; costs nothing to speak of otherwise.
pub type Rouse = Box<dyn Fn() + Send + Sync>;

/// When to look again.
///
/// Closed: a runtime of your own has to obey each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextLook {
    /// After this time, or a little later.
    After(Duration),
    /// Once somebody roused it, also if that was during the look.
    WhenRoused,
    /// Never again: `look` is dropped.
    Never,
}

/// Looks on a thread of its own, inside of the runtime of `handle`, for its clock and for what `look` may spawn.
pub(super) fn on_a_thread(name: &'static str, handle: Option<Handle>, mut look: Look) -> Option<Rouse> {
    let looks = move || {
        let _inside = handle.as_ref().map(Handle::enter);
        loop {
            match look() {
                NextLook::After(time) => thread::park_timeout(time),
                NextLook::WhenRoused => thread::park(),
                NextLook::Never => return,
            }
        }
    };
    match thread::Builder::new().name(name.to_owned()).spawn(looks) {
        Ok(handle) => {
            let thread = handle.thread().clone();
            Some(Box::new(move || thread.unpark()))
        }
        Err(error) => {
            tracing::error!(%error, "no thread for {name}: blocked threads are not found");
            None
        }
    }
}
