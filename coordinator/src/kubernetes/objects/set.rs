//! The StatefulSet.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};

use super::template::Refused;
use super::{Cluster, claims, labels, pod, revision};

/// All pods begin at once, and none is replaced because its template changed: which one and when is planned.
pub(super) fn set(cluster: &Cluster, replicas: u32) -> Result<StatefulSet, Refused> {
    let claims = claims::templates(cluster)?;
    let spec = StatefulSetSpec {
        replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
        service_name: Some(cluster.nodes_service()),
        selector: labels::selector(cluster),
        template: pod::template(cluster)?,
        pod_management_policy: Some("Parallel".to_owned()),
        update_strategy: Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".to_owned()), rolling_update: None }),
        volume_claim_templates: (!claims.is_empty()).then_some(claims),
        persistent_volume_claim_retention_policy: claims::retention(cluster),
        revision_history_limit: Some(3),
        ..StatefulSetSpec::default()
    };
    let mut metadata = cluster.metadata(cluster.name.to_owned());
    metadata.annotations = Some([(revision::ASKED.to_owned(), revision::asked(cluster.spec))].into());
    Ok(StatefulSet { metadata, spec: Some(spec), status: None })
}
