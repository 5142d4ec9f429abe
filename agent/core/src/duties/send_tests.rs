//! Which slots go to whom, which open ones are closed, and when the role is given away.

use proptest::prelude::*;
use redisnode_proto::job::Job;
use redisnode_proto::layout::WishedHandoff;
use redisnode_proto::topology::{Direction, Role};
use redisnode_proto::{ConfigEpoch, NodeName, SlotSet};

use super::{Duty, SendTo, sends};
use crate::testing::{Scene, dead, fail, fail_over, id, line, mark, name, share, slot, slots};

/// `c-0` of three shards owns 0-5460 and should keep 0-99; 100-199 go to `c-1`, the rest to `c-2`.
fn source(replicas: usize) -> Scene {
    let mut scene = Scene::new(0, 3, replicas);
    let shards = &mut scene.layout().shards;
    shards[0].slots = slots("0-99");
    shards[1].slots = share(1, 3).union(&slots("100-199"));
    shards[2].slots = share(2, 3).union(&slots("200-5460"));
    scene
}

fn to(target: usize, all: &str, open: &str) -> SendTo {
    SendTo { target: name(target), target_id: id(target), slots: slots(all), open: slots(open) }
}

fn sent(scene: &Scene) -> Vec<SendTo> {
    sends(&scene.situation())
}

#[test]
fn every_pair_is_served_at_once() {
    assert_eq!(sent(&source(0)), [to(1, "100-199", ""), to(2, "200-5460", "")]);
}

#[test]
fn an_open_slot_is_finished_whatever_the_layout_says_now() {
    let mut scene = source(0);
    scene.view().open = vec![mark(50, Direction::Migrating, 2), mark(150, Direction::Migrating, 2)];
    let sent = sent(&scene);
    assert_eq!(sent[0].slots, slots("100-149").union(&slots("151-199")));
    assert_eq!((sent[0].open.len(), &sent[1].open), (0, &slots("50").union(&slots("150"))));
    assert!(sent[1].slots.contains(slot(50)), "the Layout would keep it, but half of it is there");
}

#[test]
fn while_moves_are_paused_open_slots_are_finished_and_no_other_is_begun() {
    let mut scene = source(0);
    scene.view().open = vec![mark(150, Direction::Migrating, 2)];
    scene.layout().settings.migration.pause = true;
    assert_eq!(sent(&scene), [to(2, "150", "150")]);
}

#[test]
fn a_slot_that_its_target_holds_half_is_finished_though_the_mark_is_lost() {
    let mut scene = Scene::new(0, 3, 0);
    scene.inbox.resume = vec![(slot(50), id(1)), (slot(9000), id(1))];
    assert_eq!(sent(&scene), [to(1, "50", "50")], "and what this server does not own is not its to send");
}

#[test]
fn a_target_that_was_replaced_is_served_through_its_heir() {
    let mut scene = source(1);
    scene.view().open = vec![mark(150, Direction::Migrating, 1)];
    fail_over(scene.view(), 1, 4);
    line(scene.view(), 1).role = Role::Replica;
    assert_eq!(sent(&scene)[1], to(4, "100-199", "150"));
    (line(scene.view(), 1).role, line(scene.view(), 1).primary) = (Role::Primary, None);
    fail(scene.view(), 1);
    assert_eq!(sent(&scene)[1], to(4, "100-199", "150"), "it may never come back");
}

#[test]
fn a_target_that_came_back_without_its_slots_was_deposed_and_its_heir_is_served() {
    let mut scene = source(1);
    scene.view().open = vec![mark(150, Direction::Migrating, 1)];
    fail_over(scene.view(), 1, 4);
    assert_eq!(sent(&scene)[1], to(4, "100-199", "150"), "c-1 still calls itself a primary");
}

#[test]
fn a_fresh_target_that_the_layout_makes_a_replica_of_its_source_is_still_served() {
    let mut scene = Scene::new(0, 2, 0);
    let shards = &mut scene.layout().shards;
    shards.pop();
    shards[0].replicas.push(name(1));
    line(scene.view(), 1).slots = slots("");
    scene.view().open = vec![mark(5, Direction::Migrating, 1)];
    assert_eq!(sent(&scene), [to(1, "5", "5")], "what has arrived there is nowhere else");
    scene.ledger.identity.as_mut().unwrap().promoted_from = Some(id(1));
    assert_eq!(sent(&scene), [], "its copy is here");
}

#[test]
fn a_source_whose_writes_are_held_sends_nothing() {
    let mut scene = source(0);
    scene.view().open = vec![mark(150, Direction::Migrating, 1)];
    scene.running().writes_paused = true;
    assert_eq!(sent(&scene), [], "its heir may have the slots, and the keys that are missing here");
}

