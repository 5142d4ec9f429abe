//! What is believed: terms, majorities, failovers, members that came back as somebody else, lying views.

use redisnode_proto::status::{ConditionType, Truth};
use redisnode_proto::topology::Role;
use redisnode_proto::{Generation, LayoutShard, Millis};

use super::converge::{condition, is_as_wanted, settle};
use super::founding::declines;
use super::model::{Dice, Model, name, spec};
use super::outage::Fault;
use crate::Why;

pub(super) fn settled(shards: u32, replicas: u32) -> Model {
    let mut model = Model::new(spec(shards, replicas));
    settle(&mut model, &mut Dice(1), 0);
    model.events.clear();
    model
}

#[test]
fn a_new_life_says_the_same_again_under_its_own_term_once_a_majority_is_heard() {
    let mut model = settled(3, 1);
    let before = model.published.take().unwrap();
    (model.term, model.now) = (7, model.now.after(Millis(10_000)));
    for ordinal in 0..3 {
        model.sim(ordinal).speaks = false;
    }
    let plan = model.plan();
    assert_eq!(plan.layout, None, "three of six are no majority");
    let message = declines(&plan, Why::MajorityNotHeard).unwrap();
    assert!(message.contains("4 of 6") && message.contains("demo-0, demo-1, demo-2"), "{message}");
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::Unknown);
    assert_eq!(condition(&plan, ConditionType::Ready), Truth::Unknown);
    model.sim(0).speaks = true;
    let next = model.plan().layout.unwrap();
    assert_eq!(next.generation, Generation::first_of(7));
    assert!(next.says_the_same(&before));
}

#[test]
fn a_layout_of_a_higher_term_silences_this_life() {
    let mut model = settled(3, 0);
    let mut other = model.published.clone().unwrap();
    other.generation = Generation::first_of(9);
    model.sim(2).layout = Some(other);
    model.spec = spec(4, 0);
    let plan = model.plan();
    assert_eq!((&plan.layout, plan.events.len()), (&None, 0));
    assert!(plan.declined.iter().any(|d| d.why == Why::TermOvertaken && d.message.contains("above 9")));
}

#[test]
fn the_same_generation_with_other_content_silences_this_life() {
    let mut model = settled(3, 0);
    model.sim(1).layout.as_mut().unwrap().settings.node_timeout = Millis(1);
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert!(declines(&plan, Why::TermOvertaken).is_some());
}

#[test]
fn a_failover_is_adopted_and_not_fought() {
    let mut model = settled(3, 1);
    model.strike(&name(0), Fault::Kill);
    let plan = model.plan();
    let shard = &plan.layout.as_ref().unwrap().shards[0];
    assert_eq!((&shard.primary, &shard.replicas[..], &shard.handoff), (&name(3), &[name(0)][..], &None));
    assert!(plan.events.iter().any(|event| event.reason == "FailoverAdopted"));
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::True);
    assert_eq!(condition(&plan, ConditionType::Degraded), Truth::True);
}

#[test]
fn a_replica_that_is_promoted_where_it_was_about_to_leave_goes_back_there() {
    let mut model = settled(2, 1);
    let mut layout = model.published.clone().unwrap();
    let moved = layout.shards[0].replicas.remove(0);
    layout.shards[1].replicas.push(moved.clone());
    layout.generation = layout.generation.next();
    model.published = Some(layout);
    let old = model.published.as_ref().unwrap().shards[0].primary.clone();
    model.strike(&old, Fault::Kill);
    let next = model.plan().layout.unwrap();
    assert_eq!(next.shards[0].primary, moved);
    assert!(!next.shards[1].has(&moved));
}

#[test]
fn in_a_shard_without_slots_who_is_a_primary_already_stays_it() {
    let mut model = settled(1, 2);
    let mut layout = model.published.clone().unwrap();
    layout.shards[0].replicas.clear();
    let (primary, replicas, name_of_new) = (name(2), vec![name(1)], "shard-2".parse().unwrap());
    let slots = redisnode_proto::SlotSet::new();
    layout.shards.push(LayoutShard { name: name_of_new, slots, primary, replicas, handoff: None });
    layout.generation = layout.generation.next();
    (model.published, model.spec) = (Some(layout), spec(2, 1));
    let id = model.sim(1).id.clone();
    (model.sim(1).role, model.sim(1).follows, model.sim(1).synced) = (Role::Primary, None, false);
    model.sim(2).follows = id;
    model.refresh();
    let layout = model.plan().layout.unwrap();
    assert_eq!(layout.shards[1].primary, name(1), "its replica would wait for it for ever");
}

