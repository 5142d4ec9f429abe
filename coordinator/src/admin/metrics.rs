//! Prometheus text: a few gauges of the whole cluster. Each agent has those of its own node.

use redisnode_proto::status::{ClusterStatus, Condition, Truth};

use crate::reconcile::Shown;

/// Those of one cluster.
pub(super) fn text(shown: &Shown) -> String {
    of_all([shown])
}

/// Those of several clusters: each name has its help once, and a line for each of them.
pub(super) fn of_all<'a>(shown: impl IntoIterator<Item = &'a Shown>) -> String {
    let mut gauges = Gauges::default();
    for shown in shown {
        gauges.take(shown);
    }
    gauges.text()
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

/// Gauges by name, in the order in which they came first.
#[derive(Default)]
struct Gauges(Vec<Gauge>);

struct Gauge {
    name: &'static str,
    help: &'static str,
    lines: String,
}

impl Gauges {
    fn take(&mut self, shown: &Shown) {
        let Some(resource) = &shown.resource else { return };
        let metadata = &resource.metadata;
        let cluster = match &metadata.namespace {
            Some(namespace) => format!("namespace=\"{namespace}\",cluster=\"{}\"", metadata.name),
            None => format!("cluster=\"{}\"", metadata.name),
        };
        let status = resource.status.clone().unwrap_or_default();
        for Condition { kind, status, .. } in &status.conditions {
            let value = match status {
                Truth::True => 1,
                Truth::False => 0,
                Truth::Unknown => continue,
            };
            let help = "Whether a condition holds: 1 yes, 0 no; absent while unknown.";
            self.add("redis_cluster_condition", help, &format!("{cluster},type=\"{kind:?}\""), value);
        }
        for (name, help, value) in values(&status) {
            self.add(name, help, &cluster, value);
        }
        if let Some(generation) = shown.published {
            let (term, sequence) = ("redis_cluster_layout_term", "redis_cluster_layout_sequence");
            self.add(term, "Term of the newest Layout that this coordinator published.", &cluster, generation.term);
            self.add(sequence, "Sequence of the newest Layout within its term.", &cluster, generation.sequence);
        }
    }

    fn add(&mut self, name: &'static str, help: &'static str, labels: &str, value: u64) {
        let line = format!("{name}{{{labels}}} {value}\n");
        match self.0.iter_mut().find(|gauge| gauge.name == name) {
            Some(gauge) => gauge.lines.push_str(&line),
            None => self.0.push(Gauge { name, help, lines: line }),
        }
    }

    fn text(&self) -> String {
        let one = |Gauge { name, help, lines }: &Gauge| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{lines}");
        self.0.iter().map(one).collect()
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
        let shown = Shown { resource: Some(resource.into()), ..Shown::default() };
        let text = text(&shown);
        assert!(text.contains("redis_cluster_condition{cluster=\"my\",type=\"Ready\"} 1\n"), "{text}");
        assert!(!text.contains("ClusterOK"), "{text}");
        assert!(text.contains("# TYPE redis_cluster_slots_covered gauge\n"), "{text}");
        let two = of_all([&shown, &shown]);
        assert_eq!(two.matches("# TYPE redis_cluster_condition").count(), 1);
        assert_eq!(two.matches("redis_cluster_condition{").count(), 2);
    }
}
