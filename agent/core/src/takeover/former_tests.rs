//! A node that came back empty, under another id, certifies for the id it had: to one heir, and to that one again.

use std::collections::BTreeSet;

use redisnode_proto::ledger::Promise;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::{Role, ViewNode};
use redisnode_proto::{ConfigEpoch, Offset};

use super::{FormerLife, former_life};
use crate::testing::{OFFSET, Scene, dead, fail, fail_over, id, layout, line, name, next_id, slots};

/// `c-0`, which lost its folder; `c-3` and `c-4` still follow what it was.
fn reborn() -> Scene {
    let mut scene = Scene::new(0, 3, 2);
    scene.everybody(|view| {
        fail(view, 0);
        let new = ViewNode { id: next_id(0), slots: slots(""), ..line(view, 1).clone() };
        view.nodes.push(new);
    });
    scene.view().me = next_id(0);
    scene
}

fn look(scene: &Scene, refused: &[usize]) -> FormerLife {
    let refused: BTreeSet<_> = refused.iter().map(|node| name(*node)).collect();
    former_life(&scene.situation(), &refused)
}

fn promise(chosen: usize) -> Promise {
    Promise { dead: id(0), epoch: ConfigEpoch(1), chosen: name(chosen), chosen_id: id(chosen) }
}

#[test]
fn the_best_follower_of_the_former_id_is_told() {
    let mut scene = reborn();
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(3)));
    scene.their(4).replication.offset = Offset(OFFSET.0 + 1);
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(4)));
}

#[test]
fn a_follower_that_refused_is_stopping_or_has_nothing_is_passed_over() {
    assert_eq!(look(&reborn(), &[3]), FormerLife::Certify(promise(4)));
    let mut scene = reborn();
    scene.said(3).stopping = true;
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(4)));
    let mut scene = reborn();
    (scene.their(3).keys, scene.their(3).synced_since_start) = (0, false);
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(4)));
}

#[test]
fn the_one_that_was_told_is_told_again_though_another_looks_better_now() {
    let mut scene = reborn();
    scene.ledger.promise = Some(promise(4));
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(4)));
    scene.silence(4);
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(4)), "its server may be winning just now");
}

#[test]
fn refusal_certified_death_or_a_layout_without_it_lets_another_be_told() {
    let told = || {
        let mut scene = reborn();
        scene.ledger.promise = Some(promise(4));
        scene
    };
    assert_eq!(look(&told(), &[4]), FormerLife::Certify(promise(3)));
    let mut scene = told();
    scene.said(4).server = dead();
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(3)));
    let mut scene = told();
    scene.silence(4);
    scene.layout().members.retain(|listed| listed.member.name != name(4));
    scene.layout().shards[0].replicas.retain(|mate| *mate == name(3));
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(3)));
}

#[test]
fn a_promise_about_another_life_binds_nobody() {
    let mut scene = reborn();
    scene.ledger.promise = Some(Promise { dead: id(9), ..promise(4) });
    assert_eq!(look(&scene, &[]), FormerLife::Certify(promise(3)));
}

#[test]
fn it_is_settled_once_the_heir_owns_the_slots() {
    let mut scene = reborn();
    scene.ledger.promise = Some(promise(3));
    scene.everybody(|view| {
        fail_over(view, 0, 3);
        line(view, 4).primary = Some(id(3));
    });
    scene.their(3).replication.role = Role::Primary;
    assert_eq!(look(&scene, &[]), FormerLife::Settled);
}

#[test]
fn a_server_that_has_the_id_it_always_had_has_no_former_life() {
    assert_eq!(look(&Scene::new(0, 3, 2), &[]), FormerLife::Settled);
}

#[test]
fn a_founder_has_no_former_life() {
    let mut scene = reborn();
    scene.layout().founding = Some(vec![id(0)]);
    assert_eq!(look(&scene, &[]), FormerLife::Settled);
}

#[test]
fn mates_are_asked_before_anybody_is_told_and_silence_is_not_absence() {
    let mut scene = reborn();
    scene.peers.remove(&name(4));
    assert_eq!(look(&scene, &[]), FormerLife::Ask(vec![name(4)]));
    let mut scene = reborn();
    scene.said(3).server = ServerState::Loading;
    scene.silence(4);
    assert_eq!(look(&scene, &[]), FormerLife::Ask(vec![name(3), name(4)]));
}

#[test]
fn with_no_replica_left_the_loss_is_said_as_long_as_the_former_id_owns_slots() {
    let mut scene = Scene::of(0, &layout(3, 0));
    scene.everybody(|view| {
        fail(view, 0);
        let new = ViewNode { id: next_id(0), slots: slots(""), ..line(view, 1).clone() };
        view.nodes.push(new);
    });
    scene.view().me = next_id(0);
    assert_eq!(look(&scene, &[]), FormerLife::NobodyLeft { id: id(0) });
    scene.view().nodes.retain(|node| node.id != id(0));
    assert_eq!(look(&scene, &[]), FormerLife::Settled);
}

/// `c-0`, new, whose former id no Layout remembers any more; `c-1`, of the same shard, still follows that id.
fn forgotten_by_the_layout() -> Scene {
    let mut scene = Scene::new(0, 1, 1);
    scene.everybody(|view| {
        fail(view, 0);
        let new = ViewNode { id: next_id(0), slots: slots(""), ..line(view, 0).clone() };
        view.nodes.push(new);
    });
    let view = scene.view();
    view.me = next_id(0);
    view.nodes.retain(|node| node.id != id(0));
    for node in &mut view.nodes {
        if node.id == next_id(0) {
            (node.role, node.primary) = (Role::Primary, None);
        }
    }
    if let Some(layout) = &mut scene.ledger.layout {
        for member in layout.members.iter_mut().filter(|member| member.member.name == name(0)) {
            member.node_id = Some(next_id(0));
        }
    }
    scene
}

#[test]
fn an_owner_that_no_member_is_any_more_is_certified_once_every_member_has_answered() {
    let mut scene = forgotten_by_the_layout();
    assert!(
        matches!(look(&scene, &[]), FormerLife::Certify(promise) if promise.dead == id(0) && promise.chosen == name(1))
    );
    scene.silence(1);
    assert_eq!(look(&scene, &[]), FormerLife::Ask(vec![name(1)]));
}
