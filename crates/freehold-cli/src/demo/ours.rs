//! The same server on Freehold.

use super::{
    accounts::{ACCOUNTS, CLASSES, OPENING, Transfer},
    traffic::{self, LOOK_UP, Server},
};
use freehold::{
    Context, Engine, EngineBuilder, ErrorObject, HandlerResult, Request, Session,
    runtime::{TokioRuntime, pause},
    sync::{self, Deadlock, Event, Grade, LockError, Mutex, Retry, ScopedMutex, Subscription},
};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A transfer that had to give way so often is given up. It ages meanwhile, and the oldest never has to; so none gets
/// near this.
const ATTEMPTS: u32 = 1_000;

pub(super) struct OurServer {
    sessions: Vec<Session<u64>>,
    bank: Arc<Bank>,
    deadlocks: Arc<Deadlocks>,
    _subscription: Subscription,
}

struct Bank {
    accounts: [Mutex<i64>; ACCOUNTS],
    run_again: AtomicU64,
}

/// Deadlocks that were proven.
#[derive(Default)]
struct Deadlocks {
    count: AtomicU64,
    first: ScopedMutex<Option<Arc<Deadlock>>>,
}

/// What was done about deadlocks.
pub(super) struct Recovery {
    pub(super) deadlocks: u64,
    pub(super) run_again: u64,
    /// All money there is less what there was; nothing if somebody still has an account.
    pub(super) money_made: Option<i64>,
}

impl OurServer {
    pub(super) fn new() -> Self {
        Self::built(|builder| builder.build().expect("no method has two handlers"))
    }

    /// The same with an engine that `build` builds.
    fn built(build: impl FnOnce(EngineBuilder<u64>) -> Engine<u64>) -> Self {
        let deadlocks = Arc::<Deadlocks>::default();
        let seen = deadlocks.clone();
        let subscription = sync::subscribe(move |event| seen.event(event));
        let bank = Arc::new(Bank {
            accounts: std::array::from_fn(|account| Mutex::with_class(&CLASSES[account], OPENING)),
            run_again: AtomicU64::new(0),
        });
        let builder = Engine::builder(0)
            .app(bank.clone())
            .method("quick", quick)
            .method("slow", slow)
            .method("transfer", transfer);
        let engine = build(builder);
        let open = |_| {
            let session = engine.open().expect("there is room for a few sessions");
            session.mark_initialized();
            session
        };
        Self {
            sessions: (0..traffic::SESSIONS).map(open).collect(),
            bank,
            deadlocks,
            _subscription: subscription,
        }
    }

    pub(super) fn first_deadlock(&self) -> Option<Arc<Deadlock>> {
        self.deadlocks.first.with(|first| first.clone())
    }

    pub(super) fn deadlocks(&self) -> u64 {
        self.deadlocks.count.load(Ordering::Relaxed)
    }

    /// `all_ended`: nobody has an account any more.
    pub(super) async fn recovery(&self, all_ended: bool) -> Recovery {
        Recovery {
            deadlocks: self.deadlocks(),
            run_again: self.bank.run_again.load(Ordering::Relaxed),
            money_made: if all_ended { self.bank.money_made().await } else { None },
        }
    }
}

impl Deadlocks {
    fn event(&self, event: &Event) {
        if let Event::Deadlock(report) = event
            && report.grade == Grade::Proven
        {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.first.with(|first| {
                first.get_or_insert_with(|| report.clone());
            });
        }
    }
}

impl Bank {
    /// Returns what the payer has left.
    async fn transfer(&self, ctx: &sync::Context, transfer: Transfer) -> Result<i64, LockError> {
        let again = |error: &LockError| {
            self.run_again.fetch_add(u64::from(error.is_deadlock()), Ordering::Relaxed);
            error.is_deadlock()
        };
        let attempt = || self.transfer_once(ctx, transfer);
        ctx.retry(Retry::default().attempts(ATTEMPTS), again, attempt).await
    }

    async fn transfer_once(&self, ctx: &sync::Context, transfer: Transfer) -> Result<i64, LockError> {
        let mut from = ctx.lock(&self.accounts[transfer.from]).await?;
        pause(&TokioRuntime, LOOK_UP).await;
        let mut to = ctx.lock(&self.accounts[transfer.to]).await?;
        *from -= transfer.cents;
        *to += transfer.cents;
        Ok(*from)
    }

    async fn money_made(&self) -> Option<i64> {
        let mut sum = 0;
        for account in &self.accounts {
            sum += *account.lock().await.ok()?;
        }
        Some(sum - OPENING * ACCOUNTS as i64)
    }
}

async fn count(ctx: &Context<u64>) -> Result<u64, ErrorObject> {
    let one_more = |calls: &mut u64| {
        *calls += 1;
        *calls
    };
    Ok(ctx.update(one_more).await?)
}

async fn quick(ctx: &Context<u64>, (): ()) -> Result<u64, ErrorObject> {
    count(ctx).await
}

async fn slow(ctx: &Context<u64>, (): ()) -> Result<u64, ErrorObject> {
    let calls = count(ctx).await?;
    pause(&TokioRuntime, traffic::SLOW).await;
    Ok(calls)
}

async fn transfer(ctx: &Context<u64>, transfer: Transfer) -> Result<i64, ErrorObject> {
    count(ctx).await?;
    ctx.set_subject(format!("transfer {}", transfer.parties()).into());
    Ok(ctx.app::<Bank>().transfer(ctx.locks(), transfer).await?)
}

impl Server for OurServer {
    async fn process(&self, session: usize, request: Request<'static>) -> HandlerResult {
        let session = &self.sessions[session];
        let engine = session.engine();
        let response = engine.process(session, request.into()).await;
        response.expect("a request is answered").result.map(Cow::into_owned)
    }

    async fn standing_orders(self: Arc<Self>, transfers: impl Iterator<Item = Transfer> + Send + 'static) {
        let orders = sync::spawn!("standing order", async move |ctx| {
            for transfer in transfers {
                ctx.set_name(format!("standing order {}", transfer.parties()));
                // One that could not be carried out is left out.
                let _ = self.bank.transfer(ctx, transfer).await;
                pause(&TokioRuntime, traffic::BETWEEN_ORDERS).await;
            }
        });
        // It has no result, and nobody ends it.
        let _ = orders.into_future().without_deadline().await;
    }
}

#[cfg(test)]
mod simulated;
