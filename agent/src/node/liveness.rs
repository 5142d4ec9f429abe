//! Whether the server lives, for sure: by the launcher, or by the lock that a server holds as long as it lives.

use crate::launch_client::LauncherState;
use crate::launcher::{Ended, ServerState as Launched};
use crate::lock::{LockState, probe};

use super::shared::{Shared, whole};

/// What is known of the server's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// It lives, or its lock is held.
    Alive,
    /// It does not live. `ended` is how, if the launcher saw its end.
    Down { ended: Option<Ended>, start_failed: Option<String>, launcher: bool },
    /// Neither launcher nor lock can be asked.
    Unknown(String),
}

pub(super) fn process(shared: &Shared) -> Process {
    let state = shared.launcher.state().borrow().clone();
    match state {
        LauncherState::Present(status) => match status.server {
            Launched::Running { .. } | Launched::Unknown => Process::Alive,
            Launched::Occupied => by_lock(shared, true),
            Launched::Idle => Process::Down { ended: None, start_failed: None, launcher: !status.stop_requested },
            Launched::Ended(ended) => {
                Process::Down { ended: Some(ended), start_failed: None, launcher: !status.stop_requested }
            }
            Launched::StartFailed { reason } => {
                Process::Down { ended: None, start_failed: Some(reason), launcher: !status.stop_requested }
            }
        },
        LauncherState::Absent | LauncherState::Unknown => by_lock(shared, false),
    }
}

fn by_lock(shared: &Shared, launcher: bool) -> Process {
    match probe(&shared.args.dir.join("server.lock")) {
        Ok(LockState::Held) => Process::Alive,
        Ok(LockState::Free | LockState::Missing) => Process::Down { ended: None, start_failed: None, launcher },
        Err(error) => Process::Unknown(whole(&error)),
    }
}

/// Whether the launcher was told to stop.
pub(super) fn stop_requested(shared: &Shared) -> bool {
    matches!(&*shared.launcher.state().borrow(), LauncherState::Present(status) if status.stop_requested)
}

/// How it ended, for people.
pub(super) fn describe(ended: &Ended) -> String {
    let how = match (&ended.signal, ended.code) {
        (Some(signal), _) => format!("the server was ended by {signal}"),
        (None, Some(code)) => format!("the server exited with code {code}"),
        (None, None) => "the server ended".to_owned(),
    };
    match ended.tail.iter().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}; its last words: {}", line.trim()),
        None => how,
    }
}
