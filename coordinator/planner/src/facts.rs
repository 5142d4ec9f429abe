//! What is known of every member and of the slots, drawn once from the World. Every judgement about a member is asked
//! here. What is not known stays unknown: a silent member has no Report, and no answer about its server.

use std::collections::{BTreeMap, BTreeSet};

use redisnode_proto::judge::{Owners, is_in_sync, true_owners};
use redisnode_proto::report::{Running, ServerState};
use redisnode_proto::topology::{Role, View};
use redisnode_proto::{Layout, LayoutMember, Millis, NodeId, NodeName, Offset, Report, SlotSet};

use crate::world::{MachineMember, Presence, World};

/// Everything that is known, by member.
pub(crate) struct Facts<'a> {
    /// What it was drawn from.
    pub(crate) world: &'a World<'a>,
    /// The Layout that planning starts from.
    pub(crate) base: Option<&'a Layout>,
    /// Every member that the machine has or the base lists, by ordinal.
    pub(crate) nodes: Vec<Node<'a>>,
    /// Who owns which slots in truth.
    pub(crate) owners: Owners,
    by_name: BTreeMap<NodeName, usize>,
    by_id: BTreeMap<NodeId, NodeName>,
}

/// What is known of one member.
pub(crate) struct Node<'a> {
    /// Its name.
    pub(crate) name: &'a NodeName,
    /// The machine's word; absent when the machine does not have it.
    pub(crate) machine: Option<&'a MachineMember>,
    /// The base Layout's line.
    pub(crate) listed: Option<&'a LayoutMember>,
    /// Its Report, if it says something about now.
    pub(crate) report: Option<&'a Report>,
    /// Its server's id, as far as known.
    pub(crate) id: Option<NodeId>,
}

impl<'a> Facts<'a> {
    pub(crate) fn gather(world: &'a World<'a>, base: Option<&'a Layout>) -> Self {
        let listed = base.into_iter().flat_map(|layout| layout.members.iter().map(|m| &m.member.name));
        let names: BTreeSet<&NodeName> = world.machine.iter().map(|m| &m.member.name).chain(listed).collect();
        let mut nodes: Vec<Node> = names.into_iter().map(|name| Node::look(world, base, name)).collect();
        nodes.sort_by_key(Node::ordinal);
        let by_name = nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), index)).collect();
        let by_id = nodes.iter().filter_map(|node| Some((node.id.clone()?, node.name.clone()))).collect();
        let views: Vec<&View> = nodes.iter().filter_map(Node::view).collect();
        let owners = true_owners(views.iter().copied());
        Self { world, base, nodes, owners, by_name, by_id }
    }

    /// The member called `name`.
    pub(crate) fn node(&self, name: &NodeName) -> Option<&Node<'a>> {
        self.nodes.get(*self.by_name.get(name)?)
    }

    /// Whose server has `id` now.
    pub(crate) fn name_of(&self, id: &NodeId) -> Option<&NodeName> {
        self.by_id.get(id)
    }

    /// The slots that `name` owns in truth.
    pub(crate) fn owned(&self, name: &NodeName) -> SlotSet {
        self.node(name).and_then(|node| node.id.as_ref()).map(|id| self.owners.slots_of(id)).unwrap_or_default()
    }

    /// The slots that an id owns which `name` had before.
    pub(crate) fn left_behind(&self, name: &NodeName) -> SlotSet {
        self.node(name).and_then(Node::former_id).map(|id| self.owners.slots_of(id)).unwrap_or_default()
    }

    /// Whether an id that `node` had before owns slots still.
    pub(crate) fn left_slots(&self, node: &Node) -> bool {
        node.former_id().is_some_and(|id| self.owners.by_node.contains_key(id))
    }

    /// Whether slots still belong to an id that no member has any more, and that `node` had before or follows.
    pub(crate) fn hangs_on_orphan(&self, node: &Node) -> bool {
        let orphan = |id: &&NodeId| self.name_of(id).is_none() && self.owners.by_node.contains_key(*id);
        self.left_slots(node) || node.follows().as_ref().is_some_and(orphan)
    }

    /// The node tables of all servers that answer.
    pub(crate) fn views(&self) -> impl Iterator<Item = (&Node<'a>, &'a View)> {
        self.nodes.iter().filter_map(|node| Some((node, node.view()?)))
    }

    /// Whether `name` is a replica in sync of `primary`, for sure.
    pub(crate) fn in_sync(&self, name: &NodeName, primary: &NodeName) -> bool {
        let primary = self.node(primary).and_then(|node| node.id.as_ref());
        self.node(name).is_some_and(|node| {
            node.running().is_some_and(is_in_sync) && primary.is_some() && node.follows() == primary
        })
    }

    /// Whether `node`'s server is a replica of `id` by its own word; where it does not answer, by anybody's table.
    pub(crate) fn is_thought_to_follow(&self, node: &Node, id: &NodeId) -> bool {
        if node.view().is_some() {
            return node.follows() == Some(id);
        }
        let line = |view: &'a View| node.id.as_ref().and_then(|own| view.node(own));
        self.views().filter_map(|(_, view)| line(view)).any(|line| line.primary.as_ref() == Some(id))
    }

    /// Whether `name`'s server runs and answers, for sure.
    pub(crate) fn runs(&self, name: &NodeName) -> bool {
        self.node(name).is_some_and(|node| node.running().is_some())
    }
}

