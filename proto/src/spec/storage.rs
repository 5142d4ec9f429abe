//! Where data is kept, and what becomes of it. The names and words are those of Kubernetes' volume claims.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Invalid, Opaque, Quantity};

/// Where data is kept. An empty one keeps it in the node's own folder: locally below DIR, on Kubernetes in the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Storage {
    /// How large each node's volume claim is, for instance 10Gi. Cannot be changed. Only on Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The StorageClass of the claims; the default one of Kubernetes if it is left out. Cannot be changed. Only on Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// The whole claim (metadata with labels and annotations, and spec) in place of size and storageClassName. Cannot
    /// be changed. Only on Kubernetes.
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::schema::opaque"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_template: Option<Opaque>,
    /// What becomes of the claims when the cluster is deleted: Retain or Delete. A cluster that is made again under the
    /// same name goes on with retained ones. Only on Kubernetes.
    pub when_deleted: ClaimPolicy,
    /// What becomes of a node's claim when it leaves: Delete or Retain. Its data has moved to the other nodes by then.
    /// Only on Kubernetes.
    pub when_scaled: ClaimPolicy,
}

/// What becomes of a volume claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum ClaimPolicy {
    /// It stays.
    Retain,
    /// It is deleted, and the data with it.
    Delete,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: None,
            storage_class_name: None,
            volume_claim_template: None,
            when_deleted: ClaimPolicy::Retain,
            when_scaled: ClaimPolicy::Delete,
        }
    }
}

impl Storage {
    /// Whether each node has a volume claim of its own.
    pub fn has_claims(&self) -> bool {
        self.size.is_some() || self.volume_claim_template.is_some()
    }

    pub(super) fn validate(&self) -> Vec<Invalid> {
        let mut found = Vec::new();
        let mut wrong =
            |field: &str, message: String| found.push(Invalid::new(format!("spec.storage.{field}"), message));
        if let Some(Err(bad)) = self.size.as_deref().map(str::parse::<Quantity>) {
            wrong("size", bad.to_string());
        }
        if self.size.is_some() && self.volume_claim_template.is_some() {
            wrong("size", "volumeClaimTemplate has a size already; keep one of the two".to_owned());
        }
        if self.storage_class_name.is_some() && self.size.is_none() {
            let message = match self.volume_claim_template {
                Some(_) => "write it into volumeClaimTemplate, as spec.storageClassName",
                None => "without a size there is no claim that could have a class; write size too, for instance 10Gi",
            };
            wrong("storageClassName", message.to_owned());
        }
        found
    }
}

/// A `storage:` with nothing behind it would mean no storage, which its writer hardly wants.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Storage>, D::Error> {
    let storage = Option::<Storage>::deserialize(deserializer)?;
    let empty = || D::Error::custom("storage is empty; write storage: {} to keep data on disk, or leave it out");
    storage.map(Some).ok_or_else(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<String> {
        let storage: Storage = serde_json::from_str(json).unwrap();
        storage.validate().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn claims_outlive_the_cluster_but_not_a_node_that_left() {
        let storage: Storage = serde_json::from_str("{}").unwrap();
        assert_eq!((storage.when_deleted, storage.when_scaled), (ClaimPolicy::Retain, ClaimPolicy::Delete));
        assert_eq!(storage, Storage::default());
        assert!(!storage.has_claims());
        assert!(serde_json::from_str::<Storage>(r#"{"size":"1Gi"}"#).unwrap().has_claims());
    }

    #[test]
    fn a_size_that_is_none_and_what_contradicts_itself_are_refused() {
        assert!(found(r#"{"size":"10Gi","storageClassName":"fast"}"#).is_empty());
        assert!(found(r#"{"volumeClaimTemplate":{"spec":{}}}"#).is_empty());
        for (json, said) in [
            (r#"{"size":"ten"}"#, "spec.storage.size: \"ten\" is no size; write a number and a unit"),
            (r#"{"size":"0"}"#, "write a number and a unit"),
            (r#"{"size":"1Gi","volumeClaimTemplate":{}}"#, "keep one of the two"),
            (r#"{"storageClassName":"fast"}"#, "write size too"),
            (r#"{"storageClassName":"fast","volumeClaimTemplate":{}}"#, "write it into volumeClaimTemplate"),
        ] {
            let found = found(json);
            assert!(found.len() == 1 && found[0].contains(said), "{json}: {found:?}");
        }
    }
}
