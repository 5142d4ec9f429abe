//! Fields of a resource that this program does not know. The API server lets only those in that its definition has; one of a
//! newer version of this program may be installed beside an older program, while it is upgraded or taken back, and fills in
//! defaults of its own.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

/// What is known at one place of a resource.
enum Known {
    /// Everything: a value, or whatever is put there.
    All,
    /// These fields.
    Fields(BTreeMap<String, Known>),
}

/// Takes the fields out of a spec that this program does not know, and names them.
pub fn take_out(spec: &mut Value) -> Vec<String> {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(|| super::schema().pointer("/properties/spec").map_or(Known::All, Known::of));
    let mut unknown = Vec::new();
    known.keep(spec, "spec", &mut unknown);
    unknown
}

impl Known {
    fn of(schema: &Value) -> Self {
        let has_all = schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|all| *all == true);
        match schema.get("properties").and_then(Value::as_object) {
            Some(fields) if !has_all => {
                Self::Fields(fields.iter().map(|(name, field)| (name.clone(), Self::of(field))).collect())
            }
            _ => Self::All,
        }
    }

    fn keep(&self, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
        let (Self::Fields(known), Some(fields)) = (self, value.as_object_mut()) else { return };
        fields.retain(|name, value| {
            let path = format!("{path}.{name}");
            match known.get(name) {
                Some(known) => known.keep(value, &path, unknown),
                None => unknown.push(path),
            }
            known.contains_key(name)
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_newer_definition_fills_in_is_left_out_and_named() {
        let mut spec = json!({"numberOfMaster": 5, "novelty": {"a": 1}, "migration": {"maxLatency": "9ms", "sail": true},
            "redisConfig": {"maxmemory": "1gb"}, "podTemplate": {"spec": {"anything": 1}}});
        assert_eq!(take_out(&mut spec), ["spec.migration.sail", "spec.novelty"]);
        assert_eq!(
            spec,
            json!({"numberOfMaster": 5, "migration": {"maxLatency": "9ms"}, "redisConfig": {"maxmemory": "1gb"},
                "podTemplate": {"spec": {"anything": 1}}})
        );
    }
}
