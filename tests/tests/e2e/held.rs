//! Moves of slots that somebody pauses, resumes and aborts, while a client writes all the time.

use std::time::Duration;

use redisnode_proto::spec::MIGRATION;
use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::replicas;
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::watch::SlotWatch;
use redisnode_tests::workload::Options;

use crate::run::{cases, fill, load};

cases! {
    a_move_is_paused_resumed_and_aborted alone: "system", "redis-8.6", "valkey-9.1";
}

/// Within this a switch has reached every agent, and what it began is over.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For so long nothing moves then.
const STILL: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_secs(90);
/// Enough that a move at the rate below takes some seconds.
const KEYS: usize = 40_000;
const VALUE: usize = 1_000;
/// Its speed is that of the bound alone, whatever else the machine does.
const SLOWLY: &str = "migration: {maxLatency: 0ms, maxBytesPerSecond: 1500Ki}";

fn a_move_is_paused_resumed_and_aborted(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec { lines: vec![SLOWLY.to_owned()], ..Spec::of(3, 0) });
    fill(&cluster, KEYS, VALUE);
    let mut load = load(&cluster, Options { keys: 2_000, ..Options::default() });
    cluster.edit(|spec| spec.primaries = 4);
    let begun = grows(&cluster, 0);
    switch(&mut cluster, Some("paused"));
    stands_still(&cluster, "MovesPaused", "moves are paused");
    println!("paused with {} slots after {begun}", newcomer(&cluster).unwrap());
    let paused = newcomer(&cluster).unwrap();
    switch(&mut cluster, None);
    grows(&cluster, paused);
    switch(&mut cluster, Some("aborted"));
    stands_still(&cluster, "MovesAborted", "moves are aborted");
    let view = cluster.wait_agreed();
    assert_eq!(view.owners().iter().map(|node| node.slots.len()).sum::<usize>(), view::SLOTS);
    assert!(newcomer(&cluster).unwrap() < view::SLOTS / 4, "it was aborted in the middle");
    switch(&mut cluster, None);
    cluster.edit(|spec| spec.lines.clear());
    cluster.wait_settled(STEP);
    let stats = load.stop();
    println!("{stats}");
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
}

/// Sets the annotation, or takes it away.
fn switch(cluster: &mut LocalCluster, word: Option<&str>) {
    cluster
        .edit(|spec| spec.annotations = word.map(|word| (MIGRATION.to_owned(), word.to_owned())).into_iter().collect());
    // What is promised is the second itself.
    std::thread::sleep(AT_ONCE);
}

/// No slot is open now and none changes its owner for a while; the status and the command line say why.
fn stands_still(cluster: &LocalCluster, reason: &str, sentence: &str) {
    let ports = cluster.ports();
    for port in &ports {
        let view = view::view(*port).unwrap();
        let open: Vec<_> = view.nodes.iter().filter(|node| !node.open.is_empty()).collect();
        assert!(open.is_empty(), "{port} shows after {AT_ONCE:?}: {open:?}");
    }
    let slots = SlotWatch::start(ports);
    std::thread::sleep(STILL);
    let (moved, _) = slots.stop();
    assert_eq!(moved, 0, "slots moved more than {AT_ONCE:?} after it was said that none should");
    wait_until(AT_ONCE * 5, "the status says why", || {
        let (truth, found, message) = cluster.condition("Rebalancing").ok_or("there is no such condition")?;
        check(truth == "True" && found == reason && message.contains(sentence), || format!("{found}: {message}"))
    });
    let shown = cluster.cli(&["migration"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(sentence) && shown.contains("migration resume test"), "{shown}");
    let refused = cluster.cli(&["migration", "resume"]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains(&format!("take {MIGRATION} away from metadata.annotations")), "{refused}");
}

/// Slots of the fourth primary.
fn newcomer(cluster: &LocalCluster) -> Result<usize, String> {
    let port = cluster.first_port() + 3;
    let view = view::view(port)?;
    let slots = view.on_port(port).map(|node| node.slots.len());
    slots.ok_or_else(|| format!("{port} is not in its own table"))
}

/// Waits until the fourth primary has more than `slots` slots, but not all that it gets; says how many.
fn grows(cluster: &LocalCluster, slots: usize) -> usize {
    let found = wait_until(STEP, "slots move", || {
        let now = newcomer(cluster)?;
        check(now > slots, || format!("it has {now}")).map(|()| now)
    });
    assert!(found < view::SLOTS / 4, "the move was over before it could be held up");
    found
}
