//! What a key must hold: a pure model of the writes to it, each acknowledged or of unknown outcome.
//!
//! At most one write to a key is in flight. After a write of unknown outcome to an element that is overwritten, that
//! element is left alone for good: it may be applied at any later time, so anything else would make the audit guess.

mod counter;
mod log;
mod register;

use std::collections::BTreeMap;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

pub(super) use counter::Counter;
pub(super) use log::{Entry, Log};
pub(super) use register::{Effect, Register};

use super::audit::Finding;
use super::keys::Kind;

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) key: u32,
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) element: u32,
    pub(super) seq: u32,
    pub(super) what: What,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Sets an element, with the time at which it expires (Unix, ms).
    Put(Option<i64>),
    /// Removes an element, as the write of this number left it.
    Remove(u32),
    /// Appends to a list or a stream.
    Append,
    /// Adds one.
    Count,
    /// Reads the next entry of a stream for the group.
    Deliver,
    /// Acknowledges an entry of a stream.
    Settle(String),
}

/// What the server answered to an acknowledged write, as far as the model needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) number: Option<i64>,
    pub(super) ids: Vec<String>,
}

/// What a key must hold.
#[derive(Debug)]
pub(super) struct KeyModel {
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) busy: bool,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Registers(BTreeMap<u32, Register>),
    Log(Log),
    Counter(Counter),
}

/// What was found in a key.
#[derive(Clone, Debug)]
pub(super) enum Observed {
    /// Elements by number, and when the key expires (Unix, ms).
    Elements { values: BTreeMap<u32, Vec<u8>>, expires_at: Option<i64> },
    /// Entries of a list or a stream in order, and the ids pending in the group.
    Entries { entries: Vec<Entry>, pending: Vec<String> },
    /// A counter.
    Number(Option<i64>),
}

impl KeyModel {
    pub(super) fn new(id: u32, kind: Kind, name: Vec<u8>) -> Self {
        let content = match kind {
            Kind::List | Kind::Stream => Content::Log(Log::default()),
            Kind::Counter => Content::Counter(Counter::default()),
            _ => Content::Registers(BTreeMap::new()),
        };
        Self { id, kind, name, busy: false, content }
    }

    /// The next write to this key, or `None` if there is none that the audit could judge.
    pub(super) fn next(&mut self, rng: &mut StdRng, now_ms: i64) -> Option<Write> {
        let (id, kind, name) = (self.id, self.kind, self.name.clone());
        let write = |element, seq, what| Some(Write { key: id, kind, name, element, seq, what });
        match &mut self.content {
            Content::Registers(registers) => {
                let count = if kind == Kind::BigHash {
                    u32::try_from(registers.len().max(1)).unwrap_or(u32::MAX)
                } else {
                    kind.elements()
                };
                let element = rng.random_range(0..count);
                let register = registers.entry(element).or_default();
                // A member of a set is removed before the element is added anew, under another name.
                let remove = match kind {
                    Kind::BigValue | Kind::BigHash => None,
                    Kind::Set => register.present(),
                    _ => register.present().filter(|_| rng.random_range(0..10) == 0),
                };
                let expires_at = match kind {
                    Kind::LongTtl => Some(now_ms + rng.random_range(3_600_000..7_200_000)),
                    Kind::ShortTtl => Some(now_ms + rng.random_range(5_000..20_000)),
                    _ => None,
                };
                let what = remove.map_or(What::Put(expires_at), What::Remove);
                write(element, register.issue()?, what)
            }
            Content::Log(log) => {
                let (seq, what) = log.next(kind == Kind::Stream, rng);
                write(0, seq, what)
            }
            Content::Counter(counter) => write(0, counter.issue(), What::Count),
        }
    }

    /// A write was acknowledged.
    pub(super) fn acknowledged(&mut self, write: &Write, answer: &Answer, at: Instant) {
        match &mut self.content {
            Content::Registers(registers) => {
                registers.entry(write.element).or_default().acknowledged(write.seq, Effect::of(&write.what), at);
            }
            Content::Log(log) => log.acknowledged(write, answer, at),
            Content::Counter(counter) => counter.acknowledged(answer.number, at),
        }
    }

    /// It is not known whether a write was applied.
    pub(super) fn uncertain(&mut self, write: &Write) {
        match &mut self.content {
            Content::Registers(registers) => {
                registers.entry(write.element).or_default().uncertain(write.seq, Effect::of(&write.what));
            }
            Content::Log(log) => log.uncertain(write),
            Content::Counter(counter) => counter.uncertain(),
        }
    }

    /// Compares with what was found.
    pub(super) fn judge(&self, found: &Observed, now_ms: i64) -> Vec<Finding> {
        match (&self.content, found) {
            (Content::Registers(registers), Observed::Elements { values, expires_at }) => {
                register::judge(self.id, self.kind, registers, values, *expires_at, now_ms)
            }
            (Content::Log(log), Observed::Entries { entries, pending }) => {
                log.judge(self.id, self.kind, entries, pending)
            }
            (Content::Counter(counter), Observed::Number(number)) => counter.judge(self.id, *number),
            _ => unreachable!("what was read is read by kind"),
        }
    }
}
