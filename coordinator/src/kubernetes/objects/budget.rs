//! How many pods may be evicted at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Cluster, labels};

/// One; none where each pod has the only copy of its data and nothing outlives it.
pub(super) fn budget(cluster: &Cluster) -> PodDisruptionBudget {
    let only_copies = cluster.spec.replication_factor == 0 && !cluster.has_claims();
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(i32::from(!only_copies))),
        selector: Some(labels::selector(cluster)),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: cluster.metadata(cluster.name.to_owned()), spec: Some(spec), status: None }
}
