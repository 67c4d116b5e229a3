//! The ledger under random schedules: money is neither made nor lost, and at no moment is an audit out of balance.

use super::{Ledger, LedgerError};
use freehold::runtime::until;
use freehold_testing::{Explore, Random, Simulation};
use std::{sync::Arc, time::Duration};

const ACCOUNTS: usize = 3;
const OPENING: u64 = 100;
const CLIENTS: usize = 8;

/// One client: a deposit, or a transfer that may be given up on its way, or whose caller may go away.
async fn client(sim: Simulation, ledger: Ledger, accounts: Arc<[String]>, mut random: Random) -> u64 {
    let (from, to) = (random.pick(&accounts).clone(), random.pick(&accounts).clone());
    let amount = 1 + random.next_u64() % OPENING;
    if random.chance(1, 5) {
        ledger.deposit(&to, amount).await.expect("there is room for it");
        return amount;
    }
    let (way, given_up) = (Duration::from_millis(random.next_u64() % 20), random.chance(1, 4));
    let in_transit = async {
        sim.pause(way).await;
        if given_up { Err(LedgerError::GivenUp) } else { Ok(()) }
    };
    let transfer = ledger.transfer(&from, &to, amount, in_transit);
    if random.chance(1, 4) {
        let runtime = sim.runtime();
        let leaves = runtime.now() + Duration::from_millis(random.next_u64() % 20);
        until(&*runtime, leaves, transfer).await;
    } else {
        let refused = matches!(
            transfer.await,
            Ok(()) | Err(LedgerError::GivenUp | LedgerError::SameAccount | LedgerError::Overdraft { .. })
        );
        assert!(refused, "or done");
    }
    0
}

async fn traffic(sim: Simulation) {
    let ledger = Ledger::built(ACCOUNTS, |builder| sim.engine(builder));
    let mut accounts = Vec::new();
    for number in 0..ACCOUNTS {
        accounts.push(ledger.open_account(format!("owner {number}"), OPENING).await.expect("there is room"));
    }
    let accounts: Arc<[String]> = accounts.into();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| sim.spawn("client", client(sim.clone(), ledger.clone(), accounts.clone(), sim.random())))
        .collect();
    for _ in 0..10 {
        let audit = ledger.audit().await;
        assert!(audit.balanced, "{audit:?}");
        sim.pause(Duration::from_millis(2)).await;
    }
    let mut paid_in = ACCOUNTS as u64 * OPENING;
    for client in clients {
        paid_in += client.await.expect("a client does not panic");
    }
    // What was given up is given back by a step of its own.
    sim.pause(Duration::from_millis(1)).await;
    let audit = ledger.audit().await;
    assert!(
        audit.balanced && audit.in_transit == 0 && audit.total == paid_in,
        "{audit:?}, {paid_in} paid in"
    );
}

#[test]
fn no_schedule_makes_or_loses_money() {
    let explored = Explore::new().schedules(300).run(traffic);
    assert_eq!(explored.schedules, 300);
}
