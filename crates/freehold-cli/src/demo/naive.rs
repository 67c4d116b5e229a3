//! The server as it is often written: the session table is behind one mutex, which is taken, the handler looked up and
//! run, and only then is it let go.

use super::{
    accounts::{ACCOUNTS, OPENING, Transfer, owner},
    notes::{Note, Notes},
    traffic::{self, LOOK_UP, Server},
};
use freehold::{
    ErrorObject, HandlerResult, Request, read_params,
    runtime::{TokioRuntime, pause},
    write_result,
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;

pub(super) struct NaiveServer {
    sessions: Mutex<HashMap<usize, SessionState>>,
    accounts: [Mutex<i64>; ACCOUNTS],
    notes: Notes,
}

#[derive(Default)]
struct SessionState {
    calls: u64,
}

impl NaiveServer {
    pub(super) fn new() -> Self {
        Self {
            sessions: Mutex::new((0..traffic::SESSIONS).map(|id| (id, SessionState::default())).collect()),
            accounts: std::array::from_fn(|_| Mutex::new(OPENING)),
            notes: Notes::default(),
        }
    }

    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    async fn handle(
        &self,
        session: &mut SessionState,
        request: &Request<'_>,
        note: &Note<'_>,
    ) -> HandlerResult {
        session.calls += 1;
        match &*request.method {
            "quick" => write_result(&session.calls),
            "slow" => {
                pause(&TokioRuntime, traffic::SLOW).await;
                write_result(&session.calls)
            }
            "transfer" => {
                let transfer = read_params(request.params.as_deref())?;
                write_result(&self.transfer(transfer, note).await)
            }
            other => Err(ErrorObject::method_not_found(other)),
        }
    }

    /// Returns what the payer has left.
    async fn transfer(&self, transfer: Transfer, note: &Note<'_>) -> i64 {
        let mut from = self.account(transfer.from, note).await;
        pause(&TokioRuntime, LOOK_UP).await;
        let mut to = self.account(transfer.to, note).await;
        *from -= transfer.cents;
        *to += transfer.cents;
        *from
    }

    async fn account(&self, account: usize, note: &Note<'_>) -> tokio::sync::MutexGuard<'_, i64> {
        let name = format!("{}'s account", owner(account));
        note.taking(&name, self.accounts[account].lock()).await
    }
}

impl Server for NaiveServer {
    async fn process(&self, session: usize, request: Request<'static>) -> HandlerResult {
        let note = self.notes.note(match &*request.method {
            "transfer" => {
                let transfer: Transfer = read_params(request.params.as_deref())?;
                format!("transfer {} (session {session})", transfer.parties())
            }
            method => format!("{method} call (session {session})"),
        });
        let mut sessions = note.taking("the session table", self.sessions.lock()).await;
        let state = sessions.get_mut(&session).expect("all sessions are there from the start");
        self.handle(state, &request, &note).await
    }

    async fn standing_orders(self: Arc<Self>, transfers: impl Iterator<Item = Transfer> + Send + 'static) {
        for transfer in transfers {
            {
                let note = self.notes.note(format!("standing order {}", transfer.parties()));
                self.transfer(transfer, &note).await;
            }
            pause(&TokioRuntime, traffic::BETWEEN_ORDERS).await;
        }
    }
}
