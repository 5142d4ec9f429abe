//! Takes the ends of child processes: of the server, and of every orphan that falls to a process 1.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
}

/// Takes every child that has ended, without waiting. Gives the server's end, if it is among them.
///
/// What the server left behind in its process group (a child that was writing a snapshot) is killed: it would hold
/// `server.lock` on behalf of a server that is dead, and its files are of no use to the next one. That is done while
/// the server's own number is still taken, so that it cannot hit a process that got the number meanwhile.
pub(super) fn reap(server: Option<Pid>) -> Option<End> {
    let mut end = None;
    loop {
        let look = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT);
        let pid = match look {
            Ok(status) => match status.pid() {
                Some(pid) => pid,
                None => return end,
            },
            Err(Errno::EINTR) => continue,
            // No child at all, which is normal.
            Err(_) => return end,
        };
        if server == Some(pid) {
            match killpg(pid, Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    tracing::warn!(%pid, %error, "cannot kill what the server left behind");
                }
            }
        }
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if server == Some(pid) => end = Some(End::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if server == Some(pid) => {
                end = Some(End::Signal(signal));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%pid, %error, "cannot take the end of a child");
                return end;
            }
        }
    }
}
