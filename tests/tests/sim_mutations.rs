//! What the rules of safety are worth: with all of them nothing breaks in the situations they are about; with any one of
//! them taken away (at the seam between the pure cores and the simulator, never in the product) an invariant breaks.

use redisnode_agent_core::Row;
use redisnode_tests::sim::{Mutation, Outcome, Scenario, random_history};

/// How many random histories may pass before a missing rule shows.
const PATIENCE: u64 = 80;

fn expect_broken(scenario: Scenario, mutation: Mutation) {
    let outcome = scenario.play(Some(mutation));
    assert!(outcome.broken.is_some(), "nobody notices that {mutation:?} took its rule away:\n{}", outcome.story());
    println!("{scenario:?} without the rule of {mutation:?}: {:?}", outcome.broken);
}

/// Some random history breaks without the rule, and does not with it.
fn expect_a_broken_history(mutation: Mutation) {
    let breaks = |outcome: &Outcome| outcome.broken.is_some();
    let found = (1..=PATIENCE).map(|seed| random_history(seed, Some(mutation))).find(breaks);
    let Some(outcome) = found else {
        panic!("{PATIENCE} histories do not notice that {mutation:?} took its rule away")
    };
    println!("seed {} without the rule of {mutation:?}: {:?}", outcome.seed, outcome.broken);
    assert!(random_history(outcome.seed, None).broken.is_none(), "seed {} breaks with the rule too", outcome.seed);
}

#[test]
fn with_all_rules_nothing_breaks() {
    for scenario in Scenario::ALL {
        let outcome = scenario.play(None);
        assert!(outcome.broken.is_none(), "{}", outcome.story());
        assert!(outcome.acknowledged > 0, "{scenario:?} has no client that writes");
    }
}

#[test]
fn a_node_without_identity_must_certify_the_death_of_its_former_life() {
    expect_broken(Scenario::FolderLost, Mutation::NoFormerLife);
}

#[test]
fn a_replica_must_not_offer_its_data_to_a_primary_that_started_empty() {
    expect_broken(Scenario::StartedEmptyByHand, Mutation::StartsAnyway(Row::ReplicaOfEmptied));
}

#[test]
fn a_deposed_primary_must_start_with_its_writes_held() {
    expect_broken(Scenario::DeposedAndDeaf, Mutation::StartsAnyway(Row::OwnedElsewhere));
}

#[test]
fn a_primary_must_not_start_beside_a_mate_with_newer_data() {
    expect_broken(Scenario::KilledWithOldDump, Mutation::StartsAnyway(Row::MateIsNewer));
}

#[test]
fn a_cold_start_must_hold_writes_until_a_majority_is_seen() {
    expect_broken(Scenario::IsolatedRestart, Mutation::StartsAnyway(Row::ColdStart));
}

#[test]
fn a_primary_without_data_must_let_the_mate_that_has_them_take_over() {
    expect_broken(Scenario::DataGoneBesideReplica, Mutation::StartsAnyway(Row::DataGoneMateHolds));
}

#[test]
fn a_primary_without_data_must_start_empty_when_nobody_has_them() {
    expect_broken(Scenario::DataGoneEverywhere, Mutation::WaitsForEver(Row::DataGoneEverywhere));
}

#[test]
fn a_primary_without_data_must_wait_for_a_silent_mate() {
    expect_broken(Scenario::DataGoneReplicaSilent, Mutation::StartsAnyway(Row::DataGoneMateSilent));
}

#[test]
fn a_promised_takeover_must_be_awaited() {
    expect_a_broken_history(Mutation::StartsAnyway(Row::Promised));
}

#[test]
fn mates_must_be_asked_before_a_start() {
    expect_a_broken_history(Mutation::StartsAnyway(Row::Asking));
}

#[test]
fn only_an_empty_cluster_may_be_founded() {
    expect_broken(Scenario::FoundingAgain, Mutation::FoundsAgain);
}

#[test]
fn every_life_of_a_coordinator_needs_a_term_of_its_own() {
    expect_a_broken_history(Mutation::TermOfBefore);
}

#[test]
fn an_older_layout_must_be_refused() {
    expect_a_broken_history(Mutation::ObeysAnything);
}

#[test]
fn a_certificate_must_be_promised_on_disk_first() {
    expect_broken(Scenario::CertifierDies, Mutation::NoPromise);
}

#[test]
fn the_target_must_take_a_slot_before_the_source_lets_go() {
    expect_a_broken_history(Mutation::SourceFirst);
}

#[test]
fn a_driver_that_keeps_failing_must_give_way() {
    expect_broken(Scenario::NeverSucceeds, Mutation::NoFallback);
}

#[test]
fn a_move_in_one_piece_must_have_a_deadline() {
    expect_broken(Scenario::NeverEnds, Mutation::NoDeadline);
}

#[test]
fn who_owns_the_slots_must_be_asked_not_whether_the_job_went_well() {
    expect_broken(Scenario::FailedAndMoved, Mutation::TrustsTheJob);
}

#[test]
fn a_job_must_not_be_cancelled_when_its_target_may_take_the_slots() {
    expect_broken(Scenario::CancelledAfterGrant, Mutation::CancelsAnyTime);
}

#[test]
fn keys_must_be_replaced_only_after_a_timeout_of_ones_own() {
    expect_broken(Scenario::SourceDiesInMove, Mutation::AlwaysReplace);
}
