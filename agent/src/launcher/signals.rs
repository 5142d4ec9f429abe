//! The signals that a process 1 has to care for: without a handler the kernel would drop most of them.

use std::io;

use nix::sys::signal::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::machine::Event;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// Some child has ended.
    Child,
    /// Something for the rules.
    Event(Event),
}

/// Handlers for all of them, installed when this is made.
#[derive(Debug)]
pub(super) struct Signals {
    child: Signal,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Caught {
        let event = tokio::select! {
            _ = self.child.recv() => return Caught::Child,
            _ = self.terminate.recv() => Event::Terminated,
            _ = self.interrupt.recv() => Event::Interrupted,
            _ = self.hangup.recv() => Event::Caught(Number::SIGHUP),
            _ = self.quit.recv() => Event::Caught(Number::SIGQUIT),
            _ = self.user1.recv() => Event::Caught(Number::SIGUSR1),
            _ = self.user2.recv() => Event::Caught(Number::SIGUSR2),
        };
        Caught::Event(event)
    }
}
