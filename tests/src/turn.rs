//! How many clusters run at once in one test process: real servers under load disturb each other's times.

use std::sync::{Condvar, Mutex, PoisonError};

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run one cluster, given back when dropped.
#[derive(Debug)]
pub struct Turn(());

impl Turn {
    /// Waits until fewer than `REDISNODE_PARALLEL` (default 2) clusters run.
    pub fn take() -> Self {
        let most = std::env::var("REDISNODE_PARALLEL").ok().and_then(|n| n.parse().ok()).unwrap_or(2).max(1);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= most {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
