//! Whether the cluster is what the spec asks for, by looking at every server: nobody's word is believed.

use redisnode_proto::topology::Role;
use redisnode_proto::{Slot, SlotSet};

use super::server::{Link, Server};
use super::world::World;

impl World {
    /// What is missing until the cluster is what the spec asks for.
    pub(crate) fn unsettled(&self) -> Result<(), String> {
        let spec = &self.coordinators.spec;
        let present: Vec<_> = self.nodes.iter().filter(|node| !node.gone).collect();
        if present.len() != spec.members() as usize {
            return Err(format!("{} members instead of {}", present.len(), spec.members()));
        }
        let mut servers = Vec::new();
        for node in &present {
            let name = &node.member.name;
            let server = node.server.as_ref().ok_or_else(|| format!("{name} has no server"))?;
            self.is_well(server).map_err(|why| format!("{name} {why}"))?;
            servers.push(server);
        }
        let owners = Self::agreed_owners(&servers)?;
        if owners != spec.number_of_master as usize {
            return Err(format!("{owners} primaries with slots instead of {}", spec.number_of_master));
        }
        for primary in servers.iter().filter(|s| s.is_primary()) {
            let replicas = servers.iter().filter(|s| s.primary() == Some(primary.id)).count();
            if replicas != spec.replication_factor as usize {
                return Err(format!("a primary has {replicas} replicas instead of {}", spec.replication_factor));
            }
        }
        if !self.coordinators.settled && self.coordinators.fixed.is_none() {
            return Err(format!("the planner is not content: {}", self.coordinators.last_words));
        }
        self.one_layout()
    }

    fn is_well(&self, server: &Server) -> Result<(), String> {
        if !server.state_ok {
            return Err("is not ok".into());
        }
        if server.writes_paused(self.now) {
            return Err("holds writes".into());
        }
        if let Some(slot) = server.open.keys().next().filter(|_| server.is_primary()) {
            return Err(format!("has slot {slot} open"));
        }
        if server.me().role == Role::Replica && !matches!(server.link, Link::Up { .. }) {
            return Err("is not linked".into());
        }
        if server.node_timeout != self.node_timeout {
            return Err("has another node time-out".into());
        }
        if server.no_failover {
            return Err("may not stand for election".into());
        }
        Ok(())
    }

    /// All servers agree who owns each slot; says how many owners there are.
    fn agreed_owners(servers: &[&Server]) -> Result<usize, String> {
        let mut covered = SlotSet::new();
        let mut owners = 0;
        for owner in servers.iter().filter(|s| s.is_primary() && !s.me().slots.is_empty()) {
            covered = covered.union(&owner.me().slots);
            owners += 1;
            for other in servers {
                let seen = other.table.get(&owner.id).map(|peer| peer.slots.clone()).unwrap_or_default();
                if seen != owner.me().slots {
                    return Err(format!("{} and {} disagree about slots", owner.id, other.id));
                }
            }
        }
        if let Some(slot) = Slot::all().find(|slot| !covered.contains(*slot)).filter(|_| covered.len() < 16384) {
            return Err(format!("slot {slot} has no owner"));
        }
        Ok(owners)
    }

    fn one_layout(&self) -> Result<(), String> {
        let ledgers = self.nodes.iter().filter(|node| !node.gone).map(|node| node.disk.ledger.as_ref());
        let mut generations: Vec<_> =
            ledgers.map(|ledger| ledger.and_then(|l| l.layout.as_ref()).map(|l| l.generation)).collect();
        generations.sort();
        generations.dedup();
        if generations.len() == 1 { Ok(()) } else { Err("not all agents have the newest Layout".into()) }
    }

    /// Whether an agent says that a slot stands still for a person to look at.
    pub(crate) fn waits_for_a_person(&self) -> bool {
        self.nodes.iter().filter_map(|node| node.agent.as_ref()).any(|agent| !agent.moves.stopped().is_empty())
    }
}
