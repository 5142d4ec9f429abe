//! Who owns a slot in truth: of all who claim it in their own words, the one with the highest configuration epoch.

use std::cmp::Ordering;
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
/// not answer the newest word of others is taken (highest epoch; of equal ones all), since silence is not absence.
/// The order of the views does not matter.
pub fn true_owners<'a>(views: impl IntoIterator<Item = &'a View> + Clone) -> Owners {
    let mut claims: BTreeMap<NodeId, Claim> = BTreeMap::new();
    for view in views {
        for node in view.nodes.iter().filter(|n| n.role == Role::Primary && !n.handshake) {
            let own_word = node.id == view.me;
            let claim = Claim { id: node.id.clone(), epoch: node.epoch, slots: node.slots.clone(), own_word };
            hear(&mut claims, claim);
        }
        // A server that calls itself a replica claims nothing, whatever others still believe.
        if let Some(me) = view.myself().filter(|me| me.role == Role::Replica) {
            let none = Claim { id: me.id.clone(), epoch: me.epoch, slots: SlotSet::new(), own_word: true };
            claims.insert(me.id.clone(), none);
        }
    }
    settle(claims.into_values().filter(|claim| !claim.slots.is_empty()).collect())
}

/// Keeps the better word about a node: its own, then the one of the higher epoch. Of words of others that are equally
/// good both count, so that no slot is taken for free because the wrong observer was asked first.
fn hear(claims: &mut BTreeMap<NodeId, Claim>, new: Claim) {
    match claims.get_mut(&new.id) {
        None => {
            claims.insert(new.id.clone(), new);
        }
        Some(held) => match (new.own_word, new.epoch).cmp(&(held.own_word, held.epoch)) {
            Ordering::Greater => *held = new,
            Ordering::Equal => held.slots = held.slots.union(&new.slots),
            Ordering::Less => {}
        },
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slots::SlotRange;
    use crate::topology::{Health, ViewNode};

    fn id(digit: char) -> NodeId {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn set(range: &str) -> SlotSet {
        if range == "-" { SlotSet::new() } else { range.parse::<SlotRange>().unwrap().into() }
    }

    fn primary(digit: char, epoch: u64, slots: &str) -> ViewNode {
        ViewNode {
            id: id(digit),
            ip: "127.0.0.1".to_owned(),
            port: 7000,
            bus_port: 17000,
            role: Role::Primary,
            primary: None,
            health: Health::Fine,
            handshake: false,
            no_address: false,
            connected: true,
            epoch: ConfigEpoch(epoch),
            slots: set(slots),
        }
    }

    fn replica(digit: char, of: char, epoch: u64) -> ViewNode {
        ViewNode { role: Role::Replica, primary: Some(id(of)), ..primary(digit, epoch, "-") }
    }

    fn view(me: char, nodes: Vec<ViewNode>) -> View {
        View { me: id(me), nodes, open: Vec::new(), state_ok: true, current_epoch: ConfigEpoch(9) }
    }

    fn owned(views: &[View], digit: char) -> String {
        true_owners(views).slots_of(&id(digit)).to_string()
    }

    #[test]
    fn the_higher_epoch_owns_and_the_loser_is_contested() {
        let views = [view('a', vec![primary('a', 3, "0-10")]), view('b', vec![primary('b', 5, "5-20")])];
        assert_eq!((owned(&views, 'a').as_str(), owned(&views, 'b').as_str()), ("0-4", "5-20"));
        let owners = true_owners(&views);
        assert_eq!((owners.contested.to_string().as_str(), owners.covered().len()), ("5-10", 21));
    }

    #[test]
    fn at_equal_epochs_the_smaller_id_owns() {
        let views = [view('b', vec![primary('b', 4, "0-9")]), view('a', vec![primary('a', 4, "0-9")])];
        assert_eq!((owned(&views, 'a').as_str(), owned(&views, 'b').as_str()), ("0-9", "-"));
    }

    #[test]
    fn a_servers_own_word_beats_the_newer_belief_of_others() {
        let views = [
            view('a', vec![primary('a', 3, "0-4"), primary('b', 5, "5-20")]),
            view('b', vec![primary('a', 7, "0-4"), primary('b', 4, "10-20")]),
        ];
        assert_eq!(owned(&views, 'b'), "10-20");
        assert_eq!(owned(&views, 'a'), "0-4");
    }

    #[test]
    fn who_calls_itself_a_replica_owns_nothing_whatever_others_believe() {
        let stale = view('c', vec![primary('a', 3, "0-10"), primary('c', 2, "11-20")]);
        let demoted = view('a', vec![replica('a', 'b', 6), primary('b', 6, "0-10")]);
        for views in [[stale.clone(), demoted.clone()], [demoted, stale]] {
            assert_eq!(owned(&views, 'a'), "-");
            assert_eq!(owned(&views, 'b'), "0-10", "silent, but seen by the demoted one");
        }
    }

    #[test]
    fn a_silent_server_keeps_what_the_newest_word_says() {
        let old = view('a', vec![primary('a', 1, "0-4"), primary('b', 2, "5-20")]);
        let new = view('c', vec![primary('c', 3, "21-30"), primary('b', 8, "10-20")]);
        for views in [[old.clone(), new.clone()], [new, old]] {
            assert_eq!(owned(&views, 'b'), "10-20");
        }
    }

    #[test]
    fn of_equally_new_words_about_a_silent_server_none_is_dropped() {
        let less = view('a', vec![primary('a', 1, "0-4"), primary('b', 2, "5-9")]);
        let more = view('c', vec![primary('c', 3, "21-30"), primary('b', 2, "5-20")]);
        for views in [[less.clone(), more.clone()], [more, less]] {
            assert_eq!(owned(&views, 'b'), "5-20");
        }
    }

    #[test]
    fn a_node_in_handshake_claims_nothing() {
        let trying = ViewNode { handshake: true, ..primary('f', 9, "0-9") };
        let views = [view('a', vec![primary('a', 1, "0-9"), trying])];
        assert_eq!((owned(&views, 'a').as_str(), owned(&views, 'f').as_str()), ("0-9", "-"));
        assert_eq!(true_owners(&[] as &[View]), Owners::default());
    }

    fn any_view() -> impl Strategy<Value = View> {
        let node = ("[a-f]", 0u64..5, any::<bool>(), 0u16..16000, 1u16..300);
        let nodes = proptest::collection::vec(node, 1..6);
        nodes.prop_map(|nodes| {
            let line = |(name, epoch, serves, start, count): (String, u64, bool, u16, u16)| {
                let digit = name.chars().next().unwrap();
                let range = format!("{start}-{}", start + count);
                if serves { primary(digit, epoch, &range) } else { replica(digit, 'a', epoch) }
            };
            let mut lines: Vec<ViewNode> = nodes.into_iter().map(line).collect();
            lines.sort_by(|a, b| a.id.cmp(&b.id));
            lines.dedup_by(|a, b| a.id == b.id);
            View { me: lines[0].id.clone(), ..view('a', lines) }
        })
    }

    proptest! {
        #[test]
        fn every_slot_has_at_most_one_owner_in_any_order_of_views(
            views in proptest::collection::vec(any_view(), 0..5),
        ) {
            // A server answers once.
            let mut views = views;
            views.sort_by(|a, b| a.me.cmp(&b.me));
            views.dedup_by(|a, b| a.me == b.me);
            let owners = true_owners(&views);
            let sum: usize = owners.by_node.values().map(|slots| usize::from(slots.len())).sum();
            prop_assert_eq!(sum, usize::from(owners.covered().len()));
            prop_assert!(owners.contested.is_subset(&owners.covered()));
            views.reverse();
            prop_assert_eq!(true_owners(&views), owners);
        }

        #[test]
        fn what_answering_primaries_claim_is_owned_by_somebody(
            views in proptest::collection::vec(any_view(), 0..5),
        ) {
            let mut views = views;
            views.sort_by(|a, b| a.me.cmp(&b.me));
            views.dedup_by(|a, b| a.me == b.me);
            let covered = true_owners(&views).covered();
            for view in &views {
                prop_assert!(view.myself().unwrap().slots.is_subset(&covered));
            }
        }
    }
}
