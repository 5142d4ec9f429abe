//! Whatever the spec was and becomes, the world comes to be what it asks for, and stays so.

use proptest::prelude::*;
use redisnode_proto::SlotSet;
use redisnode_proto::status::{ConditionType, Truth};

use super::model::{Dice, Model, spec};
use crate::Plan;

/// A spec, and how many rounds it has before the next one comes.
fn specs() -> impl Strategy<Value = Vec<(u32, u32, usize)>> {
    proptest::collection::vec((1u32..7, 0u32..3, 0usize..14), 1..5)
}

pub(super) fn condition(plan: &Plan, kind: ConditionType) -> Truth {
    plan.status.conditions.iter().find(|condition| condition.kind == kind).unwrap().status
}

/// Runs until nothing changes any more; panics with all that is said when that takes too long.
pub(super) fn settle(model: &mut Model, dice: &mut Dice, laziness: u64) -> Plan {
    let mut calm = 0;
    let mut last = None;
    for _ in 0..400 {
        let plan = model.step(dice, laziness);
        let quiet = plan.layout.is_none() && plan.remove.is_empty() && plan.next.is_empty();
        let ready = condition(&plan, ConditionType::Ready) == Truth::True;
        calm = if quiet && ready { calm + 1 } else { 0 };
        if calm > 3 {
            return plan;
        }
        last = Some(plan);
    }
    let plan = last.unwrap();
    let lines: Vec<_> =
        plan.status.nodes.iter().map(|n| format!("{} {:?} {:?} {}", n.name, n.shard, n.role, n.state)).collect();
    panic!("did not settle:\n{:#?}\n{:#?}\n{:#?}\n{lines:#?}", plan.declined, plan.next, plan.status.conditions);
}

pub(super) fn is_as_wanted(model: &Model, plan: &Plan) {
    let (shards, members) = (model.spec.number_of_master, model.spec.members());
    assert_eq!(u32::try_from(model.nodes.len()).unwrap(), members, "members");
    assert_eq!(plan.members_wanted, members);
    assert_eq!(u32::try_from(model.primaries().len()).unwrap(), shards, "primaries");
    assert_eq!(plan.status.counts.min_replicas, model.spec.replication_factor);
    assert_eq!(plan.status.counts.max_replicas, model.spec.replication_factor);
    assert_eq!(model.covered(), SlotSet::full());
    let sizes: Vec<u16> = model.nodes.values().map(|sim| sim.slots.len()).filter(|len| *len > 0).collect();
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    assert_eq!(condition(plan, ConditionType::Degraded), Truth::False, "{:?}", plan.status.conditions);
    assert_eq!(plan.status.summary, "OK");
    assert!(plan.next.is_empty() && plan.declined.is_empty(), "{:?} {:?}", plan.next, plan.declined);
    let known: Vec<_> = model.table.keys().filter(|id| model.name_of(id).is_none()).collect();
    assert!(known.is_empty(), "ids of nobody stay known: {known:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_row_of_changed_minds_ends_in_the_last_spec(
        specs in specs(), seed in 1u64.., laziness in 0u64..7, hosts in 0u64..5, zones in 0u64..4, restarts in any::<bool>(),
    ) {
        let mut dice = Dice(seed);
        let mut model = Model::new(spec(specs[0].0, specs[0].1));
        (model.hosts, model.zones) = (hosts, zones);
        model.nodes.clear();
        let mut founded = false;
        for (shards, replicas, rounds) in &specs {
            model.spec = spec(*shards, *replicas);
            for _ in 0..*rounds {
                model.step(&mut dice, laziness);
                founded |= model.covered() == SlotSet::full();
                prop_assert!(!founded || model.covered() == SlotSet::full(), "a slot lost its owner");
            }
            if restarts {
                model.term += 1;
                model.published = None;
            }
        }
        let plan = settle(&mut model, &mut dice, laziness);
        is_as_wanted(&model, &plan);
    }

    #[test]
    fn each_slot_moves_once_at_most_when_nobody_changes_their_mind(
        first in (1u32..7, 0u32..3), second in (1u32..7, 0u32..3), seed in 1u64.., laziness in 0u64..7,
    ) {
        let mut dice = Dice(seed);
        let mut model = Model::new(spec(first.0, first.1));
        let plan = settle(&mut model, &mut dice, laziness);
        is_as_wanted(&model, &plan);
        model.spec = spec(second.0, second.1);
        let plan = settle(&mut model, &mut dice, laziness);
        is_as_wanted(&model, &plan);
        prop_assert!(model.moves.iter().all(|moves| *moves <= 1));
        let moved: u32 = model.moves.iter().sum();
        let (few, many) = (first.0.min(second.0), first.0.max(second.0));
        prop_assert!(moved <= 16384 * (many - few) / many + many, "{moved} slots moved");
    }
}
