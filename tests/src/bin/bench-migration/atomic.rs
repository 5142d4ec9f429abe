//! The servers' own commands that move slots with their keys at once, without the product: `CLUSTER MIGRATESLOTS` at every
//! source at the same time, or `CLUSTER MIGRATION IMPORT` at the targets, where a node takes part in one task at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::{Connection, Value};
use redisnode_tests::servers::has_command;

use crate::plan::Pair;
use crate::script::connect;

const PATIENCE: Duration = Duration::from_mins(2);
const EVERY: Duration = Duration::from_millis(5);

/// Which of the commands a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Atomic {
    /// At the source.
    MigrateSlots,
    /// At the target.
    Import,
}

/// What the server on a port has, by its own word.
pub(crate) fn has(port: u16) -> Option<Atomic> {
    if has_command(port, "cluster|migrateslots") {
        return Some(Atomic::MigrateSlots);
    }
    has_command(port, "cluster|migration").then_some(Atomic::Import)
}

impl Atomic {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MigrateSlots => "MIGRATESLOTS",
            Self::Import => "IMPORT",
        }
    }

    /// Moves all pairs, as many at once as the servers take; panics when a server says that a job failed.
    pub(crate) fn run(self, pairs: &[Pair]) {
        match self {
            Self::MigrateSlots => migrate_slots(pairs),
            Self::Import => pairs.iter().for_each(import),
        }
    }
}

/// One command at each source. A source is done when none of its exports is under way.
fn migrate_slots(pairs: &[Pair]) {
    let mut commands: BTreeMap<u16, redis::Cmd> = BTreeMap::new();
    for pair in pairs {
        let command = commands.entry(pair.source).or_insert_with(|| {
            let mut command = redis::cmd("CLUSTER");
            command.arg("MIGRATESLOTS");
            command
        });
        command.arg("SLOTSRANGE");
        for (from, to) in pair.ranges() {
            command.arg(from).arg(to);
        }
        command.arg("NODE").arg(&pair.target_id);
    }
    let mut sources: Vec<(Connection, redis::Cmd)> =
        commands.into_iter().map(|(port, command)| (connect(port), command)).collect();
    for (source, command) in &mut sources {
        command.query::<Value>(source).expect("the source begins");
    }
    for (source, _) in &mut sources {
        until(|| {
            let jobs: Vec<BTreeMap<String, Value>> =
                redis::cmd("CLUSTER").arg("GETSLOTMIGRATIONS").query(source).expect("the source answers");
            let states: Vec<String> = jobs.iter().filter_map(|job| word(job, "state")).collect();
            let failed = jobs.iter().find(|job| word(job, "state").is_some_and(|state| state == "failed"));
            assert!(failed.is_none(), "a job failed: {failed:?}");
            states.iter().all(|state| state == "success")
        });
    }
}

fn import(pair: &Pair) {
    let mut target = connect(pair.target);
    let mut command = redis::cmd("CLUSTER");
    command.arg("MIGRATION").arg("IMPORT");
    for (from, to) in pair.ranges() {
        command.arg(from).arg(to);
    }
    let mut id = String::new();
    // The task before this one may not be over at its other party yet.
    until(|| match command.query::<String>(&mut target) {
        Ok(task) => {
            id = task;
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("in progress"), "the target does not begin: {error}");
            false
        }
    });
    until(|| {
        let tasks: Vec<BTreeMap<String, Value>> = redis::cmd("CLUSTER")
            .arg("MIGRATION")
            .arg("STATUS")
            .arg("ID")
            .arg(&id)
            .query(&mut target)
            .expect("an answer");
        let task = tasks.first().expect("the target knows its task");
        let state = word(task, "state").unwrap_or_default();
        assert!(state != "canceled" && state != "failed", "the task did not succeed: {task:?}");
        state == "completed"
    });
}

fn word(job: &BTreeMap<String, Value>, field: &str) -> Option<String> {
    redis::from_redis_value(job.get(field)?.clone()).ok()
}

fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "the servers' own move does not end");
        std::thread::sleep(EVERY);
    }
}
