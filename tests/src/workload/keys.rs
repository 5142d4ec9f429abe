//! The keys of the workload: one name and one kind per number, the same in every run.

use std::collections::BTreeMap;

use crate::view::{SLOTS, slot_of};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string without a time to live.
    Text,
    /// A string that expires long after the test.
    LongTtl,
    /// A string that expires during the test.
    ShortTtl,
    /// A string whose key has bytes that are not text.
    Binary,
    /// A string whose key has a hash tag that others share.
    Tagged,
    /// A hash.
    Hash,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A stream with a consumer group.
    Stream,
    /// A counter.
    Counter,
    /// One string of 5 MB.
    BigValue,
    /// One hash of many fields.
    BigHash,
}

/// Kinds of ordinary keys, dealt in turn.
const DEALT: [Kind; 11] = [
    Kind::Text,
    Kind::LongTtl,
    Kind::ShortTtl,
    Kind::Binary,
    Kind::Tagged,
    Kind::Hash,
    Kind::List,
    Kind::Set,
    Kind::SortedSet,
    Kind::Stream,
    Kind::Counter,
];

impl Kind {
    /// The kind of an ordinary key.
    pub fn of(id: u32) -> Self {
        DEALT[id as usize % DEALT.len()]
    }

    /// Bytes of each of its values.
    pub(super) fn value_len(self) -> usize {
        match self {
            Self::BigValue => 5_000_000,
            Self::Hash | Self::BigHash => 40,
            _ => 100,
        }
    }

    /// How many elements of it are written to, where elements are overwritten.
    pub(super) fn elements(self) -> u32 {
        match self {
            Self::Hash | Self::Set | Self::SortedSet => 20,
            _ => 1,
        }
    }

    /// Whether it is a plain string.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::LongTtl | Self::ShortTtl | Self::Binary | Self::Tagged | Self::BigValue)
    }
}

/// Tags, each in braces, that put keys into so many slots, evenly spaced. Coprime with 11, so that each has all kinds.
pub fn tags(slots: u16) -> Vec<String> {
    let slot = |n: u16| u16::try_from(usize::from(n) * SLOTS / usize::from(slots)).expect("below the number of slots");
    tags_of(&(0..slots).map(slot).collect::<Vec<_>>())
}

/// A tag in braces for each of these slots, all different.
pub fn tags_of(slots: &[u16]) -> Vec<String> {
    let mut found: BTreeMap<u16, Option<String>> = slots.iter().map(|slot| (*slot, None)).collect();
    let mut missing = found.len();
    for key in (0_u64..).map(|n| n.to_string()) {
        if missing == 0 {
            break;
        }
        if let Some(tag @ None) = found.get_mut(&slot_of(key.as_bytes())) {
            *tag = Some(format!("{{{key}}}"));
            missing -= 1;
        }
    }
    slots.iter().map(|slot| found[slot].clone().expect("some key lies in every slot")).collect()
}

/// The name of a key with one of the tags, if there are any.
pub(super) fn tagged(tags: &[String], id: u32, kind: Kind) -> Vec<u8> {
    let tag = tags.get(id as usize % tags.len().max(1)).map_or("", String::as_str);
    [tag.as_bytes(), &name(id, kind)].concat()
}

/// The name of a key.
pub fn name(id: u32, kind: Kind) -> Vec<u8> {
    match kind {
        // Every byte that a careless writer of the protocol could stumble over.
        Kind::Binary => [b"\x00\xff\r\n $-1\r\n{".as_slice(), &id.to_be_bytes(), b"\xfe"].concat(),
        Kind::Tagged => format!("{{group{}}}:tagged:{id}", id / 500).into_bytes(),
        _ => format!("{kind:?}:{id}").into_bytes(),
    }
}
