//! Founding is fast because it skips what protects a living cluster: so only empty founders among themselves may do it.

use proptest::prelude::*;
use redisnode_proto::topology::{Health, Role, ViewNode};
use redisnode_proto::{ConfigEpoch, NodeName};

use super::{Duty, FOUNDING_TIMEOUT, FoundersClaim, is_founding};
use crate::testing::{Scene, TIMEOUT, alone, id, layout, line, name, next_id, share, slots, view};

/// Node `node` of a cluster that is being founded: every server is new and alone, and everybody has been heard.
fn founder(node: usize, shards: usize, replicas: usize) -> Scene {
    let mut layout = layout(shards, replicas);
    let count = layout.members.len();
    layout.founding = Some((0..count).map(id).collect());
    let mut scene = Scene::of(node, &layout);
    scene.ledger.founded = false;
    (*scene.view(), scene.running().keys) = (alone(node), 0);
    for other in (0..count).filter(|other| *other != node) {
        (scene.their(other).view, scene.their(other).keys) = (alone(other), 0);
    }
    scene.node_timeout = Some(FOUNDING_TIMEOUT);
    scene
}

/// The server of primary `node` has its slots.
fn claimed(scene: &mut Scene, node: usize, of: usize) {
    let view = if node == scene.node { scene.view() } else { &mut scene.their(node).view };
    let me = line(view, node);
    (me.slots, me.epoch) = (share(node, of), ConfigEpoch(u64::try_from(node).unwrap() + 1));
}

fn met(duties: &[Duty]) -> Vec<NodeName> {
    let met = duties.iter().filter_map(|duty| match duty {
        Duty::Meet { name, .. } => Some(name.clone()),
        _ => None,
    });
    met.collect()
}

#[test]
fn a_primary_takes_an_epoch_of_its_own_then_its_slots_and_meets_nobody_before() {
    for node in 0..3 {
        let epoch = ConfigEpoch((u64::try_from(node).unwrap() + 1) * 1000);
        let claim = Duty::Claim { slots: share(node, 3), bump: false };
        assert_eq!(founder(node, 3, 1).duties(), [Duty::SetEpoch(epoch), claim]);
    }
}

#[test]
fn a_primed_founder_leaves_the_made_up_primary_with_all_it_claims_and_a_replica_with_nothing() {
    let mut scene = founder(1, 3, 1);
    scene.running().primed = true;
    let claim = FoundersClaim { epoch: ConfigEpoch(2000), slots: share(1, 3) };
    assert_eq!(scene.duties(), [Duty::Unprime(Some(claim))]);
    let mut scene = founder(4, 3, 1);
    scene.running().primed = true;
    assert_eq!(scene.duties(), [Duty::Unprime(None)]);
}

#[test]
fn a_primed_server_that_is_no_founder_claims_nothing() {
    let mut scene = founder(1, 3, 1);
    scene.running().primed = true;
    scene.layout().founding = None;
    assert_eq!(scene.duties(), [Duty::Unprime(None)]);
    let mut scene = founder(1, 3, 1);
    scene.running().primed = true;
    scene.layout().founding = Some(vec![id(0), id(2)]);
    assert_eq!(scene.duties(), [Duty::Unprime(None)]);
}

#[test]
fn a_founder_that_is_still_primed_is_not_met() {
    let mut scene = founder(0, 3, 1);
    claimed(&mut scene, 0, 3);
    scene.their(3).primed = true;
    let duties = scene.duties();
    assert!(!met(&duties).contains(&name(3)) && met(&duties).contains(&name(4)), "{duties:?}");
}

#[test]
fn a_claim_that_comes_late_needs_an_epoch_that_others_believe() {
    let mut scene = founder(0, 3, 0);
    *scene.view() = view(0, &layout(3, 0));
    scene.myself().slots = slots("");
    assert_eq!(scene.duties(), [Duty::Claim { slots: share(0, 3), bump: true }]);
}

#[test]
fn only_founders_whose_claims_are_made_are_met() {
    let mut scene = founder(0, 3, 1);
    claimed(&mut scene, 0, 3);
    claimed(&mut scene, 2, 3);
    let duties = scene.duties();
    assert_eq!(met(&duties), [name(2), name(3), name(4), name(5)], "replicas have nothing to claim");
    assert!(duties.contains(&Duty::Ask(vec![name(1)])));
}

#[test]
fn a_server_with_another_id_than_the_founders_is_not_met() {
    let mut scene = founder(0, 2, 0);
    claimed(&mut scene, 0, 2);
    claimed(&mut scene, 1, 2);
    assert_eq!(met(&scene.duties()), [name(1)]);
    scene.their(1).view.nodes[0].id = next_id(1);
    scene.their(1).view.me = next_id(1);
    assert_eq!(scene.duties(), [Duty::Ask(vec![name(1)])]);
}

