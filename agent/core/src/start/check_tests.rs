//! A test per arm of the start check; each name says what would be lost without the arm.

use std::collections::BTreeSet;

use redisnode_proto::layout::Settings;
use redisnode_proto::ledger::{CleanStop, Ledger};
use redisnode_proto::report::{Disk, Running, ServerState};
use redisnode_proto::topology::Role;
use redisnode_proto::{ConfigEpoch, Member, Millis, NodeName, Offset};

use super::{Row, StartAct, StartSituation, StartVerdict, start_check};
use crate::situation::Peers;
use crate::testing::{
    OFFSET, dead, disk, fail_over, id, layout, ledger, line, member, name, peers, running, running_of, said, silence,
    slots, view,
};

/// When the check began.
pub(super) const SINCE: Millis = Millis(50_000);

/// The start check of one node whose server has died, in a cluster that is healthy otherwise.
pub(super) struct Check {
    pub(super) me: Member,
    pub(super) now: Millis,
    pub(super) ledger: Ledger,
    pub(super) disk: Disk,
    pub(super) may_found: bool,
    pub(super) peers: Peers,
    pub(super) refused: BTreeSet<NodeName>,
}

impl Check {
    pub(super) fn new(node: usize, shards: usize, replicas: usize) -> Self {
        let layout = layout(shards, replicas);
        Self {
            me: member(node),
            now: Millis(SINCE.0 + 100),
            ledger: ledger(node, &layout),
            disk: disk(node, &layout),
            may_found: false,
            peers: peers(node, &layout, Millis(SINCE.0 + 50)),
            refused: BTreeSet::new(),
        }
    }

    pub(super) fn verdict(&self) -> StartVerdict {
        start_check(&StartSituation {
            now: self.now,
            since: SINCE,
            me: &self.me,
            ledger: &self.ledger,
            disk: &self.disk,
            may_found: self.may_found,
            peers: &self.peers,
            refused: &self.refused,
        })
    }

    pub(super) fn mate(&mut self, node: usize) -> &mut Running {
        running_of(&mut said(&mut self.peers, node).server)
    }

    /// The mate has only what it loaded from its disk.
    pub(super) fn loaded(&mut self, node: usize, keys: u64) {
        let mate = self.mate(node);
        (mate.synced_since_start, mate.keys, mate.replication.link_up) = (false, keys, false);
    }

    pub(super) fn down(&mut self, node: usize, has_data: bool) {
        let report = said(&mut self.peers, node);
        (report.server, report.disk.has_data) = (dead(), has_data);
    }

    pub(super) fn silence(&mut self, node: usize) {
        silence(&mut self.peers, node, SINCE);
    }
}

pub(super) fn promotes(verdict: &StartVerdict) -> Option<(Row, NodeName)> {
    match &verdict.act {
        StartAct::Promote { mate, .. } => Some((verdict.row, mate.clone())),
        _ => None,
    }
}

pub(super) fn starts(verdict: &StartVerdict) -> Option<(Row, bool, bool)> {
    match &verdict.act {
        StartAct::Start { gated, aside, .. } => Some((verdict.row, *gated, *aside)),
        _ => None,
    }
}

pub(super) fn waits(verdict: &StartVerdict) -> Option<(Row, Vec<NodeName>)> {
    match &verdict.act {
        StartAct::Wait { ask, reason } => {
            assert!(ask.iter().all(|name| reason.contains(name.as_str())), "{reason} does not name whom it waits for");
            Some((verdict.row, ask.clone()))
        }
        _ => None,
    }
}

#[test]
fn a_member_that_has_left_never_starts_again() {
    let mut check = Check::new(0, 1, 1);
    check.ledger.retired = true;
    assert_eq!(check.verdict(), StartVerdict { row: Row::Retired, act: StartAct::Never });
}

#[test]
fn a_replica_starts_at_once_unless_its_primary_has_lost_everything() {
    let mut check = Check::new(1, 1, 1);
    assert_eq!(starts(&check.verdict()), Some((Row::Replica, false, false)));
    let primary = check.mate(0);
    (primary.started_empty, primary.keys) = (true, 0);
    assert_eq!(starts(&check.verdict()), Some((Row::ReplicaOfEmptied, false, true)), "a sync would wipe the only copy");
    check.disk.has_data = false;
    assert_eq!(starts(&check.verdict()), Some((Row::Replica, false, false)));
}

