//! A first node table for a server that is to found a cluster, so that it need not wait two seconds for its first write.
//!
//! A primary whose state is not ok keeps it so for the first 2 s after its start (CLUSTER_WRITABLE_DELAY in the servers'
//! source); a replica does not. So a founder starts as the replica of a made-up primary that owns every slot: its state
//! is ok within 100 ms. When the founding Layout comes, one transaction makes it a primary with its own slots; the state
//! is looked at after the transaction only, and stays ok. Seen on Redis 7.0, 8.0, 8.6, Valkey 8.1 and 9.1. The made-up
//! one needs an address: Valkey 9.1 calls a node without one failed.

use crate::topology::{Role, View};
use crate::{Address, NodeId};

/// The made-up primary. No server has this id: ids are random.
const PRIMER: &str = "00000000000000000000000000000000000000f0";

/// What a new server's nodes.conf says before its first start. Nobody listens at the made-up address.
pub fn primer_table(me: &NodeId, at: &Address) -> String {
    let Address { ip, port, bus_port, .. } = at;
    format!(
        "{me} {ip}:{port}@{bus_port} myself,slave {PRIMER} 0 0 0 connected\n\
         {PRIMER} 127.0.0.1:1@1 master - 0 0 0 disconnected 0-16383\n\
         vars currentEpoch 0 lastVoteEpoch 0\n"
    )
}

/// Whether this is the made-up primary.
pub(super) fn is_primer(id: &NodeId) -> bool {
    id.as_str() == PRIMER
}

/// Shows a server that follows the made-up primary as what it stands for: an empty primary that knows nobody. True if
/// it was one.
pub fn strip_primer(view: &mut View) -> bool {
    let before = view.nodes.len();
    view.nodes.retain(|node| !is_primer(&node.id));
    let me = view.me.clone();
    for node in view.nodes.iter_mut().filter(|node| node.id == me && node.primary.as_ref().is_some_and(is_primer)) {
        node.role = Role::Primary;
        node.primary = None;
    }
    view.nodes.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigEpoch;
    use crate::topology::ClusterInfo;
    use crate::topology::nodes::{identity_of, parse_view};

    const ME: &str = "b7bf78809b9a673a0b4ea59ced767564e0e2daf6";

    fn table() -> String {
        let at = Address { ip: [127, 0, 0, 1].into(), port: 7000, bus_port: 17000, http_port: 8000 };
        primer_table(&ME.parse().unwrap(), &at)
    }

    fn info() -> ClusterInfo {
        ClusterInfo {
            state_ok: true,
            current_epoch: ConfigEpoch(0),
            my_epoch: ConfigEpoch(0),
            known_nodes: 2,
            size: 1,
            slots_assigned: 16384,
        }
    }

    #[test]
    fn a_primed_server_stands_for_an_empty_primary() {
        let shown = table().lines().filter(|line| !line.starts_with("vars")).collect::<Vec<_>>().join("\n");
        let mut view = parse_view(&shown, &info()).unwrap();
        assert!(strip_primer(&mut view));
        assert_eq!(view.nodes.len(), 1);
        let me = view.myself().unwrap();
        assert_eq!((me.role, me.primary.as_ref(), me.slots.is_empty()), (Role::Primary, None, true));
        assert!(view.covered().is_empty());
        assert!(!strip_primer(&mut view), "there is nothing left of it");
    }

    #[test]
    fn a_primed_folder_has_the_servers_own_id_and_nothing_else() {
        let identity = identity_of(&table()).unwrap().unwrap();
        assert_eq!(identity.id.as_str(), ME);
        assert_eq!((identity.role, identity.primary, identity.peers.len()), (Role::Primary, None, 0));
        assert!(identity.slots.is_empty());
    }
}
