//! One node of a cluster and all that its agent knows, to be changed by a test and then judged.

use redisnode_proto::SlotSet;
use redisnode_proto::ledger::{Ledger, OpenSlots};
use redisnode_proto::message::DeathNotice;
use redisnode_proto::report::{Report, Running, ServerState};
use redisnode_proto::topology::{View, ViewNode};
use redisnode_proto::{Layout, Member, Millis, NodeName};

use super::{
    NOW, TIMEOUT, id, layout, ledger, line, member, name, peers, running, running_of, said, silence, slot, view,
};
use crate::duties::{Duty, duties};
use crate::situation::{Answer, Inbox, Peers, ReceivedNotice, Situation};

/// All that a [`Situation`] borrows, for one node of a healthy cluster.
pub(crate) struct Scene {
    pub(crate) now: Millis,
    pub(crate) node: usize,
    pub(crate) member: Member,
    pub(crate) ledger: Ledger,
    pub(crate) server: ServerState,
    pub(crate) peers: Peers,
    pub(crate) inbox: Inbox,
    pub(crate) jobs: Vec<NodeName>,
    pub(crate) stopping: bool,
    pub(crate) primary_failed_since: Option<Millis>,
    pub(crate) no_failover: Option<bool>,
    pub(crate) node_timeout: Option<Millis>,
}

impl Scene {
    /// Node `node` of a healthy cluster.
    pub(crate) fn new(node: usize, shards: usize, replicas: usize) -> Self {
        Self::of(node, &layout(shards, replicas))
    }

    pub(crate) fn of(node: usize, layout: &Layout) -> Self {
        Self {
            now: NOW,
            node,
            member: member(node),
            ledger: ledger(node, layout),
            server: ServerState::Running(Box::new(running(view(node, layout)))),
            peers: peers(node, layout, NOW),
            inbox: Inbox::default(),
            jobs: Vec::new(),
            stopping: false,
            primary_failed_since: None,
            no_failover: Some(false),
            node_timeout: Some(TIMEOUT),
        }
    }

    pub(crate) fn layout(&mut self) -> &mut Layout {
        self.ledger.layout.as_mut().unwrap()
    }

    /// The own server.
    pub(crate) fn running(&mut self) -> &mut Running {
        running_of(&mut self.server)
    }

    pub(crate) fn view(&mut self) -> &mut View {
        &mut self.running().view
    }

    /// The own line.
    pub(crate) fn myself(&mut self) -> &mut ViewNode {
        let node = self.node;
        line(self.view(), node)
    }

    /// What another agent says.
    pub(crate) fn said(&mut self, node: usize) -> &mut Report {
        said(&mut self.peers, node)
    }

    /// What another agent says of its running server.
    pub(crate) fn their(&mut self, node: usize) -> &mut Running {
        running_of(&mut self.said(node).server)
    }

    pub(crate) fn silence(&mut self, node: usize) {
        silence(&mut self.peers, node, Millis(1));
    }

    /// In everybody's view, the own one too.
    pub(crate) fn everybody(&mut self, mut edit: impl FnMut(&mut View)) {
        edit(self.view());
        for peer in self.peers.values_mut() {
            if let Answer::Heard { report, .. } = &mut peer.answer
                && let ServerState::Running(running) = &mut report.server
            {
                edit(&mut running.view);
            }
        }
    }

    /// A death notice for `dead` came `ago`.
    pub(crate) fn notice(&mut self, dead: usize, ago: u64) -> ReceivedNotice {
        let epoch = line(self.view(), dead).epoch;
        let notice = DeathNotice { by: name(dead), dead: id(dead), epoch, dead_for: Millis(50) };
        let received = ReceivedNotice { notice, at: Millis(self.now.0 - ago) };
        self.inbox.death = Some(received.clone());
        received
    }

    /// The primary `source` has told of an open slot before it died.
    pub(crate) fn open_slots(&mut self, source: usize, number: u16, target: usize, heir: usize) {
        let slots = vec![(slot(number), id(target))];
        self.ledger.open_slots =
            Some(OpenSlots { source: id(source), slots, doubtful: SlotSet::new(), heir: name(heir) });
    }

    pub(crate) fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            me: &self.member,
            ledger: &self.ledger,
            server: &self.server,
            peers: &self.peers,
            inbox: &self.inbox,
            jobs: &self.jobs,
            stopping: self.stopping,
            primary_failed_since: self.primary_failed_since,
            node_timeout: self.node_timeout,
            no_failover: self.no_failover,
            marks_survive: false,
        }
    }

    pub(crate) fn duties(&self) -> Vec<Duty> {
        duties(&self.situation())
    }
}
