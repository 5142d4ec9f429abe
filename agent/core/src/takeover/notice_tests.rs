//! What a replica's agent does with a certificate: one promotion, and TAKEOVER only where nobody else can be elected.

use redisnode_proto::message::Outcome;
use redisnode_proto::topology::{Direction, Role};
use redisnode_proto::{ConfigEpoch, Millis};

use super::{Promotion, Step, answer_notice};
use crate::situation::{ReceivedNotice, Situation};
use crate::testing::{NOW, Scene, dead, fail_over, id, line, mark, name, next_id, peers, slot, slots};

/// The first replica of the first shard, told `ago` that its primary is dead; FORCE was sent at once.
fn told(shards: usize, replicas: usize, ago: u64) -> (Scene, ReceivedNotice) {
    let mut scene = Scene::new(shards, shards, replicas);
    let notice = scene.notice(0, ago);
    scene.inbox.forced_at = Some(notice.at);
    (scene, notice)
}

fn promotes(step: &Step) -> Option<Promotion> {
    match step {
        Step::Promote { how, .. } => Some(*how),
        Step::Rest | Step::Ask(_) | Step::RaiseEpoch | Step::Answer(_) => None,
    }
}

fn is_pending(step: &Step) -> bool {
    matches!(step, Step::Answer(Outcome::Pending { .. }))
}

fn refusal(step: Step) -> String {
    match step {
        Step::Answer(Outcome::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn answer(told: &(Scene, ReceivedNotice)) -> Step {
    answer_notice(&told.0.situation(), &told.1)
}

#[test]
fn one_or_two_primaries_never_give_a_majority_so_no_time_is_lost_on_votes() {
    for shards in [1, 2] {
        let mut told = told(shards, 1, 0);
        told.0.inbox.forced_at = None;
        assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover), "{shards}");
    }
}

#[test]
fn a_takeover_must_rise_above_an_epoch_that_only_the_dead_one_knew() {
    let mut told = told(2, 1, 0);
    told.0.inbox.forced_at = None;
    told.1.notice.epoch = ConfigEpoch(12);
    told.0.view().current_epoch = ConfigEpoch(11);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force), "it raises what the server knows");
    told.0.inbox.forced_at = Some(told.1.at);
    assert!(is_pending(&answer(&told)));
    told.0.view().current_epoch = ConfigEpoch(13);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn an_epoch_that_is_only_as_high_as_the_dead_ones_is_raised_before_a_takeover() {
    let mut told = told(2, 1, 0);
    told.0.inbox.forced_at = None;
    told.1.notice.epoch = ConfigEpoch(12);
    told.0.view().current_epoch = ConfigEpoch(12);
    told.0.now = told.1.at;
    assert_eq!(answer(&told), Step::RaiseEpoch);
    told.0.now = Millis(told.1.at.0 + 150);
    assert_eq!(
        promotes(&answer(&told)),
        Some(Promotion::Force),
        "its own epoch is the highest: BUMPEPOCH does nothing"
    );
}

#[test]
fn it_is_raised_as_well_where_a_vote_was_asked_for_and_no_election_began() {
    let mut told = told(3, 1, 1000);
    told.1.notice.epoch = ConfigEpoch(12);
    told.0.view().current_epoch = ConfigEpoch(12);
    assert_eq!(answer(&told), Step::RaiseEpoch);
    told.0.view().current_epoch = ConfigEpoch(13);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn so_must_an_election() {
    let told = |known| {
        let mut told = told(3, 1, 0);
        told.0.inbox.forced_at = None;
        told.1.notice.epoch = ConfigEpoch(12);
        told.0.view().current_epoch = ConfigEpoch(known);
        told
    };
    let mut behind = told(11);
    assert_eq!(answer(&behind), Step::RaiseEpoch, "it would be won under the dead one's own epoch");
    assert_eq!(promotes(&answer(&told(12))), Some(Promotion::Force));
    behind.0.now = Millis(NOW.0 + 5200);
    assert_eq!(promotes(&answer(&behind)), Some(Promotion::Force), "there is nothing better");
}

#[test]
fn a_server_that_was_restarted_lets_a_sibling_that_has_synced_go_first() {
    let mut told = told(3, 2, 0);
    told.0.inbox.forced_at = None;
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force));
    told.0.running().synced_since_start = false;
    assert!(refusal(answer(&told)).contains("newer data"));
    told.0.their(4).synced_since_start = false;
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force), "nobody has anything better");
    told.0.peers.remove(&name(4));
    assert_eq!(answer(&told), Step::Ask(vec![name(4)]));
    told.0.inbox.forced_at = Some(told.1.at);
    assert!(is_pending(&answer(&told)), "a refusal would let another one be asked while votes come in");
}