#[test]
fn a_member_that_lost_its_folder_keeps_its_seat_as_a_replica_and_its_former_id_until_that_owns_nothing() {
    let mut model = settled(2, 1);
    let former = model.sim(0).id.clone();
    let heir = model.heir_of(&name(0)).unwrap();
    let newborn = model.newborn(&name(0), 0);
    model.nodes.insert(name(0), newborn);
    model.refresh();
    let plan = model.plan();
    let layout = plan.layout.clone().unwrap();
    assert_eq!(layout.shards[0].primary, heir, "who has the data is to be the primary");
    assert!(layout.shards[0].replicas.contains(&name(0)));
    assert_eq!(layout.member(&name(0)).unwrap().node_id, former, "its agent must read whose death it certifies");
    assert!(layout.forget.is_empty());
    assert!(declines(&plan, Why::TakeoverPending).unwrap().contains(heir.as_str()));
}

#[test]
fn a_member_that_must_certify_its_own_death_is_not_moved_to_a_new_shard() {
    let mut model = settled(1, 1);
    let newborn = model.newborn(&name(0), 0);
    model.nodes.insert(name(0), newborn);
    model.spec = spec(2, 0);
    model.refresh();
    let layout = model.plan().layout.unwrap();
    assert_eq!(layout.shards.len(), 1, "nobody would tell the other one to take over");
    assert!(layout.shards[0].has(&name(0)) && layout.shards[0].has(&name(1)));
}

#[test]
fn a_shard_that_ends_stays_as_long_as_its_dead_primary_owns_slots() {
    let mut model = settled(2, 1);
    let mut layout = model.published.clone().unwrap();
    layout.shards[0].slots = layout.shards[0].slots.union(&layout.shards[1].slots);
    layout.shards[1].slots = redisnode_proto::SlotSet::new();
    layout.generation = layout.generation.next();
    (model.published, model.spec) = (Some(layout), spec(1, 1));
    let newborn = model.newborn(&name(1), 1);
    model.nodes.insert(name(1), newborn);
    model.refresh();
    let layout = model.plan().layout.unwrap_or_else(|| model.published.clone().unwrap());
    let ending = layout.shards.iter().find(|shard| shard.slots.is_empty()).expect("nobody is left to take over");
    assert!(ending.has(&name(1)) && ending.has(&name(3)), "{ending:?}");
}

#[test]
fn slots_that_nobody_has_a_copy_of_are_said_to_be_lost_and_claimed_anew() {
    let mut model = settled(3, 0);
    let former = model.sim(1).id.clone().unwrap();
    model.strike(&name(1), Fault::Wipe);
    let plan = model.plan();
    assert_eq!(plan.layout.as_ref().unwrap().forget, [former]);
    let lost = plan.events.iter().find(|event| event.reason == "DataLost").unwrap();
    assert!(lost.message.contains("5462-10922"), "{}", lost.message);
    model.carry_out(&plan);
    let plan = settle(&mut model, &mut Dice(5), 0);
    is_as_wanted(&model, &plan);
    assert_eq!(model.events.iter().filter(|event| *event == "DataLost").count(), 1);
}

#[test]
fn a_successor_that_has_not_spoken_may_have_the_folder_so_nothing_is_given_up() {
    let mut model = settled(3, 0);
    model.sim(2).machine.member.uid = "another".parse().unwrap();
    (model.sim(2).speaks, model.sim(2).up) = (false, false);
    model.refresh();
    let plan = model.plan();
    assert!(declines(&plan, Why::TakeoverPending).unwrap().contains("demo-2 may come back with its data"));
    assert!(plan.layout.is_none_or(|layout| layout.forget.is_empty()));
    (model.sim(2).speaks, model.sim(2).up) = (true, true);
    let plan = settle(&mut model, &mut Dice(5), 0);
    is_as_wanted(&model, &plan);
    assert!(!model.events.iter().any(|event| event == "DataLost"));
}

#[test]
fn a_primary_that_is_gone_while_it_is_to_leave_is_made_anew_to_give_up_its_slots() {
    let mut model = settled(3, 0);
    model.spec = spec(2, 0);
    model.strike(&name(2), Fault::Gone);
    assert_eq!(model.plan().members_wanted, 3);
    let mut back = model.sim(2).clone();
    back.machine.member.uid = "another".parse().unwrap();
    (back.up, back.machine.presence) = (true, crate::Presence::Present);
    model.nodes.insert(name(2), back);
    let plan = settle(&mut model, &mut Dice(5), 0);
    is_as_wanted(&model, &plan);
    assert!(!model.events.iter().any(|event| event == "DataLost"));
}

