//! What the slots of a primary weigh, where shares are to be even by something else than their number. The figures are read a
//! few slots at a time; a round over all of them gives what is told. Nothing is told before the first whole round.

mod coarse;
mod rate;

use redisnode_proto::spec::Balance;
use redisnode_proto::weights::{Run, Weights};
use redisnode_proto::{Millis, Slot, SlotSet};

use coarse::{coarse, is_far};
use rate::Rate;

/// Slots that are read at once: other clients wait for a millisecond or two.
const AT_ONCE: usize = 1000;
/// How long there is between two readings.
const PAUSE: Millis = Millis(1000);
/// The same between two rounds: bytes change slowly, and samples of them cost the server most.
const BETWEEN_ROUNDS: Millis = Millis(10_000);
/// For how long figures may be told to hold, in seconds: each step is news, the time between them is none.
const STEPS: [u32; 6] = [160, 80, 40, 20, 10, 0];

/// Weighs the slots that a server owns, for as long as these are the same.
#[derive(Clone, Debug)]
pub struct Scale {
    by: Balance,
    owned: SlotSet,
    slots: Vec<Slot>,
    /// How many of them were read in this round.
    read: usize,
    /// What was read of each in this round.
    figures: Vec<u64>,
    /// Of operations: the averages so far.
    rates: Vec<Rate>,
    told: Option<Told>,
}

/// What is told, until it is wrong by a margin.
#[derive(Clone, Debug)]
struct Told {
    runs: Vec<Run>,
    estimated: bool,
    since: Millis,
}

/// What was found in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many keys it has.
    pub keys: u64,
    /// What some of them take, bytes.
    pub sizes: Vec<u64>,
}

/// Figures of the slots that were to be read, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figures {
    /// Bytes, as the server counts them.
    Bytes(Vec<u64>),
    /// Bytes, estimated from samples; all keys together take `total`.
    Estimates {
        /// For each slot.
        bytes: Vec<u64>,
        /// Of the server.
        total: u64,
    },
    /// How many microseconds the server has spent on the slot since it counts.
    Counters(Vec<u64>),
}

impl Scale {
    /// Begins with slots that nothing is known of.
    pub fn new(by: Balance, owned: &SlotSet) -> Self {
        let slots = owned.iter().collect();
        Self { by, owned: owned.clone(), slots, read: 0, figures: Vec::new(), rates: Vec::new(), told: None }
    }

    /// Whether this is what is to be weighed.
    pub fn is_for(&self, by: Balance, owned: &SlotSet) -> bool {
        self.by == by && self.owned == *owned
    }

    /// The slots to read next, at least one if there are any.
    pub fn due(&self) -> &[Slot] {
        let end = self.slots.len().min(self.read + AT_ONCE);
        self.slots.get(self.read..end).unwrap_or_default()
    }

    /// How long after a reading the next one is due.
    pub fn pause(&self) -> Millis {
        if self.by == Balance::Bytes && self.read == 0 && self.told.is_some() { BETWEEN_ROUNDS } else { PAUSE }
    }

    /// Takes in what was read of [`Scale::due`].
    pub fn take(&mut self, read: Figures, now: Millis) {
        let (figures, estimated) = match read {
            Figures::Bytes(bytes) => (bytes, None),
            Figures::Estimates { bytes, total } => (bytes, Some(total)),
            Figures::Counters(counters) => (self.averages(&counters, now), None),
        };
        self.figures.extend(figures);
        self.read = self.figures.len();
        if self.read < self.slots.len() {
            return;
        }
        self.read = 0;
        let mut figures = std::mem::take(&mut self.figures);
        if let Some(total) = estimated {
            scale(&mut figures, total);
        }
        // A counter that was read once says nothing of how fast it grows.
        if self.rates.iter().all(Rate::is_known) {
            self.tell(&figures, estimated.is_some(), now);
        }
    }

    /// What is told now.
    pub fn weights(&self, now: Millis) -> Option<Weights> {
        let told = self.told.as_ref()?;
        let since = match self.by {
            Balance::Operations => self.rates.last()?.since(),
            Balance::Slots | Balance::Bytes => told.since,
        };
        let age = now.since(since).0 / 1000;
        let for_s = STEPS.into_iter().find(|step| u64::from(*step) <= age).unwrap_or_default();
        Some(Weights { by: self.by, for_s, estimated: told.estimated, runs: told.runs.clone() })
    }

    /// The averages of the slots whose counters were read, as far as they are known.
    fn averages(&mut self, counters: &[u64], now: Millis) -> Vec<u64> {
        for (index, counter) in (self.read..).zip(counters) {
            match self.rates.get_mut(index) {
                Some(rate) => rate.count(*counter, now),
                None => self.rates.push(Rate::new(*counter, now)),
            }
        }
        self.rates.iter().skip(self.read).take(counters.len()).map(Rate::nanoseconds).collect()
    }

    fn tell(&mut self, figures: &[u64], estimated: bool, now: Millis) {
        let weighed: Vec<(Slot, u64)> = self.slots.iter().copied().zip(figures.iter().copied()).collect();
        let runs = coarse(&weighed);
        if self.told.as_ref().is_none_or(|told| is_far(&told.runs, &runs)) {
            self.told = Some(Told { runs, estimated, since: now });
        }
    }
}

