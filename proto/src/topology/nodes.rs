//! The node table of a server: as CLUSTER NODES shows it, and as nodes.conf keeps it.
//!
//! A line that cannot be read makes the whole table an error: half a table would show slots without owners. A node
//! in handshake has no role word yet; it is read as a primary, and has no slots.

mod conf;
mod line;
mod primer;
mod shard_ids;

use super::{BadReply, ClusterInfo, View};
use line::Line;

pub use conf::{StoredIdentity, clear_failures, edit_addresses, forget_addresses, identity_of};
pub use primer::{primer_table, strip_primer};
pub use shard_ids::align_shard_ids;

const REPLY: &str = "CLUSTER NODES";

/// Reads the reply of CLUSTER NODES. State and epoch come from CLUSTER INFO of the same server, asked right before
/// or after.
///
/// On a replica of Valkey 8 and newer the open slots are its primary's: they are replicated.
pub fn parse_view(cluster_nodes: &str, info: &ClusterInfo) -> Result<View, BadReply> {
    let lines = lines(cluster_nodes).map(|text| Line::parse(REPLY, text)).collect::<Result<Vec<_>, _>>()?;
    let me = only_myself(REPLY, cluster_nodes, &lines)?.node.id.clone();
    let mut view = View {
        me,
        nodes: Vec::with_capacity(lines.len()),
        open: Vec::new(),
        state_ok: info.state_ok,
        current_epoch: info.current_epoch,
    };
    for line in lines {
        view.open.extend(line.open);
        view.nodes.push(line.node);
    }
    Ok(view)
}

/// Lines that say something. A server that writes nodes.conf in place leaves blank or zero bytes behind the end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('\0'))
}

fn only_myself<'a>(reply: &'static str, text: &str, lines: &'a [Line]) -> Result<&'a Line, BadReply> {
    let mut own = lines.iter().filter(|line| line.myself);
    match (own.next(), own.next()) {
        (Some(me), None) => Ok(me),
        (None, _) => Err(BadReply::new(reply, text, "no line with the flag myself")),
        (Some(_), Some(_)) => Err(BadReply::new(reply, text, "more than one line with the flag myself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Direction, Health, Role};
    use crate::{ConfigEpoch, NodeId, Slot};

    const REDIS_7_0: &str = "\
fe47a6735ae1a140e3f2c6bb3655f31824a8ddd9 127.0.0.1:23002@23052 slave 02c5f16543bce9a8395d6d6bd9043c6d0ba98b9e 0 1795370807088 1 connected
1f3d4350604ce6b918050c2e9ef5860509676220 127.0.0.1:23001@23051,b.example master - 0 1795370807000 2 connected 8192-16383
02c5f16543bce9a8395d6d6bd9043c6d0ba98b9e 127.0.0.1:23000@23050 myself,master - 0 1795370806000 1 connected 0-8191 [100->-1f3d4350604ce6b918050c2e9ef5860509676220] [9000-<-1f3d4350604ce6b918050c2e9ef5860509676220]
";
    const VALKEY_9_1_REPLICA: &str = "\
ebbb2412c4071beace97a3b4f9c4efbae6b60c01 127.0.0.1:23012@23062 master - 0 1795370807110 1 connected 0-8191
2215366dc0ec4b5725c283f90b75aec4bd487850 127.0.0.1:23014@23064 myself,slave ebbb2412c4071beace97a3b4f9c4efbae6b60c01 0 0 1 connected [100->-fc06ba07e1da2091a8dc4ea65cb661d534a902e9]
fc06ba07e1da2091a8dc4ea65cb661d534a902e9 127.0.0.1:23013@23063,b.example master,fail - 1795370805578 1795370804574 2 disconnected 8192-16383
";
    const FRESH: &str = "0ba1af8c623416ef995175c0f6c1b132d94f7e94 :7000@17000 myself,master - 0 0 0 connected\n";

    fn info() -> ClusterInfo {
        ClusterInfo {
            state_ok: true,
            current_epoch: ConfigEpoch(9),
            my_epoch: ConfigEpoch(1),
            known_nodes: 3,
            size: 2,
            slots_assigned: 16384,
        }
    }

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    #[test]
    fn reads_a_primary_with_open_slots() {
        let view = parse_view(REDIS_7_0, &info()).unwrap();
        let peer = id("1f3d4350604ce6b918050c2e9ef5860509676220");
        assert_eq!((view.nodes.len(), view.state_ok, view.current_epoch), (3, true, ConfigEpoch(9)));
        let me = view.myself().unwrap();
        assert_eq!((me.ip.as_str(), me.port, me.bus_port), ("127.0.0.1", 23000, 23050));
        assert_eq!((me.role, me.epoch, me.slots.to_string().as_str()), (Role::Primary, ConfigEpoch(1), "0-8191"));
        let open: Vec<_> = view.open.iter().map(|open| (open.slot.number(), open.direction)).collect();
        assert_eq!(open, [(100, Direction::Migrating), (9000, Direction::Importing)]);
        assert!(view.open.iter().all(|open| open.peer == peer));
        assert_eq!(view.owner(Slot::LAST).map(|node| &node.id), Some(&peer));
        assert_eq!(view.voters().count(), 2);
        let replica = view.nodes.iter().find(|node| node.role == Role::Replica).unwrap();
        assert_eq!(replica.primary.as_ref(), Some(&view.me));
    }

    #[test]
    fn reads_a_replica_whose_primarys_open_slots_are_replicated() {
        let view = parse_view(VALKEY_9_1_REPLICA, &info()).unwrap();
        assert_eq!(view.me, id("2215366dc0ec4b5725c283f90b75aec4bd487850"));
        assert_eq!(view.open.len(), 1);
        let failed = view.node(&id("fc06ba07e1da2091a8dc4ea65cb661d534a902e9")).unwrap();
        assert_eq!((failed.health, failed.connected), (Health::Failed, false));
    }

    #[test]
    fn a_fresh_server_does_not_know_its_ip() {
        let view = parse_view(FRESH, &info()).unwrap();
        let me = view.myself().unwrap();
        assert_eq!((me.ip.as_str(), me.port, me.bus_port), ("", 7000, 17000));
        assert!(me.slots.is_empty());
    }

    #[test]
    fn a_table_without_its_owner_or_with_two_is_refused() {
        let error = parse_view(&FRESH.replace("myself,", ""), &info()).unwrap_err();
        assert!(error.to_string().contains("no line with the flag myself"), "{error}");
        assert!(parse_view("", &info()).is_err());
        let two = format!("{FRESH}{}", FRESH.replace("0ba1af", "0ba1aa"));
        assert!(parse_view(&two, &info()).unwrap_err().why.contains("more than one"));
    }

    #[test]
    fn one_bad_line_spoils_the_table_and_is_named() {
        let error = parse_view(&REDIS_7_0.replace("8192-16383", "8192-16384"), &info()).unwrap_err();
        assert!(error.line.starts_with("1f3d4350604ce6b918050c2e9ef5860509676220"), "{error}");
        assert!(error.why.contains("8192-16384"), "{error}");
    }
}
