//! Stopping one member in order: the agent first (it stops its server), then the launcher; by force after a deadline.
//!
//! A process is signalled only while its lock is held or it is our child, so its number cannot mean another one.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill as send, killpg};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dir::NodeDir;
use super::keeper::Keeper;
use crate::files::is_free;

/// How long all of it may take before force is used.
pub(super) const WITHIN: Duration = Duration::from_secs(8);
/// How much of it the agent has: the launcher needs the rest.
const AGENT_WITHIN: Duration = Duration::from_secs(6);
/// How long a killed process takes to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A member that is to stop.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    pub(super) node: NodeDir,
    pub(super) agent: Keeper,
    pub(super) launcher: Keeper,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Everything ended by itself.
    InOrder,
    /// Something had to be killed.
    ByForce,
    /// Something lives on.
    Not,
}

impl Stopping {
    /// Stops the member; when `hurry` turns true, by force at once.
    pub(super) async fn run(self, mut hurry: watch::Receiver<bool>) -> Stopped {
        let begun = Instant::now();
        self.agent.let_go();
        self.launcher.let_go();
        signal(self.agent.pid(), Signal::SIGTERM);
        let agent_ended = until(|| self.agent.is_down(), begun + AGENT_WITHIN, &mut hurry).await;
        // Without its agent the launcher stops the server itself.
        signal(self.launcher.pid(), Signal::SIGTERM);
        let ended = until(|| self.is_down(), begun + WITHIN, &mut hurry).await;
        if ended {
            return if agent_ended { Stopped::InOrder } else { Stopped::ByForce };
        }
        self.kill();
        let (_never, mut patient) = watch::channel(false);
        if until(|| self.is_down(), Instant::now() + GONE_WITHIN, &mut patient).await {
            Stopped::ByForce
        } else {
            Stopped::Not
        }
    }

    fn is_down(&self) -> bool {
        is_free(&self.node.server_lock()) && self.launcher.is_down() && self.agent.is_down()
    }

    fn kill(&self) {
        signal(self.agent.pid(), Signal::SIGKILL);
        if let Some(launcher) = self.launcher.pid().map(pid_of)
            && let Err(error) = killpg(launcher, Signal::SIGKILL)
        {
            tracing::debug!(%launcher, %error, "the launcher's group is gone already");
        }
        for server in holders(&self.node.server_lock()) {
            kill(server);
        }
    }
}

/// Kills one process.
pub(super) fn kill(pid: u32) {
    signal(Some(pid), Signal::SIGKILL);
}

fn signal(pid: Option<u32>, signal: Signal) {
    let Some(pid) = pid else { return };
    if let Err(error) = send(pid_of(pid), signal) {
        tracing::debug!(pid, %signal, %error, "the process is gone already");
    }
}

/// Process numbers are positive and fit; one that does not names nobody.
fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Processes whose standard input is the file `lock`: that is how a server holds its lock.
fn holders(lock: &Path) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| std::fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|file| file == lock)).collect()
}

/// Whether `holds` became true before the deadline and before anybody was in a hurry.
async fn until(holds: impl Fn() -> bool, deadline: Instant, hurry: &mut watch::Receiver<bool>) -> bool {
    while !holds() {
        if Instant::now() >= deadline || *hurry.borrow() {
            return false;
        }
        // Either end of this wait is wanted: the next look, or the hurry.
        drop(tokio::time::timeout(LOOK_EVERY, hurry.wait_for(|hurry| *hurry)).await);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn who_has_a_lock_as_its_input_is_found() {
        let folder = Folder::new("stop-holders");
        let lock = folder.path().join("server.lock");
        std::fs::write(&lock, "").unwrap();
        let file = std::fs::File::open(&lock).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").stdin(file).spawn().unwrap();
        let lock = std::fs::canonicalize(lock).unwrap();
        assert_eq!(holders(&lock), [child.id()]);
        kill(child.id());
        child.wait().unwrap();
        assert_eq!(holders(&lock), [0_u32; 0]);
    }
}
