//! Reading the parts of the spec that are Kubernetes' own. What this build does not know is refused and not dropped.

use redisnode_proto::spec::Opaque;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why the objects of a cluster cannot be made: sentences that say what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refused(pub Vec<String>);

impl Refused {
    /// For one reason, in the field `spec.<field>`.
    pub(super) fn one(field: &str, message: &str) -> Self {
        Self(vec![format!("spec.{field}: {message}")])
    }
}

/// Reads `given`, which is in the field `spec.<field>`.
pub(super) fn read<T: Serialize + DeserializeOwned>(field: &str, given: &Opaque) -> Result<T, Refused> {
    let mut given = Value::Object(given.clone());
    amounts_as_text(&mut given);
    let read: T = serde_json::from_value(given.clone())
        .map_err(|error| Refused::one(field, &format!("Kubernetes does not take it ({error}); correct it")))?;
    let back = serde_json::to_value(&read).unwrap_or_default();
    let lost: Vec<String> = missing(&given, &back, field)
        .into_iter()
        .map(|place| {
            format!(
                "spec.{place}: this coordinator knows no such field of Kubernetes; correct its name, or leave it out"
            )
        })
        .collect();
    if lost.is_empty() { Ok(read) } else { Err(Refused(lost)) }
}

/// Amounts may be numbers (`cpu: 2`), but are read as text.
fn amounts_as_text(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if matches!(name.as_str(), "limits" | "requests" | "capacity") {
                    value.as_object_mut().into_iter().flat_map(|amounts| amounts.values_mut()).for_each(as_text);
                } else if name == "sizeLimit" {
                    as_text(value);
                } else {
                    amounts_as_text(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(amounts_as_text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn as_text(value: &mut Value) {
    if value.is_number() {
        *value = Value::String(value.to_string());
    }
}

/// Places of `given` that are not in `back`.
fn missing(given: &Value, back: &Value, place: &str) -> Vec<String> {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => {
            let known = given.iter().filter(|(_, value)| !value.is_null());
            let look = |(name, value): (&String, &Value)| match back.get(name) {
                Some(back) => missing(value, back, &format!("{place}.{name}")),
                None => vec![format!("{place}.{name}")],
            };
            known.flat_map(look).collect()
        }
        (Value::Array(given), Value::Array(back)) => {
            let pairs = given.iter().zip(back).enumerate();
            pairs.flat_map(|(index, (given, back))| missing(given, back, &format!("{place}[{index}]"))).collect()
        }
        _ => Vec::new(),
    }
}
