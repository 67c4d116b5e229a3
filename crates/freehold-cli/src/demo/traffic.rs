//! What both servers get: clients that call, and standing orders beside them.

use super::{accounts::Transfer, lane::Lane};
use freehold::{
    HandlerResult, Request,
    runtime::{Runtime, TokioRuntime, pause},
    sync::ScopedMutex,
};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

pub(super) const CLIENTS: usize = 64;
pub(super) const SESSIONS: usize = 16;
pub(super) const STANDING_ORDERS: usize = 3;

/// Of a hundred calls one is slow.
pub(super) const SLOW: Duration = Duration::from_millis(100);
const SLOW_EVERY: u32 = 100;

/// And one is a transfer.
const TRANSFER_EVERY: u32 = 100;

/// What a transfer waits for while it has the payer's account: a look into a database, say.
pub(super) const LOOK_UP: Duration = Duration::from_millis(1);

/// From an answer to the client's next call.
const PAUSE: Duration = Duration::from_millis(1);
pub(super) const BETWEEN_ORDERS: Duration = Duration::from_millis(5);

/// How long it lasts.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) length: Duration,
    /// How long there are no transfers yet.
    pub(super) calls_only: Duration,
}

impl Plan {
    pub(super) fn of(length: Duration) -> Self {
        Self { length, calls_only: length / 8 }
    }
}

/// A server that can be put under the traffic.
pub(super) trait Server: Send + Sync + 'static {
    /// Answers one request.
    fn process(
        &self,
        session: usize,
        request: Request<'static>,
    ) -> impl Future<Output = HandlerResult> + Send;

    /// Carries transfers out beside the clients, one after the other.
    fn standing_orders(
        self: Arc<Self>,
        transfers: impl Iterator<Item = Transfer> + Send + 'static,
    ) -> impl Future<Output = ()> + Send;
}

/// The traffic of one server. Ends with this.
pub(super) struct Traffic {
    lane: Arc<Lane>,
    tasks: ScopedMutex<JoinSet<()>>,
}

impl Traffic {
    pub(super) fn start(server: Arc<impl Server>, plan: Plan, began: Instant) -> Self {
        let lane = Arc::new(Lane::new(CLIENTS, began));
        let transfers = began + plan.calls_only;
        let mut tasks = JoinSet::new();
        for client in 0..CLIENTS {
            tasks.spawn(call(server.clone(), lane.clone(), transfers, client));
        }
        for order in 0..STANDING_ORDERS {
            tasks.spawn(orders(server.clone(), lane.clone(), transfers, order));
        }
        Self { lane, tasks: ScopedMutex::new(tasks) }
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Lets nobody begin anything any more, and waits until everybody has their last answer. Dropped before, it ends
    /// them all.
    pub(super) async fn last_calls(&self) {
        self.lane.close();
        let mut tasks = self.tasks.with(std::mem::take);
        while tasks.join_next().await.is_some() {}
    }
}

/// One client: a call, its answer, a short pause. Transfers from that time on.
async fn call(server: Arc<impl Server>, lane: Arc<Lane>, transfers: Instant, client: usize) {
    let mut dice = Dice::of(client);
    for number in 0_u32.. {
        if lane.is_closed() {
            return;
        }
        let early = TokioRuntime.now() < transfers;
        lane.begins(client);
        let id = (client as i64) << 32 | i64::from(number);
        let result = server.process(client % SESSIONS, dice.request(id, early)).await;
        lane.ends(client, result.is_ok(), early);
        pause(&TokioRuntime, PAUSE).await;
    }
}

/// One series of standing orders.
async fn orders(server: Arc<impl Server>, lane: Arc<Lane>, from: Instant, series: usize) {
    TokioRuntime.timer(from).await;
    let mut dice = Dice::of(CLIENTS + series);
    let transfers = std::iter::from_fn(move || (!lane.is_closed()).then(|| Transfer::of(dice.roll())));
    server.standing_orders(transfers).await;
}

/// Numbers that are the same for both servers and in every run.
struct Dice(u64);

impl Dice {
    fn of(player: usize) -> Self {
        Self(player as u64)
    }

    fn roll(&mut self) -> u32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }

    fn request(&mut self, id: i64, early: bool) -> Request<'static> {
        let transfers = self.roll().is_multiple_of(TRANSFER_EVERY) && !early;
        let request = match (transfers, self.roll().is_multiple_of(SLOW_EVERY)) {
            (true, _) => Request::new(id, "transfer", &Transfer::of(self.roll())),
            (false, true) => Request::new(id, "slow", &()),
            (false, false) => Request::new(id, "quick", &()),
        };
        request.expect("plain parameters have a JSON form")
    }
}
