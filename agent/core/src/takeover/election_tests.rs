//! Without a certificate: the servers elect first; then one replica's agent acts, and only for data it knows to be whole.

use redisnode_proto::topology::Health;
use redisnode_proto::{Millis, Offset};

use super::{Promotion, Step, election};
use crate::testing::{NOW, OFFSET, Scene, TIMEOUT, fail, id, line, name, slot, slots};

const TWICE: u64 = 2 * TIMEOUT.0;

/// `c-3` or `c-4`, the replicas of `c-0`, which has been failed in everybody's view for so long.
fn orphan(node: usize, failed_for: u64) -> Scene {
    let mut scene = Scene::new(node, 3, 2);
    scene.everybody(|view| fail(view, 0));
    scene.silence(0);
    scene.running().replication.link_up = false;
    scene.primary_failed_since = Some(Millis(NOW.0 - failed_for));
    scene
}

fn acts(scene: &Scene) -> bool {
    match election(&scene.situation()) {
        Step::Promote { how, .. } => {
            assert_eq!(how, Promotion::Force, "nobody certifies the death");
            true
        }
        Step::Rest | Step::Ask(_) | Step::RaiseEpoch | Step::Answer(_) => false,
    }
}

#[test]
fn the_servers_have_twice_the_node_time_out_to_elect_by_themselves() {
    assert!(!acts(&orphan(3, TWICE - 1)));
    assert!(acts(&orphan(3, TWICE)));
}

#[test]
fn of_equal_replicas_only_the_one_with_the_smallest_name_acts() {
    assert!(acts(&orphan(3, TWICE)));
    assert!(!acts(&orphan(4, 100 * TWICE)));
}

#[test]
fn the_replica_furthest_ahead_acts_and_the_other_rests() {
    let mut behind = orphan(3, TWICE);
    behind.their(4).replication.offset = Offset(OFFSET.0 + 1);
    assert!(!acts(&behind));
    let mut ahead = orphan(4, TWICE);
    ahead.running().replication.offset = Offset(OFFSET.0 + 1);
    assert!(acts(&ahead));
}

#[test]
fn a_silent_sibling_may_be_the_better_one_and_has_twice_the_time() {
    let mut scene = orphan(3, 2 * TWICE - 1);
    scene.silence(4);
    assert!(!acts(&scene));
    scene.primary_failed_since = Some(Millis(NOW.0 - 2 * TWICE));
    assert!(acts(&scene));
}

#[test]
fn a_sibling_that_was_not_asked_lately_is_asked_first() {
    let mut scene = orphan(3, TWICE);
    scene.now = Millis(NOW.0 + 1001);
    assert_eq!(election(&scene.situation()), Step::Ask(vec![name(4)]));
    scene.peers.remove(&name(4));
    assert_eq!(election(&scene.situation()), Step::Ask(vec![name(4)]));
}

#[test]
fn data_that_was_not_in_sync_is_never_promoted_without_a_person() {
    let mut scene = orphan(3, 1000 * TWICE);
    scene.ledger.identity.as_mut().unwrap().in_sync = false;
    assert!(!acts(&scene));
}

#[test]
fn a_sibling_out_of_sync_stopping_or_elsewhere_does_not_hold_the_best_one_back() {
    let ahead = || {
        let mut scene = orphan(3, TWICE);
        scene.their(4).replication.offset = Offset(OFFSET.0 + 1);
        scene
    };
    let mut scene = ahead();
    scene.said(4).ledger.identity.as_mut().unwrap().in_sync = false;
    assert!(acts(&scene));
    let mut scene = ahead();
    scene.said(4).stopping = true;
    assert!(acts(&scene));
    let mut scene = ahead();
    line(&mut scene.their(4).view, 4).primary = Some(id(1));
    assert!(acts(&scene));
}

#[test]
fn nothing_is_done_about_a_primary_that_a_majority_has_not_as_failed_or_that_owns_nothing() {
    let mut scene = orphan(3, TWICE);
    line(scene.view(), 0).health = Health::Suspected;
    assert!(!acts(&scene));
    let mut scene = orphan(3, TWICE);
    line(scene.view(), 0).slots = slots("");
    assert!(!acts(&scene));
}

#[test]
fn who_is_stopping_or_under_a_certificate_does_not_act_for_itself() {
    let mut scene = orphan(3, TWICE);
    scene.stopping = true;
    assert!(!acts(&scene));
    let mut scene = orphan(3, TWICE);
    scene.notice(0, 0);
    assert!(!acts(&scene));
}

#[test]
fn a_force_on_its_way_is_not_doubled() {
    let mut scene = orphan(3, TWICE);
    scene.inbox.forced_at = Some(Millis(NOW.0 - 5199));
    assert!(!acts(&scene));
    scene.inbox.forced_at = Some(Millis(NOW.0 - 5200));
    assert!(acts(&scene));
}

#[test]
fn with_open_slots_the_named_heir_acts_at_once_and_opens_them_again() {
    let mut scene = orphan(4, 0);
    scene.open_slots(0, 5, 1, 4);
    let reopen = vec![(slot(5), id(1))];
    assert_eq!(election(&scene.situation()), Step::Promote { how: Promotion::Force, reopen });
    scene.inbox.forced_at = Some(NOW);
    assert!(!acts(&scene));
}

#[test]
fn if_the_heir_does_not_act_the_best_of_the_others_does_after_twice_the_time() {
    let mut scene = orphan(3, TWICE - 1);
    scene.open_slots(0, 5, 1, 4);
    assert!(!acts(&scene));
    scene.primary_failed_since = Some(Millis(NOW.0 - TWICE));
    assert!(acts(&scene));
}