impl<'a> Node<'a> {
    fn look(world: &'a World<'a>, base: Option<&'a Layout>, name: &'a NodeName) -> Self {
        let machine = world.machine_member(name);
        let listed = base.and_then(|layout| layout.member(name));
        let report = world.fresh(name);
        let mut node = Self { name, machine, listed, report, id: None };
        node.id = node.present_id();
        node
    }

    /// A server's own word, then its folder's, then the Layout's hint as long as the incarnation is the same.
    fn present_id(&self) -> Option<NodeId> {
        if self.is_retired() || self.has_foreign_folder() {
            return None;
        }
        if let Some(report) = self.report {
            let running = report.server.running().map(|running| running.view.me.clone());
            let on_disk = || report.disk.identity.as_ref().map(|identity| identity.id.clone());
            let noted = || report.ledger.identity.as_ref().map(|identity| identity.id.clone());
            return running.or_else(on_disk).or_else(noted);
        }
        let kept = !self.is_gone() && !self.is_replaced();
        self.listed.filter(|_| kept).and_then(|listed| listed.node_id.clone())
    }

    /// The id that the base lists for it, if its server has it no longer (for sure).
    pub(crate) fn former_id(&self) -> Option<&'a NodeId> {
        let hint = self.listed?.node_id.as_ref()?;
        (self.id.as_ref() != Some(hint)).then_some(hint)
    }

    /// Its folder is another cluster's or another member's: what is in it says nothing about this one.
    pub(crate) fn has_foreign_folder(&self) -> bool {
        self.report.is_some_and(|report| {
            report.ledger.cluster != report.cluster || report.ledger.member.name != report.member.name
        })
    }

    /// Whether it is known for sure that it has no longer what the base knew it by: it was heard, from a folder of its
    /// own, without it. A successor that has not spoken yet may have the folder.
    pub(crate) fn has_lost_its_folder(&self) -> bool {
        let refused = self.report.is_some_and(|report| matches!(report.server, ServerState::Refused { .. }));
        self.is_heard() && !refused && !self.has_foreign_folder() && self.former_id().is_some()
    }

    /// The number in its name; the greatest of all if the name has none.
    pub(crate) fn ordinal(&self) -> u32 {
        self.name.ordinal().unwrap_or(u32::MAX)
    }

    /// Gone for good, by the machine's word.
    pub(crate) fn is_gone(&self) -> bool {
        self.machine.is_none_or(|machine| machine.presence == Presence::Gone)
    }

    /// The base lists another incarnation.
    pub(crate) fn is_replaced(&self) -> bool {
        match (self.listed, self.machine) {
            (Some(listed), Some(machine)) => listed.member.uid != machine.member.uid,
            _ => false,
        }
    }

    /// The same incarnation that the base lists, and not gone.
    pub(crate) fn is_kept(&self) -> bool {
        self.listed.is_some() && !self.is_gone() && !self.is_replaced()
    }

    /// Its server, if it runs and answers.
    pub(crate) fn running(&self) -> Option<&'a Running> {
        self.report.and_then(|report| report.server.running())
    }

    /// Its server's node table.
    pub(crate) fn view(&self) -> Option<&'a View> {
        self.running().map(|running| &running.view)
    }

    /// Its role by its server's own word.
    pub(crate) fn role(&self) -> Option<Role> {
        self.view().and_then(View::myself).map(|me| me.role)
    }

    /// Whose replica it is by its server's own word.
    pub(crate) fn follows(&self) -> Option<&'a NodeId> {
        let me = self.view().and_then(View::myself)?;
        me.primary.as_ref().filter(|_| me.role == Role::Replica)
    }

    /// The member has given up everything.
    pub(crate) fn is_retired(&self) -> bool {
        self.report.is_some_and(|report| matches!(report.server, ServerState::Retired) || report.ledger.retired)
    }

    /// Why it cannot be given work, if that is so for sure.
    pub(crate) fn unusable(&self) -> Option<String> {
        let report = self.report?;
        if let ServerState::Refused { reason } = &report.server {
            return Some(reason.clone());
        }
        let stray = self.listed.is_none() && self.running().is_some_and(|running| running.keys > 0);
        stray.then(|| format!("{} holds keys although it never was in this cluster: empty it first", self.name))
    }

    /// Whether its agent said anything lately.
    pub(crate) fn is_heard(&self) -> bool {
        self.report.is_some()
    }

    /// Whether it holds, or may hold, a copy of what the server with id `dead` had, so that it can be promoted in its
    /// place. A server that is neither running nor certainly down may hold one: unknown is not nothing.
    pub(crate) fn may_hold_copy_of(&self, dead: Option<&NodeId>) -> bool {
        let Some(report) = self.report else { return true };
        let same = |primary: Option<&NodeId>| dead.is_none() || primary == dead;
        if let Some(running) = report.server.running() {
            let follows = running.replication.role == Role::Replica && same(self.follows());
            return follows && (running.keys > 0 || running.synced_since_start);
        }
        let on_disk =
            report.disk.identity.as_ref().is_some_and(|d| d.role == Role::Replica && same(d.primary.as_ref()));
        (report.disk.has_data && on_disk) || !report.server.is_certainly_down()
    }

    /// Its agent refuses the folder, or the server.
    pub(crate) fn is_refused(&self) -> bool {
        self.report.is_some_and(|report| matches!(report.server, ServerState::Refused { .. }))
    }

    /// In the incarnation and with the id that the base lists.
    pub(crate) fn is_intact(&self) -> bool {
        self.is_kept() && self.former_id().is_none()
    }

    /// Its replication offset, if its server answers.
    pub(crate) fn offset(&self) -> Offset {
        self.running().map(|running| running.replication.offset).unwrap_or_default()
    }

    /// It has to run anew: directives wait for a restart of its server, or its pod is not as it is wanted.
    pub(crate) fn waits_for_restart(&self) -> bool {
        self.is_outdated() || self.report.is_some_and(|report| !report.restart_needed.is_empty())
    }

    /// Its process or pod is not as it is wanted now.
    pub(crate) fn is_outdated(&self) -> bool {
        self.machine.is_some_and(|machine| machine.outdated)
    }

    /// Its server has never run since its pod came to be.
    pub(crate) fn is_unborn(&self) -> bool {
        self.machine.is_some_and(|machine| machine.unborn)
    }

    /// The machine it runs on.
    pub(crate) fn host(&self) -> Option<&'a str> {
        self.machine.and_then(|machine| machine.host.as_deref())
    }

    /// The zone of that machine.
    pub(crate) fn zone(&self) -> Option<&'a str> {
        self.machine.and_then(|machine| machine.zone.as_deref())
    }

    /// For how long it has been silent; absent when it never spoke.
    pub(crate) fn silent_for(&self, world: &World) -> Option<Millis> {
        world.heard.get(self.name).map(|heard| world.now.since(heard.at))
    }
}
