//! What holds for the values of both charts: each is documented, has its place in the schema, and is set by the tests.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chart::Chart;
use crate::{cluster, coordinator};

/// Each chart with values that set all there is to set.
fn charts() -> Vec<(Chart, Value)> {
    let both = [("redis-coordinator", coordinator::everything()), ("redis-cluster", cluster::everything())];
    both.into_iter().filter_map(|(name, values)| Some((Chart::find(name)?, values))).collect()
}

/// The paths of all values that a schema knows. A map of free names is one value, and so is what is Kubernetes' own.
fn known(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let is_closed = schema["additionalProperties"] == false && path != ".podTemplate";
    let Some(properties) = schema["properties"].as_object().filter(|_| is_closed) else {
        assert!(!schema["description"].is_null(), "{path} is not described");
        found.insert(path.to_owned());
        return;
    };
    for (name, schema) in properties.iter().filter(|(name, _)| *name != "global") {
        known(schema, &format!("{path}.{name}"), found);
    }
}

fn has(values: &Value, path: &str) -> bool {
    !values.pointer(&path.replace('.', "/")).unwrap_or(&Value::Null).is_null()
}

fn leaves(chart: &Chart) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    known(&chart.yaml("values.schema.json"), "", &mut found);
    assert!(found.len() > 20, "the schema is read rightly: {found:?}");
    found
}

#[test]
fn each_value_of_the_schema_has_a_default_and_is_set_by_these_tests() {
    for (chart, everything) in charts() {
        let defaults = chart.yaml("values.yaml");
        for path in leaves(&chart) {
            assert!(has(&defaults, &path), "values.yaml says nothing of {path}");
            assert!(has(&everything, &path), "the tests do not set {path}");
        }
    }
}

#[test]
fn the_schema_knows_each_value_and_no_other() {
    for (chart, everything) in charts() {
        chart.lint(&json!({}));
        chart.lint(&everything);
        chart.rendered(&everything);
        let said = chart.render(&json!({"nonsense": 1}), &[]).err().expect("it is refused");
        assert!(said.contains("nonsense"), "{said}");
    }
}

#[test]
fn there_is_one_version_for_all() {
    for (chart, _) in charts() {
        let about = chart.yaml("Chart.yaml");
        for field in ["version", "appVersion"] {
            assert_eq!(about[field], env!("CARGO_PKG_VERSION"), "{field} of Chart.yaml");
        }
    }
}

/// Each of `wrong` is a value that the schema must refuse, naming its place.
#[track_caller]
pub(crate) fn refused(chart: &Chart, wrong: &[(&str, Value)]) {
    for (path, value) in wrong {
        let nested = path.rsplit('/').fold(value.clone(), |inner, name| json!({ name: inner }));
        let said = chart.render(&nested, &[]).err().unwrap_or_else(|| panic!("{path}: {value} is taken"));
        assert!(said.contains("schema") && said.contains(&format!("/{path}")), "{path}: {value}: {said}");
    }
}