#[test]
fn among_three_primaries_the_others_vote_first_and_have_150_ms() {
    let mut told = told(3, 1, 149);
    assert!(is_pending(&answer(&told)));
    told.0.inbox.forced_at = None;
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force));
    told.0.inbox.forced_at = Some(Millis(told.1.at.0 - 1));
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force), "that one was for another death");
}

#[test]
fn votes_refused_by_a_reachable_majority_soon_after_the_death_are_overridden() {
    let told = told(3, 1, 150);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn half_a_node_time_out_after_the_death_the_servers_may_be_electing_another() {
    let mut told = told(3, 1, 150);
    told.1.notice.dead_for = Millis(7500 - 151);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
    told.1.notice.dead_for = Millis(7500 - 150);
    assert!(is_pending(&answer(&told)));
}

#[test]
fn force_is_sent_again_when_the_server_has_given_the_first_one_up() {
    let mut told = told(3, 1, 5199);
    told.1.notice.dead_for = Millis(60_000);
    assert!(is_pending(&answer(&told)));
    told.0.now = Millis(NOW.0 + 1);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force));
}

#[test]
fn a_majority_that_is_silent_is_not_a_majority_that_is_dead() {
    let mut told = told(3, 1, 150);
    told.0.silence(1);
    assert_eq!(answer(&told), Step::Ask(vec![name(1)]), "it may answer again one day");
    told.0.silence(2);
    assert_eq!(answer(&told), Step::Ask(vec![name(1), name(2)]));
}

#[test]
fn nobody_can_be_elected_once_a_majority_is_certified_dead() {
    let mut told = told(3, 1, 150);
    told.1.notice.dead_for = Millis(60_000);
    told.0.silence(2);
    assert_eq!(answer(&told), Step::Ask(vec![name(2)]));
    told.0.said(1).server = dead();
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn a_primary_that_never_met_the_dead_one_has_no_vote_to_give() {
    let mut told = told(3, 1, 150);
    told.1.notice.dead_for = Millis(60_000);
    assert!(is_pending(&answer(&told)));
    told.0.their(1).view.nodes.retain(|node| node.id != id(0));
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover), "one of three cannot elect anybody");
}

