//! Head room: whether the data of slots that are to move fits where they go, by what agents last counted of their servers'
//! memory. Where shares are not even by bytes, how much each slot holds is not known: a shard's data count as spread evenly
//! over its slots then, so what arrives is an estimate. It refuses a move before it has begun, never one that is under way:
//! agents see what really arrives.

use redisnode_proto::figures::bytes;
use redisnode_proto::report::Running;
use redisnode_proto::spec::{EvictionPolicy, MAX_PERCENT, config_bytes};
use redisnode_proto::{NodeName, SlotSet};

use crate::assemble;
use crate::decision::{Declined, PlannedEvent, Why};
use crate::draft::Shard;
use crate::facts::{Facts, Node};
use crate::targets::Flow;
use crate::weighing::Weighing;

/// Of a limit, in percent, so much stays free: counts are some seconds old, and no slot is like another.
const MARGIN_PERCENT: u64 = 5;

/// What memory says to a move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why it does not begin.
    pub(crate) refused: Option<Declined>,
    /// It may begin, and targets drop keys for it, as the policy says.
    pub(crate) evicts: Option<PlannedEvent>,
}

/// Whether there is room for `flows`. Of several targets that lack some, the one that lacks the most is told of.
pub(crate) fn judge(facts: &Facts, flows: &[Flow], weighing: &Weighing) -> Verdict {
    let room = Room::of(facts, weighing);
    let mut targets: Vec<&Shard> = Vec::new();
    for (_, to, _) in flows {
        if !targets.iter().any(|target| target.name == to.name) {
            targets.push(to);
        }
    }
    let found: Vec<Lack> = targets.into_iter().filter_map(|target| room.lack(target, flows)).collect();
    let others = found.len().saturating_sub(1);
    let Some(worst) = found.into_iter().max_by_key(|lack| (!lack.evicts, lack.missing)) else {
        return Verdict::default();
    };
    let others = if others > 0 { format!(" ({others} more shards have too little, too)") } else { String::new() };
    worst.verdict(&others, room.policy)
}

/// What bounds every server alike.
struct Room<'f, 'a> {
    facts: &'f Facts<'a>,
    weighing: &'f Weighing,
    /// The limit that servers have or will be told, if there is one.
    told: Option<u64>,
    policy: EvictionPolicy,
}

/// A limit of a server, in bytes.
#[derive(Clone, Copy)]
struct Limit {
    bytes: u64,
    /// The server itself keeps it; else it is that of its container, which is killed beyond.
    by_server: bool,
}

/// A target that has too little room.
struct Lack {
    why: Why,
    missing: u64,
    evicts: bool,
    message: String,
    remedy: &'static str,
}

impl<'f, 'a> Room<'f, 'a> {
    fn of(facts: &'f Facts<'a>, weighing: &'f Weighing) -> Self {
        let config = assemble::settings(facts).redis_config;
        let told = config.get("maxmemory").and_then(|text| config_bytes(text));
        let policy = config.get("maxmemory-policy").and_then(|text| text.parse().ok()).unwrap_or_default();
        Self { facts, weighing, told, policy }
    }

    /// Every node of the target counts: a replica may be its primary next.
    fn lack(&self, target: &Shard, flows: &[Flow]) -> Option<Lack> {
        let bounded: Vec<(&NodeName, Limit)> =
            target.nodes().filter_map(|name| Some((name, self.limit(name)?))).collect();
        if bounded.is_empty() {
            return None;
        }
        if self.occupied(&target.primary).is_none() {
            return Some(unknown(target, &format!("{} has memory for more", target.name)));
        }
        let mut arriving = 0_u64;
        for (from, _, slots) in flows.iter().filter(|(_, to, _)| to.name == target.name) {
            let Some(size) = self.size(from, slots) else {
                return Some(unknown(from, &format!("{} has memory for what {} sends", target.name, from.name)));
            };
            arriving = arriving.saturating_add(size);
        }
        let missing = |name, limit: Limit| {
            // A replica that does not answer has no say.
            let needed = self.occupied(name)?.saturating_add(arriving).saturating_add(margin(limit));
            needed.checked_sub(limit.bytes).filter(|missing| *missing > 0)
        };
        // Of equals the last one is taken: the primary.
        let lacking = bounded.into_iter().rev().filter_map(|(name, limit)| Some((missing(name, limit)?, name, limit)));
        let (missing, name, limit) = lacking.max_by_key(|(missing, _, _)| *missing)?;
        Some(self.too_little(target, name, limit, arriving, missing))
    }

