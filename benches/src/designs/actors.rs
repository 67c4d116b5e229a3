use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};
use freehold::{Request, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::handlers::{self, App, SessionState};
use super::{Design, Server};

/// Requests that may wait for one session; who has one more waits for room.
const QUEUE: usize = 64;

/// Each session is a task that answers its requests one after the other.
#[derive(Debug)]
pub struct Actors {
    sessions: RwLock<HashMap<usize, mpsc::Sender<Job>>>,
    tasks: Mutex<JoinSet<()>>,
    app: Arc<App>,
}

#[derive(Debug)]
enum Job {
    Answer(Request<'static>, oneshot::Sender<Response<'static>>),
    Tally(oneshot::Sender<u64>),
}

impl Actors {
    fn session(&self, session: usize) -> Result<mpsc::Sender<Job>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&session).cloned().context("no such session")
    }
}

async fn act(mut jobs: mpsc::Receiver<Job>, app: Arc<App>) {
    let mut session = SessionState::default();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Answer(request, reply) => {
                let _hold = app.times.hold();
                app.times.begins(&request.id);
                let params = request.params.as_deref();
                let result = handlers::run(&mut session, &app, &request.method, params).await;
                // Who asked may be gone.
                let _ = reply.send(Response { id: Some(request.id), result: result.map(Cow::Owned) });
            }
            Job::Tally(reply) => {
                let _ = reply.send(session.calls);
            }
        }
    }
}

impl Server for Actors {
    const DESIGN: Design = Design::Actors;

    fn new(sessions: usize, app: Arc<App>) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let start = |number| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            tasks.spawn(act(jobs, app.clone()));
            (number, sender)
        };
        let sessions = (0..sessions).map(start).collect();
        Ok(Self { sessions: RwLock::new(sessions), tasks: Mutex::new(tasks), app })
    }

    fn app(&self) -> &Arc<App> {
        &self.app
    }

    async fn process(&self, session: usize, request: Request<'static>) -> Result<Response<'static>> {
        self.app.times.arrived(&request.id);
        let (reply, answer) = oneshot::channel();
        let session = self.session(session)?;
        session.send(Job::Answer(request, reply)).await.context("the session has ended")?;
        answer.await.context("the session has ended")
    }

    async fn tally(&self) -> u64 {
        let sessions: Vec<_> =
            self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut sum = 0;
        for session in sessions {
            let (reply, calls) = oneshot::channel();
            // A session that has ended counts nothing any more.
            let _ = session.send(Job::Tally(reply)).await;
            sum += calls.await.unwrap_or(0);
        }
        sum
    }

    async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}
