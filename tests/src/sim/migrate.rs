//! MIGRATE: keys go from one server to another while both are blocked. What can go wrong: the target refuses, or the
//! answer is lost and nobody knows whether the key arrived.

use redisnode_proto::topology::Direction;

use super::clock::Time;
use super::data::{Key, Op};
use super::server::Server;

/// What MIGRATE answers for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The target has it; it is gone here.
    Done,
    /// It was not here.
    NoKey,
    /// The target has a key of that name.
    BusyKey,
    /// The target answered with another error.
    Refused,
    /// No answer: it may have arrived.
    TimedOut,
}

/// What the network does to one MIGRATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// Nothing arrives.
    Lost,
    /// The keys arrive, the answer does not.
    AnswerLost,
}

/// Moves one key.
pub(crate) fn migrate(
    now: Time,
    source: &mut Server,
    target: Option<&mut Server>,
    key: Key,
    replace: bool,
    fate: Fate,
) -> Moved {
    let Some(value) = source.data.get(&key).cloned() else { return Moved::NoKey };
    let Some(target) = target.filter(|t| fate != Fate::Lost && !t.stopped) else { return Moved::TimedOut };
    let importing = matches!(target.open.get(&key.slot), Some((Direction::Importing, _)));
    // Without an owner, or in a state that is not ok, the answer is CLUSTERDOWN, whatever the mark says (seen on 7.0).
    let served = target.state_ok && target.owner(key.slot).is_some();
    let accepts = target.is_primary() && served && (importing || target.owns(key.slot)) && !target.is_loading(now);
    if !accepts || target.paused_until > now {
        return Moved::Refused;
    }
    if target.data.contains_key(&key) && !replace {
        return Moved::BusyKey;
    }
    target.emit(Op::Restore(key, value));
    if fate == Fate::AnswerLost {
        return Moved::TimedOut;
    }
    source.emit(Op::Delete(key));
    Moved::Done
}
