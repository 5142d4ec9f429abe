//! A node that lost its folder: whose death it certifies before it starts empty, and when there is nobody's.

use redisnode_proto::report::Disk;
use redisnode_proto::{ConfigEpoch, SlotSet};

use super::check_tests::{Check, promotes, starts, waits};
use super::{Row, StartAct};
use crate::testing::{fail_over, id, name};

/// `c-0`, a primary with one replica, without its folder.
fn without_folder(shards: usize) -> Check {
    let mut check = Check::new(0, shards, 1);
    check.disk = Disk::default();
    check
}

#[test]
fn a_primary_that_lost_its_folder_certifies_the_death_of_its_former_life_before_it_starts_empty() {
    let check = without_folder(1);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
    let StartAct::Promote { dead, epoch, .. } = check.verdict().act else { panic!() };
    assert_eq!((dead, epoch), (id(0), ConfigEpoch(0)), "every other owner counts as newer");
}

#[test]
fn mates_are_asked_who_else_owns_the_slots_before_anything_is_started() {
    let mut check = without_folder(1);
    check.peers.clear();
    assert_eq!(check.verdict().act, StartAct::Ask(vec![name(1)]));
}

#[test]
fn once_somebody_else_owns_the_slots_it_starts_and_nobody_is_told() {
    let mut check = without_folder(1);
    fail_over(&mut check.mate(1).view, 0, 1);
    assert_eq!(starts(&check.verdict()), Some((Row::OwnedElsewhere, true, false)));
    check.disk.has_data = true;
    assert_eq!(
        starts(&check.verdict()),
        Some((Row::OwnedElsewhere, true, true)),
        "a server without a node table would own every slot it has a key of"
    );
}

#[test]
fn a_shard_that_ends_has_a_former_life_to_certify_as_long_as_others_show_its_slots() {
    let mut check = without_folder(2);
    check.ledger.layout.as_mut().unwrap().shards[0].slots = SlotSet::new();
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(2))));
    for node in [1, 2, 3] {
        fail_over(&mut check.mate(node).view, 0, 1);
    }
    assert_eq!(starts(&check.verdict()), Some((Row::NoIdentity, false, false)));
}

#[test]
fn a_folder_that_is_new_waits_for_a_layout_unless_the_cluster_was_never_founded() {
    let mut check = without_folder(1);
    check.ledger.layout = None;
    assert_eq!(waits(&check.verdict()), Some((Row::NoIdentity, vec![])));
    check.may_found = true;
    assert_eq!(starts(&check.verdict()), Some((Row::NoIdentity, false, false)));
}

#[test]
fn a_member_that_no_layout_knows_by_an_id_was_nobody_before() {
    let mut check = without_folder(1);
    check.ledger.layout.as_mut().unwrap().members[0].node_id = None;
    assert_eq!(starts(&check.verdict()), Some((Row::NoIdentity, false, false)));
    let mut check = without_folder(1);
    check.ledger.layout.as_mut().unwrap().forget.push(id(0));
    assert_eq!(starts(&check.verdict()), Some((Row::NoIdentity, false, false)));
    check.disk.has_data = true;
    assert_eq!(starts(&check.verdict()), Some((Row::NoIdentity, false, true)));
}
