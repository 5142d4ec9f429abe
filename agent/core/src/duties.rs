//! What brings a running server to the Layout, in the order in which it is to be done.
//!
//! Level-triggered: every look decides anew from what is observed; nothing is remembered but what the ledger holds.

mod claim;
#[cfg(test)]
mod claim_tests;
mod follow;
#[cfg(test)]
mod follow_tests;
mod forget;
mod founding;
#[cfg(test)]
mod founding_tests;
mod handoff;
#[cfg(test)]
mod join_tests;
mod meet;
mod open;
mod send;
#[cfg(test)]
mod send_tests;
mod strays;
#[cfg(test)]
mod strays_tests;
mod timing;

use redisnode_proto::{Address, ConfigEpoch, Millis, NodeId, NodeName, Slot, SlotSet};

use crate::situation::Situation;

pub use founding::{FOUNDING_TIMEOUT, is_founding};
pub use send::sends;
pub(crate) use send::was_promoted_from;

/// One thing to do to the own server, or one call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Call these agents; what they say decides what comes next.
    Ask(Vec<NodeName>),
    /// Set `cluster-node-timeout`.
    SetNodeTimeout(Millis),
    /// Set `cluster-replica-no-failover`.
    SetNoFailover(bool),
    /// `CLUSTER SET-CONFIG-EPOCH`, while nobody else is known.
    SetEpoch(ConfigEpoch),
    /// `CLUSTER BUMPEPOCH`: a fresh primary takes an epoch that nobody else has.
    BumpEpoch,
    /// `CLUSTER ADDSLOTSRANGE` of slots that nobody owns; `bump` the epoch afterwards, so that others believe it.
    Claim {
        /// The slots.
        slots: SlotSet,
        /// Whether an epoch of its own is needed.
        bump: bool,
    },
    /// `CLUSTER MEET`: the peer's agent has proved who it is.
    Meet {
        /// Who.
        name: NodeName,
        /// Its server's id.
        id: NodeId,
        /// Where.
        address: Address,
    },
    /// `CLUSTER FORGET`.
    Forget(NodeId),
    /// `CLUSTER REPLICATE`.
    Replicate(NodeId),
    /// One transaction: `CLUSTER RESET SOFT`, which leaves the made-up primary (see
    /// [`redisnode_proto::topology::nodes::primer_table`]), then the epoch and the slots of a founder, if it is to have
    /// any. The server's state is looked at after all of it.
    Unprime(Option<FoundersClaim>),
    /// `CLUSTER RESET HARD`: from a replica to an empty primary, under a new id.
    Reset,
    /// Stop the server, move its data aside, start it empty: it holds keys of slots that others own.
    SetAside {
        /// Why, a sentence.
        reason: String,
    },
    /// Founding is over: write it down.
    EndFounding,
    /// Send slots to another shard's primary. The move runs until it is done or this duty is not there any more; slots
    /// that are open are always finished.
    Send(SendTo),
    /// `CLUSTER SETSLOT … STABLE`, if the server has no key of the slot that the owner does not have.
    CloseImport {
        /// The slot.
        slot: Slot,
        /// Who owns it: asked to finish the move if there are keys.
        owner: NodeName,
    },
    /// `CLUSTER SETSLOT … STABLE`, whatever keys there are: nobody sends them, or the target is not there any more.
    CloseExport {
        /// The slot.
        slot: Slot,
    },
    /// `UNLINK` the keys of these slots that their owner has too: the owner keeps them, and they are left-overs here.
    DropDoubles {
        /// The slots.
        slots: SlotSet,
        /// Who owns them.
        owner: NodeName,
    },
    /// The primary has no open slots any more: forget the notice.
    ClearOpenSlots,
    /// Give the role to this replica.
    HandOff {
        /// To whom; the best replica if absent.
        to: Option<NodeName>,
    },
    /// Give up everything: stop the server, empty the folder, say so.
    Retire,
}

/// What a founder claims before it meets anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundersClaim {
    /// Its epoch, so that no two founders have the same.
    pub epoch: ConfigEpoch,
    /// Its slots.
    pub slots: SlotSet,
}

/// A move of slots to another primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendTo {
    /// The target's name.
    pub target: NodeName,
    /// Its server's id.
    pub target_id: NodeId,
    /// Every slot that is to go there and is still here.
    pub slots: SlotSet,
    /// Of these, the ones that are open already.
    pub open: SlotSet,
}

/// What to do now, in order. Empty when the node is what it should be, or nothing can be done.
pub fn duties(s: &Situation<'_>) -> Vec<Duty> {
    let (Some(layout), Some(view)) = (s.layout(), s.view()) else { return Vec::new() };
    let Some(member) = layout.member(&s.me.name) else { return Vec::new() };
    let mut out = Vec::new();
    if s.running().is_some_and(|running| running.primed) {
        out.push(Duty::Unprime(founding::first_claim(s, layout)));
        return out;
    }
    timing::set(s, &mut out);
    founding::end(s, layout, view, &mut out);
    if is_founding(s) {
        founding::found(s, layout, view, &mut out);
        return out;
    }
    meet::meet(s, layout, view, &mut out);
    forget::forget(layout, view, &mut out);
    if member.leaving {
        follow::leave(s, view, &mut out);
    } else {
        follow::follow(s, view, &mut out);
        claim::claim(s, view, &mut out);
    }
    open::settle(s, view, &mut out);
    strays::strays(s, view, &mut out);
    if !s.stopping {
        out.extend(sends(s).into_iter().map(Duty::Send));
    }
    handoff::hand_off(s, view, &mut out);
    out
}

/// Adds names to the one `Ask` of the list.
pub(crate) fn ask(out: &mut Vec<Duty>, names: impl IntoIterator<Item = NodeName>) {
    let names: Vec<NodeName> = names.into_iter().collect();
    if names.is_empty() {
        return;
    }
    for duty in out.iter_mut() {
        if let Duty::Ask(list) = duty {
            list.extend(names);
            list.sort();
            list.dedup();
            return;
        }
    }
    out.push(Duty::Ask(names));
}
