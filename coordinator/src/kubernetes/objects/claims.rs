//! Volume claims of the members' folders.

use k8s_openapi::api::apps::v1::StatefulSetPersistentVolumeClaimRetentionPolicy;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use redisnode_proto::spec::{ClaimPolicy, Storage};

use super::template::{self, Refused};
use super::{Cluster, DATA, labels};

/// The template of the claims; empty without claims.
pub(super) fn templates(cluster: &Cluster) -> Result<Vec<PersistentVolumeClaim>, Refused> {
    let Some(storage) = cluster.spec.storage.as_ref().filter(|storage| storage.has_claims()) else {
        return Ok(Vec::new());
    };
    let mut claim = match &storage.volume_claim_template {
        Some(given) => template::read::<PersistentVolumeClaim>("storage.volumeClaimTemplate", given)?,
        None => PersistentVolumeClaim::default(),
    };
    claim.metadata.name = Some(DATA.to_owned());
    // A StatefulSet's claims cannot change: the user's labels, which can, stay away from them.
    claim.metadata.labels.get_or_insert_default().extend(labels::own(cluster));
    let spec = claim.spec.get_or_insert_default();
    let modes = spec.access_modes.get_or_insert_default();
    if modes.is_empty() {
        modes.push("ReadWriteOnce".to_owned());
    }
    sized(spec, storage);
    let has_size = spec.resources.as_ref().and_then(|r| r.requests.as_ref()).is_some_and(|r| r.contains_key("storage"));
    if !has_size {
        let message = "a claim needs a size; write spec.resources.requests.storage, for instance 10Gi";
        return Err(Refused::one("storage.volumeClaimTemplate", message));
    }
    Ok(vec![claim])
}

fn sized(spec: &mut PersistentVolumeClaimSpec, storage: &Storage) {
    let Some(size) = &storage.size else { return };
    let requests = [("storage".to_owned(), Quantity(size.clone()))];
    spec.resources = Some(VolumeResourceRequirements { requests: Some(requests.into()), limits: None });
    spec.storage_class_name.clone_from(&storage.storage_class_name);
}

/// What becomes of claims.
pub(super) fn retention(cluster: &Cluster) -> Option<StatefulSetPersistentVolumeClaimRetentionPolicy> {
    let storage = cluster.spec.storage.as_ref().filter(|storage| storage.has_claims())?;
    let word = |policy: ClaimPolicy| {
        Some(match policy {
            ClaimPolicy::Retain => "Retain".to_owned(),
            ClaimPolicy::Delete => "Delete".to_owned(),
        })
    };
    Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: word(storage.when_deleted),
        when_scaled: word(storage.when_scaled),
    })
}
