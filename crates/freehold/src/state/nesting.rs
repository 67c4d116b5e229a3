//! Which transactions the poll that runs on this thread is inside of.
//!
//! A commit to a session from inside of a transaction on that session would make the transaction run again, and the next
//! time too. So it is refused when it begins. What counts is where it is polled, whatever handle it goes through; a call
//! that a handler makes takes the list along in its header.

use crate::{session::SessionId, shim};
use std::{cell::RefCell, future::Future, future::poll_fn, pin::pin, sync::Arc};

shim::thread_local!(static OPEN: RefCell<Vec<SessionId>> = const { RefCell::new(Vec::new()) });

/// Whether a transaction on this session is open around the running poll.
pub(crate) fn is_inside(session: SessionId) -> bool {
    OPEN.with(|open| open.borrow().contains(&session))
}

/// All that are open around the running poll.
pub(crate) fn open_now() -> Arc<[SessionId]> {
    OPEN.with(|open| open.borrow().as_slice().into())
}

/// Runs `future` inside of transactions on these sessions.
pub(crate) async fn inside<F: Future>(sessions: &[SessionId], future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _entered = Entered::enter(sessions);
        future.as_mut().poll(cx)
    })
    .await
}

/// Takes the entries away, also when the poll panics.
struct Entered(usize);

impl Entered {
    fn enter(sessions: &[SessionId]) -> Self {
        OPEN.with(|open| {
            let mut open = open.borrow_mut();
            let before = open.len();
            open.extend_from_slice(sessions);
            Self(before)
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        OPEN.with(|open| open.borrow_mut().truncate(self.0));
    }
}
