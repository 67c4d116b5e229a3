//! Where the time goes that activities wait for locks: stacks of who waits, for what, and who has it, as a profiler that
//! samples tells where processor time goes.
//!
//! A look ([`freehold_sync::observe`]) finds all who wait at that moment. Each stands for the time since the last look, so
//! short waits count by their share of it, though most of them are not seen.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use freehold_sync::{Actor, Observation, Observed, Waiting, observe};

/// How far a chain of holders that wait themselves is followed.
const MAX_LINKS: usize = 8;

/// Time waited, by stack.
#[derive(Debug, Default)]
pub struct WaitProfile {
    stacks: BTreeMap<String, Duration>,
    classes: BTreeMap<&'static str, Duration>,
    looks: u64,
}

impl WaitProfile {
    /// Runs `work` on this thread and looks at who waits once an `interval`, on another.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn during<T>(interval: Duration, work: impl FnOnce() -> T) -> (T, Self) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let sampler = scope.spawn(|| Self::sample_until(&done, interval));
            let ends = EndsSampling(&done);
            let output = work();
            drop(ends);
            (output, sampler.join().expect("looking does not panic"))
        })
    }

    fn sample_until(done: &AtomicBool, interval: Duration) -> Self {
        let (mut profile, mut last) = (Self::default(), Instant::now());
        while !done.load(Ordering::Relaxed) {
            thread::sleep(interval);
            let seen = observe();
            let now = Instant::now();
            profile.add(&seen, now - last);
            last = now;
        }
        profile
    }

    /// Adds what was seen at one look; everybody in it stands for `time`.
    pub fn add(&mut self, seen: &Observation, time: Duration) {
        let waiters: HashMap<u64, &Observed> =
            seen.members.iter().map(|member| (member.actor.number, member)).collect();
        for member in &seen.members {
            for wait in &member.waits {
                *self.stacks.entry(stack(member, wait, &waiters)).or_default() += time;
                *self.classes.entry(wait.lock.class).or_default() += time;
            }
        }
        self.looks += 1;
    }

    /// How often was looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// All time that anybody waited for locks of a class.
    #[must_use]
    pub fn waited_for(&self, class: &str) -> Duration {
        self.classes.get(class).copied().unwrap_or_default()
    }

    /// One line a stack: its frames, outermost first, and the microseconds.
    #[must_use]
    pub fn folded(&self) -> String {
        let mut text = String::new();
        for (stack, time) in &self.stacks {
            writeln!(text, "{stack} {}", time.as_micros()).expect("a string takes everything");
        }
        text
    }
}

/// Also when the work panics, or the scope would wait for ever.
struct EndsSampling<'a>(&'a AtomicBool);

impl Drop for EndsSampling<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who waits, for what and where, who has it, for what that one waits, and so on.
fn stack(member: &Observed, wait: &Waiting, waiters: &HashMap<u64, &Observed>) -> String {
    let mut frames = vec![name(&member.actor), wanted(wait)];
    let (mut holder, mut passed) = (&wait.holder, vec![member.actor.number]);
    for _ in 0..MAX_LINKS {
        frames.push(format!("held by {}", name(holder)));
        if holder.number == 0 || passed.contains(&holder.number) {
            break;
        }
        passed.push(holder.number);
        let Some(next) = waiters.get(&holder.number).and_then(|member| member.waits.first()) else { break };
        frames.push(wanted(next));
        holder = &next.holder;
    }
    frames.iter().map(|frame| frame.replace(';', ",")).collect::<Vec<_>>().join(";")
}

fn wanted(wait: &Waiting) -> String {
    let what = format!("{} ({})", wait.lock.class, wait.mode);
    match wait.site {
        Some(site) => format!("{what} at {}:{}", site.file(), site.line()),
        None => what,
    }
}

/// The name without numbers, so that all of a name are one frame.
fn name(actor: &Actor) -> String {
    match actor.site {
        Some(site) if actor.name.is_empty() => format!("activity made at {}:{}", site.file(), site.line()),
        None if actor.name.is_empty() => "activity".to_owned(),
        _ => without_numbers(&actor.name),
    }
}

/// `a future inside of transfer (#12)` without its end.
fn without_numbers(name: &str) -> String {
    let end = name.rsplit_once(" (#").filter(|(_, number)| number.ends_with(')')).map(|(name, _)| name);
    end.unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use freehold_sync::{LockClass, Mutex, activity, observe};
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::{WaitProfile, without_numbers};

    static SHELF: LockClass = LockClass::new("shelf");
    static BOOK: LockClass = LockClass::new("book");

    #[tokio::test]
    async fn a_wait_is_a_stack_of_the_whole_chain() {
        let (shelf, book) = (Arc::new(Mutex::with_class(&SHELF, ())), Arc::new(Mutex::with_class(&BOOK, ())));
        let (release, released) = oneshot::channel::<()>();
        let reader = tokio::spawn({
            let book = book.clone();
            activity(async move |context| {
                let _book = context.lock(&book).await;
                let _ = released.await;
            })
            .named("reader")
        });
        let librarian = tokio::spawn({
            let (shelf, book) = (shelf.clone(), book.clone());
            activity(async move |context| {
                let _shelf = context.lock(&shelf).await;
                let _book = context.lock(&book).await;
            })
            .named("librarian")
        });
        let visitor = tokio::spawn(
            activity(async move |context| {
                let _shelf = context.lock(&shelf).await;
            })
            .named("visitor"),
        );
        let profile = loop {
            yield_now().await;
            let mut profile = WaitProfile::default();
            profile.add(&observe(), Duration::from_micros(7));
            if profile.folded().contains("visitor;") {
                break profile;
            }
        };
        let folded = profile.folded();
        release.send(()).unwrap();
        for task in [reader, librarian, visitor] {
            task.await.unwrap().unwrap();
        }
        let line = folded.lines().find(|line| line.starts_with("visitor;")).unwrap();
        let (stack, time) = line.rsplit_once(' ').unwrap();
        let frames: Vec<_> = stack.split(';').map(|frame| frame.split(" at ").next().unwrap()).collect();
        assert_eq!(
            frames,
            ["visitor", "shelf (lock)", "held by librarian", "book (lock)", "held by reader"],
            "{line}"
        );
        assert_eq!(time, "7");
        let waited = [&SHELF, &BOOK].map(|class| profile.waited_for(class.name()));
        assert_eq!(waited, [Duration::from_micros(7); 2], "{folded}");
    }

    #[test]
    fn the_work_is_looked_at_until_it_ends() {
        let (output, profile) = WaitProfile::during(Duration::from_micros(1), || 7);
        assert_eq!(output, 7);
        assert_eq!(profile.waited_for("nothing of this name"), Duration::ZERO, "{profile:?}");
    }

    #[test]
    fn all_of_a_name_are_one_frame() {
        let rows = [
            ("transfer", "transfer"),
            ("a future inside of transfer (#12)", "a future inside of transfer"),
            ("odd (#x", "odd (#x"),
        ];
        for (name, expected) in rows {
            assert_eq!(without_numbers(name), expected);
        }
    }
}
