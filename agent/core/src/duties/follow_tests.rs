//! Whom a server follows, and what it does not give up for it: its slots, its keys, the only copy, half a move.

use redisnode_proto::ConfigEpoch;
use redisnode_proto::topology::{Direction, Health, Role};

use super::Duty;
use crate::testing::{Scene, fail, fail_over, id, line, mark, name, next_id, slots};

/// `c-2`, a replica of `c-0`, that the Layout has in the shard of `c-1` now.
fn to_move() -> Scene {
    let mut scene = Scene::new(2, 2, 1);
    let shards = &mut scene.layout().shards;
    shards[0].replicas.clear();
    shards[1].replicas.push(name(2));
    scene
}

/// `c-2` as a primary without slots and keys, which should follow `c-0`.
fn empty_primary() -> Scene {
    let mut scene = Scene::new(2, 2, 1);
    (scene.running().keys, scene.running().replication.role) = (0, Role::Primary);
    let me = scene.myself();
    (me.role, me.primary, me.epoch) = (Role::Primary, None, ConfigEpoch(0));
    scene
}

fn edited(mut scene: Scene, edit: impl FnOnce(&mut Scene)) -> Vec<Duty> {
    edit(&mut scene);
    scene.duties()
}

#[test]
fn a_replica_goes_where_the_layout_has_it() {
    assert_eq!(to_move().duties(), [Duty::Replicate(id(1))]);
}

#[test]
fn a_replica_never_leaves_a_primary_that_is_not_well_since_its_copy_may_be_the_only_one() {
    assert_eq!(edited(to_move(), |s| fail(s.view(), 0)), []);
    assert_eq!(edited(to_move(), |s| line(s.view(), 0).health = Health::Suspected), []);
    assert_eq!(edited(to_move(), |s| line(s.view(), 0).connected = false), []);
    let nothing_to_lose = edited(to_move(), |s| {
        fail(s.view(), 0);
        line(s.view(), 0).slots = slots("");
    });
    assert!(nothing_to_lose.contains(&Duty::Replicate(id(1))));
}

#[test]
fn nobody_follows_what_is_not_a_primary_that_lives() {
    assert_eq!(edited(to_move(), |s| line(s.view(), 1).handshake = true), []);
    assert_eq!(edited(to_move(), |s| fail(s.view(), 1)), [Duty::Ask(vec![name(1)])]);
    let demoted = edited(to_move(), |s| {
        line(s.view(), 1).role = Role::Replica;
        line(s.view(), 1).slots = slots("");
    });
    assert!(!demoted.contains(&Duty::Replicate(id(1))));
}

#[test]
fn after_a_failover_the_promoted_one_is_followed_whatever_the_layout_says() {
    for node in [3, 0] {
        let mut scene = Scene::new(node, 2, 2);
        scene.everybody(|view| fail_over(view, 0, 2));
        scene.their(2).replication.role = Role::Primary;
        scene.running().keys = 0;
        assert_eq!(scene.duties(), [Duty::Replicate(id(2))], "c-{node}; the one that was replaced follows too");
    }
}

#[test]
fn only_who_calls_itself_a_primary_is_followed_lest_two_become_replicas_of_each_other() {
    assert_eq!(edited(to_move(), |s| s.their(1).replication.role = Role::Replica), [Duty::Ask(vec![name(1)])]);
    assert_eq!(edited(to_move(), |s| s.silence(1)), [Duty::Ask(vec![name(1)])]);
}

#[test]
fn a_primary_without_slots_takes_an_epoch_of_its_own_when_it_knows_everybody() {
    let fresh = |epoch: u64| {
        let mut scene = Scene::new(2, 3, 0);
        scene.running().keys = 0;
        let me = scene.myself();
        (me.slots, me.epoch) = (slots(""), ConfigEpoch(epoch));
        scene
    };
    let bumps = |scene: Scene| scene.duties().contains(&Duty::BumpEpoch);
    assert!(bumps(fresh(0)) && bumps(fresh(1)));
    assert!(!bumps(fresh(7)), "it has one");
    let mut newcomer = fresh(0);
    newcomer.view().nodes.retain(|node| node.id != id(1));
    assert!(!bumps(newcomer));
}

#[test]
fn a_primary_with_slots_stays_one() {
    let duties = edited(empty_primary(), |s| {
        line(s.view(), 1).slots.remove(crate::testing::slot(16_000));
        s.myself().slots = slots("16000");
    });
    assert!(!duties.iter().any(|duty| matches!(duty, Duty::Replicate(_) | Duty::SetAside { .. })), "{duties:?}");
}

#[test]
fn an_empty_primary_follows() {
    assert_eq!(empty_primary().duties(), [Duty::Replicate(id(0))]);
}

#[test]
fn who_has_an_epoch_follows_only_a_primary_that_is_above_it_or_knows_of_it() {
    let with_epochs = |mine: u64, theirs: u64, known: u64| {
        let mut scene = empty_primary();
        scene.myself().epoch = ConfigEpoch(mine);
        line(&mut scene.their(0).view, 0).epoch = ConfigEpoch(theirs);
        scene.their(0).view.current_epoch = ConfigEpoch(known);
        scene.duties()
    };
    let (follows, waits) = ([Duty::Replicate(id(0))], [Duty::Ask(vec![name(0)])]);
    assert_eq!(with_epochs(7, 9, 9), follows);
    assert_eq!(with_epochs(7, 1, 7), follows);
    assert_eq!(with_epochs(7, 1, 6), waits, "it may take the same one later");
    assert_eq!(with_epochs(7, 7, 9), waits, "a takeover would not rise above it");
}