#[test]
fn nothing_is_sent_to_a_target_that_is_not_well_or_not_met() {
    let gone = |edit: fn(&mut Scene)| {
        let mut scene = source(0);
        edit(&mut scene);
        sent(&scene) == [to(2, "200-5460", "")]
    };
    assert!(gone(|s| fail(s.view(), 1)));
    assert!(gone(|s| line(s.view(), 1).handshake = true));
    assert!(gone(|s| s.view().nodes.retain(|node| node.id != id(1))));
}

#[test]
fn no_move_begins_between_primaries_of_equal_epochs_but_one_that_is_open_is_finished() {
    let mut scene = source(0);
    line(scene.view(), 1).epoch = ConfigEpoch(3);
    assert_eq!(sent(&scene), [], "the servers settle c-1 and c-2 first: one of them could win slots back");
    scene.view().open = vec![mark(150, Direction::Migrating, 1)];
    assert_eq!(sent(&scene), [to(1, "150", "150")], "and no other is begun");
    let mut scene = source(0);
    line(scene.view(), 1).epoch = ConfigEpoch(1);
    assert_eq!(sent(&scene), [], "this server's own epoch is not its own alone");
}

#[test]
fn replicas_and_stopping_nodes_send_nothing() {
    let mut scene = source(1);
    scene.stopping = true;
    assert!(!scene.duties().iter().any(|duty| matches!(duty, Duty::Send(_))));
    let mut replica = Scene::new(3, 3, 1);
    replica.ledger.layout = source(1).ledger.layout;
    replica.view().open = vec![mark(150, Direction::Migrating, 1)];
    assert!(!replica.duties().iter().any(|duty| matches!(duty, Duty::Send(_) | Duty::CloseExport { .. })));
}

/// `c-1` has slot 5 open for arrival from its owner `c-0`.
fn importing() -> Scene {
    let mut scene = Scene::new(1, 2, 0);
    scene.view().open = vec![mark(5, Direction::Importing, 0)];
    scene
}

#[test]
fn a_left_over_import_is_closed_when_its_owner_says_that_it_sends_nothing() {
    assert_eq!(importing().duties(), [Duty::CloseImport { slot: slot(5), owner: name(0) }]);
}

#[test]
fn an_import_is_left_open_while_its_owner_sends_is_silent_or_is_down() {
    let mut scene = importing();
    scene.their(0).view.open = vec![mark(5, Direction::Migrating, 1)];
    assert_eq!(scene.duties(), []);
    let mut scene = importing();
    scene.said(0).jobs = vec![job(1, &slots("5"))];
    assert_eq!(scene.duties(), []);
    let mut scene = importing();
    scene.silence(0);
    assert_eq!(scene.duties(), [Duty::Ask(vec![name(0)])]);
    let mut scene = importing();
    scene.said(0).server = dead();
    assert_eq!(scene.duties(), []);
}

#[test]
fn a_mark_on_a_slot_that_has_arrived_is_taken_off() {
    let mut scene = importing();
    line(scene.view(), 0).slots.remove(slot(5));
    scene.myself().slots.insert(slot(5));
    assert!(scene.duties().contains(&Duty::CloseExport { slot: slot(5) }));
}

#[test]
fn a_replica_leaves_the_marks_of_its_primary_alone() {
    let mut scene = Scene::new(3, 2, 1);
    scene.view().open = vec![mark(5, Direction::Importing, 0), mark(9000, Direction::Migrating, 9)];
    assert_eq!(scene.duties(), []);
}

#[test]
fn a_slot_open_towards_nobody_is_closed_here_and_towards_a_known_node_is_not() {
    let closed = Duty::CloseExport { slot: slot(5) };
    let mut scene = Scene::new(0, 2, 0);
    scene.view().open = vec![mark(5, Direction::Migrating, 9)];
    assert_eq!(scene.duties(), std::slice::from_ref(&closed));
    scene.view().open = vec![mark(5, Direction::Migrating, 1)];
    assert!(!scene.duties().contains(&closed));
    fail(scene.view(), 1);
    assert!(!scene.duties().contains(&closed), "its keys may come back with it");
    line(scene.view(), 1).slots.insert(slot(5));
    line(scene.view(), 0).slots.remove(slot(5));
    assert!(scene.duties().contains(&closed), "it has a new owner already");
}

