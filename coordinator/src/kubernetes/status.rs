//! Brings what is shown of a cluster to its resource's status: at once what matters, now and then what always changes.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use redisnode_proto::status::{ClusterStatus, Condition, NodeStatus};
use serde_json::Value;

use super::ask::{CHANGED, ask_unless};

/// No more than one write a second, whatever happens.
pub(super) const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// While slots move, figures alone are written no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);
/// Counts of keys and bytes always change: they alone are written no more often than this.
const FIGURES_EVERY: Duration = Duration::from_mins(1);

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
    /// As the API server has it.
    status: Value,
    /// What it was made from.
    from: ClusterStatus,
    at: Option<Instant>,
}

/// Whether a status is to be written.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    /// Now, like this.
    Now(Value),
    /// Soon: something was written a moment ago.
    Soon,
    /// It says nothing new, or nothing that matters yet.
    Not,
}

impl Written {
    /// Whether `status` is to be written now.
    pub(super) fn due(&mut self, status: &ClusterStatus, places: &Places, now: Instant) -> Due {
        let age = self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let same = without_events(status) == self.from;
        let figures_alone = !same && with_figures_of(&self.from, status) == without_events(status);
        let moves = status.progress.is_some() || self.from.progress.is_some();
        if figures_alone && only_drifts(&self.from, status) {
            return Due::Not;
        }
        let due = match (same, figures_alone) {
            // The first of this life may be what the one before has written.
            (true, _) if self.at.is_some() => return Due::Not,
            (false, true) if age < if moves { PROGRESS_EVERY } else { FIGURES_EVERY } => return Due::Not,
            _ if age < AT_MOST_EVERY => return Due::Soon,
            _ => as_written(status, places, &self.status),
        };
        if due == self.status {
            (self.from, self.at) = (without_events(status), Some(now));
            return Due::Not;
        }
        Due::Now(due)
    }

    /// It was written, made from `from`.
    pub(super) fn wrote(&mut self, status: Value, from: &ClusterStatus, now: Instant) {
        (self.status, self.from, self.at) = (status, without_events(from), Some(now));
    }

    /// What another life wrote: its conditions keep their dates.
    pub(super) fn found(status: Option<&Value>) -> Self {
        Self { status: status.cloned().unwrap_or(Value::Null), ..Self::default() }
    }
}

/// As it is written: with dates, columns and places.
fn as_written(status: &ClusterStatus, places: &Places, before: &Value) -> Value {
    let mut status = without_events(status);
    status.columns = Some(status.in_columns());
    status.selector = Some(places.selector.clone());
    status.coordinator = Some(places.lease.clone());
    date(&mut status, before);
    serde_json::to_value(status).unwrap_or(Value::Null)
}

/// Events are Kubernetes events of their own.
fn without_events(status: &ClusterStatus) -> ClusterStatus {
    ClusterStatus { events: Vec::new(), ..status.clone() }
}

/// Whether of the figures nothing but the memory in use differs, and by less than a sixteenth: the buffers of an idle
/// server grow and shrink by themselves.
fn only_drifts(written: &ClusterStatus, status: &ClusterStatus) -> bool {
    let is_close = |(was, is): (&NodeStatus, &NodeStatus)| {
        let close = match (was.used_memory, is.used_memory) {
            (Some(was), Some(is)) => was.abs_diff(is) < was / 16,
            (was, is) => was == is,
        };
        close && (was.keys, was.max_memory) == (is.keys, is.max_memory)
    };
    written.progress == status.progress
        && written.moves == status.moves
        && written.nodes.iter().zip(&status.nodes).all(is_close)
}

/// `status` with the figures of `newer`: what changes all the time.
fn with_figures_of(status: &ClusterStatus, newer: &ClusterStatus) -> ClusterStatus {
    let mut status = status.clone();
    status.progress.clone_from(&newer.progress);
    status.moves.iter_mut().zip(&newer.moves).for_each(|(own, newer)| own.count_as(newer));
    for (own, newer) in status.nodes.iter_mut().zip(&newer.nodes) {
        (own.keys, own.used_memory, own.max_memory) = (newer.keys, newer.used_memory, newer.max_memory);
    }
    status
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
    let patch = serde_json::json!({"metadata": {"uid": uid, "resourceVersion": version}, "status": complete(status)});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let written = ask_unless(format!("status of {name}"), &[CHANGED], api.patch_status(name, &params, &patch)).await?;
    Ok(written.is_some())
}

