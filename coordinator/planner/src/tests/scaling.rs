//! Growing and shrinking, step by step: what waits for what.

use super::converge::settle;
use super::founding::declines;
use super::model::{Dice, Model, name, spec};
use super::truth::settled;
use crate::{IntentKind, Why};

/// Rounds until the plan for `model` has a Layout of `shards` shards.
fn until_listed(model: &mut Model, shards: usize) {
    let mut dice = Dice(1);
    for _ in 0..10 {
        if model.published.as_ref().is_some_and(|layout| layout.shards.len() == shards) {
            return;
        }
        model.step(&mut dice, 10);
    }
    panic!("no Layout of {shards} shards");
}

#[test]
fn new_shards_join_without_slots_and_get_them_all_at_once_when_their_replicas_are_in_sync() {
    let mut model = settled(3, 1);
    model.spec = spec(5, 1);
    until_listed(&mut model, 5);
    let plan = model.plan();
    assert!(model.published.as_ref().unwrap().shards[3..].iter().all(|shard| shard.slots.is_empty()));
    assert!(declines(&plan, Why::ReplicasNotInSync).unwrap().contains("0 of 1 replicas"));
    let mut dice = Dice(1);
    for _ in 0..4 {
        let layout = model.step(&mut dice, 0).layout;
        let with_slots = layout.map(|layout| layout.shards.iter().filter(|shard| !shard.slots.is_empty()).count());
        assert!(with_slots.is_none_or(|count| count == 3 || count == 5), "{with_slots:?}");
    }
    assert!(model.published.as_ref().unwrap().shards.iter().all(|shard| !shard.slots.is_empty()));
}

#[test]
fn a_new_primary_gets_no_slots_before_it_knows_everybody_who_owns_some() {
    let mut model = settled(3, 0);
    model.spec = spec(4, 0);
    until_listed(&mut model, 4);
    let plan = model.plan_without_line(3, 0);
    let message = declines(&plan, Why::OwnersUnknown).unwrap();
    assert!(
        message.contains("demo-3") && plan.layout.as_ref().is_none_or(|l| l.shards[3].slots.is_empty()),
        "{message}"
    );
}

#[test]
fn without_replicas_lifts_the_wait() {
    let mut model = settled(3, 1);
    model.spec = spec(4, 1);
    model.spec.migration.without_replicas = true;
    until_listed(&mut model, 4);
    let mut dice = Dice(1);
    // It joins in the first, and knows the others in the second.
    model.step(&mut dice, 0);
    model.step(&mut dice, 10);
    assert!(!model.published.as_ref().unwrap().shards[3].slots.is_empty());
}

#[test]
fn the_shard_on_leaving_members_ends_though_another_has_one_slot_less() {
    let mut model = settled(3, 0);
    model.spec = spec(2, 0);
    let layout = model.plan().layout.unwrap();
    let ending: Vec<_> = layout.shards.iter().filter(|shard| shard.slots.is_empty()).map(|s| &s.primary).collect();
    assert_eq!(ending, [&name(2)]);
}

#[test]
fn members_stay_until_their_slots_are_gone_and_their_id_is_forgotten() {
    let mut model = settled(3, 1);
    model.spec = spec(2, 1);
    let plan = model.plan();
    assert_eq!((plan.members_wanted, plan.remove.len()), (6, 0));
    assert!(plan.next.iter().any(|intent| intent.kind == IntentKind::MoveSlots));
    let mut dice = Dice(1);
    let mut waited = false;
    for _ in 0..100 {
        let plan = model.step(&mut dice, 5);
        waited |= declines(&plan, Why::NotForgotten).is_some() || declines(&plan, Why::NotRetired).is_some();
    }
    assert!(waited);
    assert_eq!(model.nodes.len(), 4);
}

#[test]
fn a_primary_on_a_leaving_member_hands_off_to_one_that_stays() {
    let mut model = settled(2, 1);
    model.promote(&name(0), &name(2));
    settle(&mut model, &mut Dice(1), 0);
    model.spec = spec(2, 0);
    let layout = model.plan().layout.unwrap();
    let wish = layout.shards[0].handoff.as_ref().unwrap();
    assert_eq!((&wish.from, &wish.to), (&name(2), &name(0)));
    assert!(!layout.member(&name(2)).unwrap().leaving);
    assert!(layout.member(&name(3)).unwrap().leaving);
}

#[test]
fn a_member_that_cannot_run_does_not_stand_in_the_way_of_shrinking() {
    let mut model = settled(2, 1);
    model.spec = spec(2, 0);
    model.sim(3).up = false;
    let mut dice = Dice(1);
    settle(&mut model, &mut dice, 0);
    assert_eq!(model.nodes.len(), 2);
}

#[test]
fn a_replica_that_leaves_waits_for_the_one_that_takes_its_place() {
    let mut model = settled(2, 2);
    model.spec = spec(2, 1);
    let staying = model.published.as_ref().unwrap().shards[0].replicas[0].clone();
    model.nodes.get_mut(&staying).unwrap().synced = false;
    model.refresh();
    let plan = model.plan();
    let layout = plan.layout.unwrap();
    let shard = &layout.shards[0];
    assert_eq!(shard.replicas.len(), 2, "the only copy in sync does not leave");
    assert_eq!(layout.shards[1].replicas.len(), 1);
}
