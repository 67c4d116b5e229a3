//! Protocols of few atomics and sections, in every interleaving of a few threads and in every order that their orderings
//! allow, for loom.
//!
//! Not in here: gates (a permit of `freehold-sync`, modelled there, and a bound), the registry and the state (papaya's and
//! `ArcSwap`'s, and a bound), the answer that is given once (a single swap, which decides alone), outboxes (a section and
//! nothing else). What they do together is for the random programs.

use crate::{
    Limits,
    admission::{Admitted, SessionSlots, TotalCalls},
    call::{DeadlineClock, Undelivered},
    drain::DrainState,
    message::RequestId,
    question::{Questions, Reply},
    recovery::{Admission, BreakerOptions, CircuitBreaker, Verdict},
    shim::{AtomicBool, Ordering},
};
use loom::{
    future::block_on,
    model::Builder,
    thread::{self, JoinHandle},
};
use serde_json::value::RawValue;
use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

/// `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}

fn beside<T: Send + Sync + 'static>(
    shared: &Arc<T>,
    body: impl FnOnce(&T) + Send + 'static,
) -> JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

#[expect(clippy::disallowed_methods, reason = "any instant does as the origin; the clock is a parameter")]
fn now() -> Instant {
    Instant::now()
}

#[derive(Default)]
struct Drained {
    total: TotalCalls,
    drain: DrainState,
    ended: AtomicBool,
}

impl Drained {
    fn call(&self) {
        self.total.enter(&Limits::default());
        if !self.drain.has_begun() {
            assert!(!self.ended.load(Ordering::SeqCst), "a call runs after the drain");
        }
        self.total.leave();
        self.drain.call_left();
    }
}

/// `drain`, invariants 1 and 2.
#[test]
fn a_drain_ends_after_the_calls_that_it_let_run() {
    check(|| {
        let shared = Arc::new(Drained::default());
        let calls = [beside(&shared, Drained::call), beside(&shared, Drained::call)];
        shared.drain.begin();
        block_on(shared.drain.until(|| shared.total.count() == 0));
        shared.ended.store(true, Ordering::SeqCst);
        calls.into_iter().for_each(|call| call.join().unwrap());
    });
}

/// A call that a counted call makes is seen by who sees that one gone.
#[test]
fn a_nested_call_is_counted_before_its_caller_is_gone() {
    check(|| {
        let total = Arc::new(TotalCalls::default());
        total.enter(&Limits::default());
        let caller = beside(&total, |total| {
            total.enter_nested();
            total.leave();
        });
        assert_ne!(total.count(), 0, "one of them is there");
        caller.join().unwrap();
    });
}

fn call_in(slots: &SessionSlots, limits: &Limits) {
    let Ok(admitted) = slots.admit(limits) else { panic!("there is room to wait") };
    if let Admitted::Queued(queued) = &admitted {
        block_on(poll_fn(|cx| queued.poll_granted(cx)));
    }
    slots.release();
}

fn one_slot() -> Limits {
    Limits { running_per_session: 1, queued_per_session: 2, ..Limits::default() }
}

#[test]
fn a_freed_slot_reaches_who_waits() {
    check(|| {
        let slots = Arc::new(SessionSlots::default());
        let other = beside(&slots, |slots| call_in(slots, &one_slot()));
        call_in(&slots, &one_slot());
        other.join().unwrap();
        assert_eq!(slots.counts(), (0, 0));
    });
}

#[test]
fn a_slot_that_is_granted_to_who_leaves_reaches_the_next() {
    check(|| {
        let slots = Arc::new(SessionSlots::default());
        let limits = one_slot();
        assert!(matches!(slots.admit(&limits), Ok(Admitted::Now)));
        let Ok(leaves) = slots.admit(&limits) else { panic!("there is room to wait") };
        let others =
            [beside(&slots, SessionSlots::release), beside(&slots, move |slots| slots.undo(&leaves))];
        call_in(&slots, &limits);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(slots.counts(), (0, 0));
    });
}

#[test]
fn who_waits_for_all_answers_hears_of_the_last() {
    check(|| {
        let undelivered = Arc::new(Undelivered::default());
        undelivered.entered();
        undelivered.entered();
        let others = [
            // It has written nothing before, whose order would order this, too.
            beside(&undelivered, |undelivered| block_on(undelivered.none())),
            beside(&undelivered, Undelivered::delivered),
        ];
        undelivered.delivered();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// `call::deadline`, invariants 3 and 4.
#[test]
fn a_question_that_opens_while_its_call_ends_is_handed_out() {
    let start = now();
    check(move || {
        let clock = Arc::new(DeadlineClock::start(start, Duration::from_secs(1), None, &Limits::default()));
        let opened = Arc::new(AtomicBool::new(false));
        let asker = {
            let opened = opened.clone();
            beside(&clock, move |clock| {
                opened.store(clock.question_opened(1, start, start).is_some(), Ordering::SeqCst)
            })
        };
        let handed_out = clock.end();
        asker.join().unwrap();
        assert_eq!(handed_out.contains(&1), opened.load(Ordering::SeqCst), "{handed_out:?}");
        assert!(!clock.is_asking(), "nothing is open after the end");
    });
}

/// `question`, invariant 2: the answer and the session's end are at odds.
#[test]
fn a_question_has_one_reply() {
    check(|| {
        let questions = Arc::new(Questions::default());
        let (id, question) = questions.open(1).expect("there is room");
        let answered = Arc::new(AtomicBool::new(false));
        let others = {
            let answered = answered.clone();
            let answer = move |questions: &Questions| {
                let known = questions.answer(&RequestId::Number(id), Ok(RawValue::NULL.to_owned()));
                answered.store(known, Ordering::SeqCst);
            };
            [beside(&questions, answer), beside(&questions, Questions::close)]
        };
        let reply = block_on(question.reply());
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(matches!(reply, Reply::Answer(_)), answered.load(Ordering::SeqCst), "{reply:?}");
        assert_eq!(questions.len(), 0);
    });
}

fn breaker() -> CircuitBreaker {
    let options = BreakerOptions::new().minimum_calls(1).probes(1);
    CircuitBreaker::new(options.window(Duration::from_millis(8)).open_for(Duration::from_millis(100)))
}

fn fails(breaker: &CircuitBreaker, at: u64) -> bool {
    match breaker.admit(|| at).0 {
        Admission::Passed(permit) => breaker.record(permit, at, Verdict::Failed).is_some(),
        Admission::Refused(_) => false,
    }
}

/// `recovery::breaker`, invariant 1.
#[test]
fn one_of_those_that_fail_opens_the_breaker() {
    check(|| {
        let shared = Arc::new((breaker(), AtomicBool::new(false)));
        let other = beside(&shared, |(breaker, opened)| opened.store(fails(breaker, 5), Ordering::SeqCst));
        let opened = fails(&shared.0, 5);
        other.join().unwrap();
        assert!(opened != shared.1.load(Ordering::SeqCst), "one thread makes the change");
    });
}
