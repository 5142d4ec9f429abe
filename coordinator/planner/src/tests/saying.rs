//! What the status says: nothing that was not seen, and nothing better than it is.

use redisnode_proto::event::{Event, Problem, Severity};
use redisnode_proto::status::{ConditionType, Truth};
use redisnode_proto::topology::{Direction, OpenSlot};
use redisnode_proto::{ConfigEpoch, Millis, Slot};

use super::converge::condition;
use super::model::{Model, Sim, name, spec};
use super::outage::Fault;
use super::truth::settled;
use crate::{Plan, Presence};

fn message(plan: &Plan, kind: ConditionType) -> String {
    plan.status.conditions.iter().find(|condition| condition.kind == kind).unwrap().message.clone()
}

#[test]
fn a_silent_owner_is_unknown_and_not_dead() {
    let mut model = settled(5, 0);
    model.sim(0).speaks = false;
    model.now = model.now.after(Millis(10_000));
    let plan = model.plan();
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::Unknown);
    assert!(message(&plan, ConditionType::ClusterOK).contains("demo-0"));
    assert_eq!(plan.status.summary, "KO");
    let entry = plan.status.nodes.iter().find(|node| node.name == name(0)).unwrap();
    assert_eq!((entry.state.as_str(), entry.ready, entry.role), ("Silent", false, None));
}

#[test]
fn an_owner_that_is_dead_for_sure_leaves_its_slots_uncovered() {
    let mut model = settled(5, 0);
    model.strike(&name(0), Fault::Kill);
    let plan = model.plan();
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::False);
    assert_eq!(condition(&plan, ConditionType::Ready), Truth::False);
    assert!(message(&plan, ConditionType::Degraded).contains("demo-0: it was killed"));
    model.strike(&name(1), Fault::Kill);
    model.sim(1).machine.presence = Presence::Down;
    let plan = model.plan();
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::False);
    assert_eq!(plan.status.counts.slots_covered, 16384 - 2 * 3277);
}

#[test]
fn what_agents_tell_is_in_the_status_by_time_with_who_it_is_about() {
    let mut model = settled(3, 0);
    let event = |at_unix_ms, message: &str| Event {
        number: 1,
        severity: Severity::Normal,
        reason: "TakenOver".to_owned(),
        message: message.to_owned(),
        at_unix_ms,
    };
    model.sim(2).events = vec![event(5, "demo-2 leads"), event(9, "the server has restarted")];
    model.sim(0).events = vec![event(7, "the slots are claimed")];
    let told: Vec<String> = model.plan().status.events.into_iter().map(|event| event.message).collect();
    assert_eq!(told, ["demo-2 leads", "demo-0: the slots are claimed", "demo-2: the server has restarted"]);
}

#[test]
fn lost_data_and_problems_are_said_as_long_as_a_report_says_them() {
    let mut model = settled(3, 0);
    model.sim(1).data_lost = Some("slots 1-2 are empty".to_owned());
    model.sim(2).problems = vec![Problem::new("DiskFull", "the disk is full: make room")];
    let plan = model.plan();
    let degraded = message(&plan, ConditionType::Degraded);
    assert!(degraded.starts_with("demo-1: slots 1-2 are empty"), "{degraded}");
    assert!(degraded.contains("demo-2: the disk is full"), "{degraded}");
    let entry = plan.status.nodes.iter().find(|node| node.name == name(2)).unwrap();
    assert_eq!(entry.message.as_deref(), Some("the disk is full: make room"));
    assert_eq!(condition(&plan, ConditionType::Ready), Truth::True);
    model.sim(1).data_lost = None;
    model.sim(2).problems.clear();
    assert_eq!(condition(&model.plan(), ConditionType::Degraded), Truth::False);
}

#[test]
fn a_replica_out_of_sync_makes_the_cluster_not_ready() {
    for lose in [|sim: &mut Sim| sim.synced = false, |sim: &mut Sim| sim.catching_up = true] {
        let mut model = settled(3, 1);
        lose(model.sim(4));
        model.refresh();
        let plan = model.plan();
        assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::True);
        assert_eq!(condition(&plan, ConditionType::Ready), Truth::False);
        assert_eq!((plan.status.counts.min_replicas, plan.status.counts.max_replicas), (0, 1));
        assert_eq!(plan.status.counts.nodes_ready, 5);
    }
}

#[test]
fn nothing_is_known_before_anybody_was_heard() {
    let mut model = Model::new(spec(3, 1));
    for sim in model.nodes.values_mut() {
        sim.speaks = false;
    }
    let plan = model.plan();
    assert_eq!(condition(&plan, ConditionType::ClusterOK), Truth::Unknown);
    assert_eq!(plan.layout, None);
}

#[test]
fn nodes_are_listed_by_shard_primary_first() {
    let mut model = settled(2, 1);
    let plan = model.plan();
    let names: Vec<_> = plan.status.nodes.iter().map(|node| node.name.clone()).collect();
    assert_eq!(names, [0, 2, 1, 3].map(name));
    assert_eq!(plan.status.nodes[1].primary, Some(name(0)));
    assert_eq!(plan.status.summary, "OK");
}

/// The source's word is newer than the target's: it has let go of a slot that the target still shows as arriving.
#[test]
fn a_slot_between_two_reports_has_an_owner() {
    let mut model = settled(3, 0);
    model.plan();
    let moved = Slot::FIRST;
    let peer = model.view_of(&name(0)).me.clone();
    let target = model.view_of(&name(1)).me.clone();
    model.view_of(&name(1)).open.push(OpenSlot { slot: moved, direction: Direction::Importing, peer: peer.clone() });
    for other in [name(0), name(2)] {
        let view = model.view_of(&other);
        view.nodes.iter_mut().find(|node| node.id == peer).unwrap().slots.remove(moved);
        view.nodes.iter_mut().find(|node| node.id == target).unwrap().slots.insert(moved);
    }
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::True);
    model.view_of(&name(1)).open.clear();
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::False, "nothing is on its way");
}

/// An atomic move leaves no mark, and its source tells of its end first. The new owner's epoch tells it from a loss.
#[test]
fn a_slot_that_has_just_moved_in_one_piece_has_an_owner() {
    let mut model = settled(3, 0);
    model.plan();
    let (source, target) = (model.view_of(&name(0)).me.clone(), model.view_of(&name(1)).me.clone());
    let epoch = ConfigEpoch(model.view_of(&name(0)).current_epoch.0 + 1);
    let view = model.view_of(&name(0));
    view.nodes.iter_mut().find(|node| node.id == source).unwrap().slots.remove(Slot::FIRST);
    let line = view.nodes.iter_mut().find(|node| node.id == target).unwrap();
    line.slots.insert(Slot::FIRST);
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::False, "it has lost it");
    let view = model.view_of(&name(0));
    view.current_epoch = epoch;
    view.nodes.iter_mut().find(|node| node.id == target).unwrap().epoch = epoch;
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::True);
}

#[test]
fn a_view_that_has_not_heard_of_a_new_owner_yet_is_behind_and_one_that_has_disagrees() {
    let mut model = settled(3, 0);
    model.plan();
    let newest = model.view_of(&name(1)).current_epoch;
    let other = model.view_of(&name(0)).me.clone();
    let view = model.view_of(&name(1));
    view.nodes.iter_mut().find(|node| node.id == other).unwrap().slots.remove(Slot::FIRST);
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::False, "it knows every epoch");
    model.view_of(&name(1)).current_epoch = ConfigEpoch(newest.0 - 1);
    assert_eq!(condition(&model.plan_from_heard(), ConditionType::ClusterOK), Truth::True, "it will hear");
}
