//! Moves of slots that somebody holds up: a paused one keeps its aim, an aborted one leaves every slot where it is, and
//! both are said.

use std::collections::BTreeSet;

use proptest::prelude::*;
use redisnode_proto::spec::Moves;
use redisnode_proto::status::{Condition, ConditionType, Truth};
use redisnode_proto::topology::{Direction, OpenSlot};
use redisnode_proto::{Layout, NodeName, Slot, SlotRange, SlotSet};

use super::converge::{is_as_wanted, settle};
use super::founding::declines;
use super::model::{Dice, Model, name, spec};
use super::truth::settled;
use crate::{Plan, Why};

/// A cluster in the middle of a move of slots to `shards` shards: some have moved, and some have not.
fn half_moved(from: u32, shards: u32, replicas: u32) -> Model {
    for seed in 1..20 {
        let (mut model, mut dice) = (settled(from, replicas), Dice(seed));
        model.spec = spec(shards, replicas);
        for _ in 0..40 {
            let layout = model.published.as_ref().unwrap();
            if model.moves.contains(&1) && !keeps_owners(&model, layout) {
                return model;
            }
            model.step(&mut dice, 4);
        }
    }
    panic!("nothing moves");
}

fn owners(model: &Model) -> Vec<(NodeName, SlotSet)> {
    model.nodes.iter().map(|(name, sim)| (name.clone(), sim.slots.clone())).collect()
}

/// Which slots are together at a node, whoever that is: a shard's primary may change.
fn pieces(model: &Model) -> BTreeSet<Vec<SlotRange>> {
    model.nodes.values().map(|sim| sim.slots.ranges()).filter(|ranges| !ranges.is_empty()).collect()
}

fn targets(layout: &Layout) -> Vec<SlotSet> {
    layout.shards.iter().map(|shard| shard.slots.clone()).collect()
}

