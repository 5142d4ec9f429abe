//! Keys of slots that others own: which of them go, and which may be the only ones.

use redisnode_proto::SlotSet;
use redisnode_proto::job::Job;
use redisnode_proto::topology::Direction;

use super::Duty;
use crate::testing::{Scene, dead, fail_over, id, line, mark, name, slot, slots};

/// `c-0` of three shards, of which the last slots are strays here: `c-2` owns them.
fn stray() -> Scene {
    let mut scene = Scene::new(0, 3, 1);
    scene.running().strays = slots("16000-16001");
    scene
}

fn dropped(scene: &Scene) -> Vec<Duty> {
    scene.duties().into_iter().filter(|duty| matches!(duty, Duty::DropDoubles { .. })).collect()
}

#[test]
fn a_promoted_server_drops_what_its_primary_had_sent_away() {
    assert_eq!(dropped(&stray()), [Duty::DropDoubles { slots: slots("16000-16001"), owner: name(2) }]);
}

#[test]
fn what_is_open_here_or_at_the_owner_may_be_the_only_copy() {
    let mut scene = stray();
    scene.view().open = vec![mark(16000, Direction::Importing, 2)];
    scene.their(2).view.open = vec![mark(16001, Direction::Migrating, 0)];
    assert_eq!(dropped(&scene), [], "the move is finished first");
}

#[test]
fn a_slot_that_the_owner_sends_or_was_told_to_open_again_stays() {
    let mut scene = stray();
    scene.said(2).jobs = vec![Job::new(name(1), slots("16000"))];
    scene.said(2).ledger.open_slots = Some(redisnode_proto::ledger::OpenSlots {
        source: id(5),
        slots: vec![(slot(16001), id(0))],
        doubtful: SlotSet::new(),
        heir: name(2),
    });
    assert_eq!(dropped(&scene), []);
}

#[test]
fn an_owner_that_is_silent_dead_or_not_sure_of_its_slots_confirms_nothing() {
    let mut scene = stray();
    scene.silence(2);
    assert_eq!(dropped(&scene), []);
    assert!(scene.duties().iter().any(|duty| matches!(duty, Duty::Ask(names) if names.contains(&name(2)))));
    let mut scene = stray();
    scene.said(2).server = dead();
    assert_eq!(dropped(&scene), []);
    let mut scene = stray();
    scene.their(2).writes_paused = true;
    assert_eq!(dropped(&scene), []);
    let mut scene = stray();
    fail_over(&mut scene.their(2).view, 2, 1);
    assert_eq!(dropped(&scene), [], "it has given the slots away, and the own table is behind");
}

#[test]
fn a_server_that_holds_its_writes_or_follows_drops_nothing() {
    let mut scene = stray();
    scene.running().writes_paused = true;
    assert_eq!(dropped(&scene), []);
    let mut scene = Scene::new(3, 3, 1);
    scene.running().strays = slots("16000");
    assert_eq!(dropped(&scene), []);
}

#[test]
fn slots_that_have_become_the_servers_own_are_no_strays() {
    let mut scene = stray();
    let both = |view: &mut redisnode_proto::topology::View| {
        let strays = slots("16000-16001");
        line(view, 2).slots = line(view, 2).slots.difference(&strays);
        line(view, 0).slots = line(view, 0).slots.union(&strays);
    };
    scene.everybody(both);
    assert_eq!(dropped(&scene), []);
}
