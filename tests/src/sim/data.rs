//! The keys of a server. A key's value is the list of the numbers that clients pushed to it: every write has a number
//! of its own, so a lost, doubled or resurrected write shows.

use std::collections::BTreeMap;
use std::rc::Rc;

use redisnode_proto::Slot;

/// A key. Its slot is fixed when the history begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) slot: Slot,
    pub(crate) number: u8,
}

/// The numbers pushed to one key, oldest first.
pub(crate) type Value = Rc<Vec<u32>>;

/// The keys that a server holds.
pub(crate) type Data = BTreeMap<Key, Value>;

/// A change, as it goes to replicas.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A client pushed a number.
    Push(Key, u32),
    /// A key arrived by MIGRATE.
    Restore(Key, Value),
    /// A key left by MIGRATE, or its slot was lost.
    Delete(Key),
    /// A mark was set or taken away (only where SETSLOT is replicated).
    Mark(crate::sim::server::Mark),
    /// Keys of a move in one piece, which nobody sees yet.
    Stage(u64, crate::sim::whole::Stage),
    /// Every key is gone: FLUSHALL.
    Flush,
}

/// Applies `op` to `data`; marks and hidden keys are not data.
pub(crate) fn apply(data: &mut Data, op: &Op) {
    match op {
        Op::Push(key, number) => Rc::make_mut(data.entry(*key).or_default()).push(*number),
        Op::Restore(key, value) => drop(data.insert(*key, Rc::clone(value))),
        Op::Delete(key) => drop(data.remove(key)),
        Op::Flush => data.clear(),
        Op::Mark(_) | Op::Stage(..) => {}
    }
}

/// The keys of one slot.
pub(crate) fn keys_in(data: &Data, slot: Slot) -> impl Iterator<Item = Key> + '_ {
    let range = Key { slot, number: 0 }..=Key { slot, number: u8::MAX };
    data.range(range).map(|(key, _)| *key)
}

/// A set of write numbers.
#[derive(Clone, Default)]
pub(crate) struct Writes(Vec<u64>);

impl Writes {
    pub(crate) fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(crate) fn add<'a>(&mut self, data: impl IntoIterator<Item = (&'a Key, &'a Value)>) {
        for number in data.into_iter().flat_map(|(_, value)| value.iter()) {
            self.insert(*number);
        }
    }

    pub(crate) fn of(data: &Data) -> Self {
        let mut writes = Self::default();
        writes.add(data);
        writes
    }
}
