//! The goals, and which were met in this run. What was not measured is said to be so.

use std::fmt;
use std::time::Duration;

use redisnode_tests::measure::table::time;

use crate::budget;
use crate::data::Data;
use crate::result::{Line, Results, Way, ratio};
use crate::timeline::Timeline;

/// A goal in one server's row, and what came of it.
pub(crate) struct Goal {
    what: String,
    /// The figure, and whether it is good; `None` if a row that it needs was not measured.
    found: Option<(String, bool)>,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some((figure, true)) => write!(f, "met:          {}: {figure}", self.what),
            Some((figure, false)) => write!(f, "missed:       {}: {figure}", self.what),
            None => write!(f, "not measured: {}", self.what),
        }
    }
}

/// All goals that speak of what was measured.
pub(crate) fn of(results: &Results, timelines: &[Timeline]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for ours in results.0.iter().filter(|line| line.way == Way::Ours(budget::DEFAULT)) {
        match ours.family.as_str() {
            _ if ours.data.is_one_big_key() => big(ours, &mut goals),
            "redis-8.6" => goals.push(at_least(results, ours, &Way::Atomic, 0.9)),
            "valkey-9.1" => valkey(results, ours, &mut goals),
            _ => classic(results, ours, &mut goals),
        }
    }
    for timeline in timelines {
        let what = format!("{} 12-16: less than twice the longest pair", timeline.family);
        let (whole, longest) = (timeline.whole(), timeline.longest());
        let figure = format!("{} of {}", time(whole), time(longest));
        goals.push(Goal { what, found: Some((figure, whole < 2 * longest)) });
    }
    goals
}

fn classic(results: &Results, ours: &Line, goals: &mut Vec<Goal>) {
    goals.push(at_least(results, ours, &Way::Cli, 5.0));
    goals.push(calm(ours, Duration::from_millis(10)));
    goals.push(at_least(results, ours, &Way::Script, 0.85));
    let wide = results.beside(ours, &Way::Ours(budget::WIDE));
    goals.push(wide.map_or_else(
        || Goal { what: format!("{} at least 7 x redis-cli with a budget of 50 ms", place(ours)), found: None },
        |wide| at_least(results, wide, &Way::Cli, 7.0),
    ));
}

fn valkey(results: &Results, ours: &Line, goals: &mut Vec<Goal>) {
    let off = results.beside(ours, &Way::Ours(budget::OFF));
    goals.push(off.map_or_else(
        || Goal { what: format!("{} at least 0.9 x bare atomic with the budget off", place(ours)), found: None },
        |off| at_least(results, off, &Way::Atomic, 0.9),
    ));
    goals.push(at_least(results, ours, &Way::Atomic, 0.5));
    let bare = results.beside(ours, &Way::Atomic);
    let found = bare.map(|bare| {
        let (ours, bare) = (ours.is.client.at(0.99), bare.is.client.at(0.99));
        (format!("{} of {}", time(ours), time(bare)), ours <= bare / 2)
    });
    goals.push(Goal { what: format!("{} client's p99 at most half of the bare one's", place(ours)), found });
}

/// Only an atomic driver can keep clients from noticing a big key.
fn big(ours: &Line, goals: &mut Vec<Goal>) {
    if ["redis-8.6", "valkey-9.1"].contains(&ours.family.as_str()) {
        goals.push(calm(ours, Duration::from_millis(250)));
    }
    let what = format!("{} the big key moved", place(ours));
    goals.push(Goal { what, found: Some((format!("{} did", ours.is.big_keys), ours.is.big_keys > 0)) });
}

fn at_least(results: &Results, ours: &Line, than: &Way, wanted: f64) -> Goal {
    let what = format!("{} {}: at least {wanted} x {}", place(ours), ours.way.name(), than.name());
    let found = results.beside(ours, than).map(|other| ratio(ours, other));
    Goal { what, found: found.map(|ratio| (format!("{ratio:.2}"), ratio >= wanted)) }
}

fn calm(ours: &Line, under: Duration) -> Goal {
    let p99 = ours.is.client.at(0.99);
    Goal { what: format!("{} client's p99 under {}", place(ours), time(under)), found: Some((time(p99), p99 < under)) }
}

fn place(line: &Line) -> String {
    debug_assert!(Data::ALL.contains(&line.data));
    format!("{} {} {}", line.family, line.data.name(), line.direction.name())
}
