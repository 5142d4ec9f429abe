//! Prometheus text: a few gauges of the whole cluster. Each agent has those of its own node.

use redisnode_proto::status::{ClusterStatus, Condition, Truth};

use crate::reconcile::Shown;

/// All of it.
pub(super) fn text(shown: &Shown) -> String {
    let mut out = Gauges(String::new());
    let Some(resource) = &shown.resource else { return out.0 };
    let cluster = format!("cluster=\"{}\"", resource.metadata.name);
    let status = resource.status.clone().unwrap_or_default();
    out.head("redis_cluster_condition", "Whether a condition holds: 1 yes, 0 no; absent while unknown.");
    for Condition { kind, status, .. } in &status.conditions {
        let value = match status {
            Truth::True => 1,
            Truth::False => 0,
            Truth::Unknown => continue,
        };
        out.line("redis_cluster_condition", &format!("{cluster},type=\"{kind:?}\""), value);
    }
    for (name, help, value) in values(&status) {
        out.head(name, help);
        out.line(name, &cluster, value);
    }
    if let Some(generation) = shown.published {
        let (term, sequence) = ("redis_cluster_layout_term", "redis_cluster_layout_sequence");
        out.head(term, "Term of the newest Layout that this coordinator published.");
        out.line(term, &cluster, generation.term);
        out.head(sequence, "Sequence of the newest Layout within its term.");
        out.line(sequence, &cluster, generation.sequence);
    }
    out.0
}

fn values(status: &ClusterStatus) -> Vec<(&'static str, &'static str, u64)> {
    let counts = &status.counts;
    let mut values = vec![
        ("redis_cluster_nodes", "Members that exist.", counts.nodes.into()),
        ("redis_cluster_nodes_ready", "Members that are ready.", counts.nodes_ready.into()),
        ("redis_cluster_nodes_wanted", "Members that the spec asks for.", counts.nodes_wanted.into()),
        ("redis_cluster_primaries", "Primaries with slots.", counts.primaries.into()),
        ("redis_cluster_primaries_wanted", "Primaries that the spec asks for.", counts.primaries_wanted.into()),
        ("redis_cluster_replicas_min", "The fewest replicas in sync that a primary has.", counts.min_replicas.into()),
        ("redis_cluster_slots_covered", "Slots with a living owner.", counts.slots_covered.into()),
        ("redis_cluster_waits", "Things wanted that are not done now.", status.waiting_for.len() as u64),
    ];
    if let Some(progress) = &status.progress {
        values.push(("redis_cluster_slots_left", "Slots that still have to move.", progress.slots_left.into()));
        values.push(("redis_cluster_moved_keys", "Keys moved by the moves in flight.", progress.keys_done));
        values.push(("redis_cluster_moved_bytes", "Bytes moved by the moves in flight.", progress.bytes_done));
    }
    values
}

struct Gauges(String);

impl Gauges {
    fn head(&mut self, name: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        self.write(format_args!("{name}{{{labels}}} {value}\n"));
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        self.0.push_str(&what.to_string());
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::spec::RedisCluster;
    use redisnode_proto::status::ConditionType;

    use super::*;

    #[test]
    fn an_unknown_condition_is_absent_and_not_zero() {
        let condition = |kind, status| Condition::new(kind, status, "", "");
        let mut resource: RedisCluster = serde_json::from_value(serde_json::json!({
            "apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster", "metadata": { "name": "my" },
        }))
        .unwrap();
        resource.status = Some(ClusterStatus {
            conditions: vec![
                condition(ConditionType::Ready, Truth::True),
                condition(ConditionType::ClusterOK, Truth::Unknown),
            ],
            ..ClusterStatus::default()
        });
        let text = text(&Shown { resource: Some(resource), ..Shown::default() });
        assert!(text.contains("redis_cluster_condition{cluster=\"my\",type=\"Ready\"} 1\n"), "{text}");
        assert!(!text.contains("ClusterOK"), "{text}");
        assert!(text.contains("# TYPE redis_cluster_slots_covered gauge\n"), "{text}");
    }
}
