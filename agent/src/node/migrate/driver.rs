//! What every way of moving slots has in common: it moves what its job wants, shows how far it is, and ends with every
//! slot either here or there.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::DriverKind;
use redisnode_proto::job::Job;
use redisnode_proto::{Millis, SlotSet};
use tokio::sync::watch;

use super::super::shared::Shared;
use super::tempo::Tempo;

/// One way of moving slots.
pub(super) trait Driver {
    /// Which one it is.
    const KIND: DriverKind;

    /// Moves the wanted slots until none is left or the job is told to stop; open slots are finished in any case. `moved` is
    /// told whenever slots have changed their owner.
    fn run(self, task: &Task, moved: impl Fn() + Send + Sync) -> impl Future<Output = Result<(), End>> + Send;
}

/// Why a driver ended before all its slots had moved. Each is a sentence: what happened and what to do.
#[derive(Debug)]
pub(super) enum End {
    /// It failed.
    Failed(String),
    /// It failed, and clients waited for nothing meanwhile.
    Costly(String),
    /// It had to wait for too long; for what.
    InTheWay(String),
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// A job, as its driver sees it.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) shown: Shown,
    pub(super) tempo: Tempo,
}

/// What a job should move now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Wanted {
    pub(in crate::node) send: SendTo,
    /// Nothing new is begun.
    pub(in crate::node) stop: bool,
}

impl Wanted {
    /// Whether nothing new is to be begun.
    pub(super) fn only_finishes(&self) -> bool {
        self.stop || self.send.slots == self.send.open
    }

    /// Whether some of these slots are not to be moved any more.
    pub(super) fn lacks(&self, slots: &SlotSet) -> bool {
        self.stop || !slots.is_subset(&self.send.slots)
    }
}

impl Task {
    /// Waits so long, or until some of these slots are not wanted any more.
    pub(super) async fn pause(&self, how_long: Duration, slots: &SlotSet) {
        let mut wanted = self.wanted.clone();
        drop(tokio::time::timeout(how_long, wanted.wait_for(|wanted| wanted.lacks(slots))).await);
    }
}

/// How far a job is, shared with the Report.
#[derive(Clone)]
pub(in crate::node) struct Shown {
    job: Arc<Mutex<Job>>,
    began: Millis,
}

impl Shown {
    pub(super) fn new(job: Job, began: Millis) -> Self {
        Self { job: Arc::new(Mutex::new(job)), began }
    }

    /// Notes progress.
    pub(in crate::node) fn note(&self, change: impl FnOnce(&mut Job)) {
        change(&mut self.job.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The job as it stands at `now`.
    pub(super) fn at(&self, now: Millis) -> Job {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        job.running_for = now.since(self.began);
        job
    }
}
