use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use freehold::{Request, Response};
use tokio::sync::Mutex;

use super::handlers::{self, App, SessionState};
use super::{Design, Server};

/// A session's mutex is held while its handler runs; that of the table is not.
#[derive(Debug)]
pub struct SessionLocks {
    sessions: Mutex<HashMap<usize, Arc<Mutex<SessionState>>>>,
    app: Arc<App>,
}

impl Server for SessionLocks {
    const DESIGN: Design = Design::SessionLocks;

    fn new(sessions: usize, app: Arc<App>) -> Result<Self> {
        let sessions = (0..sessions).map(|number| (number, Arc::default())).collect();
        Ok(Self { sessions: Mutex::new(sessions), app })
    }

    fn app(&self) -> &Arc<App> {
        &self.app
    }

    async fn process(&self, session: usize, request: Request<'static>) -> Result<Response<'static>> {
        self.app.times.arrived(&request.id);
        let session = self.sessions.lock().await.get(&session).context("no such session")?.clone();
        let mut session = session.lock().await;
        let _hold = self.app.times.hold();
        self.app.times.begins(&request.id);
        let params = request.params.as_deref();
        let result = handlers::run(&mut session, &self.app, &request.method, params).await;
        Ok(Response { id: Some(request.id), result: result.map(Cow::Owned) })
    }

    async fn tally(&self) -> u64 {
        let sessions: Vec<_> = self.sessions.lock().await.values().cloned().collect();
        let mut sum = 0;
        for session in sessions {
            sum += session.lock().await.calls;
        }
        sum
    }
}