#[test]
fn a_replica_follows_as_soon_as_it_sees_its_primary_with_slots() {
    let mut scene = founder(3, 3, 1);
    *scene.view() = view(3, scene.ledger.layout.as_ref().unwrap());
    let me = scene.myself();
    (me.role, me.primary) = (Role::Primary, None);
    assert_eq!(scene.duties(), [Duty::Replicate(id(0))]);
    line(scene.view(), 0).slots = slots("");
    assert_eq!(scene.duties(), []);
}

#[test]
fn founding_ends_when_the_own_view_is_whole_and_not_before() {
    let whole = |node: usize| {
        let mut scene = founder(node, 3, 1);
        *scene.view() = view(node, scene.ledger.layout.as_ref().unwrap());
        scene
    };
    for node in 0..6 {
        assert_eq!(whole(node).duties(), [Duty::EndFounding], "c-{node}");
    }
    let ends = |edit: fn(&mut Scene)| {
        let mut scene = whole(3);
        edit(&mut scene);
        scene.duties().contains(&Duty::EndFounding)
    };
    assert!(!ends(|s| s.view().state_ok = false));
    assert!(!ends(|s| s.view().nodes.retain(|node| node.id != id(5))));
    assert!(!ends(|s| line(s.view(), 5).handshake = true));
    assert!(!ends(|s| line(s.view(), 5).health = Health::Suspected));
    assert!(!ends(|s| line(s.view(), 2).slots = slots("10923-16000")));
    assert!(!ends(|s| s.myself().primary = Some(id(1))));
    let behind = |s: &mut Scene| (line(s.view(), 4).role, line(s.view(), 4).primary) = (Role::Primary, None);
    assert!(!ends(behind), "another shard's replica is still seen as the primary that it was");
}

#[test]
fn a_client_that_writes_before_the_agent_looks_again_does_not_keep_founding_from_its_end() {
    let mut scene = founder(0, 3, 1);
    *scene.view() = view(0, scene.ledger.layout.as_ref().unwrap());
    scene.running().keys = 1;
    assert!(scene.duties().contains(&Duty::EndFounding));
    scene.ledger.founded = true;
    assert!(!scene.duties().contains(&Duty::EndFounding), "it is written down once");
}

#[test]
fn the_node_time_out_is_low_only_while_founding() {
    let mut scene = founder(0, 3, 1);
    scene.node_timeout = Some(TIMEOUT);
    assert_eq!(scene.duties()[0], Duty::SetNodeTimeout(FOUNDING_TIMEOUT));
    scene.ledger.founded = true;
    scene.node_timeout = Some(FOUNDING_TIMEOUT);
    assert_eq!(scene.duties()[0], Duty::SetNodeTimeout(TIMEOUT));
}

#[test]
fn who_is_not_an_empty_founder_among_founders_never_founds() {
    let founds = |edit: fn(&mut Scene)| {
        let mut scene = founder(0, 3, 1);
        edit(&mut scene);
        let founding = is_founding(&scene.situation());
        assert_eq!(founding, scene.duties().iter().any(|duty| matches!(duty, Duty::Claim { .. })));
        founding
    };
    assert!(founds(|_| ()));
    assert!(!founds(|s| s.running().keys = 1), "it has keys");
    assert!(!founds(|s| s.ledger.founded = true), "it has ended founding");
    assert!(!founds(|s| s.layout().founding = None), "the Layout founds nothing");
    assert!(!founds(|s| s.layout().founding = Some(vec![id(1)])), "it is not listed");
    assert!(!founds(|s| (s.view().nodes[0].id, s.view().me) = (next_id(0), next_id(0))), "it has another id");
    let stranger = |handshake: bool| ViewNode { handshake, ..alone(11).nodes[0].clone() };
    let mut scene = founder(0, 3, 1);
    scene.view().nodes.push(stranger(true));
    assert!(is_founding(&scene.situation()), "an address that is being tried out is nobody yet");
    scene.view().nodes.push(stranger(false));
    assert!(!is_founding(&scene.situation()), "it knows somebody who does not found");
}

proptest! {
    #[test]
    fn before_its_slots_are_its_own_a_founding_primary_meets_nobody(
        shards in 1usize..6, replicas in 0usize..3, has in any::<proptest::sample::Index>(), heard in any::<u16>(),
    ) {
        let mut scene = founder(0, shards, replicas);
        let mine: Vec<_> = share(0, shards).iter().collect();
        scene.myself().slots = mine.iter().take(has.index(mine.len() + 1)).copied().collect();
        for other in 1..shards {
            if heard & (1 << other) != 0 { claimed(&mut scene, other, shards); }
        }
        let complete = usize::from(scene.myself().slots.len()) == mine.len();
        let duties = scene.duties();
        prop_assert_eq!(complete, !duties.iter().any(|duty| matches!(duty, Duty::Claim { .. })));
        for name in met(&duties) {
            prop_assert!(complete);
            let other = usize::try_from(name.ordinal().unwrap()).unwrap();
            prop_assert!(other >= shards || heard & (1 << other) != 0, "{} has not claimed", name);
        }
    }
}
