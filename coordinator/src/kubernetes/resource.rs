//! The RedisCluster as the API server has it, and as the planner wants it.

use super::crd::{PLURAL, unknown};
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use redisnode_proto::ClusterId;
use redisnode_proto::spec::{API_VERSION, KIND, Metadata, RedisCluster};

/// Where the API serves RedisClusters.
pub fn api_resource() -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("", API_VERSION));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, KIND), PLURAL)
}

/// Reads and validates. The error is a sentence: the API server lets nothing wrong in, but an older definition of the
/// resource might. What only a newer one has is left out.
pub fn read(object: &DynamicObject) -> Result<RedisCluster, String> {
    let mut spec = object.data.get("spec").cloned().unwrap_or_else(|| serde_json::json!({}));
    let unknown = unknown::take_out(&mut spec);
    if !unknown.is_empty() {
        tracing::debug!(name = object.name_any(), ?unknown, "the definition is a newer one than this program's");
    }
    let spec = serde_json::from_value(spec).map_err(|error| format!("spec: {error}"))?;
    let resource = RedisCluster {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: Metadata {
            name: object.name_any(),
            namespace: object.namespace(),
            labels: object.labels().clone(),
            annotations: object.annotations().clone(),
            generation: object.metadata.generation.and_then(|generation| u64::try_from(generation).ok()),
        },
        spec,
        status: None,
    };
    match resource.validate() {
        Ok(()) => Ok(resource),
        Err(wrong) => Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// The identity of the cluster: the same when it is deleted and made again, so that kept claims are its own then.
pub fn cluster_id(namespace: &str, name: &str) -> Result<ClusterId, String> {
    format!("{namespace}.{name}").parse().map_err(|error| format!("{namespace}/{name} cannot name a cluster: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: serde_json::Value) -> DynamicObject {
        let mut object = DynamicObject::new("my", &api_resource()).within("there").data(json);
        object.metadata.generation = Some(4);
        object
    }

    #[test]
    fn a_resource_without_a_spec_has_the_defaults() {
        let resource = read(&object(serde_json::json!({}))).unwrap();
        assert_eq!((resource.spec.number_of_master, resource.metadata.generation), (3, Some(4)));
        assert_eq!(resource.metadata.namespace.as_deref(), Some("there"));
    }

    #[test]
    fn what_is_wrong_is_a_sentence() {
        let error = read(&object(serde_json::json!({"spec": {"numberOfMaster": 0}}))).unwrap_err();
        assert!(error.contains("numberOfMaster"), "{error}");
        let newer = read(&object(serde_json::json!({"spec": {"numberOfMaster": 4, "novelty": 3}}))).unwrap();
        assert_eq!(newer.spec.number_of_master, 4, "a field of a newer definition is no reason to stop");
    }

    #[test]
    fn it_is_served_under_its_group() {
        assert_eq!(api_resource().api_version, API_VERSION);
        assert_eq!(cluster_id("there", "my").unwrap().as_str(), "there.my");
    }
}
