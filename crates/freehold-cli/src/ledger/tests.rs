use super::{Audit, Ledger, LedgerError, MOST_MONEY};
use freehold::runtime::{pause, until};
use std::{
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};

const OPENING: u64 = 1_000;

async fn two_accounts() -> (Ledger, String, String) {
    let ledger = Ledger::new(8);
    let first = ledger.open_account("first".to_owned(), OPENING).await.unwrap();
    let second = ledger.open_account("second".to_owned(), OPENING).await.unwrap();
    (ledger, first, second)
}

fn balance(ledger: &Ledger, account: &str) -> u64 {
    ledger.account(account).unwrap().balance()
}

fn all_at_rest(total: u64) -> Audit {
    Audit { accounts: 2, balances: total, in_transit: 0, total, paid_in: total, balanced: true }
}

#[tokio::test]
async fn money_is_reserved_is_in_transit_and_arrives() {
    let (ledger, first, second) = two_accounts().await;
    let (arrive, may_arrive) = oneshot::channel::<()>();
    let in_transit = async {
        let counted = ledger.audit().await;
        assert_eq!((counted.in_transit, counted.total), (300, 2 * OPENING));
        assert_eq!((balance(&ledger, &first), balance(&ledger, &second)), (700, 1_000));
        arrive.send(()).unwrap();
        may_arrive.await.unwrap();
        Ok(())
    };
    ledger.transfer(&first, &second, 300, in_transit).await.unwrap();
    assert_eq!((balance(&ledger, &first), balance(&ledger, &second)), (700, 1_300));
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING));
}

#[tokio::test]
async fn a_transfer_that_is_given_up_or_dropped_gives_the_money_back() {
    let (ledger, first, second) = two_accounts().await;
    let given_up = ledger.transfer(&first, &second, 300, ready(Err(LedgerError::GivenUp))).await;
    assert_eq!(given_up, Err(LedgerError::GivenUp));
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING));

    {
        let mut dropped = std::pin::pin!(ledger.transfer(&first, &second, 300, pending()));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(dropped.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        assert_eq!(ledger.audit().await.in_transit, 300);
    }
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING));
    assert_eq!(balance(&ledger, &first), OPENING);
}

#[tokio::test]
async fn mistakes_are_refused_and_change_nothing() {
    let (ledger, first, second) = two_accounts().await;
    let transfer =
        async |from: &str, to: &str, amount| ledger.transfer(from, to, amount, ready(Ok(()))).await;
    let unknown = "0".repeat(32);
    for (from, to, amount, refusal) in [
        (&first, &second, 1_001, LedgerError::Overdraft { available: 1_000, amount: 1_001 }),
        (&first, &second, u64::MAX, LedgerError::Overdraft { available: 1_000, amount: u64::MAX }),
        (&first, &first, 1, LedgerError::SameAccount),
        (&first, &second, 0, LedgerError::ZeroAmount),
        (&first, &unknown, 1, LedgerError::UnknownAccount(unknown.clone())),
        (&unknown, &first, 1, LedgerError::UnknownAccount(unknown.clone())),
    ] {
        assert_eq!(transfer(from, to, amount).await, Err(refusal), "{from} {to} {amount}");
    }
    assert_eq!(ledger.deposit(&first, 0).await, Err(LedgerError::ZeroAmount));
    let no_id = LedgerError::UnknownAccount("no id".to_owned());
    assert_eq!(ledger.deposit("no id", 1).await, Err(no_id));
    for owner in [String::new(), "x".repeat(257)] {
        assert_eq!(ledger.open_account(owner, 1).await, Err(LedgerError::OwnerLength { most: 256 }));
    }
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING));
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let (ledger, first, _) = two_accounts().await;
    let too_much = LedgerError::TooMuchMoney { most: MOST_MONEY };
    for amount in [MOST_MONEY, u64::MAX] {
        assert_eq!(ledger.deposit(&first, amount).await, Err(too_much.clone()));
        assert_eq!(ledger.open_account("rich".to_owned(), amount).await, Err(too_much.clone()));
    }
    ledger.deposit(&first, MOST_MONEY - 2 * OPENING).await.unwrap();
    assert_eq!(ledger.deposit(&first, 1).await, Err(too_much));
    assert_eq!(ledger.audit().await, all_at_rest(MOST_MONEY));
}

