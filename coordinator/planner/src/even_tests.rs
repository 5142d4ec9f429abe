//! What sharing out by weight promises, on random holdings and random weights.

use proptest::prelude::*;
use redisnode_proto::weights::Run;

use super::*;
use crate::holdings::holdings;

/// Weights of all slots: mostly alike, with some that stand out.
fn weights() -> impl Strategy<Value = Weights> {
    let outliers = proptest::collection::vec((0u16..SLOT_COUNT, 0u64..400_000), 0..12);
    (0u64..200, 0u64..60, outliers).prop_map(|(base, noise, outliers)| {
        let mut all: Vec<u64> = (0..u64::from(SLOT_COUNT)).map(|n| base + n * 7919 % (noise + 1)).collect();
        for (slot, weight) in outliers {
            all[usize::from(slot)] = weight;
        }
        of(&all)
    })
}

fn of(weights: &[u64]) -> Weights {
    let runs: Vec<Run> =
        Slot::all().zip(weights).map(|(slot, weight)| Run { slots: slot.into(), weight: *weight }).collect();
    Weights::of_runs(&runs)
}

/// The heaviest slot that is not hot.
fn grain(weights: &Weights, shards: usize) -> u64 {
    let (_, hot) = weights.share(shards);
    Slot::all().filter(|slot| !hot.contains(slot)).map(|slot| weights.of(slot)).max().unwrap()
}

fn moved(weights: &Weights, held: &[SlotSet], wanted: &[SlotSet]) -> u64 {
    held.iter().zip(wanted).map(|(before, after)| weights.sum(&before.difference(after))).sum()
}

fn even_shares(shards: usize) -> Vec<SlotSet> {
    crate::slots::balance(&vec![SlotSet::new(); shards])
}

fn slot(number: u16) -> Slot {
    Slot::try_from(number).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_slot_is_somebodys_and_nobody_is_left_without(held in holdings(8), weights in weights()) {
        let wanted = share_out(&held, &weights);
        prop_assert!(crate::slots::is_whole(&wanted));
    }

    #[test]
    fn no_share_is_too_large_by_more_than_five_percent_or_a_slot(held in holdings(8), weights in weights()) {
        let wanted = share_out(&held, &weights);
        let (share, hot) = weights.share(held.len());
        let bound = (share / 20).max(grain(&weights, held.len()));
        for set in &wanted {
            let over = weights.sum(set).saturating_sub(weights.bound(set, share));
            // Two hot slots of one holder are told apart, and what their new owners had goes the next time.
            prop_assert!(over <= bound || !hot.is_empty(), "{over} of {share}, at most {bound}");
        }
        if hot.is_empty() {
            let least = wanted.iter().map(|set| weights.sum(set)).min().unwrap();
            let lack = share.saturating_sub(least);
            let bound = share / 20 + grain(&weights, held.len()) * held.len() as u64;
            prop_assert!(lack <= bound, "{lack} of {share}, at most {bound}");
        }
    }

    #[test]
    fn no_more_moves_than_shards_have_too_much(held in holdings(8), weights in weights()) {
        let wanted = share_out(&held, &weights);
        let (share, _) = weights.share(held.len());
        let excess: u64 =
            held.iter().map(|set| weights.sum(set).saturating_sub(weights.bound(set, share))).sum();
        // Nobody is left empty: that may take a slot from each.
        let spare = held.iter().filter(|set| set.is_empty()).count() as u64 * grain(&weights, held.len());
        let moved = moved(&weights, &held, &wanted);
        // A heavy slot goes where most of it is too much.
        let spare = spare + grain(&weights, held.len()) / 4 * held.len() as u64;
        prop_assert!(moved <= excess + spare, "{moved} moved, {excess} too much");
    }

    #[test]
    fn nobody_gives_and_takes(held in holdings(8), weights in weights()) {
        for (before, after) in held.iter().zip(&share_out(&held, &weights)) {
            prop_assert!(before.is_subset(after) || after.is_subset(before));
        }
    }

    #[test]
    fn sharing_out_again_and_again_comes_to_rest(held in holdings(8), weights in weights()) {
        let mut now = share_out(&held, &weights);
        let mut off = weights.unevenness(&now);
        for _ in 0..12 {
            let next = share_out(&now, &weights);
            let then = weights.unevenness(&next);
            // The planner moves only for what is clearly better: there are not many such steps.
            let (share, _) = weights.share(held.len());
            if then + share / 10 > off {
                return Ok(());
            }
            (now, off) = (next, then);
        }
        prop_assert!(false, "it goes on for ever");
    }
}

#[test]
fn where_nothing_weighs_anything_shares_are_even_by_number() {
    let wanted = share_out(&vec![SlotSet::new(); 3], &of(&vec![0; 16384]));
    let sizes: Vec<u16> = wanted.iter().map(SlotSet::len).collect();
    assert!(sizes.iter().all(|size| size.abs_diff(5461) < 100), "{sizes:?}");
    assert!(wanted.iter().all(|set| set.ranges().len() == 1), "{wanted:?}");
}

#[test]
fn even_weights_move_long_ranges() {
    let mut held = even_shares(3);
    held.push(SlotSet::new());
    let wanted = share_out(&held, &of(&vec![100; 16384]));
    assert!(wanted[..3].iter().all(|set| set.ranges().len() == 1), "{wanted:?}");
    assert!(wanted[3].len().abs_diff(4096) < 200 && wanted[3].ranges().len() == 3, "{wanted:?}");
}

#[test]
fn a_few_heavy_slots_move_and_nothing_else() {
    let mut all = vec![1; 16384];
    for heavy in 0..9 {
        all[heavy * 100] = 1_000_000;
    }
    let (held, weights) = (even_shares(3), of(&all));
    let wanted = share_out(&held, &weights);
    let heavy = |set: &SlotSet| (0..9).filter(|n| set.contains(slot(n * 100))).count();
    assert_eq!(wanted.iter().map(heavy).collect::<Vec<_>>(), [3, 3, 3]);
    let slots: u16 = held.iter().zip(&wanted).map(|(before, after)| before.difference(after).len()).sum();
    assert_eq!(slots, 6, "six slots are enough");
}

#[test]
fn a_hot_slot_stays_alone_and_the_others_share_the_rest() {
    let mut all = vec![100; 16384];
    all[5] = 10_000_000;
    let (held, weights) = (even_shares(3), of(&all));
    let (share, hot) = weights.share(3);
    assert_eq!(hot, [slot(5)]);
    assert!(share.abs_diff(16383 * 100 / 2) < share / 20, "{share}");
    let wanted = share_out(&held, &weights);
    assert!(wanted[0].contains(slot(5)) && wanted[0].len() < 400, "{}", wanted[0].len());
    assert!(wanted[1].len().abs_diff(wanted[2].len()) < 400);
    assert!(weights.unevenness(&wanted) < share / 20);
}