#[test]
fn a_replica_with_data_asks_its_primary_first_and_starts_if_that_is_silent() {
    let mut check = Check::new(1, 1, 1);
    check.peers.clear();
    assert_eq!(check.verdict(), StartVerdict { row: Row::Asking, act: StartAct::Ask(vec![name(0)]) });
    check.silence(0);
    assert_eq!(starts(&check.verdict()), Some((Row::Replica, false, false)));
}

#[test]
fn a_primary_without_slots_starts_and_asks_before_it_takes_writes_as_the_target_of_a_move() {
    let mut check = Check::new(0, 2, 1);
    check.disk.identity.as_mut().unwrap().slots = slots("");
    assert_eq!(starts(&check.verdict()), Some((Row::Replica, true, false)));
}

#[test]
fn who_has_lost_its_slots_starts_as_the_owners_replica_and_takes_no_write() {
    let mut check = Check::new(0, 3, 1);
    fail_over(&mut check.mate(1).view, 0, 3);
    assert_eq!(starts(&check.verdict()), Some((Row::OwnedElsewhere, true, false)));
}

#[test]
fn slots_owned_at_an_equal_epoch_are_not_owned_elsewhere() {
    let mut check = Check::new(0, 3, 1);
    check.mate(3).synced_since_start = false;
    fail_over(&mut check.mate(1).view, 0, 3);
    line(&mut check.mate(1).view, 3).epoch = ConfigEpoch(1);
    assert_eq!(check.verdict().row, Row::ColdStart);
}

#[test]
fn some_of_the_slots_owned_elsewhere_are_not_all() {
    let mut check = Check::new(0, 3, 1);
    fail_over(&mut check.mate(1).view, 0, 3);
    line(&mut check.mate(1).view, 3).slots.remove(crate::testing::slot(7));
    assert_ne!(check.verdict().row, Row::OwnedElsewhere);
}

#[test]
fn the_folder_of_a_mate_that_took_over_and_died_is_believed() {
    let mut check = Check::new(0, 1, 1);
    let own = check.disk.identity.clone().unwrap();
    check.down(1, true);
    let disk = said(&mut check.peers, 1).disk.identity.as_mut().unwrap();
    (disk.role, disk.primary, disk.slots, disk.epoch) = (Role::Primary, None, own.slots, ConfigEpoch(2));
    assert_eq!(starts(&check.verdict()), Some((Row::OwnedElsewhere, true, false)));
}

#[test]
fn answers_from_before_the_check_do_not_count() {
    let mut check = Check::new(0, 3, 1);
    check.peers = peers(0, &layout(3, 1), Millis(SINCE.0 - 1));
    assert_eq!(
        check.verdict(),
        StartVerdict { row: Row::Asking, act: StartAct::Ask(vec![name(1), name(2), name(3)]) },
        "its mate and the other shards' primaries"
    );
}

