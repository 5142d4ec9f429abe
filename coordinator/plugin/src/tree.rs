//! The nodes as a tree: each primary, then its replicas. Pure.

use redis_coordinator::console::bar;
use redisnode_proto::status::NodeStatus;
use redisnode_proto::topology::Role;

/// A head and a row per node.
pub(crate) fn rows(nodes: &[NodeStatus], wide: bool) -> Vec<Vec<String>> {
    let mut head = vec!["POD NAME", "IP", "NODE", "ID", "ZONE", "USED MEMORY", "MAX MEMORY", "KEYS", "SLOTS"];
    if wide {
        head.splice(1..1, ["SHARD", "STATE", "VERSION"]);
    }
    let head = head.into_iter().map(str::to_owned).collect();
    std::iter::once(head).chain(in_order(nodes).into_iter().map(|node| row(node, wide))).collect()
}

/// Replicas stand below their primary; who belongs to nobody comes last.
fn in_order(nodes: &[NodeStatus]) -> Vec<&NodeStatus> {
    let mut order: Vec<&NodeStatus> = Vec::new();
    for primary in nodes.iter().filter(|node| node.role == Some(Role::Primary) && node.shard.is_some()) {
        order.push(primary);
        let own = |node: &&NodeStatus| node.role == Some(Role::Replica) && node.primary.as_ref() == Some(&primary.name);
        order.extend(nodes.iter().filter(own));
    }
    let rest = nodes.iter().filter(|node| !order.iter().any(|placed| placed.name == node.name));
    let rest: Vec<&NodeStatus> = rest.collect();
    order.extend(rest);
    order
}

fn row(node: &NodeStatus, wide: bool) -> Vec<String> {
    let none = || "-".to_owned();
    let text = |word: &Option<String>| word.clone().unwrap_or_else(none);
    let id = |id: &redisnode_proto::NodeId| if wide { id.to_string() } else { id.short().to_owned() };
    let slots: Vec<String> = node.slots.iter().map(ToString::to_string).collect();
    let mut row = vec![
        format!("{} {}", mark(node), node.name),
        node.address.clone(),
        text(&node.host),
        node.node_id.as_ref().map_or_else(none, id),
        text(&node.zone),
        node.used_memory.map_or_else(none, bar::bytes),
        node.max_memory.filter(|limit| *limit > 0).map_or_else(none, bar::bytes),
        node.keys.map_or_else(none, |keys| keys.to_string()),
        slots.join(" "),
    ];
    if wide {
        let shard = node.shard.as_ref().map_or_else(none, ToString::to_string);
        row.splice(1..1, [shard, node.state.clone(), text(&node.server_version)]);
    }
    row
}

/// `+` primary, `|` replica, `^` joining, `?` unknown or in no shard.
fn mark(node: &NodeStatus) -> char {
    match (node.role, &node.shard) {
        _ if node.state == "Joining" => '^',
        (Some(Role::Primary), Some(_)) => '+',
        (Some(Role::Replica), _) => '|',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;

    fn first_cells(nodes: &[NodeStatus]) -> Vec<String> {
        rows(nodes, false).into_iter().skip(1).map(|row| row[0].clone()).collect()
    }

    #[test]
    fn replicas_stand_below_their_primary_and_strangers_last() {
        let mut joining = node("my-4", Some(Role::Primary), None);
        joining.state = "Joining".to_owned();
        joining.shard = None;
        let nodes = [
            node("my-5", None, None),
            joining,
            node("my-3", Some(Role::Replica), Some("my-0")),
            node("my-0", Some(Role::Primary), None),
            node("my-1", Some(Role::Primary), None),
            node("my-2", Some(Role::Replica), Some("my-1")),
        ];
        assert_eq!(first_cells(&nodes), ["+ my-0", "| my-3", "+ my-1", "| my-2", "? my-5", "^ my-4"]);
    }

    #[test]
    fn the_wide_tree_has_the_whole_id_and_the_state() {
        let rows = rows(&[node("my-0", Some(Role::Primary), None)], true);
        assert_eq!(rows[0].len(), rows[1].len());
        assert!(rows[1].contains(&"0ba1af8c623416ef995175c0f6c1b132d94f7e94".to_owned()));
        assert!(rows[1].contains(&"redis 8.0.1".to_owned()));
    }
}