#[test]
fn a_replica_watches_open_slots_until_their_source_says_that_there_are_none() {
    let told = || {
        let mut scene = Scene::new(2, 2, 1);
        scene.open_slots(0, 5, 1, 2);
        scene.no_failover = Some(true);
        scene
    };
    assert_eq!(told().duties(), [Duty::ClearOpenSlots]);
    let mut scene = told();
    scene.their(0).view.open = vec![mark(5, Direction::Migrating, 1)];
    assert_eq!(scene.duties(), []);
    let mut scene = told();
    scene.said(0).jobs = vec![job(1, &slots("6"))];
    assert_eq!(scene.duties(), [], "more may be opened at any moment");
    let mut scene = told();
    scene.silence(0);
    assert_eq!(scene.duties(), [Duty::Ask(vec![name(0)])]);
    let mut scene = told();
    scene.said(0).server = dead();
    assert_eq!(scene.duties(), [], "it is the heir of what its primary had open");
}

fn job(target: usize, remaining: &SlotSet) -> Job {
    Job::new(name(target), remaining.clone())
}

/// To whom, for each order to hand off.
fn handoff(scene: &Scene) -> Vec<Option<NodeName>> {
    let orders = scene.duties().into_iter().filter_map(|duty| match duty {
        Duty::HandOff { to } => Some(to),
        _ => None,
    });
    orders.collect()
}

#[test]
fn a_wished_handoff_counts_only_for_the_primary_it_names() {
    let wish = |from: usize, to: usize| Some(WishedHandoff { from: name(from), to: name(to) });
    let mut scene = Scene::new(0, 2, 1);
    scene.layout().shards[0].handoff = wish(0, 2);
    assert_eq!(handoff(&scene), [Some(name(2))]);
    let mut done = Scene::new(2, 2, 1);
    done.layout().shards[0].handoff = wish(0, 2);
    fail_over(done.view(), 0, 2);
    assert_eq!(handoff(&done), [], "it is done, and not undone");
    let mut replaced = Scene::new(0, 2, 1);
    replaced.layout().shards[0].handoff = wish(0, 2);
    fail_over(replaced.view(), 0, 2);
    line(replaced.view(), 0).role = Role::Replica;
    assert_eq!(handoff(&replaced), []);
}

#[test]
fn a_person_or_the_stopping_agent_is_obeyed_before_the_layout() {
    let mut scene = Scene::new(0, 2, 2);
    scene.layout().shards[0].handoff = Some(WishedHandoff { from: name(0), to: name(2) });
    scene.inbox.handoff = Some(Some(name(3)));
    assert_eq!(handoff(&scene), [Some(name(3))]);
    (scene.inbox.handoff, scene.stopping) = (Some(None), true);
    assert_eq!(handoff(&scene), [None]);
}

proptest! {
    #[test]
    fn no_slot_goes_to_two_targets_and_none_that_is_not_here(
        cuts in proptest::collection::vec(0u16..16384, 3),
        open in proptest::collection::vec((0u16..16384, 0usize..5), 0..6),
        resume in proptest::collection::vec((0u16..16384, 0usize..5), 0..6),
    ) {
        let mut scene = Scene::new(0, 4, 0);
        let mut cuts = cuts;
        cuts.extend([0, 16384]);
        cuts.sort_unstable();
        for (shard, border) in cuts.windows(2).enumerate() {
            scene.layout().shards[shard].slots = (border[0]..border[1]).map(slot).collect();
        }
        let mut marks: Vec<_> = open.iter().map(|(slot, peer)| mark(*slot, Direction::Migrating, *peer)).collect();
        marks.sort_by_key(|mark| mark.slot);
        marks.dedup_by_key(|mark| mark.slot);
        scene.view().open = marks;
        scene.inbox.resume = resume.iter().map(|(number, target)| (slot(*number), id(*target))).collect();
        let mut seen = SlotSet::new();
        for send in sent(&scene) {
            prop_assert!(send.target != name(0) && !send.slots.is_empty());
            prop_assert!(send.open.is_subset(&send.slots));
            prop_assert!(send.slots.is_subset(&share(0, 4)));
            prop_assert!(send.slots.is_disjoint(&seen), "{} twice", send.slots.intersection(&seen));
            seen = seen.union(&send.slots);
        }
    }
}

#[test]
fn a_mark_that_the_server_made_at_its_start_is_no_move() {
    let mut scene = Scene::new(0, 3, 0);
    scene.view().open = vec![mark(9000, Direction::Importing, 1), mark(9001, Direction::Importing, 1)];
    scene.ledger.open_at_start = Some(slots("9000"));
    let duties = scene.duties();
    let closed = |number| duties.contains(&Duty::CloseExport { slot: slot(number) });
    assert!(closed(9001), "the owner would be asked to send what is a left-over of an old dump");
    assert!(!closed(9000), "what has arrived of it is nowhere else");
}
