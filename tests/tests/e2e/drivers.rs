//! Which driver moves slots: the one that moves them in one piece where the servers have it, another one when that has to
//! wait for too long or is not wanted.

use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;

use crate::run::{cases, load, put};

cases! {
    a_source_that_saves_for_long_gives_way_to_the_next_driver alone: "valkey-9.1";
    slots_of_a_move_that_failed_open_for_the_next_driver alone: "redis-8.6";
}

/// Longer than a driver waits.
const STEP: Duration = Duration::from_secs(90);
/// How long the child of a server sleeps at each key, microseconds: with some hundred keys it outlives the test.
const AT_EACH_KEY: &str = "1000000";

fn a_source_that_saves_for_long_gives_way_to_the_next_driver(server: &Server) {
    gives_way(server, |_| ());
}

/// The source keeps a task that has failed, and opens none of its slots before that is cancelled.
fn slots_of_a_move_that_failed_open_for_the_next_driver(server: &Server) {
    gives_way(server, |cluster| {
        let [source, target] = cluster.ports()[..] else { panic!("two servers") };
        if !servers::has_command(source, "cluster|migration") {
            return;
        }
        put(&cluster.ports(), "some-", 500);
        view::text(source, &["CONFIG", "SET", "rdb-key-save-delay", AT_EACH_KEY]).unwrap();
        let slots = cluster.wait_agreed().on_port(source).unwrap().slots.clone();
        let (from, to) = (slots[0].to_string(), slots[slots.len() - 1].to_string());
        view::text(target, &["CLUSTER", "MIGRATION", "IMPORT", &from, &to]).unwrap();
        let is = |state: &str| {
            let tasks = format!("{:?}", view::call(source, &["CLUSTER", "MIGRATION", "STATUS", "ALL"])?);
            check(tasks.contains(state), || tasks)
        };
        wait_until(STEP, "the source sends", || is("send-bulk-and-stream"));
        view::text(target, &["FLUSHALL"]).unwrap();
        wait_until(STEP, "the source's task has failed", || is("failed"));
    });
}

fn gives_way(server: &Server, before: impl FnOnce(&LocalCluster)) {
    let in_one_piece = match server.family.as_str() {
        "valkey-9.1" => "migrateslots",
        "redis-8.6" => "import",
        // It has one driver only.
        _ => return,
    };
    let mut cluster = LocalCluster::start(server, Spec::of(2, 0));
    before(&cluster);
    let mut load = load(&cluster, Options { keys: 2_000, ..Options::default() });
    let sources = cluster.ports();
    for port in &sources {
        view::text(*port, &["CONFIG", "SET", "rdb-key-save-delay", AT_EACH_KEY]).unwrap();
        // The child of a move that has failed may still be there.
        wait_until(STEP, "the server saves", || view::text(*port, &["BGSAVE"]));
    }
    cluster.edit(|spec| spec.primaries = 3);
    let shown = wait_until(STEP, "an event tells of the try and what was in its way", || {
        let status = cluster.status()?["status"].clone();
        let events = status["events"].as_array().cloned().unwrap_or_default();
        let told = events.iter().find(|event| event["reason"] == "MoveTryFailed");
        told.map(|event| event["message"].to_string()).ok_or_else(|| format!("{:?}", status["moves"]))
    });
    for word in [in_one_piece, "writes a dump", "30 s"] {
        assert!(shown.contains(word), "{shown}");
    }
    cluster.wait_settled(STEP);
    for port in &sources {
        let info = view::text(*port, &["INFO", "persistence"]).unwrap();
        assert!(info.contains("rdb_bgsave_in_progress:1"), "it was in the way all the while");
    }
    let stats = load.stop();
    println!("{stats}");
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
    cluster.verify().unwrap();
}
