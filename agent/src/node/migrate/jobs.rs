//! The moves that run: one per target, started, changed and stopped by what the core wants now.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::Throttle;
use redisnode_proto::job::Job;
use redisnode_proto::{Millis, NodeName, SlotSet};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::shared::Shared;
use super::super::tasks::Done;
use super::drive::{Memory, drive};
use super::driver::{Shown, Wanted};
use super::open_now::OpenNow;

/// A move that failed is tried again after so long, and shown meanwhile.
const RETRY_AFTER: Millis = Millis(1000);
/// The same where nothing new is to be begun: what is open is finished soon.
const FINISH_AFTER: Millis = Millis(100);

/// All moves of one source.
#[derive(Default)]
pub(in crate::node) struct Jobs {
    entries: Mutex<BTreeMap<NodeName, Entry>>,
    /// What became of the tries of each pair that has slots to move.
    tries: Mutex<BTreeMap<NodeName, Memory>>,
    running: watch::Sender<usize>,
    pub(super) open: OpenNow,
    /// Held while a job of the own server begins: it does not tell its name.
    pub(super) beginning: tokio::sync::Mutex<()>,
    /// How often all exports of the own server were cancelled for the sake of one.
    pub(super) sweeps: AtomicU64,
    /// Held while a piece goes to a server that pulls it: the own one serves one at a time.
    pub(super) importing: Arc<tokio::sync::Mutex<()>>,
    throttle: Mutex<Throttle>,
}

struct Entry {
    wanted: watch::Sender<Wanted>,
    shown: Shown,
    running: bool,
    ended_at: Option<Millis>,
    /// Why it ended, or why the one before it did. What comes again every second is no news for the log.
    reason: Option<String>,
}

