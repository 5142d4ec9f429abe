//! Shares by weight: evened out when they have grown far apart for a while, and never for less.

use proptest::prelude::*;
use redisnode_proto::spec::{Balance, Moves};
use redisnode_proto::status::{Condition, ConditionType, Truth};
use redisnode_proto::{Slot, SlotSet};

use super::converge::settle;
use super::founding::declines;
use super::model::{Dice, Memory, Model, Weighs, name, spec};
use super::truth::settled;
use crate::weights::Weights;
use crate::{Plan, Why};

const MIB: u64 = 1 << 20;

/// A settled cluster that is to be even by `by`, whose slots weigh so much and have done so for long.
fn weighed(shards: u32, replicas: u32, by: Balance, slots: Vec<u64>) -> Model {
    let mut model = settled(shards, replicas);
    model.spec.balance = by;
    model.weighs = Weighs { slots, by, for_s: 160, ..Weighs::default() };
    model
}

/// Every slot of the first of three shards holds a MiB, any other one half of it.
fn twice_as_much() -> Vec<u64> {
    (0..16384).map(|slot| if slot < 5461 { MIB } else { MIB / 2 }).collect()
}

fn owned(model: &Model) -> Vec<SlotSet> {
    model.nodes.values().map(|sim| sim.slots.clone()).filter(|slots| !slots.is_empty()).collect()
}

/// The most that a share is too large or too small by, in percent of an even one.
fn percent_off(model: &Model) -> u64 {
    let weights = model.weighs.slots.iter().zip(Slot::all());
    let runs: Vec<_> =
        weights.map(|(weight, slot)| redisnode_proto::weights::Run { slots: slot.into(), weight: *weight }).collect();
    let (weights, owned) = (Weights::of_runs(&runs), owned(model));
    weights.unevenness(&owned) * 100 / weights.share(owned.len()).0
}

fn rebalancing(plan: &Plan) -> &Condition {
    plan.status.conditions.iter().find(|condition| condition.kind == ConditionType::Rebalancing).unwrap()
}

/// Runs on for a while, in which nothing changes at all.
fn stands_still(model: &mut Model) -> Plan {
    let before = owned(model);
    let mut last = model.step(&mut Dice(3), 0);
    for round in 0..20 {
        last = model.step(&mut Dice(3), 0);
        assert_eq!(owned(model), before);
        // The first ones tell agents of the spec.
        assert!(last.next.is_empty() && (round < 3 || last.layout.is_none()), "{:?}", last.next);
    }
    last
}

#[test]
fn shares_that_have_grown_apart_are_evened_once_and_it_is_said_why() {
    let mut model = weighed(3, 1, Balance::Bytes, twice_as_much());
    assert_eq!(percent_off(&model), 49);
    let plan = model.plan();
    let event = plan.events.iter().find(|event| event.reason == "SlotsMove").unwrap();
    assert!(event.message.ends_with(", because shares by Bytes are up to 49 percent from even ones"), "{event:?}");
    settle(&mut model, &mut Dice(3), 3);
    assert!(percent_off(&model) <= 5, "{}", percent_off(&model));
    assert!(model.moves.iter().all(|moves| *moves <= 1));
    let plan = stands_still(&mut model);
    assert_eq!(rebalancing(&plan).reason, "NothingMoves");
    assert_eq!(plan.declined, []);
}

#[test]
fn a_difference_that_is_not_large_moves_nothing() {
    let slots = (0..16384).map(|slot| if slot < 5461 { MIB } else { MIB * 9 / 10 }).collect();
    stands_still(&mut weighed(3, 0, Balance::Bytes, slots));
    let few = (0..16384).map(|slot| if slot < 5461 { 1000 } else { 0 }).collect();
    stands_still(&mut weighed(3, 0, Balance::Bytes, few));
}

#[test]
fn figures_that_are_young_wait_the_less_the_farther_shares_are_apart() {
    let mut model = weighed(3, 0, Balance::Operations, twice_as_much());
    model.weighs.for_s = 40;
    let plan = stands_still(&mut model);
    let message = declines(&plan, Why::FiguresTooYoung).unwrap();
    assert!(message.contains("that must be so for 61 s"), "{message}");
    let shown = rebalancing(&plan);
    assert_eq!((shown.status, shown.reason.as_str(), &*shown.message), (Truth::False, "FiguresTooYoung", message));
    assert_eq!(plan.status.summary, "OK");
    // All of it in the first shard: that is far.
    model.weighs.slots = (0..16384).map(|slot| if slot < 5461 { MIB } else { 0 }).collect();
    let plan = model.plan();
    assert!(plan.layout.is_some(), "{:?}", plan.declined);
}

#[test]
fn nothing_moves_while_one_shard_is_not_known_and_scaling_goes_by_number() {
    let mut model = weighed(3, 0, Balance::Bytes, twice_as_much());
    model.weighs.silent = Some(name(1));
    let plan = stands_still(&mut model);
    let message = declines(&plan, Why::NotWeighedYet).unwrap();
    assert!(message.ends_with("is not known of demo-1"), "{message}");
    assert_eq!(rebalancing(&plan).reason, "NotWeighedYet");
    model.spec.number_of_master = 4;
    settle(&mut model, &mut Dice(3), 0);
    assert!(owned(&model).iter().all(|set| set.len() == 4096));
}

