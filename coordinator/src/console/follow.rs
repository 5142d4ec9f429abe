//! From one status to the next: the lines that a person should see. Pure; time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use redisnode_proto::event::{Event, Severity};
use redisnode_proto::status::{ClusterStatus, ConditionType, NodeStatus, Truth};
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, NodeName};

/// A sentence that is true for less is not worth a line.
const LASTS_FOR: Millis = Millis(2000);

/// Remembers what was said.
#[derive(Debug, Default)]
pub struct Follower {
    connect: String,
    nodes: BTreeMap<NodeName, (Option<Role>, String)>,
    summary: String,
    is_ready: bool,
    /// The cluster was healthy once: before that, what nodes do is not worth a line.
    was_ready: bool,
    /// Sentences that are true now, since when, and whether they were said.
    lasting: BTreeMap<String, (Millis, bool)>,
    events: BTreeSet<(u64, u64, String)>,
}

impl Follower {
    /// Nothing was said yet. `connect` is said when the cluster is healthy for the first time.
    pub fn new(connect: String) -> Self {
        Self { connect, ..Self::default() }
    }

    /// The lines for `status`, at `now` since the start of this process.
    pub fn step(&mut self, status: &ClusterStatus, now: Millis) -> Vec<String> {
        let mut lines = self.new_events(&status.events);
        if self.was_ready {
            lines.extend(self.changed_nodes(&status.nodes));
        }
        self.nodes = status.nodes.iter().map(|node| (node.name.clone(), (node.role, node.state.clone()))).collect();
        lines.extend(self.lasting(status, now));
        lines.extend(self.turn(status, now));
        lines
    }

    fn turn(&mut self, status: &ClusterStatus, now: Millis) -> Vec<String> {
        let is_ready = truth(status, ConditionType::Ready) == Some(Truth::True);
        let turned = is_ready != self.is_ready;
        let new_word = status.summary != self.summary;
        (self.is_ready, self.summary) = (is_ready, status.summary.clone());
        match (is_ready, turned) {
            (true, true) => {
                let first = !std::mem::replace(&mut self.was_ready, true);
                let took = if first { format!(" ({}.{} s)", now.0 / 1000, now.0 % 1000 / 100) } else { String::new() };
                let healthy = format!("healthy: {}{took}", counts(status));
                let connect = first.then(|| self.connect.clone()).filter(|connect| !connect.is_empty());
                std::iter::once(healthy).chain(connect).collect()
            }
            (false, _) if self.was_ready && (turned || new_word) => {
                vec![format!("{}: {}", status.summary, why(status))]
            }
            _ => Vec::new(),
        }
    }

    fn changed_nodes(&self, nodes: &[NodeStatus]) -> Vec<String> {
        let mut lines = Vec::new();
        for node in nodes {
            match self.nodes.get(&node.name) {
                None => lines.push(format!("{}: new", node.name)),
                Some((role, _)) if role.is_some() && node.role.is_some() && *role != node.role => {
                    lines.push(format!("{}: {} -> {}", node.name, word(*role), word(node.role)));
                }
                Some((_, state)) if *state != node.state => {
                    let message = node.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
                    lines.push(format!("{}: {state} -> {}{message}", node.name, node.state));
                }
                Some(_) => {}
            }
        }
        let gone = self.nodes.keys().filter(|name| nodes.iter().all(|node| node.name != **name));
        lines.extend(gone.map(|name| format!("{name}: gone")));
        lines
    }

    /// What something waits for, and what is wrong, once it has lasted. An invalid edit is said at once.
    fn lasting(&mut self, status: &ClusterStatus, now: Millis) -> Vec<String> {
        let is_edit = |sentence: &str| sentence.starts_with("invalid edit");
        let waits = status
            .waiting_for
            .iter()
            .map(|sentence| if is_edit(sentence) { sentence.clone() } else { format!("waits: {sentence}") });
        let degraded = status.conditions.iter().filter(|condition| {
            condition.kind == ConditionType::Degraded
                && condition.status == Truth::True
                && !status.waiting_for.contains(&condition.message)
        });
        let degraded = degraded.map(|condition| format!("degraded: {}", condition.message));
        let present: BTreeSet<String> = waits.chain(degraded).collect();
        self.lasting.retain(|sentence, _| present.contains(sentence));
        let mut lines = Vec::new();
        for sentence in present {
            let patience = if is_edit(&sentence) { Millis(0) } else { LASTS_FOR };
            let (since, said) = self.lasting.entry(sentence.clone()).or_insert((now, false));
            if !*said && now.since(*since) >= patience {
                *said = true;
                lines.push(sentence);
            }
        }
        lines
    }

    fn new_events(&mut self, events: &[Event]) -> Vec<String> {
        let key = |event: &Event| (event.at_unix_ms, event.number, event.reason.clone());
        let new = events.iter().filter(|event| !self.events.contains(&key(event)));
        let lines = new.map(|event| match event.severity {
            Severity::Normal => format!("{}: {}", event.reason, event.message),
            Severity::Warning => format!("warning: {}: {}", event.reason, event.message),
        });
        let lines = lines.collect();
        self.events = events.iter().map(key).collect();
        lines
    }
}

