//! Keys on their way: pipelined `MIGRATE`, as many in flight as clients can bear, and what becomes of the answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use redisnode_agent_core::migration::{AfterMigrate, Attempt, Pace, after_migrate, is_too_slow, too_slow};
use redisnode_proto::{Millis, Slot, SlotSet};
use tokio::time::Instant;

use super::super::shared::whole;
use super::driver::{End, Task};
use super::find::Batch;
use super::pair::{ANSWER_WITHIN, CONNECT_WITHIN, Pair};
use super::route::{Route, WINDOW};
use super::settle::settle;
use crate::resp::{Connection, Reply, RespError, WindowReceiver, WindowSender};

/// How often a batch is tried that the target does not take, and how long between.
const TRIES: usize = 8;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Moves keys from the own server to one target.
pub(super) struct Shipper {
    pair: Pair,
    route: Route,
    sender: WindowSender,
    receiver: WindowReceiver,
    pace: Pace,
    /// Slots that were open before this move.
    pub(super) resumed: SlotSet,
    /// Slots with a key that cannot be moved, and why.
    pub(super) stuck: BTreeMap<Slot, End>,
}

impl Shipper {
    pub(super) async fn connect(pair: &Pair, node_timeout: Millis) -> Result<Self, RespError> {
        let (address, access) = (pair.shared.address.server(), pair.shared.access());
        let connection = Connection::open_patiently(address, &access, CONNECT_WITHIN, ANSWER_WITHIN).await?;
        let auth = pair.shared.auth();
        let route = Route { source: pair.source.clone(), target: pair.target.clone(), auth, node_timeout };
        let (sender, receiver) = connection.into_window(WINDOW);
        let pace = Pace::new(route.window());
        Ok(Self { pair: pair.clone(), route, sender, receiver, pace, resumed: SlotSet::new(), stuck: BTreeMap::new() })
    }

