//! A status in one line of a table, for `kubectl get` and the command line.

use serde::{Deserialize, Serialize};

use super::{ClusterStatus, ConditionType, Truth};

/// One line of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// Nodes that are ready, that exist and that are wanted: `5/6/6`.
    pub pods: String,
    /// `ClusterOK`, `KO` or `Unknown`, and what goes on.
    pub operation: String,
    /// Primaries with slots, and how many are wanted: `3/3`.
    pub primaries: String,
    /// The fewest and the most replicas in sync that a primary has, and how many it should have: `0-1/1`, or `1/1`.
    pub replication: String,
}

impl ClusterStatus {
    /// Itself in one line.
    pub fn in_columns(&self) -> Columns {
        let counts = &self.counts;
        let replicas = if counts.min_replicas == counts.max_replicas {
            counts.min_replicas.to_string()
        } else {
            format!("{}-{}", counts.min_replicas, counts.max_replicas)
        };
        Columns {
            pods: format!("{}/{}/{}", counts.nodes_ready, counts.nodes, counts.nodes_wanted),
            operation: operation(self),
            primaries: format!("{}/{}", counts.primaries, counts.primaries_wanted),
            replication: format!("{replicas}/{}", counts.replicas_wanted),
        }
    }
}

fn operation(status: &ClusterStatus) -> String {
    let truth = |kind| status.conditions.iter().find(|condition| condition.kind == kind).map(|c| c.status);
    let mut words = vec![match truth(ConditionType::ClusterOK) {
        Some(Truth::True) => "ClusterOK".to_owned(),
        Some(Truth::False) => "KO".to_owned(),
        Some(Truth::Unknown) | None => "Unknown".to_owned(),
    }];
    let busy =
        [ConditionType::Scaling, ConditionType::Rebalancing, ConditionType::RollingUpdate, ConditionType::Degraded];
    words.extend(busy.into_iter().filter(|kind| truth(*kind) == Some(Truth::True)).map(|kind| format!("{kind:?}")));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Condition;

    #[test]
    fn an_unknown_condition_is_not_shown_as_ko() {
        let shown = |conditions| operation(&ClusterStatus { conditions, ..ClusterStatus::default() });
        assert_eq!(shown(Vec::new()), "Unknown");
        assert_eq!(shown(vec![Condition::new(ConditionType::ClusterOK, Truth::False, "", "")]), "KO");
        let scaling = Condition::new(ConditionType::Scaling, Truth::True, "", "");
        let fine = Condition::new(ConditionType::ClusterOK, Truth::True, "", "");
        assert_eq!(shown(vec![scaling, fine]), "ClusterOK Scaling");
    }

    #[test]
    fn replicas_that_differ_are_shown_as_a_range() {
        let mut status = ClusterStatus::default();
        (status.counts.max_replicas, status.counts.replicas_wanted) = (2, 2);
        assert_eq!(status.in_columns().replication, "0-2/2");
        status.counts.min_replicas = 2;
        assert_eq!(status.in_columns().replication, "2/2");
    }
}