fn complete(status: &Value) -> Value {
    let mut status = status.clone();
    if let Some(object) = status.as_object_mut() {
        for field in ["observedGeneration", "layoutGeneration", "placementReason", "progress", "moves", "waitingFor"] {
            object.entry(field).or_insert(Value::Null);
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use redisnode_proto::status::{ConditionType, Truth};
    use serde_json::json;

    use super::*;

    fn status(truth: Truth, summary: &str) -> ClusterStatus {
        let ready = Condition::new(ConditionType::Ready, truth, "Ready", summary);
        ClusterStatus { conditions: vec![ready], summary: summary.to_owned(), ..ClusterStatus::default() }
    }

    fn now(due: Due) -> Value {
        match due {
            Due::Now(status) => status,
            other => panic!("{other:?}"),
        }
    }

    fn written(status: &ClusterStatus, at: Instant) -> Written {
        let mut written = Written::default();
        let first = now(written.due(status, &Places::default(), at));
        written.wrote(first, status, at);
        written
    }

    #[test]
    fn what_has_not_changed_is_not_written_again() {
        let (at, was) = (Instant::now(), status(Truth::True, "OK"));
        let mut written = written(&was, at);
        assert_eq!(written.due(&was, &Places::default(), at + FIGURES_EVERY), Due::Not);
        assert_eq!(written.due(&status(Truth::True, "KO"), &Places::default(), at), Due::Soon, "not twice in a second");
        now(written.due(&status(Truth::True, "KO"), &Places::default(), at + AT_MOST_EVERY));
    }

    #[test]
    fn figures_alone_are_written_now_and_then_and_more_often_while_slots_move() {
        let node = |memory: u64| -> redisnode_proto::status::NodeStatus {
            serde_json::from_value(json!({"name": "my-0", "address": "", "ready": true, "state": "Running",
                "keys": 1, "usedMemory": memory}))
            .unwrap()
        };
        let (at, mut status) = (Instant::now(), status(Truth::True, "OK"));
        status.nodes = vec![node(1)];
        let mut written = written(&status, at);
        status.nodes = vec![node(2)];
        assert_eq!(written.due(&status, &Places::default(), at + PROGRESS_EVERY), Due::Not);
        now(written.due(&status, &Places::default(), at + FIGURES_EVERY));
        status.nodes = vec![node(100)];
        let mut idle = Written::default();
        let first = now(idle.due(&status, &Places::default(), at));
        idle.wrote(first, &status, at);
        status.nodes = vec![node(105)];
        assert_eq!(idle.due(&status, &Places::default(), at + FIGURES_EVERY), Due::Not, "nothing but a little memory");
        status.nodes = vec![node(107)];
        now(idle.due(&status, &Places::default(), at + FIGURES_EVERY));
        status.progress = Some(redisnode_proto::status::Progress::default());
        assert_eq!(written.due(&status, &Places::default(), at + AT_MOST_EVERY), Due::Not);
        now(written.due(&status, &Places::default(), at + PROGRESS_EVERY));
    }

    #[test]
    fn the_figures_of_a_move_wait_and_a_failed_try_of_it_does_not() {
        let moving = |keys: u64, tries: Value| -> ClusterStatus {
            let moves = json!([{"source": "my-0", "target": "my-1", "driver": "migrate", "slotsLeft": 1, "slotsDone": 0,
                "keysDone": keys, "bytesDone": 0, "tries": tries}]);
            ClusterStatus { moves: serde_json::from_value(moves).unwrap(), ..status(Truth::False, "Scaling") }
        };
        let at = Instant::now();
        let mut written = written(&moving(1, json!([])), at);
        assert_eq!(written.due(&moving(2, json!([])), &Places::default(), at + AT_MOST_EVERY), Due::Not);
        let failed = moving(2, json!([{"driver": "import", "reason": "it has no room"}]));
        let due = now(written.due(&failed, &Places::default(), at + AT_MOST_EVERY));
        assert_eq!(due["moves"][0]["tries"][0]["reason"], "it has no room");
        assert_eq!(complete(&json!({}))["moves"], Value::Null, "moves that are over are said to be over");
    }

    #[test]
    fn what_the_life_before_has_written_is_not_written_again() {
        let (at, was) = (Instant::now(), status(Truth::True, "OK"));
        let before = now(Written::default().due(&was, &Places::default(), at));
        let mut written = Written::found(Some(&before));
        assert_eq!(written.due(&was, &Places::default(), at), Due::Not);
        now(written.due(&status(Truth::False, "KO"), &Places::default(), at + AT_MOST_EVERY));
    }

    #[test]
    fn a_condition_keeps_its_date_until_its_truth_changes() {
        let mut written = Written::found(Some(&json!({"conditions": [
            {"type": "Ready", "status": "True", "reason": "", "message": "",
             "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ]})));
        let date = |value: &Value| value["conditions"][0]["lastTransitionTime"].clone();
        let (at, was) = (Instant::now(), status(Truth::True, "OK"));
        let same = now(written.due(&was, &Places::default(), at));
        assert_eq!(date(&same), json!("2020-01-01T00:00:00Z"));
        written.wrote(same, &was, at);
        let other = now(written.due(&status(Truth::False, "KO"), &Places::default(), at + AT_MOST_EVERY));
        assert_ne!(date(&other), json!("2020-01-01T00:00:00Z"));
    }
}
