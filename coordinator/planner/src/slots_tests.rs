//! What the arithmetic of slots promises, on random holdings.

use proptest::prelude::*;
use redisnode_proto::SlotSet;
use redisnode_proto::slots::SLOT_COUNT;

use super::*;
use crate::holdings::holdings;

fn moved(held: &[SlotSet], wanted: &[SlotSet]) -> u16 {
    held.iter().zip(wanted).map(|(before, after)| before.difference(after).len()).sum()
}

/// The fewest that any answer within ±1 must take from their holders: over all ways to choose who gets the odd slots,
/// which is the same as giving them to the biggest; computed by trying the share of each holder on its own.
fn least_moves(held: &[SlotSet]) -> u16 {
    let count = u16::try_from(held.len()).unwrap();
    let (share, odd) = (SLOT_COUNT / count, SLOT_COUNT % count);
    let above: u16 = held.iter().map(|set| set.len().saturating_sub(share)).sum();
    let could_keep_one_more = held.iter().filter(|set| set.len() > share).count();
    above - odd.min(u16::try_from(could_keep_one_more).unwrap())
}

fn ranges(sets: &[SlotSet]) -> usize {
    sets.iter().map(|set| set.ranges().len()).sum()
}

proptest! {
    #[test]
    fn every_slot_once_and_shares_within_one(held in holdings(11)) {
        prop_assert!(is_balanced(&balance(&held)));
    }

    #[test]
    fn no_more_slots_move_than_any_even_answer_must_move(held in holdings(11)) {
        prop_assert_eq!(moved(&held, &balance(&held)), least_moves(&held));
    }

    #[test]
    fn nobody_both_gives_and_takes(held in holdings(11)) {
        for (before, after) in held.iter().zip(&balance(&held)) {
            prop_assert!(before.is_subset(after) || after.is_subset(before));
        }
    }

    #[test]
    fn each_holder_and_each_receiver_cuts_one_range_at_most(held in holdings(11)) {
        let free = held.iter().fold(SlotSet::full(), |rest, set| rest.difference(set));
        let before = ranges(&held) + free.ranges().len();
        prop_assert!(ranges(&balance(&held)) <= before + 2 * held.len());
    }

    #[test]
    fn an_even_answer_stays_as_it_is(held in holdings(11)) {
        let even = balance(&held);
        prop_assert_eq!(balance(&even), even);
    }

    #[test]
    fn completing_takes_nothing_from_anybody(held in holdings(11)) {
        let loose = held.iter().fold(SlotSet::full(), |rest, set| rest.difference(set));
        let whole = complete(&held, &loose);
        let total: u16 = whole.iter().map(SlotSet::len).sum();
        prop_assert_eq!(total, SLOT_COUNT);
        for (before, after) in held.iter().zip(&whole) {
            prop_assert!(before.is_subset(after));
        }
    }
}

#[test]
fn an_empty_cluster_gets_one_range_each() {
    let wanted = balance(&vec![SlotSet::new(); 3]);
    assert_eq!(wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0-5461", "5462-10922", "10923-16383"]);
}

#[test]
fn a_fourth_shard_takes_one_range_from_each_of_three() {
    let mut held = balance(&vec![SlotSet::new(); 3]);
    held.push(SlotSet::new());
    let wanted = balance(&held);
    assert_eq!(moved(&held, &wanted), SLOT_COUNT / 4);
    assert_eq!(wanted[3].ranges().len(), 3);
    assert!(wanted[..3].iter().all(|set| set.ranges().len() == 1));
}

#[test]
fn more_shards_than_slots_leave_some_with_none() {
    let wanted = balance(&vec![SlotSet::new(); 16385]);
    assert!(is_balanced(&wanted));
}
