//! Each thing that must wait for another one, and what for.

use super::founding::declines;
use super::model::{Dice, Model, name, spec};
use super::truth::settled;
use crate::Why;

/// Three pairs of which the third is to end: member 2 is freed, members 4 and 5 leave.
fn shrinking() -> Model {
    let mut model = settled(3, 1);
    model.spec = spec(2, 1);
    model
}

#[test]
fn a_replica_stays_until_there_is_another_one_for_its_shard() {
    let mut model = shrinking();
    let plan = model.plan();
    let layout = plan.layout.as_ref().unwrap();
    assert!(layout.shards[1].has(&name(4)) && !layout.member(&name(4)).unwrap().leaving);
    assert!(declines(&plan, Why::MemberMissing).unwrap().contains("demo-4 does not leave shard-2"));
}

#[test]
fn slots_wait_for_the_replicas_of_the_shard_that_gets_them() {
    let mut model = shrinking();
    model.sim(3).synced = false;
    let plan = model.plan();
    assert!(declines(&plan, Why::ReplicasNotInSync).unwrap().contains("shard-1 has 0 of 1 replicas in sync"));
    let targets = |layout: &redisnode_proto::Layout| layout.shards.iter().map(|s| s.slots.len()).collect::<Vec<_>>();
    let base = targets(model.published.as_ref().unwrap());
    assert!(plan.layout.is_none_or(|layout| targets(&layout) == base));
}

#[test]
fn a_handoff_waits_for_the_slots_of_its_shard() {
    let mut model = shrinking();
    model.promote(&name(1), &name(4));
    model.sim(1).synced = true;
    let plan = model.plan();
    let shard = &plan.layout.as_ref().unwrap().shards[1];
    assert_eq!((&shard.primary, &shard.handoff), (&name(4), &None));
    assert!(declines(&plan, Why::SlotsStillMoving).is_some());
}

#[test]
fn a_member_that_gave_up_everything_is_not_removed_before_the_others_forgot_it() {
    let mut model = settled(2, 1);
    model.spec = spec(2, 0);
    let sim = model.sim(3);
    (sim.retired, sim.up, sim.id, sim.follows, sim.synced) = (true, false, None, None, false);
    model.refresh();
    let plan = model.plan();
    assert_eq!(plan.layout.as_ref().unwrap().forget.len(), 1);
    assert!(declines(&plan, Why::NotForgotten).unwrap().contains("demo-3"));
    assert!(!plan.remove.contains(&name(3)));
}

#[test]
fn a_shard_is_told_to_take_no_slots_before_its_members_are_free() {
    let mut model = settled(3, 0);
    model.spec = spec(4, 0);
    let mut dice = Dice(1);
    for _ in 0..10 {
        let layout = model.published.as_ref().unwrap();
        if layout.shards.get(3).is_some_and(|shard| !shard.slots.is_empty()) {
            break;
        }
        model.step(&mut dice, 0);
    }
    assert!(!model.published.as_ref().unwrap().shards[3].slots.is_empty());
    model.spec = spec(3, 0);
    let first = model.step(&mut dice, 10).layout.unwrap();
    assert!(first.shards.len() == 4 && first.shards[3].slots.is_empty());
    model.step(&mut dice, 0);
    assert_eq!(model.step(&mut dice, 10).layout.unwrap().shards.len(), 3);
}

#[test]
fn nothing_changes_for_a_wish_that_cannot_be_met_yet() {
    let mut model = settled(3, 1);
    model.spec = spec(5, 1);
    let mut dice = Dice(1);
    model.step(&mut dice, 10);
    for ordinal in 6..10 {
        model.sim(ordinal).speaks = false;
    }
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert_eq!(plan.members_wanted, 10);
    assert!(declines(&plan, Why::MemberMissing).unwrap().contains("demo-6"));
}