fn condition(plan: &Plan, kind: ConditionType) -> &Condition {
    plan.status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

/// Runs on for a while, in which no slot moves.
fn stays(model: &mut Model, dice: &mut Dice) -> Plan {
    let before = owners(model);
    let mut last = model.step(dice, 0);
    for _ in 0..30 {
        last = model.step(dice, 0);
        assert_eq!(owners(model), before);
    }
    assert!(last.layout.is_none(), "it has come to rest");
    last
}

/// Whether `layout` has every slot with whoever owns it.
fn keeps_owners(model: &Model, layout: &Layout) -> bool {
    model.nodes.iter().all(|(name, sim)| {
        let shard = layout.shards.iter().find(|shard| shard.nodes().any(|node| node == name));
        sim.slots.is_empty() || shard.is_some_and(|shard| sim.slots.difference(&shard.slots).is_empty())
    })
}

#[test]
fn a_paused_move_keeps_its_aim_says_why_it_stands_still_and_goes_on_when_resumed() {
    let (mut model, mut dice) = (half_moved(1, 2, 1), Dice(5));
    let aim = targets(model.published.as_ref().unwrap());
    model.moves_allowed = Moves::Paused;
    let plan = stays(&mut model, &mut dice);
    let layout = model.published.as_ref().unwrap();
    assert!(layout.settings.migration.pause && targets(layout) == aim);
    let message = declines(&plan, Why::MovesPaused).unwrap();
    assert!(message.contains("moves are paused; resume with kubectl rediscluster migration resume demo"), "{message}");
    let rebalancing = condition(&plan, ConditionType::Rebalancing);
    assert_eq!((rebalancing.status, rebalancing.reason.as_str()), (Truth::True, "MovesPaused"));
    assert_eq!(rebalancing.message, message);
    assert_eq!(condition(&plan, ConditionType::Ready).status, Truth::False);
    assert!(plan.next.is_empty(), "nothing is said to move: {:?}", plan.next);
    model.moves_allowed = Moves::GoOn;
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
    assert!(model.moves.iter().all(|moves| *moves <= 1), "no slot moves twice");
    assert_eq!(
        model.events.iter().filter(|event| event.starts_with("Moves")).collect::<Vec<_>>(),
        ["MovesHeld", "MovesGoOn"]
    );
}

#[test]
fn the_spec_pauses_as_the_switch_does_and_says_what_to_write() {
    let (mut model, mut dice) = (half_moved(1, 2, 0), Dice(5));
    model.spec.migration.pause = true;
    let plan = stays(&mut model, &mut dice);
    let message = declines(&plan, Why::MovesPaused).unwrap();
    assert!(message.contains("write migration.pause: false"), "{message}");
    model.spec.migration.pause = false;
    model.moves_allowed = Moves::Unclear;
    let plan = stays(&mut model, &mut dice);
    let message = declines(&plan, Why::MovesPaused).unwrap();
    assert!(message.contains("redisnode.io/migration is neither paused nor aborted"), "{message}");
}

#[test]
fn an_aborted_move_leaves_every_slot_where_it_is_until_it_is_resumed() {
    for (from, to) in [(1, 2), (2, 1)] {
        let (mut model, mut dice) = (half_moved(from, to, 1), Dice(5));
        model.moves_allowed = Moves::Aborted;
        let plan = stays(&mut model, &mut dice);
        let layout = model.published.clone().unwrap();
        assert!(layout.settings.migration.pause && keeps_owners(&model, &layout));
        let message = declines(&plan, Why::MovesAborted).unwrap();
        assert!(message.contains("kubectl rediscluster migration resume demo"), "{message}");
        assert_eq!(condition(&plan, ConditionType::Rebalancing).reason, "MovesAborted");
        assert_eq!(condition(&plan, ConditionType::Ready).status, Truth::False);
        assert_eq!(model.nodes.len(), 4, "who owns slots does not leave");
        if to < from {
            assert_eq!(condition(&plan, ConditionType::Scaling).reason, "MovesAborted");
        }
        model.moves_allowed = Moves::GoOn;
        let plan = settle(&mut model, &mut dice, 0);
        is_as_wanted(&model, &plan);
        assert_eq!(model.events.iter().filter(|event| *event == "SlotsMove").count(), 2, "once, and once again");
    }
}

#[test]
fn an_abort_waits_for_what_is_half_there_and_for_whoever_has_not_heard_of_it() {
    let (mut model, mut dice) = (half_moved(1, 2, 0), Dice(5));
    let aim = targets(model.published.as_ref().unwrap());
    model.moves_allowed = Moves::Aborted;
    let layout = model.plan().layout.unwrap();
    assert!(layout.settings.migration.pause && targets(&layout) == aim, "it is paused first");
    model.step(&mut dice, 0);
    model.hear();
    let (slot, peer) = (Slot::try_from(1).unwrap(), model.sim(1).id.clone().unwrap());
    model.view_of(&name(0)).open = vec![OpenSlot { slot, direction: Direction::Migrating, peer }];
    assert_eq!(model.plan_from_heard().layout, None, "a slot is half there");
    let next = model.plan().layout.unwrap();
    assert!(keeps_owners(&model, &next) && targets(&next) != aim, "it has arrived");
}

#[test]
fn what_was_open_when_it_was_aborted_is_believed_to_be_where_it_has_arrived() {
    let (mut model, mut dice) = (half_moved(1, 2, 0), Dice(5));
    model.moves_allowed = Moves::Aborted;
    model.step(&mut dice, 10);
    let slot: SlotSet = model.sim(0).slots.iter().take(1).collect();
    let epoch = model.fresh_number() + 1000;
    model.sim(0).slots = model.sim(0).slots.difference(&slot);
    (model.sim(1).slots, model.sim(1).epoch) = (model.sim(1).slots.union(&slot), epoch);
    model.refresh();
    stays(&mut model, &mut dice);
    let layout = model.published.clone().unwrap();
    assert!(keeps_owners(&model, &layout) && layout.shards[1].slots.difference(&slot) != layout.shards[1].slots);
}

#[test]
fn a_cluster_that_is_as_wanted_says_nothing_of_a_switch() {
    let (mut model, mut dice) = (settled(3, 0), Dice(5));
    for moves in [Moves::Paused, Moves::Aborted] {
        model.moves_allowed = moves;
        let plan = stays(&mut model, &mut dice);
        assert!(plan.declined.is_empty() && condition(&plan, ConditionType::Ready).status == Truth::True);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn no_layout_of_an_aborted_migration_moves_a_slot(
        seed in 1u64.., begin in 1u32..5, end in 1u32..6, replicas in 0u32..2, before in 0usize..8,
    ) {
        let (mut model, mut dice) = (settled(begin, replicas), Dice(seed));
        model.spec = spec(end, replicas);
        (0..before).for_each(|_| drop(model.step(&mut dice, 5)));
        model.moves_allowed = Moves::Aborted;
        let mut paused = false;
        for _ in 0..40 {
            let before = pieces(&model);
            let plan = model.step(&mut dice, 3);
            paused |= model.nodes.values().all(|sim| sim.layout.as_ref().is_none_or(|l| l.settings.migration.pause));
            prop_assert!(!paused || pieces(&model) == before);
            if let Some(layout) = &plan.layout {
                prop_assert!(layout.settings.migration.pause);
            }
        }
        let layout = model.published.clone().unwrap();
        prop_assert!(keeps_owners(&model, &layout));
        model.moves_allowed = Moves::GoOn;
        let plan = settle(&mut model, &mut dice, 0);
        is_as_wanted(&model, &plan);
    }
}
