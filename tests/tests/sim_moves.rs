//! A move of slots by each driver, and a blow to each of its parties in each of its states: nothing is lost, nothing is left
//! open, and the cluster becomes what was asked for.

use redisnode_tests::sim::{Blow, State, Way, struck};

fn survives(way: Way, states: &[State]) {
    for state in states {
        for (blow, replicas) in Blow::ALL.into_iter().flat_map(|blow| [(blow, 0), (blow, 1)]) {
            let Some(outcome) = struck(way, *state, blow, replicas) else {
                panic!("no move by {way:?} is ever {state:?}")
            };
            assert!(outcome.broken.is_none(), "{}", outcome.story());
            assert!(outcome.acknowledged > 0, "{way:?}, {state:?}: no client writes");
        }
    }
}

#[test]
fn moves_that_the_source_pushes_survive_a_blow_to_any_party() {
    use State::{AboutToMove, Begun, Granted, HalfThere, Taken, UnderWay};
    survives(Way::Push, &[Begun, UnderWay, HalfThere, AboutToMove, Granted, Taken]);
}

#[test]
fn moves_that_the_target_pulls_survive_a_blow_to_any_party() {
    use State::{AboutToMove, Begun, HalfThere, Taken, UnderWay};
    survives(Way::Pull, &[Begun, UnderWay, HalfThere, AboutToMove, Taken]);
}

#[test]
fn moves_key_by_key_survive_a_blow_to_any_party() {
    // What comes between the halves of closing a slot is drawn in the random histories.
    use State::{AboutToMove, Begun, HalfThere, UnderWay};
    survives(Way::Classic, &[Begun, UnderWay, HalfThere, AboutToMove]);
}
