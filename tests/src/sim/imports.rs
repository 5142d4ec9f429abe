//! The other side of a move, as the shell does it: what the target's agent agrees to, and what replicas' agents are told.

use redisnode_proto::ledger::OpenSlots;
use redisnode_proto::message::{Ack, ImportReply, ImportRequest};
use redisnode_proto::topology::{Direction, Role};
use redisnode_proto::{Generation, NodeId, SlotSet};

use super::ids::Id;
use super::world::World;

impl World {
    /// At a replica's agent: its primary has these slots open.
    pub(crate) fn learn_open_slots(&mut self, node: usize, open: &OpenSlots) -> Ack {
        let follows = self.nodes[node].server.as_ref().is_some_and(|s| s.primary() == Some(Id::of(&open.source)));
        if !follows {
            return Ack::Refused { reason: "it follows another primary".into() };
        }
        let some = (!open.slots.is_empty()).then(|| open.clone());
        self.write_ledger(node, |ledger| ledger.open_slots = some);
        self.with_server(node, |server, _| server.no_failover = !open.slots.is_empty());
        Ack::Done
    }

    /// At the target's agent: its own Layout, or marks and keys that are there already, are its consent.
    pub(crate) fn open_for_arrival(&mut self, node: usize, request: &ImportRequest) -> ImportReply {
        let reply = |opened, unwanted, refused| ImportReply { opened, unwanted, refused };
        let refuse = |reason: &str| reply(Vec::new(), Vec::new(), Some(reason.to_owned()));
        let asked: SlotSet = request.slots.iter().copied().collect();
        let wanted = match self.consent(node, request.generation, &request.source, &asked) {
            Ok(wanted) => wanted,
            Err((_, reason)) => return refuse(&reason),
        };
        let source = Id::of(&request.source);
        let Some(server) = &self.nodes[node].server else { return refuse("its server does not run") };
        let importing = server.open.iter().filter(|(_, (direction, _))| *direction == Direction::Importing);
        let here = importing.map(|(slot, _)| *slot).chain(server.data.keys().map(|key| key.slot));
        let allowed = if request.resume { wanted.union(&here.collect()) } else { wanted };
        let unwanted = if request.resume { asked.difference(&allowed).iter().collect() } else { Vec::new() };
        let slots = asked.intersection(&allowed).difference(&server.me().slots);
        let bound = self.with_server(node, |server, ctx| {
            let is_primary = server.table.get(&source).is_some_and(|peer| peer.role == Role::Primary);
            let unbound: SlotSet = slots.iter().filter(|slot| is_primary && server.owner(*slot).is_none()).collect();
            if unbound.is_empty() { Ok(()) } else { server.set_owner(ctx, &unbound, source) }
        });
        if let Some(Err(reason)) = bound {
            return refuse(&reason);
        }
        match self.with_server(node, |server, _| server.set_importing(&slots, source)) {
            Some(Ok(())) => {
                let now = self.now;
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.imports.extend(slots.iter().map(|slot| (slot, now)));
                }
                reply(slots.iter().collect(), unwanted, None)
            }
            Some(Err(reason)) => refuse(&reason),
            None => refuse("its server does not run"),
        }
    }

    /// The slots that the Layout gives to this node's shard. Why nothing should arrive here now, and whether the shell would
    /// wait a moment for it to pass.
    pub(super) fn consent(
        &self,
        node: usize,
        generation: Generation,
        source: &NodeId,
        asked: &SlotSet,
    ) -> Result<SlotSet, (bool, String)> {
        let refuse = |waits, reason: &str| Err((waits, reason.to_owned()));
        let wanted = self
            .judge(node, |s| s.my_shard().filter(|_| s.is_primary() && !s.stopping).map(|shard| shard.slots.clone()));
        if self.generation(node) < generation {
            return refuse(true, "it waits for the Layout that the source acts under");
        }
        if self.nodes[node].agent.as_ref().is_some_and(|agent| agent.gate.is_some()) {
            return refuse(false, "it does not know yet whether it still owns its slots");
        }
        if self.nodes[node].disk.ledger.as_ref().is_some_and(|ledger| ledger.open_at_start.is_some()) {
            return refuse(false, "what its server has marked by itself at its start is not closed yet");
        }
        let Some(wanted) = wanted.flatten() else { return refuse(false, "not a primary of the Layout, or stopping") };
        let Some(server) = &self.nodes[node].server else { return refuse(false, "its server does not run") };
        if server.stopped || server.is_loading(self.now) || !server.is_primary() || !server.state_ok {
            return refuse(false, "its server does not answer, is a replica, or is not well in the cluster");
        }
        // A mark that is there already hides others' claims (Redis): then the source must only be known.
        let unmarked: SlotSet = asked.iter().filter(|slot| !server.open.contains_key(slot)).collect();
        if !server.table.get(&Id::of(source)).is_some_and(|peer| unmarked.is_subset(&peer.slots)) {
            return refuse(true, "its server does not have the source as the owner of these slots yet");
        }
        Ok(wanted)
    }
}
