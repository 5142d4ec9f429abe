//! The CustomResourceDefinition of `RedisCluster`, made from the types that read it. Pure; `redis-coordinator crd`
//! prints it.

mod columns;
pub mod rules;
pub mod samples;
mod structural;
pub mod unknown;

use redisnode_proto::spec::{ClusterSpec, KIND};
use redisnode_proto::status::ClusterStatus;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use rules::Rule;

/// The API group.
pub const GROUP: &str = "redisnode.io";
/// The version of the API.
pub const VERSION: &str = "v1alpha1";
/// The resource's name in paths.
pub const PLURAL: &str = "redisclusters";

/// The definition.
pub fn definition() -> Value {
    structural::sorted(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{PLURAL}.{GROUP}"),
            // With the definition every cluster would go: taking the chart away must not do that.
            "annotations": { "helm.sh/resource-policy": "keep" },
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": format!("{KIND}List"),
                "plural": PLURAL,
                "singular": "rediscluster",
                "shortNames": ["rdc"],
                "categories": ["all"],
            },
            "versions": [version()],
        },
    }))
}

/// The definition as YAML.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(&definition())?;
    Ok(format!("# Written by `make generate`. Changes here are lost.\n{text}"))
}

fn version() -> Value {
    json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "schema": { "openAPIV3Schema": schema() },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.numberOfMaster",
                "statusReplicasPath": ".status.counts.primaries",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": columns::columns(),
    })
}

/// The schema of the whole resource, its rules too.
pub fn schema() -> Value {
    let mut spec = of::<ClusterSpec>();
    // Without it the defaults of a resource that says nothing would not be filled in; the rules look at it, too.
    structural::set(&mut spec, &[], "default", json!(ClusterSpec::default()));
    let mut status = of::<ClusterStatus>();
    for (list, key) in [("conditions", "type"), ("nodes", "name")] {
        structural::set(&mut status, &[list], "x-kubernetes-list-type", json!("map"));
        structural::set(&mut status, &[list], "x-kubernetes-list-map-keys", json!([key]));
    }
    structural::set(&mut status, &["conditions", "[]", "lastTransitionTime"], "format", json!("date-time"));
    let mut whole = json!({
        "description": "A cluster of Redis or Valkey servers whose nodes look after themselves.",
        "type": "object",
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    });
    rules::bounds(&mut whole);
    for rule in rules::rules() {
        structural::push(&mut whole, &rule.at, "x-kubernetes-validations", validation(&rule));
    }
    whole
}

fn validation(rule: &Rule) -> Value {
    json!({ "rule": rule.rule, "message": rule.message })
}

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    structural::structural(schema.to_value())
}

#[cfg(test)]
mod tests;