#[test]
fn of_an_even_number_half_certified_dead_is_enough_and_less_is_not() {
    let mut told = told(4, 1, 150);
    told.1.notice.dead_for = Millis(60_000);
    (1..4).for_each(|node| told.0.silence(node));
    assert_eq!(promotes(&answer(&told)), None);
    told.0.peers = peers(4, told.0.ledger.layout.as_ref().unwrap(), NOW);
    told.0.said(1).server = dead();
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn the_death_of_another_life_certifies_nothing() {
    let mut told = told(3, 1, 150);
    told.1.notice.dead_for = Millis(60_000);
    let other = told.0.said(1);
    (other.server, other.disk.identity.as_mut().unwrap().id) = (dead(), next_id(1));
    assert!(is_pending(&answer(&told)));
}

#[test]
fn the_other_primaries_are_asked_after_the_notice_not_before() {
    let mut told = told(3, 1, 150);
    told.0.peers = peers(3, told.0.ledger.layout.as_ref().unwrap(), Millis(told.1.at.0 - 1));
    assert_eq!(answer(&told), Step::Ask(vec![name(1), name(2)]));
}

#[test]
fn it_is_done_when_this_server_owns_the_slots() {
    let mut told = told(3, 1, 40);
    fail_over(told.0.view(), 0, 3);
    assert_eq!(answer(&told), Step::Answer(Outcome::Done { primary: id(3), name: name(3) }));
}

#[test]
fn it_is_done_when_a_sibling_won_and_this_server_follows_it() {
    let mut told = told(3, 2, 40);
    fail_over(told.0.view(), 0, 4);
    told.0.myself().primary = Some(id(4));
    assert_eq!(answer(&told), Step::Answer(Outcome::Done { primary: id(4), name: name(4) }));
}

#[test]
fn it_is_not_done_while_the_dead_one_owns_a_slot_or_the_epoch_is_not_above_its() {
    let mut told = told(3, 1, 40);
    fail_over(told.0.view(), 0, 3);
    line(told.0.view(), 0).slots.insert(slot(7));
    assert!(!matches!(answer(&told), Step::Answer(Outcome::Done { .. })));
    line(told.0.view(), 0).slots = slots("");
    line(told.0.view(), 3).epoch = ConfigEpoch(1);
    assert!(!matches!(answer(&told), Step::Answer(Outcome::Done { .. })));
}

#[test]
fn a_promotion_by_votes_of_an_earlier_election_gets_an_epoch_of_its_own_while_nobody_else_can_be_elected() {
    let deposed_before = |replicas, dead_for| {
        let mut told = told(3, replicas, 40);
        fail_over(told.0.view(), 0, 3);
        line(told.0.view(), 3).epoch = ConfigEpoch(20);
        told.0.view().current_epoch = ConfigEpoch(21);
        told.1.notice.epoch = ConfigEpoch(21);
        told.1.notice.dead_for = Millis(dead_for);
        told
    };
    assert_eq!(answer(&deposed_before(2, 0)), Step::RaiseEpoch);
    assert!(is_pending(&answer(&deposed_before(2, 7500))), "the servers may be electing the sibling");
    assert_eq!(answer(&deposed_before(1, 7500)), Step::RaiseEpoch, "there is no sibling");
    let mut raised = deposed_before(2, 0);
    line(raised.0.view(), 3).epoch = ConfigEpoch(22);
    assert_eq!(answer(&raised), Step::Answer(Outcome::Done { primary: id(3), name: name(3) }));
}

#[test]
fn who_cannot_take_over_refuses_with_the_reason() {
    let refuse = |edit: fn(&mut Scene)| {
        let mut told = told(3, 1, 0);
        told.0.inbox.forced_at = None;
        edit(&mut told.0);
        refusal(answer(&told))
    };
    assert!(refuse(|s| s.stopping = true).contains("stopping"));
    assert!(refuse(|s| s.myself().primary = Some(id(1))).contains("another primary"));
    assert!(refuse(|s| s.running().replication.syncing = true).contains("no copy"));
    assert!(refuse(|s| (s.running().keys, s.running().synced_since_start) = (0, false)).contains("no copy"));
    assert!(refuse(|s| (s.myself().role, s.myself().primary) = (Role::Primary, None)).contains("primary already"));
}

#[test]
fn an_empty_shard_has_a_copy_as_soon_as_it_has_synced() {
    let mut told = told(1, 1, 0);
    told.0.running().keys = 0;
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn a_stopping_node_does_not_refuse_while_votes_for_it_may_still_come_in() {
    let mut told = told(3, 1, 5199);
    told.0.stopping = true;
    assert!(is_pending(&answer(&told)), "another one would be asked, and both could win");
    told.0.now = Millis(NOW.0 + 1);
    assert!(refusal(answer(&told)).contains("stopping"));
}

#[test]
fn a_server_that_does_not_answer_is_pending_and_refuses_nothing() {
    let mut told = told(3, 1, 0);
    told.0.server = redisnode_proto::report::ServerState::Loading;
    assert!(is_pending(&answer(&told)));
}

#[test]
fn open_slots_of_the_dead_one_are_opened_again_and_no_others() {
    let mut told = told(1, 1, 0);
    told.0.open_slots(0, 5, 1, 1);
    let Step::Promote { reopen, .. } = answer(&told) else { panic!() };
    assert_eq!(reopen, [(slot(5), id(1))]);
    line(told.0.view(), 0).slots.remove(slot(5));
    assert_eq!(answer(&told), Step::Promote { how: Promotion::Takeover, reopen: Vec::new() });
    told.0.open_slots(9, 6, 1, 1);
    assert_eq!(answer(&told), Step::Promote { how: Promotion::Takeover, reopen: Vec::new() }, "another source's");
}

#[test]
fn where_marks_survive_the_shown_ones_are_opened_again_too() {
    let mut told = told(1, 1, 0);
    told.0.view().open.push(mark(5, Direction::Migrating, 1));
    assert!(
        matches!(answer(&told), Step::Promote { reopen, .. } if reopen.is_empty()),
        "elsewhere they are left-overs"
    );
    let situation = Situation { marks_survive: true, ..told.0.situation() };
    let Step::Promote { reopen, .. } = answer_notice(&situation, &told.1) else { panic!() };
    assert_eq!(reopen, [(slot(5), id(1))]);
}

#[test]
fn what_the_other_primaries_said_a_second_ago_is_asked_for_again() {
    let mut told = told(3, 1, 1500);
    told.1.notice.dead_for = Millis(60_000);
    told.0.peers = peers(3, told.0.ledger.layout.as_ref().unwrap(), Millis(NOW.0 - 1001));
    told.0.said(1).server = dead();
    assert_eq!(answer(&told), Step::Ask(vec![name(1), name(2)]), "one may have died since, or be back and vote");
}

/// Slot 5 of the dead primary has moved to `c-1` a moment ago: this table does not know it yet, `shows` does.
fn has_moved(told: &mut (Scene, ReceivedNotice), shows: usize) {
    let view = &mut told.0.their(shows).view;
    line(view, 0).slots.remove(slot(5));
    line(view, 1).slots.insert(slot(5));
    line(view, 1).epoch = ConfigEpoch(20);
}

#[test]
fn what_another_table_gives_to_a_newer_owner_is_not_taken_over() {
    let mut told = told(3, 1, 150);
    has_moved(&mut told, 2);
    told.0.silence(1);
    assert_eq!(promotes(&answer(&told)), None, "the owner itself is silent; c-2 knows it");
}

#[test]
fn while_slots_are_moving_votes_are_asked_for_only_with_a_table_that_is_up_to_date() {
    let mut told = told(3, 1, 0);
    told.0.inbox.forced_at = None;
    has_moved(&mut told, 1);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force), "nothing was to move: nobody is asked");
    told.0.layout().shards[0].slots.remove(slot(5));
    assert!(is_pending(&answer(&told)), "the voters' tables may be behind too");
    line(told.0.view(), 0).slots.remove(slot(5));
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Force));
}