impl Jobs {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<NodeName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tries(&self) -> MutexGuard<'_, BTreeMap<NodeName, Memory>> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes go now: how long to wait before more may, where the spec bounds them.
    pub(super) fn sent(&self, shared: &Shared, bytes: u64, per_second: Option<u64>) -> Duration {
        let now = Duration::from_millis(shared.now().0);
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).sent(now, bytes, per_second)
    }

    /// Starts what is missing, changes what has changed, stops what nobody wants any more.
    pub(in crate::node) fn reconcile(&self, shared: &Arc<Shared>, sends: Vec<SendTo>, tasks: &mut JoinSet<Done>) {
        let now = shared.now();
        let mut entries = self.entries();
        for (target, entry) in entries.iter().filter(|(_, entry)| entry.running) {
            if !sends.iter().any(|send| send.target == *target) {
                entry.wanted.send_if_modified(|wanted| !std::mem::replace(&mut wanted.stop, true));
            }
        }
        self.tries().retain(|target, _| sends.iter().any(|send| send.target == *target));
        for send in sends {
            let target = send.target.clone();
            let wanted = Wanted { send, stop: false };
            let memory = Arc::clone(self.tries().entry(target.clone()).or_default());
            let again = retry_after(&wanted, &memory, shared.node_timeout());
            match entries.get(&target) {
                Some(entry) if entry.running => {
                    entry.wanted.send_if_modified(|held| {
                        let changed = *held != wanted;
                        *held = wanted;
                        changed
                    });
                }
                Some(entry) if entry.ended_at.is_some_and(|at| now.since(at) < again) => {}
                before => {
                    let reason = before.and_then(|before| before.reason.clone());
                    let entry = Entry { reason, ..start(shared, wanted, memory, now, tasks) };
                    if entry.reason.is_none() {
                        tracing::info!(%target, slots = entry.wanted.borrow().send.slots.len(), "move of slots begins");
                    }
                    entries.insert(target, entry);
                }
            }
        }
        self.count(&entries);
    }

    fn count(&self, entries: &BTreeMap<NodeName, Entry>) {
        let running = entries.values().filter(|entry| entry.running).count();
        self.running.send_if_modified(|held| std::mem::replace(held, running) != running);
    }

    /// No job begins anything new; each ends when its open slots are closed.
    pub(in crate::node) fn stop_all(&self, reason: &str) {
        for (target, entry) in self.entries().iter().filter(|(_, entry)| entry.running) {
            if entry.wanted.send_if_modified(|wanted| !std::mem::replace(&mut wanted.stop, true)) {
                tracing::info!(%target, reason, "move of slots stops");
            }
        }
    }

    /// The own server has ended: its jobs end, and what they knew of the targets is void.
    pub(in crate::node) fn source_is_down(&self) {
        self.stop_all("the source's server is down");
        self.open.forget_doubts();
        self.tries().clear();
    }

    /// Waits until no job runs; false if that took too long.
    pub(in crate::node) async fn wait_until_idle(&self, within: Duration) -> bool {
        let mut running = self.running.subscribe();
        tokio::time::timeout(within, running.wait_for(|count| *count == 0)).await.is_ok()
    }

    /// A job has ended.
    pub(in crate::node) fn ended(&self, shared: &Shared, target: &NodeName, result: Result<(), String>) {
        let mut entries = self.entries();
        match result {
            Ok(()) => {
                tracing::info!(%target, "move of slots is over");
                entries.remove(target);
            }
            Err(reason) => {
                if let Some(entry) = entries.get_mut(target) {
                    if entry.reason.as_ref() != Some(&reason) {
                        tracing::warn!(%target, %reason, "move of slots stopped; it is tried again");
                    }
                    entry.running = false;
                    entry.ended_at = Some(shared.now());
                    entry.reason = Some(reason.clone());
                    entry.shown.note(|job| job.stalled = Some(reason));
                }
            }
        }
        self.count(&entries);
    }

    /// Drops jobs that failed a while ago and that nobody wants any more.
    pub(in crate::node) fn forget_old(&self, now: Millis) {
        let mut entries = self.entries();
        let wanted = self.tries();
        entries.retain(|target, entry| {
            let is_new = entry.ended_at.is_some_and(|at| now.since(at) < Millis(5000));
            entry.running || is_new || wanted.contains_key(target)
        });
    }

    /// Targets of the jobs that run.
    pub(in crate::node) fn targets(&self) -> Vec<NodeName> {
        self.entries().iter().filter(|(_, entry)| entry.running).map(|(name, _)| name.clone()).collect()
    }

    /// All jobs, for the Report.
    pub(in crate::node) fn progress(&self, now: Millis) -> Vec<Job> {
        self.entries().values().map(|entry| entry.shown.at(now)).collect()
    }
}

fn start(shared: &Arc<Shared>, wanted: Wanted, memory: Memory, now: Millis, tasks: &mut JoinSet<Done>) -> Entry {
    let target = wanted.send.target.clone();
    let job = Job::new(target.clone(), wanted.send.slots.clone());
    shared.jobs.open.know(&wanted.send.target_id, wanted.send.open.iter());
    let shown = Shown::new(job, now);
    let (sender, receiver) = watch::channel(wanted);
    let (shared, held) = (Arc::clone(shared), shown.clone());
    tasks.spawn(async move { Done::Moved(target, drive(&shared, receiver, held, memory).await) });
    Entry { wanted: sender, shown, running: true, ended_at: None, reason: None }
}

/// How long after a job that failed the next one of its pair begins.
fn retry_after(wanted: &Wanted, memory: &Memory, node_timeout: Millis) -> Millis {
    let usual = if wanted.only_finishes() { FINISH_AFTER } else { RETRY_AFTER };
    memory.lock().unwrap_or_else(PoisonError::into_inner).retry_after(usual, node_timeout)
}

/// The slots that a job still wants, without those it has begun.
pub(super) fn still_wanted(wanted: &Wanted, begun: &SlotSet) -> SlotSet {
    let all = if wanted.stop { &wanted.send.open } else { &wanted.send.slots };
    all.difference(begun)
}
