use std::sync::Arc;

use anyhow::{Context as _, Result};
use freehold::{Context, Engine, ErrorObject, Request, Response, SessionId};

use super::handlers::{self, App, Echo, Slow, Tally};
use super::ledger::{self, FreeholdAccounts, Transfer, Transferred};
use super::{Design, Server};

/// The engine, with its defaults.
#[derive(Debug)]
pub struct Freehold {
    engine: Engine<u64>,
    sessions: Vec<SessionId>,
    accounts: Arc<FreeholdAccounts>,
    app: Arc<App>,
}

impl Freehold {
    /// The accounts of its ledger.
    #[must_use]
    pub fn accounts(&self) -> &Arc<FreeholdAccounts> {
        &self.accounts
    }
}

impl Tally for &Context<u64> {
    async fn add_one(&mut self) -> Result<u64, ErrorObject> {
        let add = |calls: &mut u64| {
            *calls += 1;
            *calls
        };
        Ok(self.update(add).await?)
    }
}

fn begins(ctx: &Context<u64>) {
    if let Some(id) = ctx.request_id() {
        ctx.app::<App>().times.begins(id);
    }
}

async fn echo(mut ctx: &Context<u64>, params: Echo) -> Result<Echo, ErrorObject> {
    begins(ctx);
    handlers::echo(&mut ctx, params).await
}

async fn slow(mut ctx: &Context<u64>, params: Slow) -> Result<Slow, ErrorObject> {
    begins(ctx);
    let app = ctx.app::<App>();
    handlers::slow(&mut ctx, app, params).await
}

async fn transfer(mut ctx: &Context<u64>, params: Transfer) -> Result<Transferred, ErrorObject> {
    begins(ctx);
    ctx.add_one().await?;
    let accounts = ctx.app::<FreeholdAccounts>();
    Ok(ledger::transfer_by_freehold(ctx.locks(), accounts, params).await?)
}

impl Server for Freehold {
    const DESIGN: Design = Design::Freehold;

    fn new(sessions: usize, app: Arc<App>) -> Result<Self> {
        let accounts = Arc::<FreeholdAccounts>::default();
        let engine = Engine::builder(0)
            .app(app.clone())
            .app(accounts.clone())
            .method("echo", echo)
            .method("slow", slow)
            .method("transfer", transfer)
            .build()?;
        let open = |_| {
            let session = engine.open()?;
            session.mark_initialized();
            Ok(session.id())
        };
        let sessions = (0..sessions).map(open).collect::<Result<_>>()?;
        Ok(Self { engine, sessions, accounts, app })
    }

    fn app(&self) -> &Arc<App> {
        &self.app
    }

    async fn process(&self, session: usize, request: Request<'static>) -> Result<Response<'static>> {
        self.app.times.arrived(&request.id);
        let id = *self.sessions.get(session).context("no such session")?;
        let session = self.engine.session(id)?;
        self.engine.process(&session, request.into()).await.context("a request without an answer")
    }

    async fn tally(&self) -> u64 {
        self.engine.sessions().iter().map(|session| *session.state()).sum()
    }
}
