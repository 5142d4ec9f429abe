//! The gate before everything that cannot be taken back: fresh, agreeing Reports of a majority of the members, not
//! counting those that the machine says are gone.

use redisnode_proto::judge::majority;
use redisnode_proto::topology::{Health, View, ViewNode};
use redisnode_proto::{NodeId, NodeName};

use crate::decision::{Declined, Why};
use crate::draft::list;
use crate::facts::{Facts, Node};

/// Who counts, and who of them was heard.
pub(crate) struct Quorum<'f, 'a> {
    facts: &'f Facts<'a>,
    members: Vec<&'f Node<'a>>,
}

impl<'f, 'a> Quorum<'f, 'a> {
    /// Members of the base Layout in the incarnation that it lists. Where the machine says that all of these are
    /// gone, their successors count: there is nobody else to ask.
    pub(crate) fn of(facts: &'f Facts<'a>) -> Self {
        let kept: Vec<_> = facts.nodes.iter().filter(|node| node.is_kept()).collect();
        let members = if kept.is_empty() { facts.nodes.iter().filter(|n| !n.is_gone()).collect() } else { kept };
        Self { facts, members }
    }

    fn needed(&self) -> usize {
        majority(self.members.len())
    }

    /// Whether a majority was heard.
    pub(crate) fn is_heard(&self) -> bool {
        self.members.iter().filter(|node| node.is_heard()).count() >= self.needed()
    }

    /// Why nothing may be changed, when no majority was heard.
    pub(crate) fn refusal(&self) -> Option<Declined> {
        if self.is_heard() {
            return None;
        }
        let message = format!(
            "nothing is changed before {} of {} members are heard; silent: {}",
            self.needed(),
            self.members.len(),
            list(self.silent())
        );
        Some(Declined::new(Why::MajorityNotHeard, message))
    }

    /// Members that count and were not heard.
    pub(crate) fn silent(&self) -> impl Iterator<Item = &NodeName> {
        self.members.iter().filter(|node| !node.is_heard()).map(|node| node.name)
    }

    /// Whether the servers of a majority answer and `holds` for the node table of so many. Members that gave up
    /// everything have no say and do not count; a table that knows less than a majority of the members says nothing.
    pub(crate) fn agrees(&self, holds: impl Fn(&View) -> bool) -> bool {
        let voters: Vec<_> = self.members.iter().filter(|node| !node.is_retired()).collect();
        let knows = |view: &View, node: &Node| node.id.as_ref().is_some_and(|id| view.node(id).is_some());
        let informed = |view: &View| voters.iter().filter(|node| knows(view, node)).count() >= majority(voters.len());
        let agreeing = self.facts.views().filter(|(_, view)| informed(view) && holds(view)).count();
        agreeing >= majority(voters.len()) || (voters.is_empty() && self.is_heard())
    }

    /// Whether a majority sees that `id` owns nothing.
    pub(crate) fn agrees_it_owns_nothing(&self, id: Option<&NodeId>) -> bool {
        let Some(id) = id else { return self.is_heard() };
        self.facts.owners.slots_of(id).is_empty()
            && self.agrees(|view| view.node(id).is_none_or(|node| node.slots.is_empty()))
    }

    /// Whether a majority cannot reach `id`, or does not know it.
    pub(crate) fn agrees_it_is_dead(&self, id: &NodeId) -> bool {
        self.agrees(|view| view.me != *id && view.node(id).is_none_or(looks_dead))
    }
}

/// Failed, suspected or not connected in one server's eyes.
pub(crate) fn looks_dead(node: &ViewNode) -> bool {
    node.health != Health::Fine || !node.connected
}