#[test]
fn keys_without_slots_are_moved_aside_and_only_when_every_slot_has_an_owner() {
    let with_keys = || {
        let mut scene = empty_primary();
        scene.running().keys = 3;
        scene
    };
    assert!(matches!(with_keys().duties()[..], [Duty::SetAside { .. }]));
    let uncovered = edited(with_keys(), |s| line(s.view(), 1).slots = slots("8192-16000"));
    assert_eq!(uncovered, [], "they may be the only ones of that slot");
}

#[test]
fn keys_that_have_arrived_for_an_open_slot_are_neither_moved_aside_nor_left() {
    for keys in [0, 3] {
        let duties = edited(empty_primary(), |s| {
            s.running().keys = keys;
            s.view().open = vec![mark(5, Direction::Importing, 0)];
            s.their(0).view.open = vec![mark(5, Direction::Migrating, 2)];
        });
        assert_eq!(duties, [], "the source finishes the move first");
    }
}

#[test]
fn a_replica_that_the_layout_names_primary_of_another_shard_starts_over_empty() {
    let named = || {
        let mut scene = Scene::new(2, 2, 1);
        let shards = &mut scene.layout().shards;
        shards[0].replicas.clear();
        let new = redisnode_proto::LayoutShard {
            name: "s-2".parse().unwrap(),
            slots: slots(""),
            primary: name(2),
            replicas: Vec::new(),
            handoff: None,
        };
        shards.push(new);
        scene
    };
    assert_eq!(named().duties(), [Duty::Reset]);
    assert_eq!(edited(named(), |s| fail(s.view(), 0)), [], "its copy may be the only one");
}

#[test]
fn a_replica_named_primary_of_its_own_shard_does_not_wipe_itself() {
    let mut scene = Scene::new(2, 2, 1);
    let shard = &mut scene.layout().shards[0];
    (shard.primary, shard.replicas) = (name(2), vec![name(0)]);
    assert_eq!(scene.duties(), []);
    fail(scene.view(), 0);
    line(scene.view(), 0).slots = slots("");
    assert!(!scene.duties().contains(&Duty::Reset));
}

fn leaving(mut scene: Scene) -> Scene {
    let node = scene.node;
    scene.layout().members[node].leaving = true;
    scene
}

#[test]
fn a_leaving_member_gives_up_when_nobody_needs_it() {
    assert_eq!(leaving(Scene::new(2, 2, 1)).duties(), [Duty::Retire]);
    assert_eq!(leaving(empty_primary()).duties(), [Duty::Retire]);
}

#[test]
fn a_leaving_member_stays_while_it_has_anything_that_is_needed() {
    let stays = |scene: Scene, edit: fn(&mut Scene)| !edited(leaving(scene), edit).contains(&Duty::Retire);
    assert!(stays(Scene::new(0, 2, 1), |_| ()), "slots");
    assert!(stays(Scene::new(2, 2, 1), |s| fail(s.view(), 0)), "perhaps the only copy");
    assert!(stays(Scene::new(2, 2, 1), |s| s.jobs = vec![name(1)]), "a move");
    assert!(stays(empty_primary(), |s| s.running().keys = 1), "keys");
    assert!(stays(empty_primary(), |s| s.view().open = vec![mark(5, Direction::Importing, 0)]), "half a slot");
}

#[test]
fn keys_without_slots_do_not_hold_a_leaving_member() {
    let duties = edited(leaving(empty_primary()), |s| s.running().keys = 1);
    assert!(matches!(duties[..], [Duty::SetAside { .. }]), "{duties:?}");
}

#[test]
fn a_deposed_target_gives_up_what_had_arrived_when_somebody_was_promoted_in_its_place() {
    let half = |promoted: bool| {
        let mut scene = empty_primary();
        scene.running().keys = 1;
        scene.view().open = vec![mark(5, Direction::Importing, 1)];
        if promoted {
            scene.said(0).ledger.identity.as_mut().unwrap().promoted_from = Some(id(2));
        }
        scene
    };
    let aside = |duties: Vec<Duty>| duties.iter().any(|duty| matches!(duty, Duty::SetAside { .. }));
    assert!(!aside(half(false).duties()), "it may be the only copy");
    assert!(aside(half(true).duties()));
    assert!(!aside(leaving(half(false)).duties()));
    assert!(aside(leaving(half(true)).duties()));
}

/// `c-2`, whose primary was a former life of `c-0` that everybody is to forget; its own table still shows it with slots.
fn follows_a_ghost() -> Scene {
    let mut scene = Scene::new(2, 2, 1);
    scene.running().keys = 0;
    fail(scene.view(), 0);
    scene.layout().forget = vec![id(0)];
    scene.layout().members[0].node_id = Some(next_id(0));
    scene.their(0).view.me = next_id(0);
    scene
}

#[test]
fn a_primary_that_everybody_is_to_forget_holds_nobody() {
    assert!(leaving(follows_a_ghost()).duties().contains(&Duty::Retire));
    let named = |scene: &mut Scene| {
        let shard = &mut scene.layout().shards[0];
        (shard.primary, shard.replicas) = (name(2), vec![name(0)]);
    };
    let resets = |duties: Vec<Duty>| duties.contains(&Duty::Reset);
    assert!(resets(edited(follows_a_ghost(), named)), "nobody else can make it the primary that the Layout wants");
    let mut with_keys = follows_a_ghost();
    with_keys.running().keys = 1;
    assert!(!resets(edited(with_keys, named)), "what it has is not thrown away");
}
