//! The demo's transfers under random schedules: what is wrong with them is found, and what makes it harmless holds.

use super::{OurServer, Transfer};
use freehold_testing::{Explore, Finding, Simulation};

/// Each session transfers something, some of them against each other.
async fn transfers(sim: Simulation) {
    let ours = OurServer::built(|builder| sim.engine(builder));
    let mut random = sim.random();
    let running: Vec<_> = ours
        .sessions
        .iter()
        .map(|session| {
            let (sim, session) = (sim.clone(), session.clone());
            let transfer = Transfer::of(random.next_u64() as u32);
            sim.clone().spawn("client", async move { sim.call(&session, "transfer", &transfer).await })
        })
        .collect();
    for transfer in running {
        let answer = transfer.await.expect("a client does not panic");
        assert!(answer.result.is_ok(), "run again until it succeeds: {answer:?}");
    }
    assert_eq!(ours.bank.money_made().await, Some(0));
}

#[test]
fn the_demos_transfers_deadlock_and_lose_no_money_by_it() {
    let explore = Explore::new().schedules(100);
    let failure = explore.try_run(transfers).expect_err("they lock accounts in any order");
    let of_accounts = |finding: &Finding| match finding {
        Finding::Deadlock(report) => report.edges.iter().all(|edge| edge.lock.class.ends_with("'s account")),
        _ => false,
    };
    assert!(failure.findings.iter().any(of_accounts), "{failure}");

    let explored = explore.allow_deadlocks().allow_order_violations().run(transfers);
    assert!(explored.deadlocks > 100, "{explored:?}");
}
