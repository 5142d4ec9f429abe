//! Slots without an owner: claimed by who should have them, when those who vote see it so, and nobody holds their data.

use redisnode_proto::ConfigEpoch;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::{Direction, Role};

use super::Duty;
use crate::testing::{Scene, dead, id, line, mark, name, share, slot, slots};

/// `c-0`: nobody owns the slots of its shard, in anybody's eyes.
fn ownerless(shards: usize, replicas: usize) -> Scene {
    let mut scene = Scene::new(0, shards, replicas);
    scene.everybody(|view| line(view, 0).slots = slots(""));
    scene.running().keys = 0;
    for replica in 0..replicas {
        scene.their(shards + replica).keys = 0;
    }
    scene
}

fn claims(scene: &Scene) -> Option<redisnode_proto::SlotSet> {
    scene.duties().into_iter().find_map(|duty| match duty {
        Duty::Claim { slots, bump } => {
            assert!(bump, "others believe only a newer epoch");
            Some(slots)
        }
        _ => None,
    })
}

#[test]
fn slots_that_a_majority_shows_without_owner_are_claimed() {
    assert_eq!(claims(&ownerless(3, 0)), Some(share(0, 3)));
    let mut scene = ownerless(4, 0);
    scene.silence(1);
    assert_eq!(claims(&scene), Some(share(0, 4)), "two of three that vote");
}

#[test]
fn without_a_majority_nothing_is_claimed_and_the_silent_are_asked() {
    let mut scene = ownerless(3, 0);
    scene.silence(1);
    assert_eq!(claims(&scene), None);
    assert_eq!(scene.duties(), [Duty::Ask(vec![name(1)])]);
    let mut scene = ownerless(3, 0);
    scene.said(1).server = dead();
    assert_eq!(claims(&scene), None, "a dead primary is no witness");
}

#[test]
fn a_living_owner_in_anybodys_eyes_keeps_its_slots() {
    let mut scene = ownerless(3, 1);
    line(&mut scene.their(1).view, 3).role = Role::Primary;
    line(&mut scene.their(1).view, 3).slots = slots("0-99");
    assert_eq!(claims(&scene), Some(share(0, 3).difference(&slots("0-99"))));
    line(&mut scene.their(1).view, 3).slots = share(0, 3);
    assert_eq!(claims(&scene), None);
}

#[test]
fn an_owner_that_has_failed_may_be_cut_off_with_the_data_and_keeps_its_slots_until_it_is_forgotten() {
    let mut scene = ownerless(3, 0);
    line(&mut scene.their(1).view, 2).slots = slots("0-99").union(&share(2, 3));
    line(&mut scene.their(1).view, 2).health = redisnode_proto::topology::Health::Failed;
    assert_eq!(claims(&scene), Some(share(0, 3).difference(&slots("0-99"))), "this server knows it by hearsay only");
    scene.layout().forget.push(id(2));
    assert_eq!(claims(&scene), Some(share(0, 3)));
    line(scene.view(), 2).slots.insert(slot(0));
    assert_eq!(claims(&scene), Some(share(0, 3).difference(&slots("0"))));
}

#[test]
fn a_newcomer_that_has_only_heard_of_a_member_does_not_know_what_it_owns() {
    let mut scene = ownerless(3, 0);
    let unheard = line(scene.view(), 2);
    (unheard.epoch, unheard.connected, unheard.slots) = (ConfigEpoch(0), false, slots(""));
    assert_eq!(claims(&scene), None);
    line(scene.view(), 2).connected = true;
    assert_eq!(claims(&scene), Some(share(0, 3)), "it is new and has nothing");
}

#[test]
fn a_newcomer_that_has_not_met_everybody_does_not_take_its_ignorance_for_theirs() {
    let mut scene = ownerless(3, 0);
    scene.view().nodes.retain(|node| node.id != id(2));
    assert_eq!(claims(&scene), None);
    let mut scene = ownerless(3, 0);
    line(scene.view(), 2).handshake = true;
    assert_eq!(claims(&scene), None);
}

#[test]
fn where_nobody_has_slots_a_majority_of_all_members_must_agree() {
    let mut scene = Scene::new(0, 3, 0);
    scene.everybody(|view| (0..3).for_each(|node| line(view, node).slots = slots("")));
    assert_eq!(claims(&scene), Some(share(0, 3)));
    scene.silence(1);
    assert_eq!(claims(&scene), Some(share(0, 3)));
    scene.silence(2);
    assert_eq!(claims(&scene), None);
}

#[test]
fn a_mate_that_may_hold_the_data_keeps_an_empty_server_from_claiming() {
    let claims_with = |edit: fn(&mut Scene)| {
        let mut scene = ownerless(1, 1);
        edit(&mut scene);
        claims(&scene).is_some()
    };
    assert!(claims_with(|_| ()));
    assert!(!claims_with(|s| s.silence(1)), "silence is not emptiness");
    assert!(!claims_with(|s| s.their(1).keys = 1));
    assert!(!claims_with(|s| s.said(1).server = dead()), "there is data on its disk");
    assert!(!claims_with(|s| s.said(1).server = ServerState::Loading));
    assert!(claims_with(|s| (s.running().keys, s.their(1).keys) = (5, 5)), "it has what the mate has");
}

#[test]
fn who_is_not_the_shards_primary_or_is_stopping_claims_nothing() {
    let mut scene = ownerless(3, 0);
    scene.stopping = true;
    assert_eq!(claims(&scene), None);
    let mut scene = Scene::new(3, 3, 1);
    scene.everybody(|view| line(view, 0).slots = slots(""));
    assert_eq!(claims(&scene), None);
    let mut scene = ownerless(3, 0);
    scene.layout().members[0].leaving = true;
    assert_eq!(claims(&scene), None);
}

#[test]
fn a_slot_that_is_marked_as_arriving_is_not_claimed_before_everybody_has_said_that_it_has_no_owner() {
    let marked = || {
        let mut scene = Scene::new(0, 2, 0);
        scene.everybody(|view| {
            line(view, 0).slots.remove(slot(5));
        });
        scene.view().open = vec![mark(5, Direction::Importing, 1)];
        scene
    };
    assert_eq!(marked().duties(), [Duty::CloseExport { slot: slot(5) }], "then it is claimed");
    let mut scene = marked();
    scene.silence(1);
    assert!(!scene.duties().iter().any(|duty| matches!(duty, Duty::Claim { .. } | Duty::CloseExport { .. })));
}