    /// What `name` has in use, and what its replication backlog will take besides.
    fn occupied(&self, name: &NodeName) -> Option<u64> {
        let running = self.facts.node(name).and_then(Node::running)?;
        Some(running.used_memory.saturating_add(running.backlog_growth.unwrap_or_default()))
    }

    /// The least of what its server obeys, what it will be told to obey, and what its container has.
    fn limit(&self, name: &NodeName) -> Option<Limit> {
        let node = self.facts.node(name)?;
        let now = node.running().map(|running| running.max_memory);
        let of_server = now.into_iter().chain(self.told).filter(|bytes| *bytes > 0).min();
        let of_container = node.machine.and_then(|machine| machine.memory.limit);
        let of_container = of_container.map(|bytes| bytes / 100 * u64::from(MAX_PERCENT));
        let bytes = of_server.into_iter().chain(of_container).min()?;
        Some(Limit { bytes, by_server: of_server == Some(bytes) })
    }

    /// An estimate of what `slots` of `shard` hold, in bytes; absent while nobody can tell. Who is gone for good has
    /// nothing.
    fn size(&self, shard: &Shard, slots: &SlotSet) -> Option<u64> {
        let node = self.facts.node(&shard.primary);
        if node.is_none_or(Node::is_gone) {
            return Some(0);
        }
        let data = node.and_then(Node::running).map(data)?;
        if let Some(bytes) = self.weighing.bytes(slots) {
            return Some(bytes);
        }
        let (moved, all) = (u128::from(slots.len()), u128::from(shard.owned.len().max(1)));
        Some(u64::try_from(u128::from(data) * moved / all).unwrap_or(u64::MAX))
    }

    fn too_little(&self, target: &Shard, name: &NodeName, limit: Limit, arriving: u64, missing: u64) -> Lack {
        let whose = if limit.by_server { "maxmemory" } else { "the memory of its container" };
        let by = if self.weighing.bytes(&SlotSet::new()).is_some() { "what they hold" } else { "slots" };
        let message = format!(
            "about {} would arrive at {} (an estimate, by {by}), where {name} uses {} of {}, {whose}, and {} are to stay \
             free",
            bytes(arriving),
            target.name,
            bytes(self.occupied(name).unwrap_or_default()),
            bytes(limit.bytes),
            bytes(margin(limit)),
        );
        Lack {
            why: Why::NotEnoughMemory,
            missing,
            evicts: limit.by_server && self.policy.may_drop_any_key(),
            message,
            remedy: if limit.by_server {
                "raise maxMemory, or write a greater numberOfMaster"
            } else {
                "raise the memory limit of the container redis, or write a greater numberOfMaster"
            },
        }
    }
}

impl Lack {
    fn verdict(self, others: &str, policy: EvictionPolicy) -> Verdict {
        let Self { why, message, remedy, .. } = self;
        if self.evicts {
            let message = format!("{message}{others}: with the policy {policy} keys are dropped to make room");
            return Verdict { refused: None, evicts: Some(PlannedEvent::warning("KeysGiveWay", message)) };
        }
        Verdict { refused: Some(Declined::new(why, format!("{message}{others}; {remedy}"))), evicts: None }
    }
}

/// Unknown is not none: neither what a shard holds nor what it has left.
fn unknown(shard: &Shard, question: &str) -> Lack {
    let message = format!(
        "nobody knows whether {question}, because the server of {}, primary of {}, does not run or was not heard",
        shard.primary, shard.name
    );
    Lack { why: Why::PrimaryNotRunning, missing: 0, evicts: false, message, remedy: "bring it back" }
}

/// An older agent does not tell data from the rest: then all counts.
fn data(running: &Running) -> u64 {
    running.data_memory.unwrap_or(running.used_memory)
}

fn margin(limit: Limit) -> u64 {
    limit.bytes / 100 * MARGIN_PERCENT
}