#[tokio::test]
async fn accounts_have_a_bound_and_one_too_many_pays_nothing_in() {
    let ledger = Ledger::new(1);
    ledger.open_account("first".to_owned(), OPENING).await.unwrap();
    let second = ledger.open_account("second".to_owned(), OPENING).await;
    assert_eq!(second, Err(LedgerError::TooManyAccounts { most: 1 }));
    let counted = ledger.audit().await;
    assert_eq!((counted.accounts, counted.total, counted.balanced), (1, OPENING, true));
}

/// A small generator of repeatable noise.
fn noise(seed: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

/// One transfer that waits for `begin` and pauses; most are dropped after a while of their own if not over by then.
async fn noisy_transfer(ledger: Ledger, from: String, to: String, begin: Arc<Semaphore>, seed: u64) {
    let runtime = ledger.accounts.runtime().clone();
    let milliseconds = |seed| Duration::from_millis(noise(seed) % 4);
    let in_transit = async {
        begin.acquire().await.unwrap().forget();
        pause(&*runtime, milliseconds(seed)).await;
        if noise(seed + 1).is_multiple_of(5) { Err(LedgerError::GivenUp) } else { Ok(()) }
    };
    let patience = async {
        if seed.is_multiple_of(10) {
            pending::<()>().await;
        }
        pause(&*runtime, milliseconds(seed + 3)).await;
    };
    tokio::select! {
        outcome = ledger.transfer(&from, &to, 1 + noise(seed + 2) % 7, in_transit) => match outcome {
            Ok(()) | Err(LedgerError::GivenUp | LedgerError::Overdraft { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        () = patience => {}
    }
}

/// Counts until what is in transit is as wanted; in vain for that long means failure.
async fn until_in_transit(ledger: &Ledger, wanted: impl Fn(u64) -> bool) {
    let runtime = ledger.accounts.runtime();
    let counting = async { while !wanted(count(ledger).await.in_transit) {} };
    let limit = runtime.now() + Duration::from_secs(60);
    until(&**runtime, limit, counting).await.expect("money in transit comes, and goes again");
}

async fn count(ledger: &Ledger) -> Audit {
    tokio::task::yield_now().await;
    let counted = ledger.audit().await;
    assert!(counted.balanced && counted.total == 2 * OPENING, "{counted:?}");
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_transfers_both_ways_with_cancels_keep_the_total_at_every_moment() {
    const TRANSFERS: usize = 1_000;
    let (ledger, first, second) = two_accounts().await;
    let begin = Arc::new(Semaphore::new(0));
    let mut transfers = JoinSet::new();
    for seed in 0..TRANSFERS as u64 {
        let (from, to) = if seed % 2 == 0 { (&first, &second) } else { (&second, &first) };
        transfers.spawn(noisy_transfer(ledger.clone(), from.clone(), to.clone(), begin.clone(), seed));
    }
    until_in_transit(&ledger, |money| money > 0).await;
    begin.add_permits(TRANSFERS);
    while !transfers.is_empty() {
        count(&ledger).await;
        while let Some(ended) = transfers.try_join_next() {
            ended.unwrap();
        }
    }
    // The drop of a transfer may have left its last step to a task.
    until_in_transit(&ledger, |money| money == 0).await;
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_audit_counts_one_moment_however_fast_money_moves() {
    const EACH: u32 = 2_000;
    let (ledger, first, second) = two_accounts().await;
    let mut movers = JoinSet::new();
    for _ in 0..4 {
        let (ledger, first, second) = (ledger.clone(), first.clone(), second.clone());
        movers.spawn(async move {
            for _ in 0..EACH {
                ledger.transfer(&first, &second, 1, ready(Ok(()))).await.unwrap();
                ledger.deposit(&first, 1).await.unwrap();
                ledger.transfer(&second, &first, 1, ready(Ok(()))).await.unwrap();
            }
        });
    }
    while !movers.is_empty() {
        tokio::task::yield_now().await;
        let counted = ledger.audit().await;
        assert!(counted.balanced, "{counted:?}");
        while let Some(ended) = movers.try_join_next() {
            ended.unwrap();
        }
    }
    assert_eq!(ledger.audit().await, all_at_rest(2 * OPENING + 4 * u64::from(EACH)));
}
