//! What a program is, and how random numbers become one.

use std::time::Duration;

/// What a family of programs is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// Answers, cancels, deadlines and ends of sessions race for the outcomes of calls; ids come twice, clients leave.
    Outcomes,
    /// Serial sessions: calls in order, calls back into the turn of a chain, siblings, rings of turns.
    Turns,
    /// One call, whose handler calls once, and a cancel that may come at any moment of that. So small that hardly any is left out.
    Cancels,
    /// Sessions come and go at a cap while they are looked up, resumed and changed.
    Sessions,
    /// The engine drains, also from inside of a handler, while all of that goes on.
    Drains,
}

/// What a handler does, in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Lets others run.
    GiveWay,
    /// Waits for so many milliseconds, whatever it is told.
    Rest(u64),
    /// Waits to be cancelled.
    Obey,
    Update,
    Transact,
    Ask,
    Notify,
    /// Takes this lock, and keeps it to its end.
    Lock(usize),
    /// Calls this script in this session.
    Call(usize, usize),
    /// Two calls at the same time.
    Both((usize, usize), (usize, usize)),
    /// Begins a call and does not wait for it.
    Abandon(usize, usize),
    /// Starts work that goes on without it.
    Detach,
    CloseOwn,
    Drain,
    Fail,
}

/// What a client does about its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Waits,
    /// It cancels after having let others run so many times.
    Cancels(usize),
    /// It goes away after that.
    Leaves(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// How often it lets others run before.
    pub(super) after: usize,
    pub(super) session: usize,
    pub(super) id: i64,
    pub(super) script: usize,
    pub(super) fate: Fate,
    /// Its answer goes to the session's stream.
    pub(super) to_session: bool,
}

/// What somebody does to the sessions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Close(usize),
    Open,
    LookUp(usize),
    Resume(usize),
    Update(usize),
    Broadcast,
    Sweep,
    /// Waits until the session's calls have ended.
    CallsEnded(usize),
    Drain(Duration),
    /// Time goes on to the next instant at which anything is due.
    Hurry,
    GiveWay,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) family: Family,
    /// For each session, whether it is serial.
    pub(super) sessions: Vec<bool>,
    pub(super) cap: usize,
    pub(super) evicts: bool,
    pub(super) running: usize,
    pub(super) queued: usize,
    pub(super) scripts: Vec<Vec<Step>>,
    /// Each client's requests, one after the other.
    pub(super) clients: Vec<Vec<Sent>>,
    /// What others do, each in a task of their own.
    pub(super) doers: Vec<Vec<Deed>>,
    /// Whether time passes although somebody could go on.
    pub(super) hurried: bool,
}

/// Scripts call later ones only, so a chain ends.
const SCRIPTS: usize = 4;
pub(super) const LOCKS: usize = 2;

struct Maker<'a> {
    below: &'a mut dyn FnMut(usize) -> usize,
    family: Family,
    sessions: usize,
}

impl Plan {
    /// The program that `below` chooses: it is asked for numbers below its argument.
    pub(super) fn new(family: Family, below: &mut dyn FnMut(usize) -> usize) -> Self {
        if family == Family::Cancels {
            return Self::one_cancel(below);
        }
        let count = 1 + below(2) + usize::from(family == Family::Sessions);
        let serial = |below: &mut dyn FnMut(usize) -> usize| match family {
            Family::Turns => below(8) > 0,
            Family::Outcomes => false,
            _ => below(3) == 0,
        };
        let sessions: Vec<bool> = (0..count).map(|_| serial(below)).collect();
        let hurried = family != Family::Turns && below(2) == 0;
        let (cap, evicts) = (count + below(2), family == Family::Sessions && below(2) == 0);
        let (running, queued) = (1 + below(2), 1 + below(3));
        let mut maker = Maker { below, family, sessions: count };
        let scripts = (0..SCRIPTS).map(|script| maker.script(script)).collect();
        let clients = (0..maker.clients()).map(|_| maker.client()).collect();
        let mut doers: Vec<_> = (0..maker.doers()).map(|_| maker.doer()).collect();
        if hurried {
            doers.push(maker.haste());
        }
        if family == Family::Drains {
            doers.push(maker.drain());
        }
        Self { family, sessions, cap, evicts, running, queued, scripts, clients, doers, hurried }
    }
}

