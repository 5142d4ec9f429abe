//! Servers that must restart for their configuration: under load of the rules, one at a time, no primary with slots.

use std::collections::BTreeSet;

use proptest::prelude::*;
use redisnode_proto::NodeName;
use redisnode_proto::spec::{ContainerMemory, MaxMemory};
use redisnode_proto::status::{ConditionType, Truth};
use redisnode_proto::topology::Role;
use serde_json::json;

use super::converge::{condition, is_as_wanted, settle};
use super::model::{Dice, Model, name, spec, version};
use crate::Why;

fn needs_restart(shards: u32, replicas: u32) -> (Model, Dice) {
    let (mut model, mut dice) = (Model::new(spec(shards, replicas)), Dice(7));
    settle(&mut model, &mut dice, 0);
    for sim in model.nodes.values_mut() {
        sim.restart_needed = true;
    }
    (model, dice)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// (The tiny world itself refuses a restart of a primary that has slots.)
    #[test]
    fn no_two_of_a_shard_and_no_more_than_allowed_are_away(
        shards in 1u32..7, replicas in 0u32..3, away in 1u32..5, seed in 1u64.., laziness in 0u64..5,
    ) {
        let (mut model, _) = needs_restart(shards, replicas);
        model.spec.rollout.max_unavailable = away;
        let mut dice = Dice(seed);
        let safe = if replicas == 0 { 1 } else { (model.spec.members() - 1) / 2 };
        let most = usize::try_from(away.min(safe).max(1)).unwrap();
        for _ in 0..400 {
            let before = model.clone();
            let plan = model.step(&mut dice, laziness);
            let behind = before.nodes.iter().filter(|(_, sim)| sim.role == Role::Replica && !sim.synced);
            let mut out: Vec<_> = behind.map(|(name, _)| name.clone()).chain(plan.restart.clone()).collect();
            out.sort();
            out.dedup();
            prop_assert!(plan.restart.is_empty() || out.len() <= most, "{out:?}");
            let shard = |name: &NodeName| {
                let sim = &before.nodes[name];
                sim.follows.clone().or_else(|| sim.id.clone())
            };
            let shards: BTreeSet<_> = plan.restart.iter().map(shard).collect();
            prop_assert_eq!(shards.len(), plan.restart.len(), "two of one shard: {:?}", plan.restart);
        }
        prop_assert!(model.nodes.values().all(|sim| !sim.restart_needed));
    }

    #[test]
    fn every_server_restarts_once_and_no_slot_moves(
        shards in 1u32..6, replicas in 0u32..3, seed in 1u64.., laziness in 0u64..5,
    ) {
        let (mut model, _) = needs_restart(shards, replicas);
        let mut dice = Dice(seed);
        let before = model.moves.clone();
        let plan = settle(&mut model, &mut dice, laziness);
        is_as_wanted(&model, &plan);
        prop_assert!(model.nodes.values().all(|sim| !sim.restart_needed));
        prop_assert_eq!(&model.moves, &before);
        let restarts = model.events.iter().filter(|event| *event == "ServerRestarts").count();
        prop_assert!(restarts <= model.nodes.len());
    }
}

#[test]
fn one_member_restarts_at_a_time_replicas_first() {
    let (mut model, mut dice) = needs_restart(3, 1);
    let plan = model.plan();
    assert_eq!(plan.restart.len(), 1);
    assert_eq!(model.nodes[&plan.restart[0]].role, Role::Replica);
    assert_eq!(condition(&plan, ConditionType::RollingUpdate), Truth::True);
    assert_eq!(condition(&plan, ConditionType::Ready), Truth::False);
    assert_eq!(plan.status.summary, "RollingUpdate");
    model.carry_out(&plan);
    let next = model.plan();
    assert!(next.restart.is_empty(), "the restarted replica is not in sync yet: {:?}", next.restart);
    assert!(next.declined.iter().any(|declined| declined.why == Why::NotHealthy));
    model.step(&mut dice, 0);
}

#[test]
fn as_many_members_restart_at_a_time_as_are_allowed_and_a_majority_stays() {
    let restarts = |shards: u32, away: u32| {
        let (mut model, _) = needs_restart(shards, 1);
        model.spec.rollout.max_unavailable = away;
        model.plan().restart.len()
    };
    assert_eq!(
        [(5, 1), (5, 3), (5, 100), (3, 3), (2, 2)].map(|(shards, away)| restarts(shards, away)),
        [1, 3, 4, 2, 1]
    );
}

#[test]
fn one_that_is_not_in_order_counts_as_away() {
    let (mut model, _) = needs_restart(5, 1);
    model.spec.rollout.max_unavailable = 3;
    let replicas = model.nodes.iter_mut().filter(|(_, sim)| sim.role == Role::Replica);
    for (_, sim) in replicas.take(2) {
        (sim.up, sim.synced, sim.restart_needed) = (false, false, false);
    }
    model.refresh();
    assert_eq!(model.plan().restart.len(), 1);
    model.spec.rollout.max_unavailable = 2;
    let plan = model.plan();
    assert!(plan.restart.is_empty());
    let why = plan.declined.iter().find(|declined| declined.why == Why::NotHealthy).unwrap();
    assert!(why.message.contains("2 members at a time, and these are not in order"), "{}", why.message);
}

#[test]
fn a_primary_that_does_not_run_stops_all_restarts() {
    let (mut model, _) = needs_restart(5, 1);
    model.spec.rollout.max_unavailable = 3;
    let primary = model.primaries().into_iter().next().unwrap();
    model.nodes.get_mut(&primary).unwrap().up = false;
    model.refresh();
    assert!(model.plan().restart.is_empty());
}

