//! What a person at the terminal sees: one line per change, and a bar while slots move.

pub mod bar;
mod follow;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use redisnode_proto::Millis;
use redisnode_proto::status::{ClusterStatus, Progress};
use tokio::sync::watch;

pub use follow::Follower;

use crate::clock::Clock;
use crate::reconcile::Shown;

/// Without a terminal, progress is a line at most that often.
const PROGRESS_EVERY: Millis = Millis(5000);
/// Sentences that last are said although nothing changes.
const AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// Writes to the standard output until the coordinator ends.
pub async fn follow(mut shown: watch::Receiver<Shown>, clock: Clock, connect: String) {
    let mut screen = Screen::new();
    let mut follower = Follower::new(connect);
    let mut progress_at = Millis(0);
    loop {
        let status = shown.borrow_and_update().resource.as_ref().and_then(|resource| resource.status.clone());
        if let Some(status) = status {
            let now = clock.now();
            follower.step(&status, now).iter().for_each(|line| screen.line(line));
            let due = screen.is_terminal || now.since(progress_at) >= PROGRESS_EVERY;
            if let Some(progress) = status.progress.as_ref().filter(|_| due) {
                progress_at = now;
                screen.progress(&status, progress);
            } else if status.progress.is_none() {
                screen.clear();
            }
        }
        if let Ok(Err(_)) = tokio::time::timeout(AT_LEAST_EVERY, shown.changed()).await {
            return screen.clear();
        }
    }
}

/// Writes a line to the standard output. A reader that has gone away is no reason to stop.
pub fn say(line: &str) {
    put(&format!("{line}\n"));
}

/// The standard output, with at most one bar at its end.
struct Screen {
    is_terminal: bool,
    /// What stands there now, while it is a bar.
    bar: Option<String>,
}

impl Screen {
    fn new() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal(), bar: None }
    }

    fn line(&mut self, line: &str) {
        self.clear();
        say(line);
    }

    fn progress(&mut self, status: &ClusterStatus, progress: &Progress) {
        let text = bar::sentence(&status.summary, progress);
        if !self.is_terminal {
            return say(&text);
        }
        let bar = format!("{} {text}", bar::bar(progress));
        if self.bar.as_ref() != Some(&bar) {
            put(&format!("\r\x1b[K{bar}"));
            self.bar = Some(bar);
        }
    }

    fn clear(&mut self) {
        if self.bar.take().is_some() {
            put("\r\x1b[K");
        }
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "cannot write to the standard output");
    }
}
