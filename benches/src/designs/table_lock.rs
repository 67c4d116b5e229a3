use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use freehold::{Request, Response};
use tokio::sync::Mutex;

use super::handlers::{self, App, SessionState};
use super::{Design, Server};

/// The session table's mutex is held while a handler runs.
#[derive(Debug)]
pub struct TableLock {
    sessions: Mutex<HashMap<usize, SessionState>>,
    app: Arc<App>,
}

impl Server for TableLock {
    const DESIGN: Design = Design::TableLock;

    fn new(sessions: usize, app: Arc<App>) -> Result<Self> {
        let sessions = (0..sessions).map(|number| (number, SessionState::default())).collect();
        Ok(Self { sessions: Mutex::new(sessions), app })
    }

    fn app(&self) -> &Arc<App> {
        &self.app
    }

    async fn process(&self, session: usize, request: Request<'static>) -> Result<Response<'static>> {
        self.app.times.arrived(&request.id);
        let mut sessions = self.sessions.lock().await;
        let _hold = self.app.times.hold();
        let session = sessions.get_mut(&session).context("no such session")?;
        self.app.times.begins(&request.id);
        let result = handlers::run(session, &self.app, &request.method, request.params.as_deref()).await;
        Ok(Response { id: Some(request.id), result: result.map(Cow::Owned) })
    }

    async fn tally(&self) -> u64 {
        self.sessions.lock().await.values().map(|session| session.calls).sum()
    }
}
