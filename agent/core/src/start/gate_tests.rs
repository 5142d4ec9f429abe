//! When the writes of a primary that has just started may flow: never while another may own its slots.

use redisnode_proto::report::ServerState;
use redisnode_proto::topology::{Direction, Role};
use redisnode_proto::{ConfigEpoch, Millis, NodeName};

use super::{Gate, GateSituation, gate};
use crate::testing::{NOW, Scene, alone, dead, fail_over, id, line, mark, name, peers, slot, slots};

fn at_gate(scene: &Scene, layout_confirmed: bool) -> Gate {
    gate(&GateSituation { node: &scene.situation(), started_at: NOW, layout_confirmed })
}

fn is_open(scene: &Scene) -> bool {
    at_gate(scene, false) == Gate::Open
}

fn asks(gate: &Gate) -> Vec<NodeName> {
    match gate {
        Gate::Held { ask, .. } => ask.clone(),
        Gate::Open => panic!("it is open"),
    }
}

#[test]
fn replicas_and_primaries_without_slots_have_no_writes_to_hold() {
    assert!(is_open(&Scene::new(3, 3, 1)));
    let mut scene = Scene::new(0, 3, 1);
    scene.peers.clear();
    scene.myself().slots = crate::testing::slots("");
    assert!(is_open(&scene));
}

#[test]
fn a_server_that_does_not_answer_keeps_its_gate_closed() {
    let mut scene = Scene::new(0, 1, 0);
    scene.server = dead();
    assert!(!is_open(&scene));
}

#[test]
fn the_only_node_of_a_cluster_waits_for_nobody() {
    assert!(is_open(&Scene::new(0, 1, 0)));
}

#[test]
fn the_only_primary_waits_until_every_mate_has_answered_since_the_start() {
    let mut scene = Scene::new(0, 1, 2);
    assert!(is_open(&scene));
    scene.peers = peers(0, scene.ledger.layout.as_ref().unwrap(), Millis(NOW.0 - 1));
    assert_eq!(asks(&at_gate(&scene, false)), [name(1), name(2)], "answers from before the start do not count");
    let mut scene = Scene::new(0, 1, 2);
    scene.silence(2);
    assert_eq!(asks(&at_gate(&scene, false)), [name(2)]);
    assert_eq!(at_gate(&scene, true), Gate::Open, "the coordinator has confirmed the Layout");
}

#[test]
fn a_server_that_was_deposed_before_its_start_waits_for_the_mates_whatever_the_coordinator_says() {
    let mut scene = Scene::new(0, 1, 1);
    scene.ledger.deposed = true;
    scene.said(1).server = ServerState::Unknown { reason: "stopped".into() };
    assert_eq!(asks(&at_gate(&scene, true)), [name(1)], "the new owner may only be slow");
    scene.layout().shards[0].replicas.clear();
    assert_eq!(at_gate(&scene, false), Gate::Open, "a Layout without it: it is gone for good");
}

#[test]
fn a_mate_that_owns_the_slots_keeps_the_gate_closed_whatever_the_coordinator_says() {
    let mut scene = Scene::new(0, 1, 1);
    fail_over(&mut scene.their(1).view, 0, 1);
    assert_eq!(asks(&at_gate(&scene, true)), [name(1)]);
}

#[test]
fn a_mate_that_has_not_met_this_server_yet_is_waited_for() {
    let mut scene = Scene::new(0, 1, 1);
    scene.their(1).view = alone(1);
    assert!(!is_open(&scene));
}

#[test]
fn a_mate_that_is_certainly_down_takes_no_writes_and_is_not_waited_for() {
    let mut scene = Scene::new(0, 1, 1);
    scene.said(1).server = dead();
    assert!(is_open(&scene));
}

#[test]
fn a_mate_that_is_down_but_owns_the_slots_by_its_folder_would_have_the_writes_dropped() {
    let mut scene = Scene::new(0, 1, 1);
    let mine = scene.myself().slots.clone();
    let mate = scene.said(1);
    mate.server = dead();
    let disk = mate.disk.identity.as_mut().unwrap();
    (disk.role, disk.primary, disk.epoch, disk.slots) = (Role::Primary, None, ConfigEpoch(2), mine);
    assert!(!is_open(&scene));
    scene.said(1).disk.identity.as_mut().unwrap().epoch = ConfigEpoch(1);
    assert!(is_open(&scene), "an equal epoch takes nothing from this one");
}

