//! The launcher's loop: waits for something to happen, asks the rules, does what they say.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::task::JoinSet;

use super::machine::{Action, Event, Machine};
use super::program;
use super::protocol::{Ended, Program, ServerState};
use super::reap::{End, reap};
use super::server::{self, Outcome};
use super::signals::{Caught, Signals};
use super::socket::Hub;
use super::{LAUNCHER_LOCK, SERVER_LOCK};
use crate::lock::{FolderLock, LockError, LockState, probe};

/// How often the lock of a server that is not our child is looked at. A lock that gets free raises no event that could
/// be waited for without taking it.
const LOOK: Duration = Duration::from_millis(50);

/// Why the launcher could not begin. Once it has, nothing but an order or a signal ends it.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The folder cannot be made or entered.
    #[error("cannot use the folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another launcher works there, or the lock cannot be used.
    #[error("cannot be the launcher of {}", dir.display())]
    Lock {
        /// The folder.
        dir: PathBuf,
        /// Who has the lock.
        #[source]
        source: LockError,
    },
    /// The socket cannot be made.
    #[error("cannot listen for the agent in {}", dir.display())]
    Socket {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The handlers of signals cannot be installed.
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
}

/// Runs the launcher of this folder until it is told to end. The folder becomes the current one of this process, so
/// that neither its length nor a later rename of a folder above it matters.
pub async fn run(dir: &Path) -> Result<(), LaunchError> {
    let dir = || dir.to_owned();
    let signals = Signals::install().map_err(LaunchError::Signals)?;
    enter(&dir()).map_err(|source| LaunchError::Folder { dir: dir(), source })?;
    let _lock =
        FolderLock::acquire(Path::new(LAUNCHER_LOCK)).map_err(|source| LaunchError::Lock { dir: dir(), source })?;
    adopt_orphans();
    let server_lock = probe(Path::new(SERVER_LOCK)).map_err(|source| LaunchError::Lock { dir: dir(), source })?;
    let machine = Machine::new(server_lock == LockState::Held, Instant::now());
    let hub = Hub::open(machine.status().clone()).map_err(|source| LaunchError::Socket { dir: dir(), source })?;
    tracing::info!(server = ?machine.status().server, "the launcher is ready");
    Launcher { machine, hub, signals, server: None, searches: JoinSet::new() }.work().await;
    Ok(())
}

/// The server that this launcher started.
#[derive(Clone, Copy, Debug)]
struct Child {
    pid: Pid,
    log_from: u64,
}

struct Launcher {
    machine: Machine,
    hub: Hub,
    signals: Signals,
    server: Option<Child>,
    /// Programs that are being looked for.
    searches: JoinSet<Program>,
}

impl Launcher {
    async fn work(mut self) {
        loop {
            let event = self.next().await;
            if self.take(event) {
                tracing::info!("the launcher ends");
                return self.hub.close().await;
            }
        }
    }

    /// Waits for the next event.
    async fn next(&mut self) -> Event {
        loop {
            let is_occupied = self.machine.status().server == ServerState::Occupied;
            let caught = tokio::select! {
                caught = self.signals.next() => caught,
                event = self.hub.next() => return event,
                Some(Ok(found)) = self.searches.join_next() => return Event::Found(found),
                () = freed(), if is_occupied => return Event::LockFreed,
                () = sleep_until(self.machine.wake_at()) => return Event::TimePassed,
            };
            match caught {
                Caught::Event(event) => return event,
                Caught::Child => {
                    if let Some(ended) = self.reap() {
                        return Event::ServerEnded(ended);
                    }
                }
            }
        }
    }

    /// Takes one event and all that follows from it at once; true when it is time to go.
    fn take(&mut self, event: Event) -> bool {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            tracing::debug!(?event, "took an event");
            match self.machine.step(event, Instant::now()) {
                Some(Action::Leave) => {
                    self.hub.tell(self.machine.status());
                    return true;
                }
                Some(Action::Signal { pid, signal }) => send(pid, signal),
                Some(Action::Find(asked)) => drop(self.searches.spawn(program::find(asked))),
                Some(Action::Start(argv)) => next = Some(self.start(&argv)),
                None => {}
            }
            self.hub.tell(self.machine.status());
        }
        false
    }

    fn start(&mut self, argv: &[String]) -> Event {
        match server::start(argv) {
            Outcome::Running { pid, log_from } => {
                tracing::info!(pid, "started the server");
                self.server = Some(Child { pid: to_pid(pid), log_from });
                Event::Started { pid }
            }
            Outcome::Occupied => {
                tracing::warn!("another server holds the lock; none is started");
                Event::FoundOccupied
            }
            Outcome::Failed(reason) => {
                tracing::error!(reason, "the server did not start");
                Event::NotStarted { reason }
            }
        }
    }

    fn reap(&mut self) -> Option<Ended> {
        let end = reap(self.server.map(|child| child.pid))?;
        let tail = server::tail(self.server.take()?.log_from);
        tracing::info!(?end, "the server has ended");
        Some(match end {
            End::Code(code) => Ended { code: Some(code), signal: None, tail },
            End::Signal(signal) => Ended { code: None, signal: Some(signal.as_str().to_owned()), tail },
        })
    }
}

fn enter(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::env::set_current_dir(dir)
}

/// Children of the server fall to this process when it ends, also where it is not process 1.
fn adopt_orphans() {
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "cannot adopt orphans");
    }
}

/// Comes back when nobody holds the server's lock any more.
async fn freed() {
    loop {
        tokio::time::sleep(LOOK).await;
        match probe(Path::new(SERVER_LOCK)) {
            Ok(LockState::Free | LockState::Missing) => return,
            Ok(LockState::Held) => {}
            Err(error) => tracing::warn!(%error, "cannot see whether the other server lives"),
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The process is our child and its end has not been taken, so the number cannot mean another one.
fn send(pid: u32, signal: nix::sys::signal::Signal) {
    tracing::info!(pid, %signal, "signal the server");
    if let Err(error) = kill(to_pid(pid), signal) {
        tracing::warn!(pid, %signal, %error, "cannot signal the server");
    }
}

/// Process numbers are positive and fit: the kernel's largest is 4194304.
fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}