impl Plan {
    fn one_cancel(below: &mut dyn FnMut(usize) -> usize) -> Self {
        let fate = Fate::Cancels(below(6));
        let sent = Sent { after: 0, session: 0, id: 1, script: 0, fate, to_session: below(2) == 0 };
        let last = [Step::GiveWay, Step::Update, Step::Obey][below(3)];
        Self {
            family: Family::Cancels,
            sessions: vec![below(2) == 0],
            cap: 1,
            evicts: false,
            running: 1,
            queued: 1,
            scripts: vec![vec![Step::Call(0, 1)], vec![last]],
            clients: vec![vec![sent]],
            doers: Vec::new(),
            hurried: false,
        }
    }
}

impl Maker<'_> {
    fn below(&mut self, n: usize) -> usize {
        (self.below)(n)
    }

    fn clients(&mut self) -> usize {
        match self.family {
            Family::Sessions => 1 + self.below(2),
            _ => 2 + self.below(2),
        }
    }

    fn doers(&mut self) -> usize {
        match self.family {
            Family::Sessions => 2,
            _ => self.below(2),
        }
    }

    fn session(&mut self) -> usize {
        self.below(self.sessions)
    }

    fn script(&mut self, script: usize) -> Vec<Step> {
        (0..1 + self.below(3)).map(|_| self.step(script)).collect()
    }

    fn step(&mut self, script: usize) -> Step {
        let calls = script + 1 < SCRIPTS;
        match (self.family, self.below(12)) {
            (Family::Turns, 0..5) | (Family::Drains, 0..2) | (Family::Outcomes, 0..2) if calls => {
                self.nested(script)
            }
            (Family::Turns, 5..7) => Step::Lock(self.below(LOCKS)),
            (Family::Sessions, 0..6) => [Step::Update, Step::Transact, Step::GiveWay][self.below(3)],
            (Family::Sessions, 6) => Step::CloseOwn,
            (Family::Drains, 2) if self.below(2) == 0 => Step::Drain,
            (Family::Outcomes, 2..5) => Step::Ask,
            (_, 7) => Step::Ask,
            (_, 8) => Step::Update,
            (_, 9) => [Step::Notify, Step::Detach, Step::Fail, Step::Obey][self.below(4)],
            (_, 10) => Step::Rest(1 + self.below(3) as u64 * 700),
            _ => Step::GiveWay,
        }
    }

    fn nested(&mut self, script: usize) -> Step {
        let one = self.target(script);
        match self.below(8) {
            0..2 => Step::Both(one, self.target(script)),
            2..4 => Step::Abandon(one.0, one.1),
            _ => Step::Call(one.0, one.1),
        }
    }

    fn target(&mut self, script: usize) -> (usize, usize) {
        (self.session(), script + 1 + self.below(SCRIPTS - script - 1))
    }

    fn client(&mut self) -> Vec<Sent> {
        (0..1 + self.below(2)).map(|_| self.sent()).collect()
    }

    fn sent(&mut self) -> Sent {
        let fate = match self.below(8) {
            3..5 if self.family == Family::Turns => Fate::Cancels(self.below(12)),
            0..2 => Fate::Cancels(self.below(8)),
            2 => Fate::Leaves(self.below(8)),
            _ => Fate::Waits,
        };
        Sent {
            after: self.below(3),
            session: self.session(),
            // Few, so that some are used while they are in flight.
            id: self.below(6) as i64,
            script: self.below(SCRIPTS - 1),
            fate,
            to_session: fate != Fate::Leaves(0) && self.below(4) == 0,
        }
    }

    fn doer(&mut self) -> Vec<Deed> {
        (0..1 + self.below(3)).map(|_| self.deed()).collect()
    }

    fn deed(&mut self) -> Deed {
        let session = self.session();
        match (self.family, self.below(10)) {
            (Family::Turns, 0) | (_, 0..2) => Deed::Close(session),
            (Family::Turns, _) => Deed::GiveWay,
            (_, 2) => Deed::Open,
            (_, 3) => Deed::LookUp(session),
            (_, 4) => Deed::Resume(session),
            (_, 5..7) => Deed::Update(session),
            (_, 7) => Deed::Broadcast,
            (_, 8) => Deed::CallsEnded(session),
            (Family::Sessions, _) => Deed::Sweep,
            _ => Deed::GiveWay,
        }
    }

    fn haste(&mut self) -> Vec<Deed> {
        let deed = |maker: &mut Self| if maker.below(3) == 0 { Deed::Hurry } else { Deed::GiveWay };
        (0..2 + self.below(8)).map(|_| deed(self)).collect()
    }

    fn drain(&mut self) -> Vec<Deed> {
        let mut deeds = vec![Deed::GiveWay; self.below(6)];
        deeds.push(Deed::Drain(Duration::from_millis([0, 500, 5_000][self.below(3)])));
        deeds
    }
}
