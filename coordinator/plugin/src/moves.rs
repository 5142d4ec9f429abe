//! Moves of slots for people: a line for each pair of nodes, below it why it does not go on and what has failed. Pure.

use redis_coordinator::console::bar::{self, bytes, count, duration};
use redisnode_proto::spec::{Moves, RedisCluster};
use redisnode_proto::status::{ClusterStatus, Condition, ConditionType, Move, Truth};
use serde_json::{Value, json};

use crate::table::columns;

const HEAD: [&str; 10] =
    ["SOURCE", "TARGET", "DRIVER", "STATE", "SLOTS", "KEYS", "RATE", "BYTES/S", "TIME LEFT", "FAILED TRIES"];

/// All of it.
pub(crate) fn text(title: &str, resource: &RedisCluster, status: &ClusterStatus) -> String {
    let mut text = match status.moves.as_slice() {
        [] => format!("nothing moves in {title}\n"),
        moves => pairs(moves),
    };
    if let Some(progress) = &status.progress {
        text.extend(["\n", &bar::bar(progress), " ", &bar::sentence("Moves", progress), "\n"]);
    }
    for note in notes(resource, status) {
        text.extend([note.as_str(), "\n"]);
    }
    text
}

/// For programs.
pub(crate) fn value(resource: &RedisCluster, status: &ClusterStatus) -> Value {
    json!({
        "cluster": resource.metadata.name,
        "namespace": resource.metadata.namespace,
        "held": held(resource),
        "moves": status.moves,
        "progress": status.progress,
        "rebalancing": rebalancing(status),
    })
}

/// `paused` or `aborted`; nothing while slots may move.
fn held(resource: &RedisCluster) -> Option<&'static str> {
    match resource.metadata.moves() {
        Moves::Aborted => Some("aborted"),
        Moves::Paused | Moves::Unclear => Some("paused"),
        Moves::GoOn => resource.spec.migration.pause.then_some("paused"),
    }
}

fn rebalancing(status: &ClusterStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.kind == ConditionType::Rebalancing)
}

/// Why nothing moves, or what is still to come.
fn notes(resource: &RedisCluster, status: &ClusterStatus) -> Vec<String> {
    let mut notes = Vec::new();
    let said = rebalancing(status).filter(|condition| condition.status != Truth::False);
    notes.extend(said.map(|condition| condition.message.clone()));
    let reason = said.map_or("", |condition| condition.reason.as_str());
    match held(resource) {
        Some(word) if !matches!(reason, "MovesPaused" | "MovesAborted") => {
            notes.push(format!("moves are {word}, and no slot has to move"));
        }
        None if status.moves.is_empty() && said.is_none() => notes.push("every slot is where it should be".to_owned()),
        Some(_) | None => {}
    }
    notes
}

fn pairs(moves: &[Move]) -> String {
    let head = HEAD.into_iter().map(str::to_owned).collect();
    let table = columns(&std::iter::once(head).chain(moves.iter().map(row)).collect::<Vec<_>>());
    let mut lines = table.lines();
    let mut text = lines.next().map(|head| format!("{head}\n")).unwrap_or_default();
    for (line, shown) in lines.zip(moves) {
        text.extend([line, "\n"]);
        for below in below(shown) {
            text.extend(["  ", below.as_str(), "\n"]);
        }
    }
    text
}

fn row(shown: &Move) -> Vec<String> {
    let none = || "-".to_owned();
    let slots = shown.slots_done.saturating_add(shown.slots_left);
    let keys = shown.keys_left.map(|left| format!("/{}", count(shown.keys_done.saturating_add(left))));
    vec![
        shown.source.to_string(),
        shown.target.to_string(),
        shown.driver.clone(),
        if shown.stalled.is_some() { "stalled" } else { "moves" }.to_owned(),
        format!("{}/{slots}", shown.slots_done),
        format!("{}{}", count(shown.keys_done), keys.unwrap_or_default()),
        shown.keys_per_second.map_or_else(none, |rate| format!("{} keys/s", count(rate))),
        shown.bytes_per_second.map_or_else(none, |rate| format!("{}/s", bytes(rate))),
        shown.seconds_left.map_or_else(none, duration),
        shown.tries.len().to_string(),
    ]
}

