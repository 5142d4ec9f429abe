//! Slots move while clients write to them as fast as the machine goes, by transactions, scripts and commands of several keys:
//! the move ends, by another driver if need be, what failed on the way is in the status, and nothing is lost or done in part.

use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::measure::fill::strings;
use redisnode_tests::measure::owners::OwnerWatch;
use redisnode_tests::replicas;
use redisnode_tests::servers::Server;
use redisnode_tests::storm::Storm;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{tags, tags_of};

use crate::run::{cases, failed_tries, wait_in_sync};

cases! {
    a_move_ends_under_all_the_writes_that_the_machine_gives alone: "redis-8.6";
    a_driver_that_cannot_bear_the_writes_gives_way alone: "valkey-9.1";
}

/// A move may take so many times what it takes while nobody writes.
const TIMES: u32 = 10;
/// A try that fails costs so much: the least deadline of a piece, and a moment before the next try. Of one driver three fail
/// before the next one has its turn.
const TRY: Duration = Duration::from_secs(21);
const TRIES: u32 = 3;
const STEP: Duration = Duration::from_mins(3);
/// Data of the slots that move: seconds without a storm, whichever driver moves them.
const KEYS: usize = 100_000;
const VALUE: usize = 1_000;
/// Slots that are written to: of those that move, and of all.
const MOVING: usize = 256;
const EVERYWHERE: u16 = 128;
/// Writes that are acknowledged before slots begin to move.
const BLOWING: u64 = 20_000;

fn a_move_ends_under_all_the_writes_that_the_machine_gives(server: &Server) {
    let idle = {
        let mut cluster = start(server, Spec::of(4, 1));
        let leaving = fill(&cluster);
        shrink(&mut cluster, leaving, |_| ())
    };
    let mut cluster = start(server, Spec::of(4, 1));
    let leaving = fill(&cluster);
    let storm = blow(&cluster, leaving);
    let (begun, before) = (Instant::now(), storm.acknowledged());
    let took = shrink(&mut cluster, leaving, |_| ());
    let passed = u64::try_from(begun.elapsed().as_millis().max(1)).unwrap();
    let per_second = (storm.acknowledged() - before) * 1_000 / passed;
    let failed = failed_tries(&cluster);
    println!("idle {idle:.1?}, in the storm {took:.1?} at {per_second} requests/s; tries that failed: {failed:?}");
    end(&cluster, storm);
    let waits = TRY * TRIES.min(u32::try_from(failed.len()).unwrap());
    assert!(took <= idle * TIMES + waits, "{took:?} is more than {TIMES} times {idle:?} and {waits:?} for {failed:?}");
}

/// What is written while a piece is copied waits in a buffer of the source. Here that is so small, and a piece so large, that
/// none arrives.
fn a_driver_that_cannot_bear_the_writes_gives_way(server: &Server) {
    let driver = match server.family.as_str() {
        "valkey-9.1" => "migrateslots",
        "redis-8.6" => "import",
        // It has one driver only.
        _ => return,
    };
    let small = [("client-output-buffer-limit", "replica 64kb 64kb 1"), ("repl-backlog-size", "64kb")];
    let config = small.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let lines = vec!["migration: {maxLatency: 0ms}".to_owned()];
    let mut cluster = start(server, Spec { config, lines, ..Spec::of(4, 0) });
    let leaving = fill(&cluster);
    let storm = blow(&cluster, leaving);
    let took = shrink(&mut cluster, leaving, |cluster| {
        let shown = wait_until(STEP, "the status shows the other driver, and the tries of the first", || {
            let moves = cluster.status()?["status"]["moves"].clone();
            let tried = |shown: &serde_json::Value| {
                let mut tries = shown["tries"].as_array().into_iter().flatten();
                shown["driver"] == "migrate" && tries.any(|tried| tried["driver"] == driver)
            };
            check(moves.as_array().is_some_and(|moves| moves.iter().any(tried)), || moves.to_string())?;
            Ok(moves)
        });
        println!("{shown}");
    });
    let failed = failed_tries(&cluster);
    println!("in the storm {took:.1?}; tries that failed: {failed:?}");
    end(&cluster, storm);
    assert!(failed.iter().any(|event| event.contains(&format!(" by {driver}: "))), "{failed:?}");
}

/// A cluster whose servers have threads for their clients.
fn start(server: &Server, mut spec: Spec) -> LocalCluster {
    spec.config.push(("io-threads".to_owned(), "2".to_owned()));
    let cluster = LocalCluster::start(server, spec);
    // Most servers restart for their threads.
    wait_until(STEP, "the cluster is ready", || {
        let condition = cluster.condition("Ready").ok_or("no condition")?;
        check(condition.0 == "True", || format!("{condition:?}"))
    });
    cluster
}

/// Puts all data into the slots of the last shard, which is the one that ends, and says on which port their owner is.
fn fill(cluster: &LocalCluster) -> u16 {
    let view = cluster.wait_agreed();
    let of_last = |port: u16| (port - cluster.first_port()) % 4 == 3;
    let last = view.owners().into_iter().find(|owner| of_last(owner.port)).expect("a shard has the last members");
    let tags = tags_of(&last.slots);
    strings(last.port, (0..KEYS).map(|n| format!("{}bulk:{n}", tags[n % tags.len()])), VALUE);
    wait_in_sync(cluster);
    last.port
}

/// Begins to write, mostly to the slots of the server on a port.
fn blow(cluster: &LocalCluster, leaving: u16) -> Storm {
    let view = cluster.wait_agreed();
    let slots = &view.on_port(leaving).expect("it is there").slots;
    let apart = slots.len() / MOVING;
    let moving: Vec<u16> = slots.iter().copied().step_by(apart).take(MOVING).collect();
    let mut all = tags_of(&moving);
    all.extend(tags(EVERYWHERE).into_iter().filter(|tag| !all.contains(tag)).collect::<Vec<_>>());
    let storm = Storm::start(&cluster.ports(), &all);
    let blows = || check(storm.acknowledged() >= BLOWING, || format!("{} acknowledged", storm.acknowledged()));
    wait_until(STEP, "the storm blows", blows);
    storm
}

/// One primary fewer: how long it took until the server on a port owned nothing. What is looked at `meanwhile` must not take
/// longer.
fn shrink(cluster: &mut LocalCluster, leaving: u16, meanwhile: impl FnOnce(&LocalCluster)) -> Duration {
    let watch = OwnerWatch::start(leaving);
    wait_until(STEP, "it is watched", || check(watch.seen().slots > 0, || "no answer yet".to_owned()));
    let begun = Instant::now();
    cluster.edit(|spec| spec.primaries = 3);
    meanwhile(cluster);
    match watch.until(0, STEP) {
        Ok(ended) => ended - begun,
        Err(why) => panic!("{why}; {}", String::from_utf8_lossy(&cluster.cli(&["migration"]).stdout)),
    }
}

/// The storm ends; all is as it must be.
fn end(cluster: &LocalCluster, storm: Storm) {
    let tally = storm.stop();
    println!("{} requests acknowledged, refused and sent again: {:?}", tally.acknowledged, tally.refused);
    let view = cluster.wait_settled(STEP);
    assert_eq!(view.owners().len(), 3);
    tally.assert_kept(&view);
    let keys = replicas::wait_same(&cluster.ports());
    let bulk = keys.iter().filter(|key| String::from_utf8_lossy(key).contains("bulk:")).count();
    assert_eq!(bulk, KEYS, "no key is lost");
}
