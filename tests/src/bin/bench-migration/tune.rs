//! What the script's and redis-cli's numbers do on a server: to choose those that the others are compared with. One data
//! set, 3 to 4 and back, with the processor time that the servers take for it.

use redisnode_tests::measure::table::time;
use redisnode_tests::servers::Server;

use crate::anchors::Raw;
use crate::data::Data;
use crate::plan::Direction;
use crate::result::Measured;
use crate::script::{self, Pace};
use crate::wanted::Wanted;

/// Keys in a command, commands in flight on a connection, connections of a pair, slots opened at once, all pairs together.
const PACES: [(usize, usize, usize, usize, bool); 18] = [
    (20, 1, 1, 64, true),
    (20, 2, 1, 64, true),
    (20, 4, 1, 64, true),
    (20, 8, 1, 64, true),
    (20, 16, 1, 64, true),
    (20, 64, 1, 64, true),
    (20, 1, 2, 64, true),
    (20, 1, 4, 64, true),
    (10, 16, 1, 64, true),
    (100, 1, 1, 64, true),
    (100, 2, 1, 64, true),
    (100, 4, 1, 64, true),
    (100, 1, 2, 64, true),
    (100, 2, 1, 16, true),
    (100, 2, 1, 256, true),
    (100, 2, 1, 2048, true),
    (20, 16, 1, 64, false),
    (100, 2, 1, 64, false),
];
/// Slots opened at once when they have almost no keys.
const EMPTY: [usize; 4] = [16, 64, 256, 2048];
const PIPELINES: [&str; 2] = ["100", "1000"];

pub(crate) fn measure(server: &Server, wanted: &Wanted) {
    let raw = Raw::start(server, 4);
    let data = wanted.data(&server.family).first().copied().unwrap_or(Data::Small);
    println!("{}: slots with almost no keys", server.version);
    for open in EMPTY {
        let pace = Pace { keys: 100, in_flight: 2, connections: 1, open, together: true };
        both_ways(&raw, data, &format!("{open} at once"), pace);
    }
    data.fill(raw.first());
    println!("{}: {}: keys x in flight x connections, open at once", server.version, data.name());
    for (keys, in_flight, connections, open, together) in PACES {
        let pace = Pace { keys, in_flight, connections, open, together };
        let pairs = if together { "" } else { ", pair by pair" };
        both_ways(&raw, data, &format!("{keys} x {in_flight} x {connections}, {open}{pairs}"), pace);
    }
    for pipeline in PIPELINES.iter().filter(|_| wanted.way("tuned")) {
        for direction in Direction::ALL {
            let run = raw.cli(data, direction, &["--cluster-pipeline", pipeline]);
            show(&format!("redis-cli --cluster-pipeline {pipeline}"), direction, &run, data, "");
        }
    }
}

fn both_ways(raw: &Raw, data: Data, what: &str, pace: Pace) {
    for direction in Direction::ALL {
        let before = raw.cpu();
        let run = raw.scripted(data, direction, String::new, |pairs| script::run(pairs, raw.primaries(), pace));
        let used: Vec<f64> =
            raw.cpu().iter().zip(before).map(|(after, before)| after.saturating_sub(before).as_secs_f64()).collect();
        let others: f64 = used[..3].iter().sum();
        show(what, direction, &run, data, &format!(", servers' time: fourth {:.2} s, others {others:.2} s", used[3]));
    }
}

fn show(what: &str, direction: Direction, run: &Measured, data: Data, more: &str) {
    println!(
        "  {what:32} {}: {:>8} {:>12} client {} / {} / {}{more}",
        direction.name(),
        time(run.took),
        data.speed(run.keys, run.big_keys, run.took),
        time(run.client.at(0.5)),
        time(run.client.at(0.99)),
        time(run.client.at(1.0)),
    );
}
