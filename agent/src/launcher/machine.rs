//! The launcher's rules, pure: what has happened, and when, to what is done.
//!
//! A stop belongs to the agent, which hands its slots off first. Only when there is no agent for a while does the
//! launcher pass the stop on to the server itself.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::protocol::{Ended, Order, OrderedSignal, Program, ServerState, Status};

/// How long a stop waits for an agent that is not connected: one that is just restarting is told when it connects.
pub(super) const WAIT_FOR_AGENT: Duration = Duration::from_secs(5);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The agent gave an order.
    Ordered(Order),
    /// The server was started.
    Started { pid: u32 },
    /// The server could not be started.
    NotStarted { reason: String },
    /// The program that the agent asked for was looked for.
    Found(Program),
    /// The server was not started, because another one holds the lock.
    FoundOccupied,
    /// The server that was started has ended.
    ServerEnded(Ended),
    /// The server of another launcher has ended.
    LockFreed,
    /// SIGTERM came.
    Terminated,
    /// SIGINT came.
    Interrupted,
    /// A signal came that means nothing to a launcher, but may to a server.
    Caught(Signal),
    /// So many agents are connected now.
    Agents(usize),
    /// The moment of [`Machine::wake_at`] has come.
    TimePassed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start this server and say what came of it.
    Start(Vec<String>),
    /// Look for this program and say what came of it.
    Find(String),
    /// Send this signal to this process, which is the running server.
    Signal { pid: u32, signal: Signal },
    /// End.
    Leave,
}

/// All that the launcher remembers.
#[derive(Debug)]
pub(super) struct Machine {
    status: Status,
    agents: usize,
    /// When the last agent went.
    alone_since: Instant,
    stop_at: Option<Instant>,
    /// The stop was passed on to the server.
    is_passed_on: bool,
}

impl Machine {
    /// A launcher that starts now, beside a server of another launcher or beside none.
    pub(super) fn new(is_occupied: bool, now: Instant) -> Self {
        let server = if is_occupied { ServerState::Occupied } else { ServerState::Idle };
        Self {
            status: Status { server, stop_requested: false, change: 0, program: None },
            agents: 0,
            alone_since: now,
            stop_at: None,
            is_passed_on: false,
        }
    }