fn below(shown: &Move) -> Vec<String> {
    let stalled = shown.stalled.iter().map(|why| format!("stalled: {why}"));
    let failed = shown.tries.iter().map(|failed| format!("{} failed: {}", failed.driver, failed.reason));
    stalled.chain(failed).collect()
}

#[cfg(test)]
mod tests {
    use redisnode_proto::job::Try;
    use redisnode_proto::spec::MIGRATION;
    use redisnode_proto::status::Progress;

    use super::*;
    use crate::testing::resource;

    fn shown(source: &str, target: &str) -> Move {
        Move {
            source: source.parse().unwrap(),
            target: target.parse().unwrap(),
            driver: "migrate".to_owned(),
            slots_left: 1353,
            slots_done: 12,
            keys_done: 12_345,
            keys_left: Some(7655),
            bytes_done: 3 << 19,
            keys_per_second: Some(5000),
            bytes_per_second: Some(3 << 18),
            seconds_left: Some(61),
            stalled: None,
            tries: Vec::new(),
        }
    }

    fn status(moves: Vec<Move>, reason: &str, message: &str) -> ClusterStatus {
        let truth = if reason == "NothingMoves" { Truth::False } else { Truth::True };
        let rebalancing = Condition::new(ConditionType::Rebalancing, truth, reason, message);
        ClusterStatus { moves, conditions: vec![rebalancing], ..ClusterStatus::default() }
    }

    #[test]
    fn each_pair_has_a_line_and_below_it_why_it_stands_still_and_what_failed() {
        let mut stalled = shown("my-10", "my-3");
        (stalled.keys_left, stalled.keys_per_second, stalled.bytes_per_second, stalled.seconds_left) =
            (None, None, None, None);
        stalled.stalled = Some("my-3 has no room".to_owned());
        stalled.tries =
            vec![Try { driver: "import".to_owned(), reason: "the target was full; migrate is next".to_owned() }];
        let mut status = status(vec![shown("my-0", "my-3"), stalled], "SlotsMove", "2706 slots have to move");
        status.progress = Some(Progress { slots_left: 2706, slots_done: 24, ..Progress::default() });
        let expected = "\
SOURCE   TARGET   DRIVER    STATE     SLOTS     KEYS            RATE          BYTES/S       TIME LEFT   FAILED TRIES
my-0     my-3     migrate   moves     12/1365   12.3 k/20.0 k   5000 keys/s   768.0 KiB/s   1 min 1 s   0
my-10    my-3     migrate   stalled   12/1365   12.3 k          -             -             -           1
  stalled: my-3 has no room
  import failed: the target was full; migrate is next

[------------------------] Moves: 24 of 2730 slots, 0 keys, 0 B
2706 slots have to move
";
        assert_eq!(text("a/my", &resource(), &status), expected);
    }

    #[test]
    fn where_nothing_moves_it_is_said_why() {
        let still = status(Vec::new(), "NothingMoves", "every slot is where it should be");
        let mut resource = resource();
        assert_eq!(text("a/my", &resource, &still), "nothing moves in a/my\nevery slot is where it should be\n");
        resource.metadata.annotations.insert(MIGRATION.to_owned(), "paused".to_owned());
        let paused = text("a/my", &resource, &still);
        assert_eq!(paused, "nothing moves in a/my\nmoves are paused, and no slot has to move\n");
        let aborted = status(Vec::new(), "MovesAborted", "9 slots are not moved: moves are aborted; resume");
        resource.metadata.annotations.insert(MIGRATION.to_owned(), "aborted".to_owned());
        let aborted = text("a/my", &resource, &aborted);
        assert_eq!(aborted, "nothing moves in a/my\n9 slots are not moved: moves are aborted; resume\n");
    }

    #[test]
    fn programs_get_the_moves_and_whether_they_are_held_up() {
        let mut resource = resource();
        resource.spec.migration.pause = true;
        let value = value(&resource, &status(vec![shown("my-0", "my-3")], "MovesPaused", "moves are paused"));
        assert_eq!((&value["held"], &value["moves"][0]["keysPerSecond"]), (&json!("paused"), &json!(5000)));
        assert_eq!(value["rebalancing"]["reason"], "MovesPaused");
    }
}
