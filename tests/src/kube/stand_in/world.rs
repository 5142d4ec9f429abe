//! One cluster of stand-ins: as soon as all living members have the same Layout, what it says is so. It knows nothing of
//! planning, keeps no data, and loses none: a primary that goes is replaced by one of its replicas at once.

use std::collections::BTreeMap;

use redisnode_agent_core::obey::judge_layout;
use redisnode_proto::event::{Event, Severity};
use redisnode_proto::layout::LayoutShard;
use redisnode_proto::ledger::Ledger;
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::topology::Role;
use redisnode_proto::{Address, ClusterId, Generation, Layout, LayoutMember, Member, NodeId, NodeName, SlotSet};

/// The members of one cluster and the node table that their servers share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) cluster: ClusterId,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    pub(super) table: BTreeMap<NodeId, Line>,
    /// Every Layout that an agent was sent, and what it answered.
    pub(super) answers: Vec<(NodeName, Generation, LayoutAnswer)>,
    /// Grows all the time, as counters of servers do.
    pub(super) ticks: u64,
    made: u64,
}

/// A member that lives.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    /// Its server's id; none after it has left.
    pub(super) id: Option<NodeId>,
    pub(super) ledger: Ledger,
    pub(super) events: Vec<Event>,
}

/// A line of the node table.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) address: Address,
    pub(super) role: Role,
    pub(super) follows: Option<NodeId>,
    pub(super) slots: SlotSet,
    pub(super) epoch: u64,
    pub(super) alive: bool,
}

impl World {
    pub(super) fn new(cluster: ClusterId) -> Self {
        Self { cluster, nodes: BTreeMap::new(), table: BTreeMap::new(), answers: Vec::new(), ticks: 0, made: 0 }
    }

    /// A pod begins, empty. One of the same name, if there was one, has ended.
    pub(super) fn begin(&mut self, member: Member, address: Address) {
        self.end(&member.name);
        let ledger = Ledger::new(self.cluster.clone(), member.clone());
        let id = Some(self.fresh_id());
        self.nodes.insert(member.name, Node { address, id, ledger, events: Vec::new() });
    }

    fn end(&mut self, name: &NodeName) {
        let Some(id) = self.nodes.remove(name).and_then(|node| node.id) else { return };
        let Some(line) = self.table.get_mut(&id) else { return };
        line.alive = false;
        let heir = self.table.iter().find(|(_, line)| line.alive && line.follows.as_ref() == Some(&id));
        if let Some(heir) = heir.map(|(heir, _)| heir.clone()) {
            self.promote(&id, &heir);
        }
    }

    /// An agent is sent a Layout.
    pub(super) fn take(&mut self, name: &NodeName, layout: Layout) -> LayoutAnswer {
        let Some(node) = self.nodes.get_mut(name) else {
            return LayoutAnswer::Refused { reason: format!("{name} has ended") };
        };
        let (answer, generation) = (judge_layout(&node.ledger, &layout), layout.generation);
        if answer == LayoutAnswer::Taken {
            node.ledger.layout = Some(layout);
            self.obey();
        }
        self.answers.push((name.clone(), generation, answer.clone()));
        answer
    }

    /// The newest Layout, if all members that it lists and that live have it.
    fn agreed(&self) -> Option<Layout> {
        let all = self.nodes.values().filter_map(|node| node.ledger.layout.as_ref());
        let newest = all.max_by_key(|layout| layout.generation)?;
        let has_it = |node: &Node| node.ledger.layout.as_ref().map(|l| l.generation) == Some(newest.generation);
        let listed = newest.members.iter().filter_map(|listed| self.living(listed));
        listed.into_iter().all(has_it).then(|| newest.clone())
    }

    fn living(&self, listed: &LayoutMember) -> Option<&Node> {
        self.nodes.get(&listed.member.name).filter(|node| node.ledger.member == listed.member)
    }

