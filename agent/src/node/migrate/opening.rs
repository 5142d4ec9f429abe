//! Opens a few slots: the target's agent agrees and marks its side while the replicas are told, then the source is marked.

use std::time::Duration;

use redisnode_agent_core::migration::{GROUP_BYTES, group, group_limit};
use redisnode_proto::message::{ImportReply, ImportRequest};
use redisnode_proto::{Slot, SlotSet};

use super::super::shared::whole;
use super::pair::{Pair, count};
use crate::resp::{Command, Lanes, RespError};

/// Where the bytes a second are bounded a group is an eighth of a second: three of them are open, and a pause waits for them.
const SMALL: u64 = 8;
const IMPORT_WITHIN: Duration = Duration::from_secs(5);

/// Opens slots of one move.
pub(super) struct Opener {
    pub(super) pair: Pair,
    pub(super) own: Lanes,
}

impl Opener {
    pub(super) fn new(pair: Pair) -> Self {
        let own = pair.own_lanes();
        Self { pair, own }
    }

    /// Takes slots from `left`: those that are open already come first, alone; then few enough to be open together.
    pub(super) async fn choose(&mut self, left: &SlotSet, open: &SlotSet) -> Result<Vec<Slot>, RespError> {
        let mut limit = group_limit(self.pair.marks_survive());
        if let Some(key_bytes) = self.pair.key_bytes() {
            let at_once = self.pair.bounds().max_bytes_per_second.map_or(GROUP_BYTES, |rate| rate / SMALL);
            limit = limit.of_bytes(at_once.min(GROUP_BYTES), key_bytes);
        }
        let resumed: Vec<Slot> = left.intersection(open).iter().take(limit.slots).collect();
        if !resumed.is_empty() {
            return Ok(resumed);
        }
        let candidates: Vec<Slot> = left.iter().take(limit.slots).collect();
        Ok(group(count(&mut self.own, &candidates).await?, limit))
    }

    /// Opens slots; returns those that are open on both sides now.
    pub(super) async fn open(&mut self, slots: &[Slot], resume: bool) -> Result<Vec<Slot>, String> {
        let Pair { shared, target_id, .. } = &self.pair;
        let known = &shared.jobs.open;
        let (reply, told) = tokio::join!(self.agree(slots, resume), known.announce(shared, target_id, slots));
        let opened = reply.as_ref().map_or(&[][..], |reply| &reply.opened);
        if !resume {
            // Not marked here before, so what is not agreed is not open; what is resumed stays known until it is closed.
            let marked = |slot: &Slot| told.is_ok() && opened.contains(slot);
            known.forget(slots.iter().filter(|slot| !marked(slot)));
        }
        let reply = reply?;
        self.close_unwanted(&reply.unwanted).await.map_err(|error| whole(&error))?;
        if reply.opened.is_empty() && reply.unwanted.is_empty() {
            let reason = reply.refused.unwrap_or_else(|| "no reason given".into());
            return Err(format!("the target's agent opens nothing: {reason}"));
        }
        told?;
        let replies = self.pair.set_slots(&mut self.own, &reply.opened, "MIGRATING").await;
        for (slot, refusal) in replies.map_err(|error| whole(&error))? {
            if let Some(refusal) = refusal {
                return Err(format!("the source cannot open slot {slot}: {refusal}"));
            }
        }
        if !resume {
            self.pair.shared.jobs.open.opened(&reply.opened);
        }
        Ok(reply.opened)
    }

    async fn agree(&self, slots: &[Slot], resume: bool) -> Result<ImportReply, String> {
        let Pair { shared, source, target, .. } = &self.pair;
        let generation = shared.layout().map(|layout| layout.generation).unwrap_or_default();
        let request = ImportRequest { generation, source: source.clone(), slots: slots.to_vec(), resume };
        let reply = shared.client.import(target.agent(), &request, IMPORT_WITHIN).await;
        reply.map_err(|error| format!("the target's agent does not answer: {}", error.whole()))
    }

    /// Open here only, with nothing of it over there: closing it loses nothing and changes no owner.
    async fn close_unwanted(&mut self, slots: &[Slot]) -> Result<(), RespError> {
        for slot in slots {
            let stable = Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), "STABLE"]);
            self.own.demand(&stable).await?;
        }
        self.pair.shared.jobs.open.forget(slots);
        Ok(())
    }
}
