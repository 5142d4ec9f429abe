//! Tests of the definition: it is structural, each rule refuses its wrong value and nothing else, and the rules agree
//! with what reads local files.

use std::collections::BTreeSet;

use kube::core::cel::Validator;
use redisnode_proto::spec::RedisCluster;

use super::samples::{Sample, resource, samples};
use super::*;

fn errors(object: &Value, before: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(), object, before) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

/// What an API server makes of a spec before it looks at the rules: the defaults filled in.
fn admitted(name: &str, spec: &Value) -> Value {
    let mut object = resource(name, spec);
    fill(&schema(), &mut object);
    object
}

fn fill(schema: &Value, value: &mut Value) {
    let (Some(fields), Some(object)) = (schema["properties"].as_object(), value.as_object_mut()) else { return };
    for (name, field) in fields {
        if let Some(default) = field.get("default") {
            object.entry(name).or_insert(default.clone());
        }
        if let Some(value) = object.get_mut(name) {
            fill(field, value);
        }
    }
}

#[test]
fn each_rule_takes_the_right_value_and_refuses_the_wrong_one_with_its_sentence() {
    for Sample { message, names, before, right, wrong } in samples() {
        let before = before.map(|spec| admitted(names.0, &spec));
        let taken = errors(&admitted(names.0, &right), before.as_ref());
        assert!(taken.is_empty(), "{message}: {taken:?}");
        let refused = errors(&admitted(names.1, &wrong), before.as_ref());
        assert!(refused.len() == 1 && refused[0].contains(message), "{message}: {refused:?}");
    }
}

#[test]
fn there_is_a_sample_for_each_rule() {
    let rules = rules::rules();
    assert_eq!(rules.len(), samples().len());
    for sample in samples() {
        let of: Vec<_> = rules.iter().filter(|rule| rule.message.contains(sample.message)).collect();
        assert_eq!(of.len(), 1, "{}", sample.message);
    }
}

#[test]
fn every_message_says_what_to_do() {
    for rule in rules::rules() {
        let says = ["write ", "leave ", "put ", "keep ", "begins and ends", "set "]
            .iter()
            .any(|word| rule.message.contains(word));
        assert!(says && rule.message.len() < 2048 && !rule.message.contains('\n'), "{}", rule.message);
    }
}

#[test]
fn what_reads_local_files_judges_the_same() {
    for Sample { message, names, before, right, wrong } in samples() {
        let judge = |name: &str, spec: &Value| match serde_json::from_value::<RedisCluster>(resource(name, spec)) {
            Ok(cluster) => cluster.validate().is_ok(),
            Err(_) => false,
        };
        assert!(judge(names.0, &right), "{message}");
        // A change can be judged only by who knows what was.
        assert_eq!(judge(names.1, &wrong), before.is_some(), "{message}");
    }
}

/// Each schema in the definition, with its place.
fn walk(schema: &Value, place: &str, look: &mut dyn FnMut(&str, &Value)) {
    look(place, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(field, &format!("{place}.{name}"), look);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            walk(inner, &format!("{place}.{key}"), look);
        }
    }
}

#[test]
fn the_schema_is_structural_and_every_field_is_described() {
    let known = BTreeSet::from([
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxLength",
        "maxProperties",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ]);
    let mut fields = 0;
    walk(&schema(), "", &mut |place, schema| {
        fields += 1;
        let words: BTreeSet<&str> = schema.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(words.is_subset(&known), "{place}: {words:?}");
        assert!(schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true, "{place}: {schema}");
        let ours = place.starts_with(".spec") || place.starts_with(".status");
        let inner = place.rsplit('.').next().is_some_and(|last| ["items", "additionalProperties"].contains(&last));
        assert!(!ours || inner || schema["description"].is_string(), "{place} is not described");
    });
    assert!(fields > 60, "{fields}");
}

#[test]
fn everything_optional_has_its_default() {
    let object = admitted("my", &Value::Null);
    assert!(object["spec"].is_null(), "a null is no missing field");
    let mut object = resource("my", &json!({}));
    object.as_object_mut().unwrap().remove("spec");
    fill(&schema(), &mut object);
    let spec: ClusterSpec = serde_json::from_value(object["spec"].clone()).unwrap();
    assert_eq!(spec, ClusterSpec::default());
    assert_eq!(object["spec"]["nodeTimeout"], "15s");
    let stored = admitted("my", &json!({ "storage": { "size": "1Gi" } }));
    assert_eq!(stored["spec"]["storage"]["whenScaled"], "Delete");
}

#[test]
fn it_is_a_definition_that_the_client_knows() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let definition: CustomResourceDefinition = serde_json::from_value(definition()).unwrap();
    assert_eq!(definition.metadata.name.as_deref(), Some("redisclusters.redisnode.io"));
    let version = &definition.spec.versions[0];
    assert_eq!(format!("{GROUP}/{}", version.name), redisnode_proto::spec::API_VERSION);
    assert_eq!(version.additional_printer_columns.as_ref().unwrap().len(), 9);
    let read: Value = serde_saphyr::from_str(&yaml().unwrap()).unwrap();
    assert_eq!(read, super::definition());
}
