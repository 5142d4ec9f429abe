//! One promise at a time: the chosen one is asked again until it says how it ended. Two that are told can both win.

use redisnode_proto::ConfigEpoch;
use redisnode_proto::ledger::Promise;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::Role;

use super::check_tests::{Check, promotes};
use super::{Row, StartAct};
use crate::testing::{fail_over, id, layout, line, name, next_id, running_of, said};

/// The promise of `c-0` to `chosen`.
pub(super) fn promise(chosen: usize) -> Promise {
    Promise { dead: id(0), epoch: ConfigEpoch(1), chosen: name(chosen), chosen_id: id(chosen) }
}

/// `c-0` has promised to `c-2`, which is not the best one any more.
fn promised() -> Check {
    let mut check = Check::new(0, 1, 2);
    check.mate(1).replication.offset.0 += 50;
    check.ledger.promise = Some(promise(2));
    check
}

#[test]
fn the_chosen_one_is_asked_again_even_when_another_has_become_better() {
    assert_eq!(promotes(&promised().verdict()), Some((Row::Promised, name(2))));
}

#[test]
fn silence_of_the_chosen_one_releases_nobody_however_long_it_lasts() {
    let mut check = promised();
    check.silence(2);
    check.now.0 += 10_000_000;
    assert_eq!(promotes(&check.verdict()), Some((Row::Promised, name(2))));
}

#[test]
fn a_server_that_hangs_is_not_a_certified_death() {
    for state in [ServerState::Unknown { reason: String::new() }, ServerState::Starting, ServerState::Loading] {
        let mut check = promised();
        said(&mut check.peers, 2).server = state;
        assert_eq!(promotes(&check.verdict()), Some((Row::Promised, name(2))));
    }
}

#[test]
fn a_refusal_releases_the_promise_and_the_next_one_is_asked() {
    let mut check = promised();
    check.refused.insert(name(2));
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn the_certified_death_of_the_chosen_one_releases_the_promise() {
    let mut check = promised();
    check.down(2, true);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn a_chosen_one_that_took_over_and_died_is_not_overruled() {
    let mut check = promised();
    check.down(2, true);
    let slots = check.disk.identity.as_ref().unwrap().slots.clone();
    let theirs = said(&mut check.peers, 2).disk.identity.as_mut().unwrap();
    (theirs.role, theirs.primary, theirs.epoch, theirs.slots) = (Role::Primary, None, ConfigEpoch(2), slots);
    assert_eq!(check.verdict().row, Row::OwnedElsewhere);
}

#[test]
fn a_layout_without_the_chosen_one_releases_the_promise() {
    let mut check = promised();
    check.silence(2);
    check.ledger.layout = Some(layout(1, 1));
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn a_layout_that_moved_the_chosen_one_to_another_shard_does_not_release_it() {
    let mut check = promised();
    check.silence(2);
    let layout = check.ledger.layout.as_mut().unwrap();
    layout.shards[0].replicas.retain(|mate| *mate != name(2));
    assert_eq!(promotes(&check.verdict()), Some((Row::Promised, name(2))));
}

#[test]
fn the_promise_of_another_life_binds_nobody() {
    let mut check = promised();
    check.ledger.promise.as_mut().unwrap().dead = next_id(0);
    assert_eq!(promotes(&check.verdict()), Some((Row::MateIsNewer, name(1))));
}

#[test]
fn once_the_chosen_one_owns_the_slots_the_server_starts_as_its_replica() {
    let mut check = promised();
    fail_over(&mut check.mate(2).view, 0, 2);
    running_of(&mut said(&mut check.peers, 2).server).replication.role = Role::Primary;
    let verdict = check.verdict();
    assert_eq!(verdict.row, Row::OwnedElsewhere);
    assert_eq!(verdict.act, StartAct::Start { gated: true, aside: false, lost: None });
    assert_eq!(line(&mut check.mate(2).view, 2).epoch, ConfigEpoch(20));
}

#[test]
fn a_takeover_that_left_slots_here_releases_the_promise_and_the_rest_is_served_from_the_own_data() {
    let mut check = Check::new(0, 1, 1);
    check.ledger.promise = Some(promise(1));
    fail_over(&mut check.mate(1).view, 0, 1);
    let view = &mut check.mate(1).view;
    let all = line(view, 1).slots.clone();
    let rest = all.iter().take(10).collect();
    line(view, 1).slots = all.difference(&rest);
    line(view, 0).slots = rest;
    running_of(&mut said(&mut check.peers, 1).server).replication.role = Role::Primary;
    assert_eq!(check.verdict().row, Row::ColdStart);
}
