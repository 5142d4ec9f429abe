//! Fewer primaries than have room for the data: refused before anything moves, and done as soon as there is room.

use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::watch::SlotWatch;

use crate::run::{cases, fill, wait_in_sync};

cases! {
    fewer_primaries_wait_for_room: "system", "redis-8.6", "valkey-9.1";
}

/// For so long nothing moves.
const STILL: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_secs(90);
/// Some 20 MiB a server.
const KEYS: usize = 25_000;
const VALUE: usize = 3_000;

fn fewer_primaries_wait_for_room(server: &Server) {
    let config = vec![("repl-backlog-size".to_owned(), "1mb".to_owned())];
    let mut cluster = LocalCluster::start(server, Spec { config, ..Spec::of(4, 1) });
    let empty = primaries(&cluster, "used_memory").into_iter().max().unwrap();
    fill(&cluster, KEYS, VALUE);
    wait_in_sync(&cluster);
    // Of the third that would arrive at each of three, half has room.
    let used = primaries(&cluster, "used_memory").into_iter().max().unwrap();
    let limit = used + (used - empty) / 6;
    limited(&mut cluster, limit);
    wait_until(SOON, "the status shows what there is", || told(&cluster, limit));

    let slots = SlotWatch::start(cluster.ports());
    cluster.edit(|spec| spec.primaries = 3);
    for kind in ["Scaling", "Rebalancing"] {
        let message = wait_until(SOON, "the status says that there is no room", || {
            let (truth, reason, message) = cluster.condition(kind).ok_or("there is no such condition")?;
            check(truth == "True" && reason == "NotEnoughMemory", || format!("{reason}: {message}")).map(|()| message)
        });
        println!("{kind}: {message}");
        assert!(message.contains("there stay 4 shards, though 3 are wanted: about "), "{message}");
        assert!(message.contains(" MiB would arrive at ") && message.contains("raise maxMemory"), "{message}");
    }
    std::thread::sleep(STILL);
    let (moved, _) = slots.stop();
    assert_eq!((moved, cluster.ports().len()), (0, 8), "nothing of it has begun");
    assert_eq!(cluster.wait_agreed().owners().len(), 4);

    limited(&mut cluster, 2 * limit);
    let view = cluster.wait_settled(STEP);
    assert_eq!(view.owners().len(), 3);
    let keys: usize = view.owners().iter().map(|owner| keys(owner.port)).sum();
    assert_eq!(keys, KEYS, "no key is lost");
}

/// Has every server obey a limit.
fn limited(cluster: &mut LocalCluster, bytes: u64) {
    cluster.edit(|spec| spec.lines = vec![format!("maxMemory: {{size: \"{bytes}\"}}")]);
    let obeys = |port: u16| {
        let found = view::info(port)?.get("maxmemory").cloned();
        check(found == Some(bytes.to_string()), || format!("{port} has {found:?}"))
    };
    wait_until(SOON, "servers have the limit", || cluster.ports().into_iter().try_for_each(obeys));
}

/// Whether all agents have told of a limit and of every key.
fn told(cluster: &LocalCluster, limit: u64) -> Result<(), String> {
    let status = cluster.status()?;
    let nodes = status["status"]["nodes"].as_array().ok_or("the status has no nodes")?;
    check(nodes.iter().all(|node| node["maxMemory"] == limit), || format!("{nodes:?}"))?;
    let primaries = nodes.iter().filter(|node| node["slots"].is_array());
    let keys = primaries.filter_map(|node| node["keys"].as_u64()).sum::<u64>();
    check(keys == KEYS as u64, || format!("{keys} of {KEYS} keys"))
}

/// A number of INFO of each primary.
fn primaries(cluster: &LocalCluster, field: &str) -> Vec<u64> {
    let view = cluster.wait_agreed();
    view.owners().iter().map(|owner| view::number(owner.port, field).unwrap()).collect()
}

fn keys(port: u16) -> usize {
    view::text(port, &["DBSIZE"]).unwrap().parse().unwrap()
}
