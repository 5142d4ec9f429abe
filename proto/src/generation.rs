//! The fence of a Layout: (term, sequence). Older is refused, equal with other content is an error of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Orders Layouts: the term grows with each life of a leader, the sequence with each change within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Generation {
    /// Life of the leader that published it; no two lives share one.
    pub term: u64,
    /// Change within the term.
    pub sequence: u64,
}

impl Generation {
    /// The first generation of `term`.
    pub fn first_of(term: u64) -> Self {
        Self { term, sequence: 1 }
    }

    /// The next change within the same term.
    pub fn next(self) -> Self {
        Self { term: self.term, sequence: self.sequence.saturating_add(1) }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.sequence)
    }
}

/// What a Layout that arrives is to the one that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supersedes {
    /// Newer: take it.
    Newer,
    /// The very same: nothing to do.
    Same,
    /// Older: refuse it, and show the sender the newer one.
    Older,
    /// The same generation with other content: two lives of a leader share a term; refuse, the sender takes a new term.
    Conflict,
}

/// The term rule: the term of a new life is above every term that was read from anybody and above the one written down.
pub fn next_term(written: u64, read: impl IntoIterator<Item = u64>) -> u64 {
    read.into_iter().fold(written, u64::max).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_term_wins_over_any_sequence() {
        let old = Generation { term: 1, sequence: 99 };
        assert!(Generation::first_of(2) > old);
        assert!(old.next() > old);
    }

    #[test]
    fn a_new_life_has_a_term_above_all_it_read_and_the_one_written() {
        assert_eq!(next_term(4, [2, 7, 3]), 8);
        assert_eq!(next_term(9, [2, 7, 3]), 10);
        assert_eq!(next_term(0, []), 1);
    }
}
