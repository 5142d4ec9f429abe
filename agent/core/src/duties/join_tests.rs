//! Who is met and who is forgotten: one MEET to a foreign node joins two clusters, one wrong FORGET takes slots away.

use redisnode_proto::Millis;
use redisnode_proto::topology::Health;

use super::Duty;
use crate::testing::{NOW, Scene, TIMEOUT, address, fail, id, line, name, next_id, slots};

/// `c-0` of two shards with a replica each; it does not know `c-3`.
fn missing() -> Scene {
    let mut scene = Scene::new(0, 2, 1);
    scene.view().nodes.retain(|node| node.id != id(3));
    scene
}

#[test]
fn a_healthy_cluster_has_nothing_to_do() {
    for (shards, replicas) in [(1, 0), (1, 2), (2, 0), (3, 1), (4, 2)] {
        for node in 0..shards * (replicas + 1) {
            assert_eq!(Scene::new(node, shards, replicas).duties(), [], "c-{node} of {shards} with {replicas}");
        }
    }
}

#[test]
fn without_a_layout_a_place_in_it_or_a_server_nothing_is_done() {
    let mut scene = missing();
    scene.ledger.layout = None;
    assert_eq!(scene.duties(), []);
    let mut scene = missing();
    scene.layout().members.retain(|listed| listed.member.name != name(0));
    assert_eq!(scene.duties(), []);
    let mut scene = missing();
    scene.server = crate::testing::dead();
    assert_eq!(scene.duties(), []);
}

#[test]
fn a_server_that_still_follows_the_made_up_primary_is_not_met() {
    let mut scene = missing();
    scene.their(3).primed = true;
    assert_eq!(scene.duties(), [Duty::Ask(vec![name(3)])]);
}

#[test]
fn a_peer_that_has_proved_itself_is_met_where_it_says_it_is() {
    assert_eq!(missing().duties(), [Duty::Meet { name: name(3), id: id(3), address: address(3) }]);
}

#[test]
fn nobody_is_met_on_the_word_of_the_layout_or_of_a_peer_of_another_cluster() {
    let ask = [Duty::Ask(vec![name(3)])];
    let mut scene = missing();
    scene.silence(3);
    assert_eq!(scene.duties(), ask);
    let mut scene = missing();
    scene.said(3).cluster = "cl-2".parse().unwrap();
    assert_eq!(scene.duties(), ask);
    let mut scene = missing();
    scene.said(3).member.name = name(2);
    assert_eq!(scene.duties(), ask);
    let mut scene = missing();
    scene.now = Millis(NOW.0 + 1001);
    assert!(!scene.duties().iter().any(|duty| matches!(duty, Duty::Meet { .. })), "addresses are dealt anew");
}

#[test]
fn an_id_that_is_to_be_forgotten_is_never_met() {
    let mut scene = missing();
    scene.layout().forget = vec![id(3)];
    assert_eq!(scene.duties(), []);
}

#[test]
fn a_member_that_came_back_under_a_new_id_is_met_under_that_one() {
    let mut scene = Scene::new(0, 2, 1);
    line(&mut scene.their(3).view, 3).id = next_id(3);
    scene.their(3).view.me = next_id(3);
    assert!(scene.duties().contains(&Duty::Meet { name: name(3), id: next_id(3), address: address(3) }));
}

#[test]
fn who_is_being_met_who_leaves_and_who_is_well_is_not_met_again() {
    let mut scene = Scene::new(0, 2, 1);
    line(scene.view(), 3).handshake = true;
    assert_eq!(scene.duties(), []);
    let mut scene = missing();
    scene.layout().members[3].leaving = true;
    assert_eq!(scene.duties(), []);
    let mut scene = Scene::new(0, 2, 1);
    scene.said(3).address.port = 9999;
    assert_eq!(scene.duties(), [], "the link is up");
}

#[test]
fn a_peer_out_of_reach_is_met_at_its_new_address_only() {
    let mut scene = Scene::new(0, 2, 1);
    line(scene.view(), 3).connected = false;
    assert_eq!(scene.duties(), [], "it is where it was: the server itself goes on trying");
    scene.said(3).address.port = 9999;
    let mut moved = address(3);
    moved.port = 9999;
    assert_eq!(scene.duties(), [Duty::Meet { name: name(3), id: id(3), address: moved }]);
}

#[test]
fn a_former_member_is_forgotten() {
    let mut scene = Scene::new(0, 2, 1);
    scene.layout().forget = vec![id(3), id(9)];
    assert_eq!(scene.duties(), [Duty::Forget(id(3))], "and who is unknown is forgotten already");
}

#[test]
fn a_living_owner_of_slots_the_own_primary_and_the_server_itself_are_never_forgotten() {
    let mut scene = Scene::new(3, 2, 1);
    scene.layout().forget = vec![id(0), id(1), id(3)];
    assert!(!scene.duties().iter().any(|duty| matches!(duty, Duty::Forget(_))));
    fail(scene.view(), 0);
    assert!(scene.duties().contains(&Duty::Forget(id(0))), "a dead owner's slots are for others to claim");
    line(scene.view(), 1).health = Health::Failed;
    assert!(!scene.duties().contains(&Duty::Forget(id(1))), "its own primary");
}

#[test]
fn an_owner_without_slots_may_be_alive_and_is_forgotten() {
    let mut scene = Scene::new(0, 2, 0);
    scene.layout().forget = vec![id(1)];
    line(scene.view(), 1).slots = slots("");
    assert!(scene.duties().contains(&Duty::Forget(id(1))));
}

#[test]
fn only_a_replica_with_open_slots_is_kept_from_standing_for_election() {
    let mut scene = Scene::new(2, 2, 1);
    scene.open_slots(0, 5, 1, 2);
    line(&mut scene.their(0).view, 0).connected = true;
    scene.their(0).view.open = vec![crate::testing::mark(5, redisnode_proto::topology::Direction::Migrating, 1)];
    assert_eq!(scene.duties(), [Duty::SetNoFailover(true)]);
    scene.no_failover = Some(true);
    assert_eq!(scene.duties(), []);
    scene.ledger.open_slots = None;
    assert_eq!(scene.duties(), [Duty::SetNoFailover(false)]);
    (scene.no_failover, scene.node_timeout) = (None, None);
    assert_eq!(scene.duties(), [], "what is in force is not known");
    (scene.no_failover, scene.node_timeout) = (Some(false), Some(Millis(500)));
    assert_eq!(scene.duties(), [Duty::SetNodeTimeout(TIMEOUT)]);
}
