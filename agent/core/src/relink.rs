//! A replica's link is made anew right after a full sync, where the primary would begin to stream late.
//!
//! Servers of version 7 begin to stream after a diskless sync only at the first acknowledgement that comes once they have
//! seen the sync end. The replica of little data has sent its own before, and its next one comes a second later: for so
//! long it looks linked and has no write (measured on Redis 7.0; not so on Redis 8.0 and 8.6, Valkey 8.1 and 9.1). A link
//! that is cut and made anew goes on with a partial sync, and the stream begins within a millisecond (measured).

use redisnode_proto::Millis;
use redisnode_proto::report::Running;
use redisnode_proto::topology::Role;

/// The link that comes back after it was cut is not taken for a new one.
const QUIET: Millis = Millis(500);

/// What one agent has seen of its replica's link.
#[derive(Debug, Default)]
pub struct Relink {
    /// A look has shown no link, so that a full sync may come before the next link.
    unlinked: bool,
    cut_at: Option<Millis>,
}

impl Relink {
    /// Takes in a look. True if the link is to be cut now.
    pub fn seen(&mut self, running: &Running, now: Millis) -> bool {
        let replication = &running.replication;
        if replication.role != Role::Replica || !replication.link_up || replication.syncing {
            let quiet = self.cut_at.is_some_and(|at| now.since(at) < QUIET);
            self.unlinked |= replication.syncing || !quiet;
            return false;
        }
        if !std::mem::take(&mut self.unlinked) || running.version.major != 7 {
            return false;
        }
        self.cut_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{layout, running, view};

    fn look(link_up: bool, syncing: bool) -> Running {
        let mut running = running(view(3, &layout(3, 1)));
        (running.replication.link_up, running.replication.syncing) = (link_up, syncing);
        running.version.major = 7;
        running
    }

    #[test]
    fn a_new_link_is_cut_once() {
        let mut relink = Relink::default();
        assert!(!relink.seen(&look(false, false), Millis(1000)));
        assert!(!relink.seen(&look(false, true), Millis(1010)));
        assert!(relink.seen(&look(true, false), Millis(1020)));
        assert!(!relink.seen(&look(false, false), Millis(1021)), "this one was cut by the agent");
        for at in 1030..1040 {
            assert!(!relink.seen(&look(true, false), Millis(at)));
        }
    }

    #[test]
    fn a_link_that_is_lost_later_or_ends_in_a_full_sync_is_cut_again() {
        for (at, syncing) in [(5000, false), (1100, true)] {
            let mut relink = Relink::default();
            assert!(!relink.seen(&look(false, false), Millis(1000)));
            assert!(relink.seen(&look(true, false), Millis(1020)));
            assert!(!relink.seen(&look(false, syncing), Millis(at)));
            assert!(relink.seen(&look(true, false), Millis(at + 10)));
        }
    }

    #[test]
    fn a_link_that_this_agent_never_saw_down_is_left_alone() {
        assert!(!Relink::default().seen(&look(true, false), Millis(1000)));
    }

    #[test]
    fn servers_that_stream_at_once_are_left_alone() {
        let mut relink = Relink::default();
        assert!(!relink.seen(&look(false, true), Millis(1000)));
        let mut later = look(true, false);
        later.version.major = 8;
        assert!(!relink.seen(&later, Millis(1010)));
    }
}