impl Figures {
    /// What slots hold by samples of their keys, where all keys together take `total` bytes. Keys of a slot without a
    /// sample count as those of the others.
    pub fn estimated(samples: &[Sample], total: u64) -> Self {
        let mean = |sizes: &mut dyn Iterator<Item = &u64>| {
            let (count, sum) = sizes.fold((0_u64, 0_u64), |(count, sum), size| (count + 1, sum.saturating_add(*size)));
            sum.checked_div(count)
        };
        let common = mean(&mut samples.iter().flat_map(|sample| &sample.sizes)).unwrap_or(1);
        let bytes = |sample: &Sample| mean(&mut sample.sizes.iter()).unwrap_or(common).saturating_mul(sample.keys);
        Self::Estimates { bytes: samples.iter().map(bytes).collect(), total }
    }
}

/// Makes the figures add up to `total`.
fn scale(figures: &mut [u64], total: u64) {
    let sum = figures.iter().fold(0_u128, |sum, figure| sum + u128::from(*figure)).max(1);
    for figure in figures {
        *figure = u64::try_from(u128::from(*figure) * u128::from(total) / sum).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale_of(by: Balance, slots: &str) -> Scale {
        let range: redisnode_proto::SlotRange = slots.parse().unwrap();
        Scale::new(by, &range.into())
    }

    fn at(seconds: u64) -> Millis {
        Millis(seconds * 1000)
    }

    fn runs(scale: &Scale, now: u64) -> Vec<String> {
        scale.weights(at(now)).map(|told| told.runs.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn nothing_is_told_before_the_first_whole_round() {
        let mut scale = scale_of(Balance::Bytes, "0-1499");
        assert_eq!(scale.due().len(), AT_ONCE);
        scale.take(Figures::Bytes(vec![5; AT_ONCE]), at(1));
        assert_eq!((scale.weights(at(1)), scale.due().len()), (None, 500));
        scale.take(Figures::Bytes(vec![5; 500]), at(2));
        assert_eq!((runs(&scale, 2), scale.due().len()), (vec!["0-1499:7500".to_owned()], AT_ONCE));
    }

    #[test]
    fn estimates_add_up_to_what_the_server_uses() {
        let mut scale = scale_of(Balance::Bytes, "0-2");
        scale.take(Figures::Estimates { bytes: vec![10, 0, 30], total: 80 }, at(1));
        assert_eq!(runs(&scale, 1), ["0:20", "1:0", "2:60"]);
        assert!(scale.weights(at(1)).unwrap().estimated);
        let mut empty = scale_of(Balance::Bytes, "0-2");
        empty.take(Figures::Estimates { bytes: vec![0; 3], total: 80 }, at(1));
        assert_eq!(runs(&empty, 1), ["0-2:0"], "what an empty server uses is nobody's");
    }

    #[test]
    fn a_slot_is_estimated_from_its_samples_else_from_those_of_the_others() {
        let sample = |keys, sizes: &[u64]| Sample { keys, sizes: sizes.to_vec() };
        let found = Figures::estimated(&[sample(10, &[100, 200]), sample(2, &[]), sample(0, &[])], 7);
        assert_eq!(found, Figures::Estimates { bytes: vec![1500, 300, 0], total: 7 });
        let blind = Figures::estimated(&[sample(10, &[]), sample(30, &[])], 7);
        assert_eq!(blind, Figures::Estimates { bytes: vec![10, 30], total: 7 }, "then every key counts alike");
    }

    #[test]
    fn figures_hold_until_they_are_wrong_by_a_margin() {
        let mut scale = scale_of(Balance::Bytes, "0-9");
        for (second, bytes, told, for_s) in
            [(1, 100, 1000, 0), (11, 104, 1000, 10), (22, 96, 1000, 20), (23, 120, 1200, 0), (400, 120, 1200, 160)]
        {
            scale.take(Figures::Bytes(vec![bytes; 10]), at(second));
            let weights = scale.weights(at(second)).unwrap();
            assert_eq!((weights.total(), weights.for_s), (told, for_s), "at {second} s");
        }
    }

    #[test]
    fn operations_are_told_as_an_average_with_its_age() {
        let mut scale = scale_of(Balance::Operations, "7-8");
        scale.take(Figures::Counters(vec![1_000_000, 5]), at(10));
        assert_eq!(scale.weights(at(10)), None, "a counter alone is no rate");
        // 2 ms a second on one slot, nothing on the other.
        scale.take(Figures::Counters(vec![1_010_000, 5]), at(15));
        assert_eq!(runs(&scale, 15), ["7:2000000", "8:0"]);
        assert_eq!(scale.weights(at(30)).unwrap().for_s, 20, "since it was first looked at");
    }

    #[test]
    fn other_slots_and_another_measure_are_weighed_anew() {
        let scale = scale_of(Balance::Bytes, "0-9");
        assert!(scale.is_for(Balance::Bytes, &scale.owned.clone()));
        assert!(!scale.is_for(Balance::Operations, &scale.owned.clone()));
        assert!(!scale.is_for(Balance::Bytes, &SlotSet::full()));
    }
}