#[test]
fn shares_stay_uneven_by_number_while_weights_are_not_known() {
    let mut model = weighed(3, 0, Balance::Bytes, twice_as_much());
    settle(&mut model, &mut Dice(3), 0);
    let before = owned(&model);
    assert!(before.iter().any(|set| set.len().abs_diff(5461) > 500));
    model.weighs.silent = Some(name(0));
    stands_still(&mut model);
    // Weights by another measure are those of the spec before.
    model.weighs.silent = None;
    model.weighs.by = Balance::Operations;
    stands_still(&mut model);
    assert_eq!(owned(&model), before);
    model.spec.balance = Balance::Slots;
    settle(&mut model, &mut Dice(3), 0);
    assert!(owned(&model).iter().all(|set| set.len().abs_diff(5461) <= 1));
}

#[test]
fn servers_that_cannot_be_weighed_are_even_by_number_and_that_is_said() {
    let mut model = weighed(3, 0, Balance::Operations, twice_as_much());
    model.weighs.unable = Some("it counts nothing; write balance: Bytes".to_owned());
    let plan = stands_still(&mut model);
    let message = declines(&plan, Why::CannotBeWeighed).unwrap();
    assert!(message.contains("not by balance: Operations: the server of demo-0") && message.ends_with("Bytes"));
    assert_eq!(rebalancing(&plan).reason, "CannotBeWeighed");
    model.spec.number_of_master = 4;
    settle(&mut model, &mut Dice(3), 0);
    assert!(owned(&model).iter().all(|set| set.len() == 4096));
}

#[test]
fn nothing_moves_for_balance_while_something_is_not_in_order_or_moves_are_aborted() {
    let mut model = weighed(3, 1, Balance::Bytes, twice_as_much());
    model.sim(4).up = false;
    let plan = model.plan();
    let message = declines(&plan, Why::NotHealthy).unwrap();
    assert!(message.contains("no slot moves yet although shares by Bytes"), "{message}");
    assert!(plan.next.is_empty());
    model.sim(4).up = true;
    for held in [Moves::Aborted, Moves::Paused] {
        model.moves_allowed = held;
        let plan = stands_still(&mut model);
        let message = declines(&plan, Why::NotHealthy).unwrap();
        assert!(message.ends_with("moves of slots are paused or aborted"), "{message}");
        assert_eq!(plan.status.summary, "OK");
    }
}

#[test]
fn a_hot_slot_is_reported_with_its_figures() {
    let mut slots = vec![MIB / 64; 16384];
    slots[77] = 400 * MIB;
    let mut model = weighed(3, 0, Balance::Bytes, slots);
    settle(&mut model, &mut Dice(3), 0);
    let plan = stands_still(&mut model);
    let message = declines(&plan, Why::HotSlot).unwrap();
    assert!(
        message.contains("slot 77 of shard-1 is hot: it takes 400.0 MiB, more than an even share, 12"),
        "{message}"
    );
    assert_eq!(rebalancing(&plan).reason, "HotSlot");
    assert!(model.events.contains(&"HotSlot".to_owned()), "{:?}", model.events);
    assert_eq!(plan.status.summary, "OK");
}

#[test]
fn what_does_not_fit_by_its_weight_does_not_move() {
    let mut model = weighed(3, 0, Balance::Bytes, twice_as_much());
    model.memory = Memory { a_slot: MIB / 2, beside: 0, limit: 3100 * MIB, ..Memory::default() };
    let plan = model.plan();
    let message = declines(&plan, Why::NotEnoughMemory).unwrap();
    assert!(message.contains("an estimate, by what they hold"), "{message}");
    stands_still_refused(&mut model);
}

fn stands_still_refused(model: &mut Model) {
    let before = owned(model);
    (0..10).for_each(|_| drop(model.step(&mut Dice(3), 0)));
    assert_eq!(owned(model), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_slots_weigh_shares_come_to_be_even_and_stay_so(
        first in 2u32..6, then in 2u32..6, seed in 1u64.., heavy in proptest::collection::vec((0usize..16384, 1u64..30), 0..40),
        laziness in 0u64..5,
    ) {
        let mut dice = Dice(seed);
        let mut slots: Vec<u64> = (0..16384).map(|_| MIB / 16 + dice.roll(MIB / 64)).collect();
        for (slot, weight) in heavy {
            slots[slot] += weight * MIB;
        }
        let mut model = weighed(first, 0, Balance::Bytes, slots);
        settle(&mut model, &mut dice, laziness);
        prop_assert!(percent_off(&model) <= 20, "{} percent", percent_off(&model));
        model.spec = redisnode_proto::spec::ClusterSpec { balance: Balance::Bytes, ..spec(then, 0) };
        model.moves = vec![0; 16384];
        let plan = settle(&mut model, &mut dice, laziness);
        prop_assert!(percent_off(&model) <= 20, "{} percent after scaling", percent_off(&model));
        prop_assert_eq!(owned(&model).len(), then as usize);
        prop_assert!(model.moves.iter().all(|moves| *moves <= 2));
        prop_assert!(plan.declined.is_empty(), "{:?}", plan.declined);
        stands_still(&mut model);
    }

    #[test]
    fn noise_moves_nothing(seed in 1u64..) {
        let mut dice = Dice(seed);
        let mut model = weighed(3, 0, Balance::Operations, vec![MIB; 16384]);
        model.step(&mut dice, 0);
        let before = owned(&model);
        for _ in 0..30 {
            model.weighs.slots = (0..16384).map(|_| MIB / 2 + dice.roll(MIB)).collect();
            model.step(&mut dice, 0);
        }
        prop_assert_eq!(owned(&model), before);
    }
}
