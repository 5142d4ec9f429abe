//! What the script's and redis-cli's numbers do on a server: to choose those that the others are compared with. Small keys,
//! 3 to 4 and back.

use redisnode_tests::measure::table::time;
use redisnode_tests::servers::Server;

use crate::anchors::Raw;
use crate::data::Data;
use crate::plan::Direction;
use crate::result::Measured;
use crate::script::{self, Pace};
use crate::wanted::Wanted;

/// Keys in a command, commands in flight on a connection, connections of a pair, slots opened at once.
const PACES: [(usize, usize, usize, usize); 18] = [
    (20, 1, 1, 256),
    (20, 2, 1, 256),
    (20, 4, 1, 256),
    (20, 8, 1, 256),
    (20, 16, 1, 256),
    (20, 64, 1, 256),
    (20, 1, 2, 256),
    (20, 1, 4, 256),
    (20, 4, 4, 256),
    (10, 16, 1, 256),
    (100, 1, 1, 256),
    (100, 2, 1, 256),
    (100, 4, 1, 256),
    (100, 16, 1, 256),
    (100, 1, 2, 256),
    (100, 2, 1, 16),
    (100, 2, 1, 64),
    (100, 2, 1, 2048),
];
const PIPELINES: [&str; 2] = ["100", "1000"];

pub(crate) fn measure(server: &Server, wanted: &Wanted) {
    let raw = Raw::start(server, 4);
    let data = wanted.data(&server.family).first().copied().unwrap_or(Data::Small);
    println!("{}: empty slots", server.version);
    for open in [16, 256, 2048] {
        let pace = Pace { keys: 100, in_flight: 2, connections: 1, open };
        for direction in Direction::ALL {
            let run = raw.scripted(data, direction, String::new, |pairs| script::run(pairs, raw.primaries(), pace));
            show(&format!("{open} at once"), direction, &run, data);
        }
    }
    data.fill(raw.first());
    println!("{}: {}: keys x in flight x connections, open at once", server.version, data.name());
    for (keys, in_flight, connections, open) in PACES {
        let pace = Pace { keys, in_flight, connections, open };
        for direction in Direction::ALL {
            let run = raw.scripted(data, direction, String::new, |pairs| script::run(pairs, raw.primaries(), pace));
            show(&format!("{keys} x {in_flight} x {connections}, {open}"), direction, &run, data);
        }
    }
    for pipeline in PIPELINES.iter().filter(|_| wanted.way("tuned")) {
        for direction in Direction::ALL {
            let run = raw.cli(data, direction, &["--cluster-pipeline", pipeline]);
            show(&format!("redis-cli --cluster-pipeline {pipeline}"), direction, &run, data);
        }
    }
}

fn show(what: &str, direction: Direction, run: &Measured, data: Data) {
    println!(
        "  {what:32} {}: {:>8} {:>12} client {} / {} / {}",
        direction.name(),
        time(run.took),
        data.speed(run.keys, run.big_keys, run.took),
        time(run.client.at(0.5)),
        time(run.client.at(0.99)),
        time(run.client.at(1.0)),
    );
}
