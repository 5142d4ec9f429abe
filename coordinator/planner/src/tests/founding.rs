//! When a cluster may come to be, and when not.

use redisnode_proto::{Generation, SlotSet};

use super::converge::{is_as_wanted, settle};
use super::model::{Dice, Model, name, spec};
use super::outage::Fault;
use crate::{IntentKind, Plan, Why};

pub(super) fn declines(plan: &Plan, why: Why) -> Option<&str> {
    plan.declined.iter().find(|declined| declined.why == why).map(|declined| declined.message.as_str())
}

#[test]
fn six_empty_members_are_founded_as_three_pairs_in_one_layout() {
    let plan = Model::new(spec(3, 1)).plan();
    let layout = plan.layout.unwrap();
    assert_eq!(layout.generation, Generation::first_of(1));
    assert_eq!(layout.founding.unwrap().len(), 6);
    let seats: Vec<_> = layout.shards.iter().map(|shard| (shard.primary.clone(), shard.replicas.clone())).collect();
    assert_eq!(seats, [0, 1, 2].map(|n| (name(n), vec![name(n + 3)])));
    assert_eq!(layout.shards[0].slots.to_string(), "0-5461");
    assert_eq!(plan.next[0].kind, IntentKind::Found);
    assert_eq!(plan.events[0].reason, "Founding");
}

#[test]
fn one_silent_member_holds_up_the_founding_and_is_named() {
    let mut model = Model::new(spec(3, 1));
    model.sim(4).speaks = false;
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert!(declines(&plan, Why::FounderMissing).unwrap().contains("demo-4"));
    assert_eq!(plan.status.summary, "Founding");
}

#[test]
fn a_member_that_holds_keys_is_never_founded_over() {
    let mut model = Model::new(spec(3, 0));
    model.sim(1).slots = SlotSet::full();
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert!(declines(&plan, Why::FounderNotEmpty).unwrap().contains("demo-1"));
}

#[test]
fn one_ledger_with_a_layout_means_that_the_cluster_exists() {
    let mut model = Model::new(spec(3, 1));
    settle(&mut model, &mut Dice(1), 0);
    let kept = model.published.take();
    model.term = 2;
    for ordinal in 1..6 {
        model.strike(&name(ordinal), Fault::Wipe);
    }
    let plan = model.plan();
    assert_eq!(model.sim(0).layout, kept);
    assert!(plan.layout.is_none_or(|layout| layout.founding.is_none()), "no second cluster is founded");
}

#[test]
fn a_founder_that_is_replaced_turns_the_founding_into_an_ordinary_layout_with_the_same_slots() {
    let mut model = Model::new(spec(3, 0));
    let first = model.plan().layout.unwrap();
    model.published = Some(first.clone());
    model.strike(&name(1), Fault::Wipe);
    let second = model.plan().layout.unwrap();
    assert_eq!(second.founding, None);
    let slots = |layout: &redisnode_proto::Layout| layout.shards.iter().map(|s| s.slots.clone()).collect::<Vec<_>>();
    assert_eq!(slots(&first), slots(&second));
    let plan = settle(&mut model, &mut Dice(1), 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn a_spec_that_changes_during_the_founding_waits_for_its_end() {
    let mut model = Model::new(spec(3, 0));
    model.published = model.plan().layout;
    model.spec = spec(2, 0);
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert!(declines(&plan, Why::FoundingNotEnded).is_some());
    assert_eq!(plan.members_wanted, 3, "nobody is removed meanwhile");
}

#[test]
fn a_founder_whose_server_dies_does_not_keep_the_others_in_the_founding() {
    let mut model = Model::new(spec(2, 1));
    let mut dice = Dice(3);
    model.published = model.plan().layout;
    for round in 0..3 {
        model.step(&mut dice, 0);
        if round == 0 {
            model.sim(3).founded = false;
            (model.sim(3).up, model.sim(3).synced) = (false, false);
        }
    }
    assert_eq!(model.published.as_ref().unwrap().founding, None);
}