#[test]
fn an_old_dump_never_overrules_a_mate_that_has_synced() {
    let check = Check::new(0, 1, 1);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn the_mate_furthest_ahead_takes_over_and_the_smallest_name_of_equals() {
    let mut check = Check::new(0, 1, 3);
    assert_eq!(promotes(&check.verdict()).unwrap().1, name(1));
    check.mate(3).replication.offset = Offset(OFFSET.0 + 1);
    assert_eq!(promotes(&check.verdict()).unwrap().1, name(3));
}

#[test]
fn a_mate_that_only_loaded_its_disk_does_not_overrule_a_primary_with_data() {
    let mut check = Check::new(0, 1, 1);
    check.loaded(1, 900);
    assert_eq!(starts(&check.verdict()), Some((Row::ColdStart, true, false)));
}

#[test]
fn a_mate_that_now_serves_another_shard_has_nothing_of_this_one() {
    let mut check = Check::new(0, 2, 1);
    line(&mut check.mate(2).view, 2).primary = Some(id(1));
    assert_eq!(check.verdict().row, Row::ColdStart);
}

#[test]
fn after_an_ordered_stop_the_primary_comes_back_unless_a_mate_is_past_it() {
    let mut check = Check::new(0, 1, 1);
    let stop = CleanStop { offset: OFFSET, replication_id: "history".into(), role: Role::Primary };
    check.ledger.clean_stop = Some(stop);
    assert_eq!(starts(&check.verdict()), Some((Row::ColdStart, true, false)));
    check.mate(1).replication.offset = Offset(OFFSET.0 + 1);
    assert_eq!(check.verdict().row, Row::MateIsNewer);
    check.mate(1).replication.offset = OFFSET;
    check.mate(1).replication.replication_id = "another".into();
    assert_eq!(check.verdict().row, Row::MateIsNewer, "offsets of two histories do not compare");
}

#[test]
fn an_ordered_stop_is_worth_nothing_when_the_data_is_gone() {
    let mut check = Check::new(0, 1, 1);
    let stop = CleanStop { offset: OFFSET, replication_id: "history".into(), role: Role::Primary };
    (check.ledger.clean_stop, check.disk.has_data) = (Some(stop), false);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn a_silent_mate_holds_a_cold_start_up_for_three_seconds_and_no_longer() {
    let mut check = Check::new(0, 1, 1);
    check.silence(1);
    check.now = Millis(SINCE.0 + 2999);
    assert_eq!(waits(&check.verdict()), Some((Row::Asking, vec![name(1)])));
    check.now = Millis(SINCE.0 + 3000);
    assert_eq!(starts(&check.verdict()), Some((Row::ColdStart, true, false)));
}

#[test]
fn a_server_that_lives_but_does_not_answer_counts_as_silent() {
    let mut check = Check::new(0, 1, 1);
    let hung = said(&mut check.peers, 1);
    (hung.server, hung.disk) = (ServerState::Unknown { reason: "stopped".into() }, Disk::default());
    assert_eq!(waits(&check.verdict()), Some((Row::Asking, vec![name(1)])));
    check.disk.has_data = false;
    assert_eq!(check.verdict().row, Row::DataGoneMateSilent);
}

#[test]
fn a_newer_mate_that_stops_or_has_refused_is_waited_for_and_not_overruled() {
    for has_data in [true, false] {
        let mut check = Check::new(0, 1, 1);
        check.disk.has_data = has_data;
        said(&mut check.peers, 1).stopping = true;
        assert_eq!(waits(&check.verdict()), Some((Row::MateIsNewer, vec![name(1)])));
        said(&mut check.peers, 1).stopping = false;
        check.refused.insert(name(1));
        assert_eq!(waits(&check.verdict()), Some((Row::MateIsNewer, vec![name(1)])));
    }
}

/// The mate's agent was dead while its server synced, and says that it has only what it loaded.
#[test]
fn a_mate_that_was_linked_to_the_last_life_is_newer_whatever_its_agent_missed() {
    let mut check = Check::new(0, 1, 1);
    check.ledger.identity.as_mut().unwrap().history = Some("history".into());
    check.loaded(1, 5);
    let cold = Some((Row::ColdStart, true, false));
    assert_eq!(starts(&check.verdict()), cold, "a dump brings back the history, but not what came after it");
    check.mate(1).replication.silent_for_s = Some(0);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))), "an old dump would win over it");
    check.mate(1).replication.replication_id = "another".into();
    assert_eq!(starts(&check.verdict()), cold, "it was linked to somebody else");
    check.ledger.identity.as_mut().unwrap().former_history = Some("another".into());
    let newer = Some((Row::MateIsNewer, name(1)));
    assert_eq!(promotes(&check.verdict()), newer, "to the primary before, in whose place the dead one was promoted");
}

/// The server died before the former primary was linked to it.
#[test]
fn who_has_just_handed_the_shard_over_is_newer_than_the_dump_of_a_sync() {
    let mut check = Check::new(0, 1, 1);
    let known = check.ledger.identity.as_mut().unwrap();
    known.history = Some("own".into());
    (known.former_history, known.shared_until) = (Some("former".into()), Some(Offset(100)));
    let settings = check.ledger.layout.as_ref().unwrap().settings.clone();
    check.ledger.configured = Some(Settings { storage: false, ..settings });
    check.loaded(1, 5);
    let replica = &mut check.mate(1).replication;
    (replica.replication_id, replica.offset) = ("former".into(), Offset(100));
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
    let cold = Some((Row::ColdStart, true, false));
    check.mate(1).replication.offset = Offset(99);
    assert_eq!(starts(&check.verdict()), cold, "a dump brings back the history, but not what came after it");
    check.mate(1).replication.offset = Offset(101);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
    check.ledger.configured.as_mut().unwrap().redis_config.insert("appendonly".into(), "yes".into());
    assert_eq!(starts(&check.verdict()), cold, "its folder has the writes since then");
}

