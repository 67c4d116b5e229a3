//! Transfers in both directions between accounts, each of which has a lock: the payer's is locked, then, after a
//! suspension, the payee's.
//!
//! Clients transfer through the server. Standing orders do it beside it, as tasks of their own, because servers have
//! such tasks: timers, settlements, clean-ups. So a server that runs one handler at a time is not safe from them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use freehold::Request;
use freehold_sync::metrics::{self, Histogram};
use freehold_sync::{LockClass, LockError, Retry};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, yield_now};

use super::handlers::App;
use super::load::{Dice, result_of};
use super::times::request_id;
use super::{Design, Freehold, Server};

/// Accounts.
pub const ACCOUNTS: usize = 4;

/// What each holds at the beginning.
const OPENING: i64 = 10_000;

/// The class of the locks of Freehold's accounts.
pub static ACCOUNT: LockClass = LockClass::new("account");

/// A transfer that did not end after so many attempts is an error. With the accounts always locked by somebody, none gets
/// near that: its activity grows older, and the oldest is never chosen.
const ATTEMPTS: u32 = 1_000;

/// Accounts behind mutexes of tokio's.
#[derive(Debug)]
pub struct TokioAccounts([tokio::sync::Mutex<i64>; ACCOUNTS]);

impl Default for TokioAccounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::new(OPENING)))
    }
}

/// Accounts behind mutexes of Freehold's.
#[derive(Debug)]
pub struct FreeholdAccounts {
    locks: [freehold_sync::Mutex<i64>; ACCOUNTS],
    retried: AtomicU64,
}

impl Default for FreeholdAccounts {
    fn default() -> Self {
        let locks = std::array::from_fn(|_| freehold_sync::Mutex::with_class(&ACCOUNT, OPENING));
        Self { locks, retried: AtomicU64::new(0) }
    }
}

/// Parameters of `transfer`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Transfer {
    from: usize,
    to: usize,
    amount: i64,
}

/// Result of `transfer`: what the payer has left.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Transferred {
    balance: i64,
}

impl Transfer {
    fn draw(dice: &mut Dice) -> Self {
        let accounts = ACCOUNTS as u32;
        let from = dice.below(accounts);
        let to = (from + 1 + dice.below(accounts - 1)) % accounts;
        Self { from: from as usize, to: to as usize, amount: 1 + i64::from(dice.below(20)) }
    }
}

/// With the mutexes of tokio's.
///
/// # Panics
///
/// With an account that does not exist.
pub async fn transfer_by_tokio(accounts: &TokioAccounts, transfer: Transfer) -> Transferred {
    let mut from = accounts.0[transfer.from].lock().await;
    yield_now().await;
    let mut to = accounts.0[transfer.to].lock().await;
    *from -= transfer.amount;
    *to += transfer.amount;
    Transferred { balance: *from }
}

/// With the mutexes of Freehold's, in the same order; run again if it had to give way.
///
/// # Errors
///
/// When a lock cannot be had in time, or no attempt came through.
///
/// # Panics
///
/// With an account that does not exist.
pub async fn transfer_by_freehold(
    ctx: &freehold_sync::Context,
    accounts: &FreeholdAccounts,
    transfer: Transfer,
) -> Result<Transferred, LockError> {
    let again = |error: &LockError| {
        let again = error.is_deadlock();
        accounts.retried.fetch_add(u64::from(again), Ordering::Relaxed);
        again
    };
    let attempt = async || {
        let mut from = ctx.lock(&accounts.locks[transfer.from]).await?;
        yield_now().await;
        let mut to = ctx.lock(&accounts.locks[transfer.to]).await?;
        *from -= transfer.amount;
        *to += transfer.amount;
        Ok(Transferred { balance: *from })
    };
    ctx.retry(Retry::default().attempts(ATTEMPTS), again, attempt).await
}

/// What is done to a ledger.
#[derive(Debug, Clone, Copy)]
pub struct LedgerPlan {
    /// Callers.
    pub callers: usize,
    /// Their sessions.
    pub sessions: usize,
    /// Standing orders, each of which is a task beside the server.
    pub standing_orders: usize,
    /// Transfers of each caller and each standing order.
    pub transfers: u32,
    /// It hangs if no transfer ends for so long.
    pub hangs_after: Duration,
}

/// How it went.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct LedgerFigures {
    /// Which design.
    pub design: Design,
    /// Standing orders there were.
    pub standing_orders: usize,
    /// Transfers that were asked for.
    pub asked: u64,
    /// Transfers that came to their end.
    pub done: u64,
    /// Whether it stopped before all were.
    pub hung: bool,
    /// How long it took, without the time in which nothing happened.
    pub took: Duration,
    /// What Freehold did about its deadlocks.
    pub recovery: Option<Recovery>,
}

/// What was done about deadlocks.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Recovery {
    /// Rings that were proven, each broken by one victim.
    pub victims: u64,
    /// Attempts that were run again.
    pub retried: u64,
}