    fn obey(&mut self) {
        let Some(layout) = self.agreed() else { return };
        for listed in &layout.members {
            let Some(node) = self.living(listed) else { continue };
            let Some(id) = node.id.clone() else { continue };
            let line = Line::newborn(node.address.clone());
            self.table.entry(id).or_insert(line);
        }
        for shard in &layout.shards {
            self.form(shard);
        }
        for listed in layout.members.iter().filter(|listed| listed.leaving) {
            self.leave(&listed.member.name);
        }
        self.table.retain(|id, line| line.alive || !layout.forget.contains(id));
        let whole = self.table.values().fold(SlotSet::new(), |all, line| all.union(&line.slots)) == SlotSet::full();
        for node in self.nodes.values_mut().filter(|node| node.id.is_some() && node.ledger.layout.is_some()) {
            node.ledger.founded |= whole;
        }
    }

    /// Roles, slots and replication of a shard, as they are wanted.
    fn form(&mut self, shard: &LayoutShard) {
        let wish = shard.handoff.as_ref().filter(|wish| self.owns(&wish.from) && self.id(&wish.to).is_some());
        if let Some((from, to)) = wish.and_then(|wish| Some((self.id(&wish.from)?, self.id(&wish.to)?))) {
            self.promote(&from, &to);
        }
        let owner = shard.nodes().find(|name| self.owns(name)).unwrap_or(&shard.primary).clone();
        let Some(primary) = self.id(&owner) else { return };
        let epoch = self.fresh();
        for name in shard.nodes() {
            let Some((id, line)) = self.id(name).and_then(|id| Some((id.clone(), self.table.get_mut(&id)?))) else {
                continue;
            };
            let (role, follows) = if id == primary { (Role::Primary, None) } else { (Role::Replica, Some(&primary)) };
            let slots = if id == primary { shard.slots.clone() } else { SlotSet::new() };
            let changed = (line.role, line.follows.as_ref(), &line.slots) != (role, follows, &slots);
            if changed {
                (line.role, line.follows, line.slots, line.epoch) = (role, follows.cloned(), slots, epoch);
                let sentence = format!("{name} is a {role:?} of {}", shard.name);
                self.say(name, sentence);
            }
        }
    }

    fn id(&self, name: &NodeName) -> Option<NodeId> {
        self.nodes.get(name)?.id.clone()
    }

    fn owns(&self, name: &NodeName) -> bool {
        self.id(name).and_then(|id| self.table.get(&id)).is_some_and(|line| !line.slots.is_empty())
    }

    /// `to` takes over what `from` has; `from` and its replicas follow.
    fn promote(&mut self, from: &NodeId, to: &NodeId) {
        let epoch = self.fresh();
        let slots = self.table.get_mut(from).map(|line| std::mem::take(&mut line.slots)).unwrap_or_default();
        for (id, line) in &mut self.table {
            if id == to {
                (line.role, line.follows, line.epoch, line.slots) = (Role::Primary, None, epoch, slots.clone());
            } else if id == from || line.follows.as_ref() == Some(from) {
                (line.role, line.follows) = (Role::Replica, Some(to.clone()));
            }
        }
    }

    /// Gives up everything, once nobody needs it.
    fn leave(&mut self, name: &NodeName) {
        let Some(id) = self.id(name) else { return };
        let needed =
            self.owns(name) || self.table.values().any(|line| line.alive && line.follows.as_ref() == Some(&id));
        if needed {
            return;
        }
        if let (Some(node), Some(line)) = (self.nodes.get_mut(name), self.table.get_mut(&id)) {
            (node.id, node.ledger.retired, line.alive) = (None, true, false);
        }
    }

    fn say(&mut self, name: &NodeName, message: String) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        node.events.push(Event {
            number: node.events.len() as u64 + 1,
            severity: Severity::Normal,
            reason: "RoleChanged".to_owned(),
            message,
            at_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        });
    }

    fn fresh(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn fresh_id(&mut self) -> NodeId {
        format!("{:040x}", self.fresh()).parse().expect("forty digits are an id")
    }
}

impl Line {
    pub(super) fn newborn(address: Address) -> Self {
        Self { address, role: Role::Primary, follows: None, slots: SlotSet::new(), epoch: 0, alive: true }
    }
}
