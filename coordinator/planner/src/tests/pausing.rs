//! While somebody has paused all changes nothing is changed, and it is said what would be.

use super::converge::{is_as_wanted, settle};
use super::model::{Dice, Model, spec};
use crate::Why;

#[test]
fn what_is_paused_changes_nothing_says_what_it_would_do_and_goes_on_when_resumed() {
    let (mut model, mut dice) = (Model::new(spec(3, 1)), Dice(7));
    settle(&mut model, &mut dice, 0);
    model.spec = spec(4, 1);
    model.run_ordinals(model.spec.members());
    model.nodes.values_mut().for_each(|sim| sim.restart_needed = true);
    model.paused = true;
    let plan = model.plan();
    assert!(plan.paused && plan.layout.is_none() && plan.restart.is_empty() && plan.remove.is_empty());
    assert_eq!(plan.declined.first().map(|declined| declined.why), Some(Why::Paused));
    assert!(!plan.next.is_empty(), "what would be done is said");
    assert!(plan.status.waiting_for.iter().any(|sentence| sentence.contains("resume")));
    model.paused = false;
    let plan = settle(&mut model, &mut dice, 0);
    is_as_wanted(&model, &plan);
}

#[test]
fn a_paused_cluster_is_not_founded_and_a_new_life_publishes_nothing() {
    let (mut model, mut dice) = (Model::new(spec(3, 0)), Dice(7));
    model.paused = true;
    assert!(model.plan().layout.is_none());
    model.paused = false;
    settle(&mut model, &mut dice, 0);
    (model.term, model.published, model.paused) = (model.term + 1, None, true);
    assert!(model.plan().layout.is_none());
}