#[test]
fn what_the_dead_one_has_no_more_by_its_folder_is_not_taken_over() {
    let mut told = told(2, 1, 0);
    told.0.said(0).server = dead();
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
    told.0.said(0).disk.identity.as_mut().unwrap().slots.remove(slot(5));
    told.0.silence(1);
    assert!(is_pending(&answer(&told)), "c-1 may have it, and does not answer");
    line(told.0.view(), 0).slots.remove(slot(5));
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover));
}

#[test]
fn a_claim_under_an_older_epoch_holds_nobody_up_and_an_old_word_is_asked_for_again() {
    let mut told = told(2, 1, 2000);
    line(&mut told.0.their(1).view, 1).slots.insert(slot(5));
    line(&mut told.0.their(1).view, 1).epoch = ConfigEpoch(0);
    assert_eq!(promotes(&answer(&told)), Some(Promotion::Takeover), "the dead one took it under a greater one");
    line(&mut told.0.their(1).view, 1).epoch = ConfigEpoch(20);
    assert!(is_pending(&answer(&told)));
    told.0.peers = peers(told.0.node, told.0.ledger.layout.as_ref().unwrap(), Millis(NOW.0 - 1500));
    line(&mut told.0.their(1).view, 1).slots.insert(slot(5));
    line(&mut told.0.their(1).view, 1).epoch = ConfigEpoch(20);
    assert_eq!(answer(&told), Step::Ask(vec![name(1)]), "it may have let go since");
}

#[test]
fn who_has_left_refuses_so_that_another_one_is_asked() {
    let mut told = told(2, 1, 0);
    (told.0.ledger.retired, told.0.server) = (true, dead());
    assert!(refusal(answer(&told)).contains("has left"));
}