    /// What agents are told.
    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// When to come back with [`Event::TimePassed`], if at all.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let waits = self.agents == 0 && !self.is_passed_on;
        self.stop_at.filter(|_| waits).map(|stop_at| stop_at.max(self.alone_since) + WAIT_FOR_AGENT)
    }

    /// Takes one event; says what to do about it.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Option<Action> {
        match event {
            Event::Ordered(order) => return self.obey(order),
            Event::Started { pid } => self.set(ServerState::Running { pid }),
            Event::NotStarted { reason } => self.set(ServerState::StartFailed { reason }),
            Event::FoundOccupied => self.set(ServerState::Occupied),
            Event::ServerEnded(ended) => self.set(ServerState::Ended(ended)),
            Event::LockFreed => self.set(ServerState::Idle),
            Event::Found(program) => self.status.program = Some(program),
            Event::Caught(signal) => return self.signal(signal),
            Event::Interrupted if self.stop_at.is_some() => return self.signal(Signal::SIGINT),
            Event::Terminated | Event::Interrupted => {
                self.stop_at.get_or_insert(now);
                self.status.stop_requested = true;
            }
            Event::Agents(agents) => {
                if agents == 0 && self.agents > 0 {
                    self.alone_since = now;
                }
                self.agents = agents;
            }
            Event::TimePassed => {}
        }
        self.go_on_stopping(now)
    }

    fn obey(&mut self, order: Order) -> Option<Action> {
        match order {
            Order::Start { argv } if !self.status.server.is_live() && self.stop_at.is_none() => {
                Some(Action::Start(argv))
            }
            Order::Find { program } => Some(Action::Find(program)),
            Order::Exit {} if !self.status.server.is_live() => Some(Action::Leave),
            Order::Start { .. } | Order::Exit {} => None,
            Order::Signal(OrderedSignal::Term) => self.signal(Signal::SIGTERM),
            Order::Signal(OrderedSignal::Kill) => self.signal(Signal::SIGKILL),
        }
    }

    fn signal(&self, signal: Signal) -> Option<Action> {
        match self.status.server {
            ServerState::Running { pid } => Some(Action::Signal { pid, signal }),
            ServerState::Idle
            | ServerState::Ended(_)
            | ServerState::Occupied
            | ServerState::StartFailed { .. }
            | ServerState::Unknown => None,
        }
    }

    fn go_on_stopping(&mut self, now: Instant) -> Option<Action> {
        self.stop_at?;
        if !self.status.server.is_live() {
            return Some(Action::Leave);
        }
        if self.wake_at().is_none_or(|at| now < at) {
            return None;
        }
        self.is_passed_on = true;
        // A server of another launcher is out of reach; staying would help nobody.
        self.signal(Signal::SIGTERM).or(Some(Action::Leave))
    }

    fn set(&mut self, server: ServerState) {
        self.status.server = server;
        self.status.change = self.status.change.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Option<Action> = Some(Action::Signal { pid: 7, signal: Signal::SIGTERM });

    fn start() -> Event {
        Event::Ordered(Order::Start { argv: vec!["server".into()] })
    }

    fn running(agents: usize) -> (Machine, Instant) {
        let now = Instant::now();
        let mut machine = Machine::new(false, now);
        assert_eq!(machine.step(Event::Agents(1), now), None);
        assert_eq!(machine.step(start(), now), Some(Action::Start(vec!["server".into()])));
        assert_eq!(machine.step(Event::Started { pid: 7 }, now), None);
        assert_eq!(machine.step(Event::Agents(agents), now), None);
        (machine, now)
    }

    #[test]
    fn never_a_second_server() {
        let (mut machine, now) = running(1);
        assert_eq!(machine.step(start(), now), None);
        let mut occupied = Machine::new(true, now);
        assert_eq!(occupied.step(start(), now), None);
        assert_eq!(occupied.step(Event::LockFreed, now), None);
        assert_eq!(occupied.status().server, ServerState::Idle);
        assert!(matches!(occupied.step(start(), now), Some(Action::Start(_))));
    }

    #[test]
    fn a_lock_found_held_at_the_start_is_said() {
        let now = Instant::now();
        let mut machine = Machine::new(false, now);
        machine.step(start(), now);
        assert_eq!(machine.step(Event::FoundOccupied, now), None);
        assert_eq!(machine.status().server, ServerState::Occupied);
        assert_eq!(machine.step(Event::Ordered(Order::Exit {}), now), None);
    }

    #[test]
    fn two_failures_in_a_row_are_two_changes() {
        let now = Instant::now();
        let mut machine = Machine::new(false, now);
        for change in 1..3 {
            assert!(machine.step(start(), now).is_some());
            machine.step(Event::NotStarted { reason: "no".into() }, now);
            assert_eq!(machine.status().change, change);
        }
    }

    #[test]
    fn a_stop_waits_for_the_agent_however_long_it_takes() {
        let (mut machine, now) = running(1);
        assert_eq!(machine.step(Event::Terminated, now), None);
        assert!(machine.status().stop_requested);
        assert_eq!(machine.wake_at(), None);
        let later = now + 100 * WAIT_FOR_AGENT;
        assert_eq!(machine.step(Event::Terminated, later), None, "a second SIGTERM does nothing more");
        assert_eq!(machine.step(Event::Ordered(Order::Signal(OrderedSignal::Term)), later), TERM);
        assert_eq!(machine.step(Event::ServerEnded(Ended::default()), later), Some(Action::Leave));
    }

    #[test]
    fn without_an_agent_the_stop_is_passed_on_once_after_a_while() {
        let (mut machine, now) = running(0);
        assert_eq!(machine.step(Event::Terminated, now), None);
        let due = now + WAIT_FOR_AGENT;
        assert_eq!(machine.wake_at(), Some(due));
        let before = now + WAIT_FOR_AGENT / 2;
        assert_eq!(machine.step(Event::TimePassed, before), None);
        assert_eq!(machine.step(Event::TimePassed, due), TERM);
        assert_eq!(machine.wake_at(), None);
        assert_eq!(machine.step(Event::TimePassed, due + WAIT_FOR_AGENT), None);
        assert_eq!(machine.step(Event::ServerEnded(Ended::default()), due), Some(Action::Leave));
    }

    #[test]
    fn an_agent_that_restarts_gets_the_whole_time_again() {
        let (mut machine, now) = running(1);
        machine.step(Event::Terminated, now);
        let gone = now + 3 * WAIT_FOR_AGENT;
        assert_eq!(machine.step(Event::Agents(0), gone), None);
        assert_eq!(machine.wake_at(), Some(gone + WAIT_FOR_AGENT));
        assert_eq!(machine.step(Event::Agents(1), gone + WAIT_FOR_AGENT / 2), None);
        assert_eq!(machine.wake_at(), None);
    }

    #[test]
    fn a_stop_without_a_server_ends_at_once_and_none_is_started_any_more() {
        let now = Instant::now();
        let mut machine = Machine::new(false, now);
        machine.step(Event::Agents(1), now);
        assert_eq!(machine.step(Event::Interrupted, now), Some(Action::Leave));
        assert_eq!(machine.step(start(), now), None);
    }

    #[test]
    fn a_server_of_another_launcher_holds_a_stop_up_only_while_an_agent_sees_to_it() {
        let now = Instant::now();
        let mut machine = Machine::new(true, now);
        machine.step(Event::Agents(1), now);
        assert_eq!(machine.step(Event::Terminated, now), None);
        assert_eq!(machine.step(Event::LockFreed, now), Some(Action::Leave));
        let mut alone = Machine::new(true, now);
        assert_eq!(alone.step(Event::Terminated, now), None);
        assert_eq!(alone.step(Event::TimePassed, now + WAIT_FOR_AGENT), Some(Action::Leave));
    }

    #[test]
    fn a_second_interrupt_and_foreign_signals_reach_the_server() {
        let (mut machine, now) = running(1);
        assert_eq!(machine.step(Event::Interrupted, now), None);
        let int = Some(Action::Signal { pid: 7, signal: Signal::SIGINT });
        assert_eq!(machine.step(Event::Interrupted, now), int);
        let hup = Some(Action::Signal { pid: 7, signal: Signal::SIGHUP });
        assert_eq!(machine.step(Event::Caught(Signal::SIGHUP), now), hup);
    }

    #[test]
    fn no_signal_goes_to_a_process_that_has_ended() {
        let (mut machine, now) = running(1);
        machine.step(Event::ServerEnded(Ended::default()), now);
        assert_eq!(machine.step(Event::Ordered(Order::Signal(OrderedSignal::Kill)), now), None);
        assert_eq!(machine.step(Event::Ordered(Order::Exit {}), now), Some(Action::Leave));
    }
}
