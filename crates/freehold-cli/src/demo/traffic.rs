//! What both servers get: clients that call, and standing orders beside them.

use super::{accounts::Transfer, lane::Lane};
use freehold::{
    HandlerResult, Request,
    runtime::{Runtime, TokioRuntime, pause},
    sync::ScopedMutex,
};
use serde::Serialize;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Clients that make no transfers, and those that make nothing else.
pub(super) const CALLERS: usize = 60;
pub(super) const PAYERS: usize = 4;
const CLIENTS: usize = CALLERS + PAYERS;
pub(super) const SESSIONS: usize = 16;
pub(super) const STANDING_ORDERS: usize = 3;

/// Of a hundred calls one is slow.
pub(super) const SLOW: Duration = Duration::from_millis(100);
const SLOW_EVERY: u32 = 100;

/// What a transfer waits for while it has the payer's account: a look into a database, say.
pub(super) const LOOK_UP: Duration = Duration::from_millis(1);

/// From an answer to the client's next call.
const BETWEEN_CALLS: Duration = Duration::from_millis(1);

/// From one transfer to the next. They are few enough for the accounts to be free most of the time.
const BETWEEN_TRANSFERS: Duration = Duration::from_millis(40);
pub(super) const BETWEEN_ORDERS: Duration = Duration::from_millis(8);

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
            let client = Client { number: client, lane: lane.clone(), transfers };
            let server = server.clone();
            if client.number < CALLERS {
                tasks.spawn(client.calls(server));
            } else {
                tasks.spawn(client.pays(server));
            }
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

struct Client {
    number: usize,
    lane: Arc<Lane>,
    /// When the transfers begin.
    transfers: Instant,
}

impl Client {
    /// A call, its answer, a short pause, and so on.
    async fn calls(self, server: Arc<impl Server>) {
        let mut dice = Dice::of(self.number);
        for call in 0.. {
            let method = if dice.roll().is_multiple_of(SLOW_EVERY) { "slow" } else { "quick" };
            if !self.call(&*server, self.request(call, method, &())).await {
                return;
            }
            pause(&TokioRuntime, BETWEEN_CALLS).await;
        }
    }

    /// A transfer, its answer, a longer pause, and so on.
    async fn pays(self, server: Arc<impl Server>) {
        TokioRuntime.timer(self.transfers).await;
        let mut dice = Dice::of(self.number);
        for call in 0.. {
            let transfer = Transfer::of(dice.roll());
            if !self.call(&*server, self.request(call, "transfer", &transfer)).await {
                return;
            }
            pause(&TokioRuntime, BETWEEN_TRANSFERS).await;
        }
    }

    fn request(&self, call: u32, method: &str, params: &impl Serialize) -> Request<'static> {
        let id = (self.number as i64) << 32 | i64::from(call);
        Request::new(id, method, params).expect("plain parameters have a JSON form")
    }

    /// Calls and waits for the answer; false if that is over.
    async fn call(&self, server: &impl Server, request: Request<'static>) -> bool {
        if self.lane.is_closed() {
            return false;
        }
        let early = TokioRuntime.now() < self.transfers;
        self.lane.begins(self.number);
        let result = server.process(self.number % SESSIONS, request).await;
        self.lane.ends(self.number, result.is_ok(), early);
        true
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
}
