//! Who owns a slot in truth: of all who claim it in their own words, the one with the highest configuration epoch.

use std::collections::BTreeMap;

use crate::slots::SlotSet;
use crate::topology::{Role, View};
use crate::{ConfigEpoch, NodeId};

/// What one server claims for itself, in its own line of its own view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who claims.
    pub id: NodeId,
    /// Under which epoch.
    pub epoch: ConfigEpoch,
    /// What.
    pub slots: SlotSet,
    /// The claimant speaks for itself; otherwise it is another server's word about a silent one.
    pub own_word: bool,
}

/// The owners that follow from all claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Slots of each owner.
    pub by_node: BTreeMap<NodeId, SlotSet>,
    /// Slots that somebody claims and lost to a higher epoch.
    pub contested: SlotSet,
}

impl Owners {
    /// Slots of `id`.
    pub fn slots_of(&self, id: &NodeId) -> SlotSet {
        self.by_node.get(id).cloned().unwrap_or_default()
    }

    /// Slots that have an owner.
    pub fn covered(&self) -> SlotSet {
        self.by_node.values().fold(SlotSet::new(), |all, slots| all.union(slots))
    }
}

/// Who owns what, from the views of all servers that answered. A server's own line is its claim; of a server that did
/// not answer the newest word of others is taken (highest epoch), since silence is not absence.
pub fn true_owners<'a>(views: impl IntoIterator<Item = &'a View> + Clone) -> Owners {
    let mut claims: BTreeMap<NodeId, Claim> = BTreeMap::new();
    for view in views {
        for node in view.nodes.iter().filter(|n| n.role == Role::Primary && !n.handshake) {
            let own_word = node.id == view.me;
            let newer = claims.get(&node.id).is_none_or(|held| (own_word, node.epoch) > (held.own_word, held.epoch));
            if newer {
                let claim = Claim { id: node.id.clone(), epoch: node.epoch, slots: node.slots.clone(), own_word };
                claims.insert(node.id.clone(), claim);
            }
        }
        // A server that calls itself a replica claims nothing, whatever others still believe.
        if let Some(me) = view.myself().filter(|me| me.role == Role::Replica) {
            let none = Claim { id: me.id.clone(), epoch: me.epoch, slots: SlotSet::new(), own_word: true };
            claims.insert(me.id.clone(), none);
        }
    }
    settle(claims.into_values().filter(|claim| !claim.slots.is_empty()).collect())
}

/// Highest epoch first; at equal epochs the servers let the smaller id win (it bumps itself).
fn settle(mut claims: Vec<Claim>) -> Owners {
    claims.sort_by(|a, b| b.epoch.cmp(&a.epoch).then_with(|| a.id.cmp(&b.id)));
    let mut owners = Owners::default();
    let mut taken = SlotSet::new();
    for claim in claims {
        owners.contested = owners.contested.union(&claim.slots.intersection(&taken));
        let won = claim.slots.difference(&taken);
        taken = taken.union(&won);
        if !won.is_empty() {
            owners.by_node.insert(claim.id, won);
        }
    }
    owners
}
