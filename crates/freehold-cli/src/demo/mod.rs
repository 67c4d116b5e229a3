//! `freehold demo`: a naive server and Freehold next to each other on the same traffic.

mod accounts;
mod lane;
mod latency;
mod naive;
mod notes;
mod ours;
pub(crate) mod screen;
mod story;
mod table;
mod traffic;

use crate::{cli::DemoArguments, failure::Failure};
use freehold::runtime::{Runtime, TokioRuntime, until};
use lane::Lane;
use naive::NaiveServer;
use ours::OurServer;
use screen::{Frame, Screen};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Builder;
use traffic::{Plan, Traffic};

/// How often the screen is drawn anew.
const FRAME: Duration = Duration::from_millis(200);

/// How long calls that run at the end may take to end: long enough to see that one is stuck.
const LAST_CALLS: Duration = Duration::from_secs(4);

/// Runs the command to its end.
pub(crate) fn command(arguments: &DemoArguments) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(demo(Duration::from_secs(arguments.seconds))) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => Ok(shown?),
    }
}

async fn demo(length: Duration) -> io::Result<()> {
    let mut screen = Screen::stdout();
    let plan = Plan::of(length);
    screen.say(&story::introduction(&plan))?;
    let began = TokioRuntime.now();
    let (naive, ours) = (Arc::new(NaiveServer::new()), Arc::new(OurServer::new()));
    let run = Run {
        plan,
        began,
        naive: Traffic::start(naive.clone(), plan, began),
        ours: Traffic::start(ours.clone(), plan, began),
        servers: (naive, ours),
    };
    let mut told = Told::default();
    tokio::select! {
        shown = run.show(&mut screen, &mut told) => shown?,
        // As much as there is by then.
        _ = tokio::signal::ctrl_c() => screen.clear()?,
    }
    run.end(&mut screen, &mut told).await
}

/// Both servers under their traffic.
struct Run {
    plan: Plan,
    began: Instant,
    naive: Traffic,
    ours: Traffic,
    servers: (Arc<NaiveServer>, Arc<OurServer>),
}

impl Run {
    /// Shows what happens, until the time is over.
    async fn show(&self, screen: &mut Screen, told: &mut Told) -> io::Result<()> {
        let mut next = self.began;
        while next < self.began + self.plan.length {
            next += FRAME;
            TokioRuntime.timer(next).await;
            self.tell_news(screen, told)?;
            let age = TokioRuntime.now().saturating_duration_since(self.began);
            screen.draw(age, &self.frame(age))?;
        }
        screen.clear()
    }

    fn frame(&self, age: Duration) -> Frame {
        let (naive, ours) = (self.naive.lane(), self.ours.lane());
        story::frame(age, &self.plan, naive, ours, self.servers.1.deadlocks())
    }

    /// What is told once.
    fn tell_news(&self, screen: &mut Screen, told: &mut Told) -> io::Result<()> {
        let (naive, ours) = &self.servers;
        if !told.transfers && self.began.elapsed() >= self.plan.calls_only {
            told.transfers = true;
            screen.say(story::TRANSFERS_BEGIN)?;
        }
        if !told.deadlock
            && let Some(report) = ours.first_deadlock()
        {
            told.deadlock = true;
            screen.say(&story::deadlock(&report))?;
        }
        if !told.stuck && self.naive.lane().stuck_for().is_some() {
            told.stuck = true;
            screen.say(&story::stuck(&naive.notes().look()))?;
        }
        Ok(())
    }

    async fn end(self, screen: &mut Screen, told: &mut Told) -> io::Result<()> {
        let (naive, ours) = (self.naive.lane(), self.ours.lane());
        let figures = [naive.summary(), ours.summary()];
        let now = TokioRuntime.now();
        // What is stuck stays so.
        let limit = if naive.stuck_for().is_some() { now } else { now + LAST_CALLS };
        let naive_ends = until(&TokioRuntime, limit, self.naive.last_calls());
        let ours_ends = until(&TokioRuntime, now + LAST_CALLS, self.ours.last_calls());
        let (_, all_ended) = tokio::join!(naive_ends, ours_ends);
        let rest = [naive, ours].map(Lane::rest);
        self.tell_news(screen, told)?;
        let recovery = self.servers.1.recovery(all_ended.is_some()).await;
        screen.say(&table::table(&figures, &rest, self.plan.calls_only, &recovery))?;
        screen.say(&story::conclusion(&figures))
    }
}

/// What has been told already.
#[derive(Default)]
struct Told {
    transfers: bool,
    deadlock: bool,
    stuck: bool,
}
