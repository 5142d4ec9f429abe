//! What the arguments ask for.

use redisnode_tests::servers::FAMILIES;

use crate::data::Data;
use crate::plan::Direction;

/// Families that run everything.
const WHOLE: [&str; 3] = ["system", "redis-8.6", "valkey-9.1"];
/// Families that run small keys, 3 to 4, unless data are named.
const BRIEF: [&str; 2] = ["redis-8.0", "valkey-8.1"];
/// Ways to move, and what else is measured.
const WAYS: [&str; 7] = ["ours", "budgets", "cli", "tuned", "script", "atomic", "sync"];
const TIMELINE: &str = "12-16";
const TUNE: &str = "tune";

/// The words of the command line, all of them known.
#[derive(Debug)]
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    /// The error is a sentence.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let words: Vec<String> = words.collect();
        let data: Vec<&str> = Data::ALL.iter().map(|data| data.name()).collect();
        let directions: Vec<&str> = Direction::ALL.iter().map(|direction| direction.name()).collect();
        let known = |word: &str| {
            [&FAMILIES[..], &data[..], &directions[..], &WAYS[..], &[TIMELINE, TUNE]].concat().contains(&word)
        };
        if let Some(word) = words.iter().find(|word| !known(word)) {
            return Err(format!(
                "{word}: there are the families {FAMILIES:?}, the data {data:?}, the directions {directions:?}, the ways \
                 {WAYS:?}, {TIMELINE} and {TUNE}"
            ));
        }
        Ok(Self(words))
    }

    pub(crate) fn families(&self) -> Vec<&str> {
        let named: Vec<&str> = self.named(&FAMILIES);
        if named.is_empty() { [&WHOLE[..], &BRIEF[..]].concat() } else { named }
    }

    pub(crate) fn data(&self, family: &str) -> Vec<Data> {
        let named: Vec<Data> = Data::ALL.into_iter().filter(|data| self.has(data.name())).collect();
        match (named.is_empty(), self.has(TIMELINE), BRIEF.contains(&family)) {
            (true, true, _) => Vec::new(),
            (true, false, true) => vec![Data::Small],
            (true, false, false) => Data::ALL.to_vec(),
            (false, _, _) => named,
        }
    }

    pub(crate) fn directions(&self, family: &str) -> Vec<Direction> {
        let named: Vec<Direction> = Direction::ALL.into_iter().filter(|direction| self.has(direction.name())).collect();
        match (named.is_empty(), BRIEF.contains(&family)) {
            (true, true) => vec![Direction::Grow],
            (true, false) => Direction::ALL.to_vec(),
            (false, _) => named,
        }
    }

    /// Whether a way is measured: all are, unless some are named.
    pub(crate) fn way(&self, way: &str) -> bool {
        self.has(way) || self.named(&WAYS).is_empty()
    }

    pub(crate) fn timeline(&self, family: &str) -> bool {
        let alone = Data::ALL.iter().all(|data| !self.has(data.name()))
            && Direction::ALL.iter().all(|direction| !self.has(direction.name()))
            && self.named(&WAYS).is_empty();
        self.has(TIMELINE) || (alone && !BRIEF.contains(&family))
    }

    pub(crate) fn tune(&self) -> bool {
        self.has(TUNE)
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|named| named == word)
    }

    fn named<'a>(&self, of: &[&'a str]) -> Vec<&'a str> {
        of.iter().copied().filter(|word| self.has(word)).collect()
    }
}
