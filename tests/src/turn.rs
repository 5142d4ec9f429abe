//! How many clusters run at once in one test process: real servers under load disturb each other's times.

use std::sync::{Condvar, Mutex, PoisonError};

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run clusters, given back when dropped.
#[derive(Debug)]
pub struct Turn(usize);

impl Turn {
    /// Waits until fewer than `REDISNODE_PARALLEL` (default 2) turns are taken.
    pub fn take() -> Self {
        Self::wait_for(1)
    }

    /// Waits until this is the only one, and keeps all others waiting: for tests that measure time.
    pub fn alone() -> Self {
        Self::wait_for(most())
    }

    fn wait_for(share: usize) -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running + share > most() {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += share;
        Self(share)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        ENDED.notify_all();
    }
}

fn most() -> usize {
    std::env::var("REDISNODE_PARALLEL").ok().and_then(|n| n.parse().ok()).unwrap_or(2).max(1)
}
