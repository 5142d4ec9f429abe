//! Weights of slots as few runs of neighbours that weigh about the same, so that a Report stays small; and when such runs are
//! so wrong that new ones are worth telling.

use std::collections::BTreeMap;

use redisnode_proto::Slot;
use redisnode_proto::slots::SlotRange;
use redisnode_proto::weights::Run;

/// The most runs, some KiB of a Report. Where a server's slots are not neighbours there may be more.
const MOST: usize = 256;
/// What is told is wrong when so many percent of the weight are elsewhere, or gone, or new.
const MARGIN_PERCENT: u64 = 10;

/// The slots, which are in order, as runs. How much slots of one run differ is bounded as tightly as [`MOST`] allows: what
/// stands out stays by itself.
pub(super) fn coarse(weights: &[(Slot, u64)]) -> Vec<Run> {
    let heaviest = weights.iter().map(|(_, weight)| *weight).max().unwrap_or_default();
    let sum = weights.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
    let grain = (sum / u64::try_from(weights.len()).unwrap_or(u64::MAX).max(1) / 8).max(1);
    let mut bound = 0;
    loop {
        let runs = merged(weights, bound);
        if runs.len() <= MOST || bound >= heaviest {
            return runs;
        }
        bound = bound.saturating_mul(2).max(grain);
    }
}

/// Whether what was told is far from what is. Both are of the same slots.
pub(super) fn is_far(told: &[Run], fresh: &[Run]) -> bool {
    let total = |runs: &[Run]| runs.iter().fold(0_u64, |sum, run| sum.saturating_add(run.weight));
    let by_start: BTreeMap<Slot, &Run> = told.iter().map(|run| (run.slots.start(), run)).collect();
    let mut off = 0_u64;
    for run in fresh {
        off = off.saturating_add(run.weight.abs_diff(within(&by_start, run.slots)));
    }
    u128::from(off) * 100 > u128::from(total(told).max(total(fresh))) * u128::from(MARGIN_PERCENT)
}

/// What was told of the slots of `range`; of a part of a run as much as its part of the slots.
fn within(told: &BTreeMap<Slot, &Run>, range: SlotRange) -> u64 {
    let first = told.range(..=range.start()).next_back().map_or(range.start(), |(start, _)| *start);
    let mut sum = 0_u64;
    for run in told.range(first..=range.end()).map(|(_, run)| run) {
        let (start, end) = (run.slots.start().max(range.start()), run.slots.end().min(range.end()));
        let shared = SlotRange::new(start, end).map_or(0, SlotRange::count);
        let part = u128::from(run.weight) * u128::from(shared) / u128::from(run.slots.count());
        sum = sum.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
    }
    sum
}

fn merged(weights: &[(Slot, u64)], bound: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut least, mut most) = (0, 0);
    for (slot, weight) in weights {
        let alone = SlotRange::from(*slot);
        let (low, high) = (least.min(*weight), most.max(*weight));
        let last = runs.last_mut().filter(|_| high - low <= bound);
        let next = |run: &Run| run.slots.end().number() + 1 == slot.number();
        if let Some(run) = last.filter(|run| next(run)) {
            run.slots = SlotRange::new(run.slots.start(), *slot).unwrap_or(alone);
            run.weight = run.weight.saturating_add(*weight);
            (least, most) = (low, high);
        } else {
            runs.push(Run { slots: alone, weight: *weight });
            (least, most) = (*weight, *weight);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redisnode_proto::slots::SLOT_COUNT;

    use super::*;

    fn slots(weights: &[u64]) -> Vec<(Slot, u64)> {
        Slot::all().zip(weights.iter().copied()).collect()
    }

    fn written(runs: &[Run]) -> Vec<String> {
        runs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_equal_is_one_run_and_what_stands_out_is_alone() {
        let mut weights = vec![10; 100];
        weights[40] = 5000;
        assert_eq!(written(&coarse(&slots(&weights))), ["0-39:400", "40:5000", "41-99:590"]);
        assert_eq!(coarse(&[]), []);
    }

    #[test]
    fn slots_that_are_no_neighbours_are_in_no_common_run() {
        let slot = |number: u16| Slot::try_from(number).unwrap();
        assert_eq!(written(&coarse(&[(slot(3), 1), (slot(5), 1), (slot(6), 1)])), ["3:1", "5-6:2"]);
    }

    #[test]
    fn noise_is_told_coarsely_and_a_heavy_slot_in_it_as_it_is() {
        let mut weights: Vec<u64> = (0..SLOT_COUNT).map(|n| 50 + u64::from(n) * 7919 % 23).collect();
        weights[999] = 100_000;
        let runs = coarse(&slots(&weights));
        assert!(runs.len() <= MOST, "{}", runs.len());
        assert!(written(&runs).contains(&"999:100000".to_owned()));
    }

    #[test]
    fn what_is_told_is_far_when_a_tenth_is_elsewhere() {
        let runs = |weights: &[u64]| coarse(&slots(weights));
        let told = runs(&[100; 10]);
        assert!(!is_far(&told, &told));
        assert!(!is_far(&told, &runs(&[105; 10])));
        assert!(is_far(&told, &runs(&[120; 10])));
        assert!(is_far(&told, &runs(&[0; 10])));
        let mut moved = [100; 10];
        (moved[3], moved[4]) = (200, 0);
        assert!(is_far(&told, &runs(&moved)), "the sum is the same");
        assert!(!is_far(&runs(&[0; 10]), &runs(&[0; 10])));
    }

    proptest! {
        #[test]
        fn runs_have_every_slot_and_all_of_the_weight(
            weights in proptest::collection::vec(0u64..1000, 1..3000), skip in 1usize..7,
        ) {
            let some: Vec<(Slot, u64)> = slots(&weights).into_iter().filter(|(s, _)| s.number() % 100 != 0 || skip > 3).collect();
            let runs = coarse(&some);
            let told: Vec<Slot> = runs.iter().flat_map(|run| run.slots.iter()).collect();
            prop_assert_eq!(told, some.iter().map(|(slot, _)| *slot).collect::<Vec<_>>());
            let sum: u64 = some.iter().map(|(_, weight)| weight).sum();
            prop_assert_eq!(runs.iter().map(|run| run.weight).sum::<u64>(), sum);
            prop_assert!(!is_far(&runs, &runs));
        }
    }
}