/// A replica was promoted while the mate was cut off, and died before the mate had heard of it.
#[test]
fn a_former_primary_that_has_not_heard_of_its_successor_holds_a_copy_and_is_waited_for() {
    let mut check = Check::new(0, 2, 1);
    check.disk.has_data = false;
    check.disk.identity.as_mut().unwrap().epoch = ConfigEpoch(21);
    let layout = check.ledger.layout.clone().unwrap();
    let mut view = view(2, &layout);
    fail_over(&mut view, 0, 2);
    *check.mate(2) = running(view);
    assert_eq!(waits(&check.verdict()), Some((Row::DataGoneMateHolds, vec![name(2)])), "its copy would be overwritten");
}

#[test]
fn a_primary_that_lost_its_data_gives_way_to_any_mate_that_has_some() {
    let mut check = Check::new(0, 1, 2);
    check.disk.has_data = false;
    check.loaded(1, 5);
    check.loaded(2, 0);
    assert_eq!(promotes(&check.verdict()), Some((Row::DataGoneMateHolds, name(1))));
    check.refused.insert(name(1));
    assert_eq!(waits(&check.verdict()).unwrap().1, [name(1)], "an empty start would have the copy overwritten");
}

#[test]
fn a_silent_mate_may_have_newer_data_than_what_another_only_loaded_and_is_waited_for_three_seconds() {
    let mut check = Check::new(0, 1, 2);
    check.disk.has_data = false;
    check.loaded(1, 5);
    check.silence(2);
    assert_eq!(waits(&check.verdict()), Some((Row::Asking, vec![name(2)])));
    check.now = Millis(SINCE.0 + 3000);
    assert_eq!(promotes(&check.verdict()), Some((Row::DataGoneMateHolds, name(1))));
}

#[test]
fn who_follows_the_dead_one_is_a_mate_wherever_the_layout_has_it() {
    let mut check = Check::new(0, 2, 1);
    check.disk.has_data = false;
    let layout = check.ledger.layout.as_mut().unwrap();
    let moved = layout.shards[0].replicas.remove(0);
    layout.shards[1].replicas.push(moved);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(2))), "its copy would be said to be lost");
}

#[test]
fn data_on_a_mates_disk_is_waited_for_until_its_server_has_loaded_it() {
    for server in [dead(), ServerState::Starting, ServerState::Loading, ServerState::Waiting { reason: String::new() }]
    {
        let mut check = Check::new(0, 1, 1);
        check.disk.has_data = false;
        said(&mut check.peers, 1).server = server;
        assert_eq!(waits(&check.verdict()), Some((Row::DataGoneMateHolds, vec![name(1)])));
    }
}

#[test]
fn a_silent_mate_may_hold_the_only_copy_and_is_waited_for_as_long_as_it_takes() {
    let mut check = Check::new(0, 1, 2);
    check.disk.has_data = false;
    check.down(1, false);
    check.silence(2);
    check.now = Millis(SINCE.0 + 10_000_000);
    assert_eq!(waits(&check.verdict()), Some((Row::DataGoneMateSilent, vec![name(2)])));
}

#[test]
fn a_layout_without_the_silent_mate_ends_the_wait_and_the_loss_is_said() {
    let mut check = Check::new(0, 1, 1);
    check.disk.has_data = false;
    check.silence(1);
    check.ledger.layout = Some(layout(1, 0));
    let verdict = check.verdict();
    let StartAct::Start { gated: true, aside: false, lost: Some(lost) } = &verdict.act else { panic!("{verdict:?}") };
    assert_eq!(verdict.row, Row::DataGoneEverywhere);
    assert!(lost.contains("0-16383"), "{lost}");
}

#[test]
fn data_gone_everywhere_is_said_and_for_sure_where_keys_were_seen() {
    let mut check = Check::new(0, 1, 1);
    check.disk.has_data = false;
    check.down(1, false);
    let lost = |check: &Check| match check.verdict().act {
        StartAct::Start { lost: Some(lost), .. } => lost,
        act => panic!("{act:?}"),
    };
    assert!(lost(&check).starts_with("the data of slots"));
    check.ledger.identity.as_mut().unwrap().had_keys = false;
    assert!(lost(&check).starts_with("the data, if there was any, of slots"), "the ledger may be a look behind");
}
