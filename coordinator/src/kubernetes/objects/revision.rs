//! Which pods are of the wanted revision.
//!
//! With the strategy OnDelete the StatefulSet's own word is enough: a pod whose label `controller-revision-hash` is not
//! the set's `status.updateRevision` is of an older template (once `status.observedGeneration` is that of the set).
//! What is left to say here is when the template may change at all: a new coordinator, with a newer agent or another
//! default image, restarts no pod. The pods follow when what the user asks of them changes.

use k8s_openapi::api::apps::v1::StatefulSet;
use redisnode_proto::spec::ClusterSpec;
use serde_json::json;

/// Annotation of the StatefulSet: what its pods' template was made from.
pub(super) const ASKED: &str = "redisnode.io/pods-asked";

/// A number for what the user asks of the pods.
pub(super) fn asked(spec: &ClusterSpec) -> String {
    let asked = json!([spec.pod_template, spec.additional_labels]);
    // FNV-1a: the same in every build, which std's own hash is not. Nobody gains by making two of them equal.
    let hash = asked
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// Keeps the pods' template of `seen` in `wanted` if the user asks for the same pods as when it was made. What a new
/// coordinator would make of it has to wait for the user's next change.
pub fn keep_pods(wanted: &mut StatefulSet, seen: &StatefulSet) {
    let of = |set: &StatefulSet| set.metadata.annotations.as_ref().and_then(|all| all.get(ASKED)).cloned();
    if of(wanted).is_some()
        && of(wanted) == of(seen)
        && let (Some(wanted), Some(seen)) = (wanted.spec.as_mut(), seen.spec.as_ref())
    {
        wanted.template = seen.template.clone();
    }
}