#[test]
fn among_several_a_majority_of_the_primaries_must_show_this_one_as_the_owner() {
    let mut scene = Scene::new(0, 3, 0);
    scene.silence(1);
    assert!(is_open(&scene), "two of three");
    scene.silence(2);
    assert_eq!(asks(&at_gate(&scene, true)), [name(1), name(2)], "the coordinator is no vote");
}

#[test]
fn two_primaries_need_each_other() {
    let mut scene = Scene::new(0, 2, 0);
    assert!(is_open(&scene));
    scene.silence(1);
    assert!(!is_open(&scene));
    let mut scene = Scene::new(0, 2, 0);
    scene.said(1).server = dead();
    assert!(!is_open(&scene), "a dead primary is no witness");
}

#[test]
fn a_primary_that_shows_another_owner_does_not_count_for_this_one() {
    let mut scene = Scene::new(0, 3, 1);
    fail_over(&mut scene.their(1).view, 0, 3);
    assert!(is_open(&scene), "c-2 still agrees");
    fail_over(&mut scene.their(2).view, 0, 3);
    assert!(!is_open(&scene));
}

#[test]
fn replicas_of_other_shards_are_no_voters() {
    let mut scene = Scene::new(0, 3, 1);
    scene.silence(1);
    scene.silence(2);
    assert!(!is_open(&scene), "only replicas agree");
}

#[test]
fn after_a_failover_elsewhere_the_promoted_replica_votes_for_its_shard() {
    let mut scene = Scene::new(0, 3, 1);
    scene.silence(1);
    scene.silence(2);
    scene.their(4).replication.role = Role::Primary;
    assert!(is_open(&scene));
}

#[test]
fn a_source_that_died_in_mid_move_asks_its_mates_since_its_target_shows_it_as_the_owner_in_any_case() {
    let moving = || {
        let mut scene = Scene::new(0, 3, 1);
        scene.view().open = vec![mark(5, Direction::Migrating, 1)];
        scene
    };
    assert!(is_open(&moving()));
    let mut scene = moving();
    scene.peers.remove(&name(3));
    assert_eq!(asks(&at_gate(&scene, false)), [name(3)]);
    scene.silence(3);
    assert!(is_open(&scene), "the others are a majority");
    let mut scene = moving();
    fail_over(&mut scene.their(3).view, 0, 3);
    assert_eq!(asks(&at_gate(&scene, true)), [name(3)]);
}

#[test]
fn a_slot_that_a_witness_has_open_for_arrival_need_not_be_bound_to_this_one_there() {
    let mut scene = Scene::new(0, 2, 0);
    let view = &mut scene.their(1).view;
    line(view, 0).slots.remove(slot(5));
    assert!(!is_open(&scene));
    scene.their(1).view.open = vec![mark(5, Direction::Importing, 3)];
    assert!(is_open(&scene), "the move cannot end before this gate opens");
    line(&mut scene.their(1).view, 0).slots = slots("");
    assert!(!is_open(&scene), "nor is that all that it shows");
}

#[test]
fn a_target_without_slots_that_was_deposed_takes_nothing_by_ask() {
    let arriving = || {
        let mut scene = Scene::new(0, 2, 1);
        scene.myself().slots = slots("");
        scene.view().open = vec![mark(9000, Direction::Importing, 1)];
        scene
    };
    assert!(is_open(&arriving()));
    let mut scene = arriving();
    scene.peers.remove(&name(1));
    assert_eq!(asks(&at_gate(&scene, true)), [name(1)]);
    let mut scene = arriving();
    scene.said(2).ledger.identity.as_mut().unwrap().promoted_from = Some(id(0));
    assert_eq!(asks(&at_gate(&scene, true)), [name(2)]);
    let mut scene = arriving();
    scene.silence(2);
    assert_eq!(asks(&at_gate(&scene, true)), [name(2)], "it may be the heir, and its agent dead");
    let mut scene = arriving();
    scene.silence(3);
    assert!(is_open(&scene), "a replica of another shard has not been promoted from this one");
}
