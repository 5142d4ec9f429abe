//! Labels: the recommended ones by which objects are found, and the user's.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::Cluster;

/// Label of a pod: `primary` or `replica`, as far as it is known.
pub const ROLE: &str = "redisnode.io/role";
/// Label of a pod: its shard's name.
pub const SHARD: &str = "redisnode.io/shard";

/// What never changes on a cluster's objects, and finds its pods.
fn fixed(cluster: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "redisnode"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/component", "node"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Ours, without the user's.
pub(super) fn own(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut labels = fixed(cluster.name);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "redis-coordinator".to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "redis-cluster".to_owned());
    labels
}

/// The user's and ours.
pub(super) fn all(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut labels = cluster.spec.additional_labels.clone();
    labels.extend(own(cluster));
    labels
}

/// Finds the cluster's pods.
pub fn selector(cluster: &Cluster) -> LabelSelector {
    LabelSelector { match_labels: Some(fixed(cluster.name)), ..LabelSelector::default() }
}

/// The same as text, for the status.
pub fn selector_text(cluster: &str) -> String {
    fixed(cluster).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
