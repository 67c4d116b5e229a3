//! Who polls what, seen from another thread.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{ActivityName, Context, Poll, PollingThread, activity, polling_threads, spawn};
use std::sync::{Arc, mpsc};
use support::{end, limited, until};

/// The thread that polls an activity of this name, and the place of that poll among its polls.
fn polling(name: &str) -> Option<(PollingThread, usize)> {
    let of_name = |poll: &Poll| poll.actor().is_some_and(|actor| actor.name == name);
    polling_threads().into_iter().find_map(|thread| {
        let place = thread.polls.iter().position(of_name)?;
        Some((thread, place))
    })
}

fn poll_of(name: &str) -> Option<Poll> {
    polling(name).map(|(thread, place)| thread.polls[place])
}

/// Blocks its thread until the other end is dropped.
fn block(until: &mpsc::Receiver<()>) {
    assert!(until.recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_blocks_its_thread_is_the_same_at_every_look_and_gone_afterwards() {
    limited(async {
        let (release, blocked) = mpsc::channel::<()>();
        let task = spawn!("polls/blocks", async move |_: &Context| {
            block(&blocked);
            tokio::task::yield_now().await;
        });
        until(|| poll_of("polls/blocks").is_some()).await;
        let first = poll_of("polls/blocks").unwrap();
        let (thread, _) = polling("polls/blocks").unwrap();
        assert!(thread.thread.contains("tokio"), "{}", thread.thread);
        assert_eq!(poll_of("polls/blocks"), Some(first));
        assert!(first.is_running());
        drop(release);
        end(task).await;
        assert!(!first.is_running());
        assert_eq!((first.actor(), first.about::<u32>()), (None, None));
        // Who waits for the end is told of it inside of the last poll.
        until(|| poll_of("polls/blocks").is_none()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_one_activity_are_told_apart() {
    limited(async {
        let (turns, turn) = mpsc::channel::<mpsc::Receiver<()>>();
        let task = spawn!("polls/twice", async move |_: &Context| {
            block(&turn.recv().unwrap());
            tokio::task::yield_now().await;
            block(&turn.recv().unwrap());
        });
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (release, blocked) = mpsc::channel();
            turns.send(blocked).unwrap();
            // In the second turn what is seen first may be the end of the first one.
            until(|| poll_of("polls/twice").is_some_and(|poll| !seen.contains(&poll))).await;
            seen.push(poll_of("polls/twice").unwrap());
            drop(release);
        }
        end(task).await;
        assert!(seen[0] != seen[1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_polls_are_listed_innermost_first() {
    limited(async {
        let (release, blocked) = mpsc::channel::<()>();
        let inner = activity(async move |_: &Context| block(&blocked)).named("polls/inner");
        let outer = spawn!("polls/outer", async move |_: &Context| inner.await.unwrap());
        until(|| poll_of("polls/inner").is_some()).await;
        let (thread, place) = polling("polls/inner").unwrap();
        assert_eq!(place, 0);
        assert_eq!(thread.polls[1].actor().unwrap().name, "polls/outer");
        drop(release);
        end(outer).await;
        until(|| polling("polls/outer").is_none()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_activity_is_about_is_found_as_long_as_it_lives_and_outlasts_a_new_name() {
    limited(async {
        let value = Arc::new(7_u32);
        let (release, blocked) = mpsc::channel::<()>();
        let body = activity(async move |ctx: &Context| {
            ctx.set_name("polls/renamed");
            block(&blocked);
        });
        let task = tokio::spawn(body.named(ActivityName::from("polls/about").about(&value)));
        until(|| poll_of("polls/renamed").is_some()).await;
        let poll = poll_of("polls/renamed").unwrap();
        assert_eq!(poll.about::<u32>().as_deref(), Some(&7));
        assert_eq!(poll.about::<u64>(), None, "it is no such thing");
        drop(value);
        assert_eq!(poll.about::<u32>(), None, "the activity keeps nothing alive");
        drop(release);
        task.await.unwrap().unwrap();
    })
    .await;
}

/// The drop of what a body captured can block its thread as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_that_blocks_is_seen_too() {
    struct BlocksInDrop(mpsc::Receiver<()>);
    impl Drop for BlocksInDrop {
        fn drop(&mut self) {
            block(&self.0);
        }
    }
    limited(async {
        let (release, blocked) = mpsc::channel::<()>();
        let blocks = BlocksInDrop(blocked);
        let body = activity(async move |_: &Context| {
            let _blocks = blocks;
            std::future::pending::<()>().await;
        });
        let task = tokio::spawn(body.named("polls/drop"));
        task.abort();
        until(|| poll_of("polls/drop").is_some()).await;
        drop(release);
        assert!(task.await.unwrap_err().is_cancelled());
        until(|| poll_of("polls/drop").is_none()).await;
    })
    .await;
}

#[test]
fn a_thread_that_ends_shows_nothing() {
    let short = || {
        let ready = activity(async |_: &Context| polling("polls/short").is_some()).named("polls/short");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(ready).unwrap());
    };
    for _ in 0..100 {
        std::thread::spawn(short).join().unwrap();
    }
    assert!(polling("polls/short").is_none());
}
