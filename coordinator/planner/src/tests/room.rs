//! No slot moves to where its data do not fit, and what is said then.

use proptest::prelude::*;
use redisnode_proto::SlotSet;
use redisnode_proto::spec::{MaxMemory, Moves};
use redisnode_proto::status::{Condition, ConditionType, Truth};

use super::converge::{is_as_wanted, settle};
use super::founding::declines;
use super::model::{Dice, Memory, Model, name, spec};
use super::truth::settled;
use crate::{Plan, Why};

const MIB: u64 = 1 << 20;
/// What an empty server uses here.
const BESIDE: u64 = 2 * MIB;

/// A settled cluster whose servers hold a MiB in each slot, under a limit of so many MiB.
fn filled(shards: u32, replicas: u32, limit: u64) -> Model {
    let mut model = settled(shards, replicas);
    model.memory = Memory { a_slot: MIB, beside: BESIDE, limit: limit * MIB, ..Memory::default() };
    model
}

fn owners(model: &Model) -> Vec<SlotSet> {
    model.nodes.values().map(|sim| sim.slots.clone()).collect()
}

fn condition(plan: &Plan, kind: ConditionType) -> &Condition {
    plan.status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

/// Runs on for a while, in which nothing changes at all.
fn stands_still(model: &mut Model) -> Plan {
    let (before, members) = (owners(model), model.nodes.len());
    let mut dice = Dice(3);
    let mut last = model.step(&mut dice, 0);
    for _ in 0..20 {
        last = model.step(&mut dice, 0);
        assert_eq!((owners(model), model.nodes.len()), (before.clone(), members));
        assert!(last.layout.is_none() && last.remove.is_empty() && last.next.is_empty(), "{:?}", last.next);
    }
    last
}

#[test]
fn fewer_primaries_than_have_room_are_refused_with_figures_and_nothing_of_it_begins() {
    // 4096 MiB each, and a third of that more is to come: there is room for half of it.
    let mut model = filled(4, 1, 4096 + 4096 / 6);
    model.promote(&name(2), &name(7));
    settle(&mut model, &mut Dice(3), 0);
    model.events.clear();
    model.spec = spec(3, 1);
    let plan = stands_still(&mut model);
    let message = declines(&plan, Why::NotEnoughMemory).unwrap();
    for said in [
        "there stay 4 shards, though 3 are wanted: about 1.3 GiB would arrive at shard-",
        "(an estimate, by slots), where demo-0 uses 4.0 GiB of 4.6 GiB, maxmemory, and 238.8 MiB are to stay free (2 more shards have too little, too)",
        "; raise maxMemory, or write a greater numberOfMaster",
    ] {
        assert!(message.contains(said), "{message}");
    }
    for kind in [ConditionType::Scaling, ConditionType::Rebalancing] {
        let found = condition(&plan, kind);
        assert_eq!((found.status, found.reason.as_str()), (Truth::True, "NotEnoughMemory"));
        assert!(found.message.contains(message), "{}", found.message);
    }
    assert_eq!(condition(&plan, ConditionType::Ready).status, Truth::False);
    assert_eq!((plan.members_wanted, plan.status.counts.nodes_wanted, plan.status.counts.primaries_wanted), (8, 6, 3));
    assert!(model.events.is_empty(), "{:?}", model.events);

    model.memory.limit *= 2;
    let plan = settle(&mut model, &mut Dice(3), 0);
    is_as_wanted(&model, &plan);
    assert!(model.moves.iter().all(|moves| *moves <= 1), "no slot moves twice");
}

#[test]
fn servers_that_wait_for_a_restart_restart_while_there_is_no_room() {
    let mut model = filled(4, 1, 5000);
    model.spec = spec(3, 1);
    stands_still(&mut model);
    model.nodes.values_mut().for_each(|sim| sim.restart_needed = true);
    let plan = model.plan();
    assert_eq!(declines(&plan, Why::NotHealthy), None);
    assert!(!plan.restart.is_empty(), "more memory may need a restart");
}

#[test]
fn a_move_that_has_begun_is_not_refused_by_what_has_changed_since() {
    let (mut model, mut dice) = (filled(4, 0, 6000), Dice(3));
    model.spec = spec(3, 0);
    while !model.moves.contains(&1) {
        model.step(&mut dice, 5);
    }
    model.memory.limit = 10 * MIB;
    let plan = model.plan();
    assert_eq!(declines(&plan, Why::NotEnoughMemory), None);
    model.term += 1;
    model.published = None;
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn what_was_aborted_and_has_no_room_any_more_stays_where_it_is() {
    let (mut model, mut dice) = (filled(4, 0, 6000), Dice(3));
    model.spec = spec(3, 0);
    while !model.moves.contains(&1) {
        model.step(&mut dice, 5);
    }
    model.moves_allowed = Moves::Aborted;
    (0..5).for_each(|_| drop(model.step(&mut dice, 0)));
    (model.moves_allowed, model.memory.limit) = (Moves::GoOn, 4200 * MIB);
    model.step(&mut dice, 0);
    let plan = stands_still(&mut model);
    assert!(declines(&plan, Why::NotEnoughMemory).is_some());
}

#[test]
fn a_cache_that_drops_any_key_shrinks_and_one_that_keeps_some_does_not() {
    let policy =
        |policy: &str| Some(serde_json::from_str(&format!(r#"{{"size":"4Gi","policy":"{policy}"}}"#)).unwrap());
    let mut model = filled(4, 0, 4096);
    model.spec = spec(3, 0);
    model.spec.max_memory = policy("volatile-lru");
    model.step(&mut Dice(3), 0);
    let plan = stands_still(&mut model);
    assert!(declines(&plan, Why::NotEnoughMemory).is_some());
    model.spec.max_memory = policy("allkeys-lru");
    let plan = model.plan();
    let event = plan.events.iter().find(|event| event.reason == "KeysGiveWay").unwrap();
    assert!(event.message.contains("with the policy allkeys-lru keys are dropped"), "{}", event.message);
    let plan = settle(&mut model, &mut Dice(3), 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn a_limit_that_servers_are_about_to_be_told_counts_already() {
    let mut model = filled(4, 0, 8000);
    model.spec = spec(3, 0);
    model.spec.redis_config = [("maxmemory".to_owned(), "5gb".into())].into();
    assert!(declines(&model.plan(), Why::NotEnoughMemory).is_some());
    model.spec.redis_config = [("maxmemory".to_owned(), "6gb".into())].into();
    assert_eq!(declines(&model.plan(), Why::NotEnoughMemory), None);
    model.spec.redis_config.clear();
    model.spec.max_memory = Some(MaxMemory { size: Some("5Gi".to_owned()), ..MaxMemory::default() });
    assert!(declines(&model.plan(), Why::NotEnoughMemory).is_some());
}

#[test]
fn a_container_without_a_limit_of_the_server_is_not_filled_up_whatever_the_policy() {
    let mut model = filled(4, 0, 0);
    model.spec = spec(3, 0);
    model.spec.redis_config = [("maxmemory-policy".to_owned(), "allkeys-lru".into())].into();
    model.nodes.values_mut().for_each(|sim| sim.machine.memory.limit = Some(5000 * MIB));
    let plan = model.plan();
    let message = declines(&plan, Why::NotEnoughMemory).unwrap();
    assert!(message.contains("the memory of its container, and"), "{message}");
    assert!(message.contains("raise the memory limit of the container redis"), "{message}");
    model.nodes.values_mut().for_each(|sim| sim.machine.memory.limit = Some(7000 * MIB));
    assert_eq!(declines(&model.plan(), Why::NotEnoughMemory), None);
}

#[test]
fn a_replica_with_less_room_and_a_backlog_that_will_grow_count() {
    let mut model = filled(4, 1, 6000);
    model.spec = spec(3, 1);
    assert_eq!(declines(&model.plan(), Why::NotEnoughMemory), None);
    model.sim(4).limit = Some(5000 * MIB);
    let plan = model.plan();
    let message = declines(&plan, Why::NotEnoughMemory).unwrap();
    assert!(message.contains("demo-4 uses"), "{message}");
    model.sim(4).limit = None;
    model.memory.backlog_growth = 300 * MIB;
    assert!(declines(&model.plan(), Why::NotEnoughMemory).is_some());
}

#[test]
fn data_that_nobody_knows_of_are_not_taken_for_none() {
    let mut model = filled(4, 0, 6000);
    model.spec = spec(3, 0);
    model.spec.redis_config = [("maxmemory".to_owned(), "6000mb".into())].into();
    model.sim(3).up = false;
    let keeps_slots = |plan: &Plan| {
        let layout = plan.layout.as_ref().expect("servers are told of their limit");
        layout.shards.len() == 4 && layout.shards.iter().all(|shard| !shard.slots.is_empty())
    };
    let plan = model.plan();
    let message = declines(&plan, Why::PrimaryNotRunning).unwrap();
    assert!(message.contains("nobody knows whether shard-"), "{message}");
    assert!(message.contains(" has memory for what shard-4 sends, because the server of demo-3"), "{message}");
    assert!(keeps_slots(&plan));
    model.sim(3).up = true;
    model.sim(0).up = false;
    let plan = model.plan();
    let message = declines(&plan, Why::PrimaryNotRunning).unwrap();
    assert!(message.contains("nobody knows whether shard-1 has memory for more"), "{message}");
    assert!(keeps_slots(&plan));
    model.sim(0).up = true;
    (model.sim(3).up, model.memory.limit) = (false, 0);
    model.spec.redis_config.clear();
    let layout = model.plan().layout.unwrap();
    assert!(layout.shards.iter().any(|shard| shard.slots.is_empty()), "without a limit nobody asks");
}

#[test]
fn a_new_primary_that_is_too_small_for_its_share_gets_no_slots() {
    let (mut model, mut dice) = (filled(3, 0, 8000), Dice(3));
    model.spec = spec(4, 0);
    model.run_ordinals(4);
    model.sim(3).limit = Some(4000 * MIB);
    (0..5).for_each(|_| drop(model.step(&mut dice, 0)));
    let plan = model.plan();
    let message = declines(&plan, Why::NotEnoughMemory).unwrap();
    assert!(message.starts_with("slots are not moved yet: about 4.0 GiB would arrive at shard-4"), "{message}");
    assert!(model.sim(3).slots.is_empty());
    assert_eq!(condition(&plan, ConditionType::Scaling).reason, "NotEnoughMemory");
    model.sim(3).limit = None;
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn slots_move_only_if_all_of_them_fit_and_otherwise_not_one(
        begin in 2u32..7, less in 1u32..5, replicas in 0u32..2, seed in 1u64.., room in 1u64..400,
    ) {
        let end = begin.saturating_sub(less).max(1);
        let (share, then) = (16384 / u64::from(begin) + 1, 16384 / u64::from(end) + 1);
        // Of what will arrive there is room for so many percent.
        let limit = (share + (then - share) * room / 100 + 3) * 100 / 95;
        let (mut model, mut dice) = (filled(begin, replicas, limit), Dice(seed));
        let before = owners(&model);
        model.spec = spec(end, replicas);
        (0..30).for_each(|_| drop(model.step(&mut dice, 3)));
        let most = model.nodes.values().map(|sim| u64::from(sim.slots.len()) * MIB + BESIDE).max().unwrap();
        prop_assert!(most <= limit * MIB, "{most} of {limit}");
        if !(98..102).contains(&room) {
            prop_assert_eq!(room < 100, owners(&model) == before, "{} percent", room);
        }
        model.memory.limit = 0;
        let plan = settle(&mut model, &mut dice, 3);
        is_as_wanted(&model, &plan);
    }
}
