//! A cluster for people: one line for it, its nodes as a tree, and what goes on. Pure.

use redis_coordinator::console::bar;
use redisnode_proto::spec::RedisCluster;
use redisnode_proto::status::{ClusterStatus, ConditionType, Truth};

use crate::tree;

/// All of it.
pub(crate) fn text(resource: &RedisCluster, status: &ClusterStatus, wide: bool) -> String {
    let mut text = columns(&[cluster_head(wide), cluster_row(resource, status, wide)]);
    text.push('\n');
    text.push_str(&columns(&tree::rows(&status.nodes, wide)));
    let notes = notes(status);
    if !notes.is_empty() {
        text.push('\n');
        for note in &notes {
            text.extend([note.as_str(), "\n"]);
        }
    }
    text
}

/// A line for each cluster.
pub(crate) fn rows(resources: &[RedisCluster], wide: bool) -> String {
    let mut rows = vec![cluster_head(wide)];
    rows.extend(resources.iter().map(|resource| {
        let status = resource.status.clone().unwrap_or_default();
        cluster_row(resource, &status, wide)
    }));
    columns(&rows)
}

fn cluster_head(wide: bool) -> Vec<String> {
    let mut head = vec!["NAME", "NAMESPACE", "PODS", "OPS STATUS", "REDIS STATUS", "NB MASTER", "REPLICATION"];
    if wide {
        head.extend(["SLOTS", "PLACEMENT", "LAYOUT"]);
    }
    head.into_iter().map(str::to_owned).collect()
}

fn cluster_row(resource: &RedisCluster, status: &ClusterStatus, wide: bool) -> Vec<String> {
    let namespace = resource.metadata.namespace.clone().unwrap_or_else(|| "-".to_owned());
    let columns = status.in_columns();
    let mut row = vec![
        resource.metadata.name.clone(),
        namespace,
        columns.pods,
        columns.operation,
        status.summary.clone(),
        columns.primaries,
        columns.replication,
    ];
    if wide {
        let layout = status.layout_generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
        row.extend([status.counts.slots_covered.to_string(), status.placement.clone(), layout]);
    }
    row
}

/// Progress, what is wrong, what is waited for, why nodes are not ready: each once.
fn notes(status: &ClusterStatus) -> Vec<String> {
    let progress = status.progress.iter();
    let mut notes: Vec<String> =
        progress.map(|p| format!("{} {}", bar::bar(p), bar::sentence(&status.summary, p))).collect();
    let degraded = status.conditions.iter().filter(|condition| {
        condition.kind == ConditionType::Degraded
            && condition.status == Truth::True
            && !status.waiting_for.contains(&condition.message)
    });
    notes.extend(degraded.map(|condition| format!("degraded: {}", condition.message)));
    notes.extend(status.waiting_for.iter().map(|sentence| format!("waits: {sentence}")));
    let nodes = status.nodes.iter().filter(|node| !node.ready);
    notes.extend(nodes.filter_map(|node| Some(format!("{}: {}", node.name, node.message.as_ref()?))));
    notes
}

/// Rows as lines: cells of a column begin at the same place, three blanks apart.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use redisnode_proto::slots::SlotSet;
    use redisnode_proto::status::{Condition, Counts};
    use redisnode_proto::topology::Role;

    use super::*;
    use crate::testing::{node, resource};

    fn condition(kind: ConditionType, status: Truth, message: &str) -> Condition {
        Condition::new(kind, status, "Tested", message)
    }

    fn status() -> ClusterStatus {
        let mut primary = node("my-0", Some(Role::Primary), None);
        primary.slots = SlotSet::full().ranges();
        let mut replica = node("my-1", Some(Role::Replica), Some("my-0"));
        (replica.ready, replica.message) = (false, Some("it is syncing".to_owned()));
        ClusterStatus {
            summary: "Scaling".to_owned(),
            conditions: vec![
                condition(ConditionType::ClusterOK, Truth::True, ""),
                condition(ConditionType::Scaling, Truth::True, ""),
                condition(ConditionType::Degraded, Truth::True, "my-9 is silent"),
            ],
            counts: Counts {
                nodes: 2,
                nodes_wanted: 4,
                nodes_ready: 1,
                primaries: 1,
                primaries_wanted: 2,
                min_replicas: 0,
                max_replicas: 1,
                replicas_wanted: 1,
                slots_covered: 16384,
            },
            waiting_for: vec!["my-2 to report".to_owned()],
            nodes: vec![primary, replica],
            ..ClusterStatus::default()
        }
    }

    #[test]
    fn the_table_has_a_line_for_the_cluster_a_tree_of_its_nodes_and_what_goes_on() {
        let expected = "\
NAME   NAMESPACE   PODS    OPS STATUS                   REDIS STATUS   NB MASTER   REPLICATION
my     -           1/2/4   ClusterOK Scaling Degraded   Scaling        1/2         0-1/1

POD NAME   IP               NODE   ID         ZONE   USED MEMORY   MAX MEMORY   KEYS   SLOTS
+ my-0     127.0.0.1:7000   -      0ba1af8c   a      3.0 MiB       -            12     0-16383
| my-1     127.0.0.1:7000   -      0ba1af8c   a      3.0 MiB       -            12

degraded: my-9 is silent
waits: my-2 to report
my-1: it is syncing
";
        assert_eq!(text(&resource(), &status(), false), expected);
    }
}
