//! What the primaries that vote look like from here, as their agents say.

use redisnode_proto::{Millis, NodeId, NodeName, judge};

use crate::situation::{Answer, FRESH_FOR, Situation};

/// The primaries with slots in the own view, and what their agents said since a moment.
pub(super) struct Voters {
    /// How many there are, dead ones too.
    pub(super) count: usize,
    /// Their agents have answered, and their servers run.
    pub(super) running: usize,
    /// Their agents certify that their servers are dead.
    pub(super) certified_dead: usize,
    /// Their agents show that their servers do not know the one that is dead. It answers nobody any more, so they never
    /// will, and a server refuses its vote where it does not know whose place is to be taken.
    pub(super) ignorant: usize,
    /// Their agents have not been called since then, or said what they said too long ago: a server that ran may be dead
    /// by now, and a dead one back.
    pub(super) unasked: Vec<NodeName>,
    /// Their agents did not answer the last call; the next one may be answered.
    pub(super) silent: Vec<NodeName>,
}

impl Voters {
    pub(super) fn look(s: &Situation<'_>, since: Millis, certified: &NodeId) -> Self {
        let mut voters =
            Self { count: 0, running: 0, certified_dead: 0, ignorant: 0, unasked: Vec::new(), silent: Vec::new() };
        let Some(view) = s.view() else { return voters };
        for voter in view.voters() {
            voters.count += 1;
            if voter.id == *certified {
                voters.certified_dead += 1;
            } else if let Some(name) = s.name_of(&voter.id) {
                voters.add(s, &name, &voter.id, since, certified);
            }
        }
        voters
    }

    fn add(&mut self, s: &Situation<'_>, name: &NodeName, id: &NodeId, since: Millis, dead: &NodeId) {
        match s.peers.get(name).map(|peer| &peer.answer) {
            Some(Answer::Heard { report, at }) if *at >= since && s.now.since(*at) <= FRESH_FOR => {
                let down = report.server.is_certainly_down();
                let same_life = report.disk.identity.as_ref().is_none_or(|disk| disk.id == *id);
                if down && same_life {
                    self.certified_dead += 1;
                } else if let Some(running) = report.server.running().filter(|running| running.view.me == *id) {
                    self.running += 1;
                    self.ignorant += usize::from(running.view.node(dead).is_none());
                }
            }
            Some(Answer::Silent { .. }) => self.silent.push(name.clone()),
            Some(Answer::Heard { .. } | Answer::NeverAsked) | None => self.unasked.push(name.clone()),
        }
    }

    /// How many votes an election needs; dead primaries count.
    pub(super) fn majority(&self) -> usize {
        judge::majority(self.count)
    }
}