#[test]
fn a_silent_mate_may_hold_a_copy_so_nothing_is_given_up() {
    let mut model = settled(3, 1);
    let heir = model.heir_of(&name(1)).unwrap();
    model.nodes.get_mut(&heir).unwrap().speaks = false;
    model.now = model.now.after(Millis(10_000));
    let newborn = model.newborn(&name(1), 1);
    model.nodes.insert(name(1), newborn);
    model.refresh();
    let plan = model.plan();
    assert!(declines(&plan, Why::TakeoverPending).unwrap().contains(heir.as_str()));
    assert!(plan.layout.is_none_or(|layout| layout.forget.is_empty()));
}

#[test]
fn servers_that_know_nobody_do_not_agree_that_somebody_is_dead() {
    let mut model = settled(3, 0);
    model.strike(&name(1), Fault::Wipe);
    model.table.clear();
    let plan = model.plan();
    assert!(plan.layout.as_ref().is_none_or(|layout| layout.forget.is_empty()));
    assert!(declines(&plan, Why::NotAgreed).is_some());
}

#[test]
fn a_living_server_that_belongs_to_no_member_is_said_and_not_forgotten() {
    let mut model = settled(3, 0);
    let (id, mut line) = (model.fresh_id(), model.sim(0).line());
    line.slots = redisnode_proto::SlotSet::new();
    model.table.insert(id.clone(), line);
    let plan = model.plan();
    assert_eq!(plan.layout, None);
    assert!(declines(&plan, Why::StrangerPresent).unwrap().contains(id.short()));
    assert_eq!(condition(&plan, ConditionType::Degraded), Truth::True);
}

#[test]
fn a_member_with_slots_beside_its_primary_gives_them_up_in_a_shard_of_its_own() {
    let mut model = settled(2, 1);
    let replica = model.heir_of(&name(0)).unwrap();
    let piece: redisnode_proto::SlotSet = model.sim(0).slots.iter().take(100).collect();
    let kept = model.sim(0).slots.difference(&piece);
    model.sim(0).slots = kept;
    let stray = model.nodes.get_mut(&replica).unwrap();
    (stray.slots, stray.role, stray.follows, stray.epoch) = (piece, Role::Primary, None, 9999);
    model.refresh();
    let layout = model.plan().layout.unwrap();
    let own = layout.shards.iter().find(|shard| shard.primary == replica).unwrap();
    assert!(own.slots.is_empty() && layout.shards.len() == 3);
    let plan = settle(&mut model, &mut Dice(5), 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn a_shard_that_ends_keeps_its_members_while_slots_are_bound_to_a_former_life_of_its_primary() {
    let mut model = settled(3, 1);
    let heir = model.heir_of(&name(2)).unwrap();
    model.spec = spec(1, 1);
    model.published = model.plan().layout;
    let ends = model.published.iter().flat_map(|layout| &layout.shards).find(|shard| shard.primary == name(2));
    assert!(ends.unwrap().slots.is_empty());
    model.nodes.get_mut(&heir).unwrap().speaks = false;
    model.now = model.now.after(Millis(10_000));
    let mut newborn = model.newborn(&name(2), 2);
    newborn.speaks = false;
    model.nodes.insert(name(2), newborn);
    model.refresh();
    let layout = model.plan().layout.or(model.published.clone()).unwrap();
    let shard = layout.shards.iter().find(|shard| shard.has(&heir));
    assert!(shard.is_some_and(|shard| shard.has(&name(2))), "whose agent certifies its former life's death");
}

#[test]
fn a_silent_replica_may_hold_the_copy_whatever_shard_its_primary_is_listed_in_now() {
    let mut model = settled(3, 1);
    let heir = model.heir_of(&name(1)).unwrap();
    model.nodes.get_mut(&heir).unwrap().speaks = false;
    model.now = model.now.after(Millis(10_000));
    let newborn = model.newborn(&name(1), 1);
    model.nodes.insert(name(1), newborn);
    let mut base = model.published.clone().unwrap();
    let left = base.shards.iter().position(|shard| shard.has(&name(1))).unwrap();
    let slots = std::mem::take(&mut base.shards[left].slots);
    base.shards[left].replicas.clear();
    let other = (left + 1) % base.shards.len();
    base.shards[other].slots = base.shards[other].slots.union(&slots);
    model.published = Some(base);
    model.refresh();
    let plan = model.plan();
    assert!(declines(&plan, Why::TakeoverPending).unwrap().contains(heir.as_str()));
    assert!(plan.layout.is_none_or(|layout| layout.forget.is_empty()));
}
