//! What `kubectl get` shows: the columns of `kubectl rediscluster status`.

use serde_json::{Value, json};

/// Name, path and whether only `-o wide` has it.
const COLUMNS: [(&str, &str, bool); 8] = [
    ("Pods", ".status.columns.pods", false),
    ("Ops Status", ".status.columns.operation", false),
    ("Redis Status", ".status.summary", false),
    ("NB Master", ".status.columns.primaries", false),
    ("Replication", ".status.columns.replication", false),
    ("Placement", ".status.placement", true),
    ("Slots", ".status.counts.slotsCovered", true),
    ("Ready", ".status.conditions[?(@.type=='Ready')].message", true),
];

/// The columns, the age last.
pub(super) fn columns() -> Vec<Value> {
    let column = |(name, path, wide): (&str, &str, bool)| {
        let kind = if path.ends_with("slotsCovered") { "integer" } else { "string" };
        json!({ "name": name, "type": kind, "jsonPath": path, "priority": i32::from(wide) })
    };
    let mut columns: Vec<Value> = COLUMNS.into_iter().map(column).collect();
    columns.push(json!({ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 0 }));
    columns
}
