//! Where members belong.

use proptest::prelude::*;
use redisnode_proto::{LayoutShard, NodeName};

use super::converge::{is_as_wanted, settle};
use super::model::{Dice, Model, name, spec};

fn labelled(shards: u32, replicas: u32, hosts: u64, zones: u64) -> Model {
    let mut model = Model::new(spec(shards, replicas));
    (model.hosts, model.zones) = (hosts, zones);
    model.nodes.clear();
    model.run_ordinals(shards * (replicas + 1));
    model
}

/// Pairs of a shard's nodes with the same label.
fn clashes(shards: &[LayoutShard], label: impl Fn(&NodeName) -> Option<String>) -> usize {
    let pairs = |shard: &LayoutShard| {
        let labels: Vec<_> = shard.nodes().map(&label).collect();
        (0..labels.len()).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|(a, b)| labels[*a] == labels[*b]).count()
    };
    shards.iter().map(pairs).sum()
}

proptest! {
    #[test]
    fn a_shards_nodes_are_on_different_hosts_when_there_are_hosts_enough(
        shards in 1u32..9, replicas in 0u32..4, more in 0u64..4,
    ) {
        let hosts = u64::from(replicas) + 1 + more;
        let mut model = labelled(shards, replicas, hosts, 0);
        let plan = model.plan();
        let layout = plan.layout.unwrap();
        let host = |name: &NodeName| model.nodes[name].machine.host.clone();
        prop_assert_eq!(clashes(&layout.shards, host), 0);
        let mut primaries = vec![0u32; usize::try_from(hosts).unwrap()];
        for shard in &layout.shards {
            primaries[usize::try_from(u64::from(shard.primary.ordinal().unwrap()) % hosts).unwrap()] += 1;
        }
        let used = primaries.iter().max().unwrap() - primaries.iter().min().unwrap();
        prop_assert!(used <= 1, "{primaries:?}");
        settle(&mut model, &mut Dice(1), 0);
        prop_assert_eq!(model.plan().status.placement, "Optimal");
    }

    #[test]
    fn labels_dealt_at_random_end_where_no_exchange_helps(
        shards in 1u32..5, replicas in 0u32..3, seed in 1u64..,
    ) {
        let mut dice = Dice(seed);
        let mut model = labelled(shards, replicas, 0, 0);
        for sim in model.nodes.values_mut() {
            sim.machine.zone = Some(format!("zone-{}", dice.roll(3)));
            sim.machine.host = Some(format!("host-{}", dice.roll(5)));
        }
        let plan = settle(&mut model, &mut dice, 2);
        is_as_wanted(&model, &plan);
    }
}

#[test]
fn a_single_host_is_a_best_effort() {
    let mut model = labelled(3, 1, 1, 0);
    let plan = settle(&mut model, &mut Dice(1), 0);
    assert_eq!(plan.status.placement, "BestEffort");
    let why = plan.status.placement_reason.unwrap();
    assert!(why.contains("are on the same machine host-0"), "{why}");
}

#[test]
fn primaries_that_piled_up_are_spread_again_one_at_a_time() {
    let mut model = labelled(4, 1, 2, 0);
    let mut dice = Dice(1);
    settle(&mut model, &mut dice, 0);
    let on_host_1: Vec<NodeName> =
        model.primaries().into_iter().filter(|name| name.ordinal().unwrap() % 2 == 1).collect();
    for name in on_host_1 {
        let heir = model.heir_of(&name).unwrap();
        model.promote(&name, &heir);
    }
    let mut handoffs = 0;
    for _ in 0..20 {
        let plan = model.step(&mut dice, 0);
        let wished = plan.layout.iter().flat_map(|layout| &layout.shards).filter(|s| s.handoff.is_some()).count();
        assert!(wished <= 1);
        handoffs += wished;
    }
    assert_eq!(handoffs, 2);
    let status = model.plan().status;
    assert_eq!((status.placement.as_str(), status.placement_reason), ("Optimal", None));
}

#[test]
fn nodes_that_came_to_share_a_host_exchange_places() {
    let mut model = labelled(2, 1, 2, 0);
    let mut dice = Dice(1);
    settle(&mut model, &mut dice, 0);
    let layout = model.published.clone().unwrap();
    for shard in &layout.shards {
        let host = model.nodes[&shard.primary].machine.host.clone();
        model.nodes.get_mut(&shard.replicas[0]).unwrap().machine.host = host;
    }
    assert_eq!(model.plan().status.placement, "BestEffort");
    settle(&mut model, &mut dice, 0);
    assert_eq!(model.plan().status.placement, "Optimal");
    assert!(model.sim(0).slots.len() + model.sim(1).slots.len() == 16384, "{}", name(0));
}