/// A design whose ledger can be tried.
pub trait LedgerServer: Server {
    /// A transfer beside the server.
    fn standing_order(
        self: Arc<Self>,
        transfers: Vec<Transfer>,
        done: Arc<Progress>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// All money there is, once nobody has an account locked.
    fn money(&self) -> impl Future<Output = i64> + Send;

    /// Deadlocks up to now.
    fn recovery(&self) -> Option<Recovery>;
}

macro_rules! ledger_by_tokio {
    ($($server:ty),*) => {$(
        impl LedgerServer for $server {
            async fn standing_order(self: Arc<Self>, transfers: Vec<Transfer>, done: Arc<Progress>) -> Result<()> {
                standing_order_by_tokio(self.app(), transfers, &done).await;
                Ok(())
            }

            async fn money(&self) -> i64 {
                money_of_tokio(self.app()).await
            }

            fn recovery(&self) -> Option<Recovery> {
                None
            }
        }
    )*};
}

ledger_by_tokio!(super::TableLock, super::SessionLocks, super::Actors);

async fn standing_order_by_tokio(app: &App, transfers: Vec<Transfer>, done: &Progress) {
    for transfer in transfers {
        transfer_by_tokio(&app.accounts, transfer).await;
        done.add_one();
    }
}

async fn money_of_tokio(app: &App) -> i64 {
    let mut sum = 0;
    for account in &app.accounts.0 {
        sum += *account.lock().await;
    }
    sum
}

impl LedgerServer for Freehold {
    async fn standing_order(self: Arc<Self>, transfers: Vec<Transfer>, done: Arc<Progress>) -> Result<()> {
        let order = freehold_sync::spawn!("standing order", async move |ctx| {
            for transfer in transfers {
                transfer_by_freehold(ctx, self.accounts(), transfer).await?;
                done.add_one();
            }
            Ok::<_, LockError>(())
        });
        Ok(order.await??)
    }

    async fn money(&self) -> i64 {
        let mut sum = 0;
        for account in &self.accounts().locks {
            sum += *account.lock().await.expect("nobody has it locked");
        }
        sum
    }

    fn recovery(&self) -> Option<Recovery> {
        let retried = self.accounts().retried.load(Ordering::Relaxed);
        Some(Recovery { victims: metrics::global().proven, retried })
    }
}

/// How many transfers came to their end.
#[derive(Debug, Default)]
pub struct Progress(AtomicU32);

impl Progress {
    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs all transfers, or as many as end before nothing does any more; checks that no money was lost or made.
///
/// # Errors
///
/// When an answer is wrong, or the money.
pub async fn run<S: LedgerServer>(plan: LedgerPlan) -> Result<LedgerFigures> {
    let server = Arc::new(S::new(plan.sessions, Arc::default())?);
    let before = server.recovery();
    let progress = Arc::<Progress>::default();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..plan.callers {
        tasks.spawn(transfer_through(server.clone(), plan, caller, progress.clone()));
    }
    for order in 0..plan.standing_orders {
        let mut dice = Dice::of(plan.callers + order);
        let transfers = (0..plan.transfers).map(|_| Transfer::draw(&mut dice)).collect();
        tasks.spawn(server.clone().standing_order(transfers, progress.clone()));
    }
    let idle = ended_or_idle(&mut tasks, &progress, plan.hangs_after).await?;
    let took = begun.elapsed() - idle.unwrap_or_default();
    // Drops whoever waits for ever, and so gives their locks back.
    tasks.shutdown().await;
    server.stop().await;
    let money = server.money().await;
    ensure!(money == OPENING * ACCOUNTS as i64, "{money} instead of what there was");
    let asked = (plan.callers + plan.standing_orders) as u64 * u64::from(plan.transfers);
    let done = u64::from(progress.get());
    ensure!(idle.is_some() || done == asked, "{done} of {asked} transfers");
    let recovery = server.recovery().zip(before).map(|(after, before)| Recovery {
        victims: after.victims - before.victims,
        retried: after.retried - before.retried,
    });
    Ok(LedgerFigures {
        design: S::DESIGN,
        standing_orders: plan.standing_orders,
        asked,
        done,
        hung: idle.is_some(),
        took,
        recovery,
    })
}

async fn transfer_through<S: LedgerServer>(
    server: Arc<S>,
    plan: LedgerPlan,
    caller: usize,
    progress: Arc<Progress>,
) -> Result<()> {
    let mut dice = Dice::of(caller);
    for number in 0..plan.transfers {
        let id = request_id(caller, number);
        let request = Request::new(id, "transfer", &Transfer::draw(&mut dice))?;
        let answer = server.process(caller % plan.sessions, request).await?;
        result_of::<Transferred>(&answer, id)?;
        progress.add_one();
    }
    Ok(())
}

/// Waits until all tasks ended; or until there was no progress for `limit`, and then says for how long.
async fn ended_or_idle(
    tasks: &mut JoinSet<Result<()>>,
    progress: &Progress,
    limit: Duration,
) -> Result<Option<Duration>> {
    let (mut last, mut since) = (progress.get(), Instant::now());
    let mut looks = tokio::time::interval(limit / 20);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return Ok(None),
                Some(task) => task.context("a task of the ledger")??,
            },
            _ = looks.tick() => {
                if progress.get() != last {
                    (last, since) = (progress.get(), Instant::now());
                } else if since.elapsed() >= limit {
                    return Ok(Some(since.elapsed()));
                }
            }
        }
    }
}

/// The waits for accounts of Freehold's and the holds of those that began with a wait, in this process up to now.
#[must_use]
pub fn account_times() -> [Histogram; 2] {
    let seen = ACCOUNT.metrics();
    [seen.wait, seen.hold_contended]
}
