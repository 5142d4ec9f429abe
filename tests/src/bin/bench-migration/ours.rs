//! The product: a file that asks for another number of primaries, again and again on the same cluster. The median of the
//! times is shown, with the client's figures of that run.

use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::measure::table::time;
use redisnode_tests::servers::Server;

use crate::atomic;
use crate::budget;
use crate::data::Data;
use crate::jobs::JobWatch;
use crate::plan::Direction;
use crate::result::{Line, Measured, Results, Way};
use crate::run::Run;
use crate::wanted::Wanted;

const TIMES: usize = 3;
const SETTLES: Duration = Duration::from_mins(1);

pub(crate) fn measure(server: &Server, data: Data, wanted: &Wanted, results: &mut Results) {
    if !wanted.way("ours") && !wanted.way("budgets") {
        return;
    }
    let mut cluster = LocalCluster::start(server, Spec::of(3, 0));
    data.fill(cluster.first_port());
    let atomic = atomic::has(cluster.first_port());
    let wanted_too = |budget: &&str| wanted.way(if *budget == budget::DEFAULT { "ours" } else { "budgets" });
    for budget in budget::all(data, atomic).into_iter().filter(wanted_too) {
        cluster.edit(|spec| spec.lines = budget::line(budget).into_iter().collect());
        cluster.wait_settled(SETTLES);
        let mut runs: Vec<(Direction, Measured)> = Vec::new();
        for _ in 0..TIMES {
            runs.push((Direction::Grow, once(&mut cluster, data, Direction::Grow)));
            runs.push((Direction::Shrink, once(&mut cluster, data, Direction::Shrink)));
        }
        for direction in wanted.directions(&server.family) {
            let of = runs.iter().filter(|(other, _)| *other == direction).map(|(_, run)| run.clone()).collect();
            results.add(Line {
                server: server.version.clone(),
                family: server.family.clone(),
                data,
                direction,
                way: Way::Ours(budget),
                is: middle(of),
            });
        }
    }
}

fn once(cluster: &mut LocalCluster, data: Data, direction: Direction) -> Measured {
    let fourth = cluster.first_port() + 3;
    let jobs = JobWatch::start(cluster, 4);
    let run = Run::prepare(cluster.first_port(), fourth, data, direction);
    let command = Instant::now();
    cluster.edit(|spec| spec.primaries = if direction == Direction::Grow { 4 } else { 3 });
    let mut joining = Duration::ZERO;
    let began = |run: &Run| {
        let seen = run.seen();
        let serves = seen.serves.unwrap_or(command).max(command);
        joining = serves.saturating_duration_since(command);
        // An agent's Report is the word that counts; a job too short for it is seen by the owners alone.
        jobs.first_start().or(seen.first).unwrap_or(command).max(serves)
    };
    let measured = run.finish(began, || jobs.drivers());
    let joining = match direction {
        Direction::Grow => format!(", the new node served after {}", time(joining)),
        Direction::Shrink => String::new(),
    };
    eprintln!("    {}: {} with {}{joining}", direction.name(), time(measured.took), measured.how);
    for reason in jobs.stalled() {
        eprintln!("      held up: {reason}");
    }
    cluster.wait_settled(SETTLES);
    measured
}

/// The run in the middle, by time.
fn middle(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by_key(|run| run.took);
    runs.swap_remove(runs.len() / 2)
}