#[test]
fn primaries_hand_off_as_many_at_a_time_as_may_be_away() {
    let (mut model, _) = needs_restart(5, 1);
    model.spec.rollout.max_unavailable = 2;
    for sim in model.nodes.values_mut().filter(|sim| sim.role == Role::Replica) {
        sim.restart_needed = false;
    }
    let plan = model.plan();
    assert!(plan.restart.is_empty());
    let wishes = plan.layout.unwrap().shards.into_iter().filter(|shard| shard.handoff.is_some()).count();
    assert_eq!(wishes, 2);
}

#[test]
fn a_primary_hands_off_before_it_restarts() {
    let (mut model, mut dice) = needs_restart(1, 1);
    let replica = name(1);
    model.nodes.get_mut(&replica).unwrap().restart_needed = false;
    let plan = model.step(&mut dice, 10);
    assert!(plan.restart.is_empty());
    let layout = plan.layout.unwrap();
    let wish = layout.shards[0].handoff.as_ref().unwrap();
    assert_eq!((&wish.from, &wish.to), (&name(0), &replica));
}

#[test]
fn what_is_degraded_stops_the_restart_of_healthy_servers() {
    let (mut model, _) = needs_restart(3, 1);
    let broken = model.nodes.iter().find(|(_, sim)| sim.role == Role::Replica).map(|(name, _)| name.clone()).unwrap();
    let sim = model.nodes.get_mut(&broken).unwrap();
    (sim.up, sim.synced, sim.restart_needed) = (false, false, false);
    model.refresh();
    let plan = model.plan();
    assert!(plan.restart.is_empty(), "{:?}", plan.restart);
    assert!(plan.declined.iter().any(|declined| declined.why == Why::NotHealthy));
}

#[test]
fn a_server_that_does_not_run_restarts_regardless_of_the_others() {
    let (mut model, _) = needs_restart(3, 1);
    let replicas = model.nodes.iter_mut().filter(|(_, sim)| sim.role == Role::Replica);
    let mut down = Vec::new();
    for (name, sim) in replicas.take(2) {
        (sim.up, sim.synced) = (false, false);
        down.push(name.clone());
    }
    model.refresh();
    assert_eq!(model.plan().restart, down);
}

#[test]
fn a_replica_that_cannot_read_its_newer_primary_restarts_and_an_equal_one_is_waited_for() {
    for (minor, restarts) in [(1, false), (2, true)] {
        let (mut model, _) = needs_restart(3, 1);
        let (replica, follows) = {
            let mut replicas = model.nodes.iter_mut().filter(|(_, sim)| sim.role == Role::Replica);
            let (name, sim) = replicas.next().unwrap();
            sim.synced = false;
            (name.clone(), sim.follows.clone())
        };
        let primary = model.nodes.values_mut().find(|sim| sim.id == follows).unwrap();
        primary.version = version(minor);
        model.refresh();
        assert_eq!(model.plan().restart.contains(&replica), restarts, "its primary is of 9.{minor}");
    }
}

#[test]
fn with_no_replicas_one_more_member_takes_over_and_goes_again() {
    let (mut model, mut dice) = needs_restart(2, 0);
    let plan = model.step(&mut dice, 0);
    assert_eq!(plan.members_wanted, 3);
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn pods_that_never_ran_are_renewed_at_once_even_before_the_cluster_exists() {
    let mut model = Model::new(spec(3, 1));
    for ordinal in 0..6 {
        let sim = model.sim(ordinal);
        (sim.machine.outdated, sim.machine.unborn, sim.speaks) = (true, ordinal != 0, ordinal == 0);
    }
    let plan = model.plan();
    assert_eq!(plan.restart, (1..6).map(name).collect::<Vec<_>>(), "but not the one whose server ran");
    assert_eq!(plan.layout, None);
}

#[test]
fn an_outdated_pod_that_is_silent_is_left_alone_unless_it_never_ran() {
    let (mut model, mut dice) = (Model::new(spec(3, 1)), Dice(7));
    settle(&mut model, &mut dice, 0);
    for ordinal in 0..6 {
        model.sim(ordinal).machine.outdated = true;
    }
    let primary = model.primaries().into_iter().next().unwrap();
    let ordinal = primary.ordinal().unwrap();
    model.sim(ordinal).speaks = false;
    assert!(!model.plan().restart.contains(&primary));
}

#[test]
fn memory_grows_when_the_last_small_container_is_replaced_and_shrinks_at_once() {
    let limited = |limit: u64| ContainerMemory { limit: Some(limit), request: None };
    let (mut model, mut dice) = (Model::new(spec(1, 1)), Dice(7));
    let asks = |model: &mut Model, limit: &str| {
        let container = json!({"name": "redis", "resources": {"limits": {"memory": limit}}});
        let template = json!({"spec": {"containers": [container]}});
        model.spec.pod_template = template.as_object().cloned();
        model.spec.max_memory = Some(MaxMemory { percent: Some(50), ..MaxMemory::default() });
    };
    let mut maxmemory = |model: &mut Model| {
        settle(model, &mut dice, 0);
        model.published.as_ref().unwrap().settings.redis_config["maxmemory"].clone()
    };
    asks(&mut model, "1000");
    (model.sim(0).machine.memory, model.sim(1).machine.memory) = (limited(1000), limited(1000));
    assert_eq!(maxmemory(&mut model), "500");
    asks(&mut model, "4000");
    model.sim(0).machine.memory = limited(4000);
    assert_eq!(maxmemory(&mut model), "500");
    model.sim(1).machine.memory = limited(4000);
    assert_eq!(maxmemory(&mut model), "2000");
    asks(&mut model, "2000");
    assert_eq!(maxmemory(&mut model), "1000");
}
