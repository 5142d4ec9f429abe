//! `make bench-migration`: moves of slots by the product, beside redis-cli, beside the servers' own commands without the
//! product, and beside a replica's full sync, all of it in the same run on the same machine. One table; it judges
//! nothing, but says at the end which goals were met.
//!
//! Arguments choose what runs; without them everything does. Families: system (Redis 7.0) redis-8.6 valkey-9.1, and
//! redis-8.0 valkey-8.1, which without a named data set run 100B 3-4 only. Data: 100B 1KiB 256KiB hash zset. Directions:
//! 3-4 4-3. Ways: ours, budgets (ours with others than the default), cli, tuned, script, atomic, sync. Alone: 12-16
//! (twelve primaries to sixteen), and tune, which tries the script's and redis-cli's numbers and runs only when it is
//! named. `BENCH_PERCENT=10` has a tenth of the data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench fails by panicking")]

mod anchors;
mod atomic;
mod budget;
mod data;
mod goals;
mod jobs;
mod ours;
mod plan;
mod result;
mod run;
mod script;
mod timeline;
mod tune;
mod wanted;

use redisnode_tests::servers;

use result::Results;
use wanted::Wanted;

fn main() {
    let wanted = Wanted::parse(std::env::args().skip(1)).unwrap_or_else(|sentence| {
        eprintln!("{sentence}");
        std::process::exit(2);
    });
    let begun = std::time::Instant::now();
    let mut results = Results::default();
    let mut timelines = Vec::new();
    for server in wanted.families().into_iter().filter_map(servers::family) {
        if wanted.tune() {
            tune::measure(&server, &wanted);
            continue;
        }
        for data in wanted.data(&server.family) {
            eprintln!("measuring: {} on {}", data.name(), server.version);
            // Ours first: the script is to run at the same latency of the client.
            ours::measure(&server, data, &wanted, &mut results);
            anchors::measure(&server, data, &wanted, &mut results);
        }
        if wanted.timeline(&server.family) {
            timelines.push(timeline::measure(&server));
        }
    }
    println!("{}", results.table());
    for timeline in &timelines {
        println!("{timeline}");
    }
    for goal in goals::of(&results, &timelines) {
        println!("{goal}");
    }
    println!("all of it in {} s", begun.elapsed().as_secs());
}
