//! Whether a linked replica has what was written while it synced.
//!
//! A link is up as soon as the replica has loaded the copy that its primary made at the sync's beginning. What was written
//! since then streams in after it: little after a small copy, minutes of writes after a large one. So once a link has come
//! up, the primary's agent is asked how far the primary is; the replica has caught up when it has come to there.

use redisnode_proto::report::{Report, Running};
use redisnode_proto::{Millis, NodeId, Offset, judge};

use crate::situation::Peer;

/// What one agent knows of how far its replica has to come.
#[derive(Debug, Default)]
pub struct CatchUp {
    /// Whom the replica was linked to at the last look.
    primary: Option<NodeId>,
    step: Step,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Step {
    /// No look has shown the link.
    #[default]
    Unlinked,
    /// The link is up since then, at the latest; the primary's agent has not answered since.
    Linked(Millis),
    /// It has answered, perhaps by what it saw before the link was up. What it says after more looks it has seen since.
    Answered { life: u64, looks: u64 },
    /// The primary was here after the link had come up.
    Until(Offset),
    /// The replica has come to there.
    Done,
}

impl CatchUp {
    /// Takes in a look, and what the agent of the replica's primary said last. True as long as the replica is linked and not
    /// known to have caught up; then that agent is to be asked.
    pub fn seen(&mut self, running: &Running, primary: Option<&Peer>, now: Millis) -> bool {
        let follows = running.view.myself().and_then(|me| me.primary.as_ref());
        let Some(follows) = follows.filter(|_| judge::is_linked(running)) else {
            *self = Self::default();
            return false;
        };
        if self.primary.as_ref() != Some(follows) {
            *self = Self { primary: Some(follows.clone()), step: Step::Linked(now) };
        }
        let linked_at = if let Step::Linked(at) = self.step { at } else { Millis(0) };
        if let Some(report) = primary.and_then(|peer| peer.heard_since(linked_at)) {
            self.heard(report, follows);
        }
        if let Step::Until(offset) = self.step
            && running.replication.offset >= offset
        {
            self.step = Step::Done;
        }
        self.step != Step::Done
    }

    fn heard(&mut self, report: &Report, follows: &NodeId) {
        let Some(theirs) = report.server.running().filter(|running| running.view.me == *follows) else { return };
        let next = match self.step {
            Step::Answered { life, looks } if life == report.life && looks == report.looks => return,
            Step::Answered { life, .. } if life == report.life => Step::Until(theirs.replication.offset),
            // An agent of before looks were counted.
            Step::Linked(_) if report.looks == 0 => Step::Until(theirs.replication.offset),
            Step::Linked(_) | Step::Answered { .. } => Step::Answered { life: report.life, looks: report.looks },
            Step::Unlinked | Step::Until(_) | Step::Done => return,
        };
        self.step = next;
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::report::ServerState;

    use super::*;
    use crate::testing::{OFFSET, heard, id, layout, report, running, silence, view};
    use crate::{Answer, Peers};

    fn replica(offset: u64) -> Running {
        let mut running = running(view(3, &layout(3, 1)));
        running.replication.offset = Offset(offset);
        running
    }

    /// What the primary's agent said at `at`: so many looks, so far.
    fn said(at: u64, life: u64, looks: u64, offset: u64) -> Peer {
        let layout = layout(3, 1);
        let mut theirs = running(view(0, &layout));
        theirs.replication.offset = Offset(offset);
        let mut report = report(0, &layout, ServerState::Running(Box::new(theirs)));
        (report.life, report.looks) = (life, looks);
        heard(report, Millis(at))
    }

    /// A replica at 100 whose link is seen for the first time at 1000.
    fn linked() -> CatchUp {
        let mut catch_up = CatchUp::default();
        assert!(catch_up.seen(&replica(100), None, Millis(1000)), "unknown is not caught up");
        catch_up
    }

    #[test]
    fn a_replica_has_caught_up_when_it_is_where_its_primary_was_after_the_link_came_up() {
        let mut catch_up = linked();
        assert!(catch_up.seen(&replica(900), Some(&said(990, 1, 3, 100)), Millis(1010)), "said before the link");
        assert!(catch_up.seen(&replica(900), Some(&said(1020, 1, 4, 800)), Millis(1020)), "perhaps seen before it");
        assert!(catch_up.seen(&replica(900), Some(&said(1040, 1, 4, 800)), Millis(1040)), "no look since");
        assert!(catch_up.seen(&replica(900), Some(&said(1060, 1, 5, 1000)), Millis(1060)));
        assert!(catch_up.seen(&replica(999), Some(&said(1080, 1, 6, 5000)), Millis(1080)));
        assert!(!catch_up.seen(&replica(1000), Some(&said(1080, 1, 6, 5000)), Millis(1090)), "what came later streams");
        assert!(!catch_up.seen(&replica(1000), None, Millis(9000)), "once is enough");
    }

    #[test]
    fn a_new_link_and_a_new_primary_begin_anew() {
        let done = || {
            let mut catch_up = linked();
            assert!(catch_up.seen(&replica(100), Some(&said(1020, 1, 4, 50)), Millis(1020)));
            assert!(!catch_up.seen(&replica(100), Some(&said(1040, 1, 5, 50)), Millis(1040)));
            catch_up
        };
        for break_link in
            [|r: &mut Running| r.replication.link_up = false, |r: &mut Running| r.replication.syncing = true]
        {
            let (mut catch_up, mut unlinked) = (done(), replica(100));
            break_link(&mut unlinked);
            assert!(!catch_up.seen(&unlinked, None, Millis(1100)), "that it is not linked says enough");
            assert!(catch_up.seen(&replica(100), Some(&said(1040, 1, 5, 50)), Millis(1200)));
        }
        let (mut catch_up, mut other) = (done(), replica(100));
        other.view.nodes.iter_mut().find(|node| node.id == id(3)).unwrap().primary = Some(id(1));
        assert!(catch_up.seen(&other, Some(&said(1300, 1, 9, 50)), Millis(1300)), "another server's word");
    }

    #[test]
    fn looks_of_two_lives_do_not_compare_and_an_older_agent_counts_none() {
        let mut catch_up = linked();
        assert!(catch_up.seen(&replica(100), Some(&said(1020, 1, 4, 50)), Millis(1020)));
        assert!(catch_up.seen(&replica(100), Some(&said(1040, 2, 9, 50)), Millis(1040)), "another life");
        assert!(!catch_up.seen(&replica(100), Some(&said(1060, 2, 10, 50)), Millis(1060)));
        let mut catch_up = linked();
        assert!(!catch_up.seen(&replica(100), Some(&said(1020, 1, 0, 50)), Millis(1020)));
    }

    #[test]
    fn silence_says_nothing_and_a_primary_has_nothing_to_catch_up_with() {
        let (mut catch_up, mut peers) = (linked(), Peers::new());
        silence(&mut peers, 0, Millis(1020));
        let peer = peers.pop_first().unwrap().1;
        assert!(matches!(peer.answer, Answer::Silent { .. }));
        assert!(catch_up.seen(&replica(OFFSET.0), Some(&peer), Millis(60_000)));
        let primary = running(view(0, &layout(3, 1)));
        assert!(!CatchUp::default().seen(&primary, None, Millis(0)));
    }
}
