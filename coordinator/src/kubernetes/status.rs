//! Brings what is shown of a cluster to its resource's status: at once what matters, now and then what always changes.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use redisnode_proto::status::{ClusterStatus, Condition};
use serde_json::{Map, Value, json};

use super::ask::{CHANGED, ask_unless};

/// No more than one write a second, whatever happens.
pub(super) const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Counts of keys and bytes always change: they alone are written no more often than this.
const FIGURES_EVERY: Duration = Duration::from_secs(15);
/// Fields of a node's entry, and of the whole, that change all the time.
const FIGURES: [&str; 4] = ["keys", "usedMemory", "maxMemory", "progress"];

/// What only a status on Kubernetes says.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Finds the cluster's pods.
    pub(super) selector: String,
    /// The writer's Lease.
    pub(super) lease: String,
}

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Written {
    status: Value,
    at: Option<Instant>,
}

impl Written {
    /// The status as it is to be written, if it is to be written now.
    pub(super) fn due(&self, status: &ClusterStatus, places: &Places, now: Instant) -> Option<Value> {
        let mut status = status.clone();
        status.columns = Some(status.in_columns());
        status.selector = Some(places.selector.clone());
        status.coordinator = Some(places.lease.clone());
        // They are Kubernetes events of their own.
        status.events.clear();
        date(&mut status, &self.status);
        let next = serde_json::to_value(status).ok()?;
        let age = self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let matters = without_figures(next.clone()) != without_figures(self.status.clone());
        let due = if matters { age >= AT_MOST_EVERY } else { age >= FIGURES_EVERY && next != self.status };
        due.then_some(next)
    }

    /// It was written.
    pub(super) fn wrote(&mut self, status: Value, now: Instant) {
        (self.status, self.at) = (status, Some(now));
    }

    /// What another life wrote: its conditions keep their dates.
    pub(super) fn found(status: Option<&Value>) -> Self {
        Self { status: status.cloned().unwrap_or(Value::Null), at: None }
    }
}

/// Gives each condition its date (of its last change of truth) and the generation it is about.
fn date(status: &mut ClusterStatus, before: &Value) {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let before: Vec<Condition> =
        before.get("conditions").and_then(|all| serde_json::from_value(all.clone()).ok()).unwrap_or_default();
    for condition in &mut status.conditions {
        let old = before.iter().find(|old| old.kind == condition.kind && old.status == condition.status);
        let since = old.and_then(|old| old.last_transition_time.clone());
        condition.last_transition_time = Some(since.unwrap_or_else(|| now.clone()));
        condition.observed_generation = status.observed_generation;
    }
}

fn without_figures(mut status: Value) -> Value {
    let strip = |object: &mut Map<String, Value>| object.retain(|field, _| !FIGURES.contains(&field.as_str()));
    if let Some(object) = status.as_object_mut() {
        strip(object);
    }
    let nodes = status.get_mut("nodes").and_then(Value::as_array_mut);
    nodes.into_iter().flatten().filter_map(Value::as_object_mut).for_each(strip);
    status
}

/// Writes a status, if the resource is still the one with this uid in this version; false if it is not. A write that
/// was on its way while another coordinator began to lead must not hide what that one shows.
pub(super) async fn write(
    api: &Api<DynamicObject>,
    name: &str,
    uid: &str,
    version: &str,
    status: &Value,
) -> Result<bool, String> {
    // A merge patch leaves what is not named: a field that is gone must be said to be gone.
    let patch = json!({"metadata": {"uid": uid, "resourceVersion": version}, "status": complete(status)});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let written = ask_unless(format!("status of {name}"), &[CHANGED], api.patch_status(name, &params, &patch)).await?;
    Ok(written.is_some())
}

fn complete(status: &Value) -> Value {
    let mut status = status.clone();
    if let Some(object) = status.as_object_mut() {
        for field in ["observedGeneration", "layoutGeneration", "placementReason", "progress", "waitingFor"] {
            object.entry(field).or_insert(Value::Null);
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use redisnode_proto::status::{ConditionType, Truth};

    use super::*;

    fn status(truth: Truth, summary: &str) -> ClusterStatus {
        let ready = Condition::new(ConditionType::Ready, truth, "Ready", summary);
        ClusterStatus { conditions: vec![ready], summary: summary.to_owned(), ..ClusterStatus::default() }
    }

    #[test]
    fn what_has_not_changed_is_not_written_again() {
        let (mut written, now) = (Written::default(), Instant::now());
        let first = written.due(&status(Truth::True, "OK"), &Places::default(), now).unwrap();
        written.wrote(first, now);
        assert_eq!(written.due(&status(Truth::True, "OK"), &Places::default(), now + FIGURES_EVERY), None);
        assert_eq!(written.due(&status(Truth::True, "KO"), &Places::default(), now), None, "not twice in a second");
        assert!(written.due(&status(Truth::True, "KO"), &Places::default(), now + AT_MOST_EVERY).is_some());
    }

    #[test]
    fn a_condition_keeps_its_date_until_its_truth_changes() {
        let mut written = Written::found(Some(&json!({"conditions": [
            {"type": "Ready", "status": "True", "reason": "", "message": "",
             "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ]})));
        let date = |value: &Value| value["conditions"][0]["lastTransitionTime"].clone();
        let now = Instant::now();
        let same = written.due(&status(Truth::True, "OK"), &Places::default(), now).unwrap();
        assert_eq!(date(&same), json!("2020-01-01T00:00:00Z"));
        written.wrote(same, now);
        let other = written.due(&status(Truth::False, "KO"), &Places::default(), now + AT_MOST_EVERY).unwrap();
        assert_ne!(date(&other), json!("2020-01-01T00:00:00Z"));
    }
}
