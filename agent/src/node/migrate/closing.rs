//! Closes slots that are empty at their source, target first.

use std::time::Duration;

use redisnode_agent_core::migration::{CloseStep, Closing, next_step};
use redisnode_proto::topology::ClusterInfo;
use redisnode_proto::{Slot, SlotSet};

use super::super::look::LookError;
use super::super::shared::whole;
use super::pair::{Pair, count};
use crate::resp::{Command, Lanes, RespError};

/// Valkey answers SETSLOT with NOREPLICAS if a replica lags; the same command again is the remedy.
const TRIES: usize = 3;
/// Epochs travel with the servers' pings; no event tells of them.
const EPOCH_TRIES: usize = 40;
const EPOCH_PAUSE: Duration = Duration::from_millis(50);

/// Closes slots of one move.
pub(super) struct Closer {
    pub(super) pair: Pair,
    own: Lanes,
    pub(super) remote: Lanes,
}

impl Closer {
    pub(super) fn new(pair: Pair) -> Self {
        let (own, remote) = (pair.own_lanes(), pair.remote_lanes());
        Self { pair, own, remote }
    }

    /// Closes these slots. Returns how many have a new owner; an error if one still holds keys here.
    pub(super) async fn close(&mut self, slots: &[Slot]) -> Result<u32, String> {
        let counts = count(&mut self.own, slots).await.map_err(|error| whole(&error))?;
        let mut state: Vec<(Slot, Closing)> = counts.into_iter().map(|(slot, keys)| (slot, fresh(keys))).collect();
        let kept = due(&state, CloseStep::MoveKeys).len();
        self.raise_target().await?;
        for (_, closing) in &mut state {
            closing.target_outranks = true;
        }
        let taken = self.assign(&due(&state, CloseStep::AssignAtTarget), CloseStep::AssignAtTarget).await?;
        for (slot, closing) in &mut state {
            closing.owned_by_target = taken.contains(*slot);
        }
        self.raise_target().await?;
        let released = self.assign(&due(&state, CloseStep::AssignAtSource), CloseStep::AssignAtSource).await?;
        for (slot, closing) in &mut state {
            closing.released_by_source = released.contains(*slot);
        }
        let closed = due(&state, CloseStep::Done);
        self.pair.shared.jobs.open.forget(&closed);
        if kept > 0 {
            return Err(format!("{kept} slots still hold keys at the source; they stay open and are tried again"));
        }
        Ok(u32::try_from(closed.len()).unwrap_or(u32::MAX))
    }

    /// The target's epoch is raised above the source's before each half: under a lower one, a promoted replica of the
    /// source, or a claim of the source that is still on its way, could win the slot back (simulated). A target that does
    /// not know the source's epoch yet is waited for.
    async fn raise_target(&mut self) -> Result<(), String> {
        for _ in 0..EPOCH_TRIES {
            let (here, there) = tokio::join!(cluster_info(&mut self.own), cluster_info(&mut self.remote));
            let (here, there) = (here.map_err(|error| whole(&error))?, there.map_err(|error| whole(&error))?);
            if there.my_epoch > here.my_epoch {
                return Ok(());
            }
            let knows = there.current_epoch >= here.my_epoch;
            if !(knows && bump(&mut self.remote).await.map_err(|error| whole(&error))?) {
                tokio::time::sleep(EPOCH_PAUSE).await;
            }
        }
        Err("the target has not heard of the source's epoch yet; the slots stay open and are tried again".to_owned())
    }

    /// `SETSLOT NODE` on the side of this step; returns the slots for which it was done.
    async fn assign(&mut self, slots: &[Slot], step: CloseStep) -> Result<SlotSet, String> {
        let lanes = if step == CloseStep::AssignAtTarget { &mut self.remote } else { &mut self.own };
        let mut done = SlotSet::new();
        let mut due = slots.to_vec();
        let mut last = String::new();
        for _ in 0..TRIES {
            if due.is_empty() {
                break;
            }
            let replies = self.pair.set_slots(lanes, &due, "NODE").await.map_err(|error| whole(&error))?;
            due.clear();
            for (slot, refusal) in replies {
                if let Some(refusal) = refusal {
                    last = refusal;
                    due.push(slot);
                } else {
                    done.insert(slot);
                }
            }
        }
        if due.is_empty() { Ok(done) } else { Err(format!("a slot cannot be given to its new owner: {last}")) }
    }
}

fn fresh(keys: u64) -> Closing {
    Closing { empty_at_source: keys == 0, owned_by_target: false, target_outranks: false, released_by_source: false }
}

fn due(state: &[(Slot, Closing)], step: CloseStep) -> Vec<Slot> {
    state.iter().filter(|(_, closing)| next_step(*closing) == step).map(|(slot, _)| *slot).collect()
}

/// Whether the server took an epoch of its own; it does not if it has the highest one that it knows.
async fn bump(lanes: &mut Lanes) -> Result<bool, RespError> {
    let reply = lanes.demand(&Command::new("CLUSTER").arg("BUMPEPOCH")).await?.text("CLUSTER BUMPEPOCH")?;
    Ok(reply.starts_with("BUMPED"))
}

async fn cluster_info(lanes: &mut Lanes) -> Result<ClusterInfo, LookError> {
    let text = lanes.demand(&Command::new("CLUSTER").arg("INFO")).await?.text("CLUSTER INFO")?;
    Ok(ClusterInfo::parse(&text)?)
}