    /// Moves the batches. Large ones go alone, with nothing behind them in the queue. An error ends the whole move;
    /// slots that alone cannot go on are in [`Self::stuck`] afterwards.
    pub(super) async fn ship(&mut self, batches: Vec<Batch>, task: &Task) -> Result<(), String> {
        let mut due: Vec<Batch> = batches.into_iter().flat_map(|batch| self.with_doubts(batch)).collect();
        for _ in 0..TRIES {
            if due.iter().any(|batch| !batch.attempts.is_empty()) {
                settle(&self.pair).await.map_err(|error| whole(&error))?;
            }
            let (large, small): (Vec<_>, Vec<_>) = due.drain(..).partition(Batch::is_large);
            due.extend(self.round(small, false, task).await?);
            due.extend(self.round(large, true, task).await?);
            due.retain(|batch| !self.stuck.contains_key(&batch.slot));
            if due.is_empty() {
                return Ok(());
            }
            if due.iter().any(|batch| !batch.attempts.is_empty())
                && let Err(reason) = self.pair.shared.jobs.open.tell(&self.pair.shared).await
            {
                tracing::warn!(%reason, "a replica does not know that keys of open slots were sent without an answer");
            }
            // The target is busy or did not answer in time: it gets a moment.
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
        Err("the target does not take some keys; see its log, the move goes on later".into())
    }

    /// The keys that an earlier job sent without an answer go by themselves, as another try.
    fn with_doubts(&self, mut batch: Batch) -> impl Iterator<Item = Batch> + use<> {
        let open = &self.pair.shared.jobs.open;
        let (doubtful, keys): (Vec<_>, Vec<_>) =
            std::mem::take(&mut batch.keys).into_iter().partition(|key| open.is_doubtful(batch.slot, key));
        let attempts = vec![self.timed_out(false)];
        let again = Batch { slot: batch.slot, keys: doubtful, bytes: batch.bytes, attempts };
        [Batch { keys, ..batch }, again].into_iter().filter(|batch| !batch.keys.is_empty())
    }

    /// Nobody knows what became of the commands in flight. A server that lives goes on with its own copies, and what the
    /// target has of them may become the older one. One that is gone took no write after them: its replica, once it is
    /// promoted, is to believe the target, or the move would stop at these keys for good (seen on Redis 7.0).
    async fn lost(&self, flying: &VecDeque<(Batch, Instant)>, reason: String) -> String {
        if !self.pair.own_is_gone().await {
            for (batch, _) in flying {
                self.doubt(batch);
            }
        }
        reason
    }

    fn timed_out(&self, resumed: bool) -> Attempt {
        Attempt { source: self.route.source.clone(), timed_out: true, resumed }
    }

    fn doubt(&self, batch: &Batch) {
        let ours = !self.resumed.contains(batch.slot);
        self.pair.shared.jobs.open.doubt(batch.slot, batch.keys.iter().filter(|_| ours).cloned());
    }

    /// One pass over the batches; returns those that are to be tried again.
    async fn round(&mut self, batches: Vec<Batch>, alone: bool, task: &Task) -> Result<Vec<Batch>, String> {
        let mut again = Vec::new();
        let mut failed = None;
        let mut flying: VecDeque<(Batch, Instant)> = VecDeque::new();
        let mut answered_at = Instant::now();
        let mut batches = batches.into_iter();
        loop {
            let most = if alone { 1 } else { self.pace.in_flight(task.tempo.now().in_one_go()) };
            while failed.is_none() && flying.len() < most {
                let Some(batch) = batches.next() else { break };
                // What is open is finished at once when nothing more is wanted.
                let paid = self.pair.pay(batch.bytes);
                if paid > Duration::ZERO && !task.wanted.borrow().only_finishes() {
                    tokio::time::sleep(paid).await;
                }
                let sent = self.sender.send(&self.route.command(&batch)).await;
                flying.push_back((batch, Instant::now()));
                if let Err(error) = sent {
                    return Err(self.lost(&flying, whole(&error)).await);
                }
            }
            if flying.is_empty() {
                break;
            }
            let reply = match self.receiver.receive().await {
                Ok(Some(reply)) => reply,
                Ok(None) => {
                    return Err(self.lost(&flying, "the connection that carries the keys has ended".into()).await);
                }
                Err(error) => return Err(self.lost(&flying, whole(&error)).await),
            };
            let Some((batch, sent_at)) = flying.pop_front() else { break };
            let now = Instant::now();
            if !batch.is_large() {
                self.pace.answered(now - sent_at.max(answered_at));
            }
            answered_at = now;
            failed = self.settle(batch, &reply, now - sent_at, task, &mut again).or(failed);
        }
        failed.map_or(Ok(again), Err)
    }

    fn is_too_slow(&self, batch: &Batch, reply: &Reply, took: Duration) -> bool {
        let allowed = Duration::from_millis(self.route.timeout_ms(batch));
        let error = reply.error_text().unwrap_or_default();
        batch.is_large() && is_too_slow(error, &batch.attempts, took, allowed)
    }

    /// Why a slot stays, if one does: what clients feel first.
    pub(super) fn first_stuck(&mut self) -> Option<End> {
        let costly = self.stuck.iter().find(|(_, end)| matches!(end, End::Costly(_))).map(|(slot, _)| *slot);
        let first = costly.or_else(|| self.stuck.keys().next().copied())?;
        self.stuck.remove(&first)
    }

    /// What an answer means for its batch; returns why the whole move ends, if it does.
    fn settle(
        &mut self,
        mut batch: Batch,
        reply: &Reply,
        took: Duration,
        task: &Task,
        again: &mut Vec<Batch>,
    ) -> Option<String> {
        match after_migrate(reply.error_text()) {
            AfterMigrate::Moved => task.shown.note(|job| {
                let keys = batch.keys.len() as u64;
                job.keys_done += keys;
                job.bytes_done += batch.bytes;
                job.keys_left = job.keys_left.map(|left| left.saturating_sub(keys));
            }),
            AfterMigrate::RetryWithReplace => {
                self.doubt(&batch);
                if self.is_too_slow(&batch, reply, took) {
                    let (name, others) = (batch.first_name(), batch.keys.len().saturating_sub(1));
                    let reason = too_slow(batch.slot, &name, others, batch.bytes, self.route.node_timeout);
                    self.stuck.insert(batch.slot, End::Costly(reason));
                    return None;
                }
                batch.attempts.push(self.timed_out(self.resumed.contains(batch.slot)));
                again.push(batch);
            }
            AfterMigrate::Later { reason } => {
                task.shown.note(|job| job.stalled = Some(reason));
                again.push(batch);
            }
            AfterMigrate::StopKey { .. } if batch.keys.len() > 1 => again.extend(batch.one_by_one()),
            AfterMigrate::StopKey { reason } => {
                let reason = format!("key {:?} of slot {}: {reason}", batch.first_name(), batch.slot);
                self.stuck.insert(batch.slot, End::Failed(reason));
            }
            AfterMigrate::Stop { reason } => return Some(reason),
        }
        None
    }
}