fn counts(status: &ClusterStatus) -> String {
    let counts = &status.counts;
    let replicas = status.nodes.iter().filter(|node| node.role == Some(Role::Replica) && node.ready).count();
    format!(
        "{}, {}, {} slots",
        many(counts.primaries, "primary", "primaries"),
        many(replicas, "replica", "replicas"),
        counts.slots_covered
    )
}

fn many<N: TryInto<u64>>(number: N, one: &str, more: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Why the cluster is not ready, in its conditions' own words.
fn why(status: &ClusterStatus) -> String {
    let order = [
        ConditionType::Degraded,
        ConditionType::Scaling,
        ConditionType::Rebalancing,
        ConditionType::RollingUpdate,
        ConditionType::Ready,
    ];
    let told = order.iter().find_map(|kind| {
        let told = status.conditions.iter().find(|condition| condition.kind == *kind)?;
        let speaks = (told.status == Truth::True) != (*kind == ConditionType::Ready);
        (speaks && !told.message.is_empty()).then(|| told.message.clone())
    });
    told.unwrap_or_else(|| "not healthy now".to_owned())
}

fn truth(status: &ClusterStatus, kind: ConditionType) -> Option<Truth> {
    status.conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status)
}

fn word(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Primary) => "primary",
        Some(Role::Replica) => "replica",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::status::{Condition, Counts};

    use super::*;

    fn node(name: &str, role: Role, state: &str) -> NodeStatus {
        NodeStatus {
            name: name.parse().unwrap(),
            shard: None,
            role: Some(role),
            node_id: None,
            primary: None,
            address: "127.0.0.1:7000".to_owned(),
            host: None,
            zone: None,
            ready: true,
            state: state.to_owned(),
            message: None,
            server_version: None,
            slots: Vec::new(),
            keys: None,
            used_memory: None,
            max_memory: None,
        }
    }

    fn status(ready: Truth, summary: &str, nodes: Vec<NodeStatus>) -> ClusterStatus {
        ClusterStatus {
            summary: summary.to_owned(),
            conditions: vec![Condition::new(ConditionType::Ready, ready, "Tested", "my-1 is not there")],
            counts: Counts { primaries: 1, slots_covered: 16384, ..Counts::default() },
            nodes,
            ..ClusterStatus::default()
        }
    }

    fn pair() -> Vec<NodeStatus> {
        vec![node("my-0", Role::Primary, "Running"), node("my-1", Role::Replica, "Running")]
    }

    #[test]
    fn the_first_health_says_how_long_it_took_and_how_to_connect() {
        let mut follower = Follower::new("connect: redis-cli -c -p 7000".to_owned());
        assert!(follower.step(&status(Truth::False, "Founding", pair()), Millis(100)).is_empty());
        let lines = follower.step(&status(Truth::True, "OK", pair()), Millis(940));
        assert_eq!(lines, ["healthy: 1 primary, 1 replica, 16384 slots (0.9 s)", "connect: redis-cli -c -p 7000"]);
        assert!(follower.step(&status(Truth::True, "OK", pair()), Millis(1000)).is_empty());
    }

    #[test]
    fn changes_of_nodes_are_lines_once_the_cluster_was_healthy() {
        let mut follower = Follower::new(String::new());
        follower.step(&status(Truth::True, "OK", pair()), Millis(0));
        let mut nodes = vec![node("my-1", Role::Primary, "Running"), node("my-2", Role::Replica, "Running")];
        let lines = follower.step(&status(Truth::False, "KO", nodes.clone()), Millis(1));
        assert_eq!(lines, ["my-1: replica -> primary", "my-2: new", "my-0: gone", "KO: my-1 is not there"]);
        nodes[1].state = "Silent".to_owned();
        nodes[1].message = Some("no answer".to_owned());
        assert_eq!(
            follower.step(&status(Truth::False, "KO", nodes), Millis(2)),
            ["my-2: Running -> Silent (no answer)"]
        );
    }

    #[test]
    fn a_wait_is_said_once_and_only_if_it_lasts() {
        let mut follower = Follower::new(String::new());
        let mut waiting = status(Truth::False, "Founding", pair());
        waiting.waiting_for = vec!["my-1 to report".to_owned()];
        assert!(follower.step(&waiting, Millis(0)).is_empty());
        assert_eq!(follower.step(&waiting, Millis(2000)), ["waits: my-1 to report"]);
        assert!(follower.step(&waiting, Millis(9000)).is_empty());
    }

    #[test]
    fn an_invalid_edit_is_said_at_once_and_only_once() {
        let mut follower = Follower::new(String::new());
        let mut invalid = status(Truth::True, "OK", pair());
        follower.step(&invalid, Millis(0));
        crate::amend::amend(&mut invalid, Some("line 3: no"), &[]);
        assert_eq!(follower.step(&invalid, Millis(1)), ["invalid edit, the cluster stays as it is: line 3: no"]);
        assert!(follower.step(&invalid, Millis(9000)).is_empty());
    }
}
