//! An upgrade in which slots are to move: they wait for servers that read them, and the upgrade does not wait for them.

use redisnode_proto::status::{ConditionType, Truth};
use redisnode_proto::topology::Role;

use super::converge::{is_as_wanted, settle};
use super::founding::declines;
use super::model::{Dice, Model, name, spec, version};
use super::truth::settled;
use crate::{Plan, Why};

/// A settled cluster in the middle of an upgrade: these members run the newer version, all others wait for their restart.
fn half_upgraded(shards: u32, replicas: u32, newer: &[u32]) -> Model {
    let mut model = settled(shards, replicas);
    upgrade(&mut model, newer);
    model
}

fn upgrade(model: &mut Model, newer: &[u32]) {
    model.newest = version(2);
    for (name, sim) in &mut model.nodes {
        let is_newer = newer.iter().any(|ordinal| *name == self::name(*ordinal));
        (sim.restart_needed, sim.version) = (!is_newer, version(if is_newer { 2 } else { 1 }));
    }
}

/// The members of the shard whose primary is this one.
fn shard_of(model: &Model, ordinal: u32) -> Vec<u32> {
    let id = &model.nodes[&name(ordinal)].id;
    let with = model.nodes.iter().filter(|(_, sim)| sim.id == *id || sim.follows == *id);
    with.filter_map(|(name, _)| name.ordinal()).collect()
}

fn condition(plan: &Plan, kind: ConditionType) -> (Truth, &str) {
    let found = plan.status.conditions.iter().find(|condition| condition.kind == kind).unwrap();
    (found.status, found.reason.as_str())
}

#[test]
fn slots_do_not_go_from_a_newer_server_to_an_older_one() {
    let mut model = settled(3, 0);
    model.spec = spec(4, 0);
    model.run_ordinals(4);
    model.sim(3).version = version(0);
    let mut dice = Dice(1);
    for _ in 0..5 {
        model.step(&mut dice, 0);
    }
    let plan = model.plan();
    let message = declines(&plan, Why::OlderServer).unwrap();
    assert!(message.contains("9.1.0") && message.contains("9.0.0"), "{message}");
    assert_eq!(condition(&plan, ConditionType::Rebalancing), (Truth::True, "OlderServer"));
    assert!(model.sim(3).slots.is_empty());
    model.sim(3).version = version(1);
    settle(&mut model, &mut dice, 0);
    assert!(!model.sim(3).slots.is_empty());
}

/// It is sent the keys as their source wrote them, and goes on without those that it cannot read.
#[test]
fn slots_do_not_go_to_a_shard_with_a_replica_that_cannot_read_them() {
    let mut model = settled(4, 1);
    let replicas: Vec<_> =
        model.nodes.iter().filter(|(_, sim)| sim.role == Role::Replica).map(|(name, _)| name.clone()).collect();
    let of_stays = replicas.iter().find(|name| !shard_of(&model, 3).contains(&name.ordinal().unwrap())).unwrap();
    model.nodes.get_mut(of_stays).unwrap().version = version(0);
    model.spec = spec(3, 1);
    let mut dice = Dice(1);
    for _ in 0..5 {
        model.step(&mut dice, 0);
    }
    let plan = model.plan();
    let message = declines(&plan, Why::OlderServer).unwrap();
    assert!(message.contains(&format!("while {of_stays} in it runs Valkey 9.0.0")), "{message}");
    assert!(message.contains("there stay 4 shards, though 3 are wanted"), "{message}");
    assert_eq!(condition(&plan, ConditionType::Scaling), (Truth::True, "OlderServer"));
    assert_eq!((model.primaries().len(), plan.next.len()), (4, 0), "{:?}", plan.next);
    model.nodes.get_mut(of_stays).unwrap().version = version(1);
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
}

/// Slots wait for the restarts, and those must not wait for the slots.
#[test]
fn fewer_shards_while_servers_are_upgraded_wait_for_it_and_come() {
    for replicas in [0, 1, 2] {
        let newer = shard_of(&settled(4, replicas), 3);
        let mut model = half_upgraded(4, replicas, &newer);
        model.spec = spec(3, replicas);
        let plan = model.plan();
        assert_eq!(condition(&plan, ConditionType::Scaling), (Truth::True, "OlderServer"));
        let plan = settle(&mut model, &mut Dice(5), 0);
        is_as_wanted(&model, &plan);
        assert!(model.nodes.values().all(|sim| sim.version == version(2)), "{replicas} replicas");
        assert!(model.moves.iter().all(|moves| *moves <= 1));
    }
}

/// A source that comes back newer in the middle of a move, as a pod does that was evicted.
#[test]
fn a_move_whose_source_became_newer_on_the_way_waits_for_the_others_and_goes_on() {
    let mut model = settled(4, 1);
    model.spec = spec(3, 1);
    let mut dice = Dice(1);
    for _ in 0..10 {
        model.step(&mut dice, 0);
        if model.sim(3).slots.len() < 3_000 {
            break;
        }
    }
    assert!(!model.sim(3).slots.is_empty(), "it is in the middle");
    let source = shard_of(&model, 3);
    upgrade(&mut model, &source);
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
    assert!(model.nodes.values().all(|sim| sim.version == version(2)));
}
