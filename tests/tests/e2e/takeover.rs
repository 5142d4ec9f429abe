//! A primary dies. Its shard must take writes again before a client's patience ends, and keep what it acknowledged.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::gap::GapProbe;
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;

use crate::run::{cases, just_before, load, missing, put, wait_in_sync, wait_processes, wait_replica};

cases! {
    of_a_killed_server alone: "system", "redis-8.6", "valkey-9.1";
    with_one_or_two_primaries alone: "system", "valkey-9.1";
    five_times_in_one_shard alone: "system", "redis-8.6";
    of_a_server_that_was_handed_the_shard_a_moment_ago: "system", "valkey-9.1";
    of_a_node_that_comes_back_empty: "system", "valkey-9.1";
    of_a_node_that_comes_back_with_an_old_dump: "system", "redis-8.6";
    without_replicas_the_loss_is_said: "system";
}

/// Longest time without an acknowledged write that the project promises (median).
const PROMISE: Duration = Duration::from_millis(300);

/// What came of a kill.
struct Killed {
    gap: Duration,
    member: Member,
    /// It died between these two moments.
    at: (Instant, Instant),
}

/// Kills the server of a shard's primary while a probe writes, and waits until the shard takes writes again.
fn kill_primary(cluster: &LocalCluster, of: Option<u16>) -> Killed {
    let view = wait_until(Duration::from_secs(15), "the cluster agrees before a kill", || cluster.agreed());
    let owner = view.owners().into_iter().find(|node| of.is_none_or(|slot| node.slots.contains(&slot))).unwrap().port;
    let member = cluster.member_on(owner);
    let probe = GapProbe::start(&view);
    let writes = |more: u64| {
        let before = probe.acknowledged(owner);
        wait_until(Duration::from_mins(1), "the shard takes writes", || {
            check(probe.acknowledged(owner) >= before + more, || format!("{} writes", probe.acknowledged(owner)))
        });
    };
    writes(200);
    let at = Instant::now();
    cluster.kill(&member, &[Which::Server], Signal::SIGKILL);
    let at = (at, Instant::now());
    writes(200);
    let gap = probe.stop().into_iter().find(|gap| gap.port == owner).unwrap().longest;
    Killed { gap, member, at }
}

fn median(mut gaps: Vec<Duration>) -> Duration {
    gaps.sort();
    gaps[gaps.len() / 2]
}

fn of_a_killed_server(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options::default());
    let mut gaps = Vec::new();
    let mut killed = Vec::new();
    for _ in 0..3 {
        let kill = kill_primary(&cluster, None);
        wait_replica(&cluster, &kill.member, Duration::from_secs(30));
        killed.push(kill.at);
        gaps.push(kill.gap);
    }
    println!("gaps: {gaps:?}");
    assert!(median(gaps.clone()) < PROMISE, "gaps: {gaps:?}");
    load.stop();
    let audit = load.audit(&cluster.ports());
    audit.assert_kept_but(|written| killed.iter().any(|at| just_before(written, *at)));
}

fn with_one_or_two_primaries(server: &Server) {
    for primaries in [1, 2] {
        let cluster = LocalCluster::start(server, Spec::of(primaries, 1));
        let keys = put(&cluster.ports(), "few-", 50);
        wait_in_sync(&cluster);
        let kill = kill_primary(&cluster, None);
        assert!(kill.gap < 2 * PROMISE, "{primaries} primaries: {:?}", kill.gap);
        wait_replica(&cluster, &kill.member, Duration::from_secs(30));
        assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
    }
}

fn five_times_in_one_shard(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let keys = put(&cluster.ports(), "again-", 100);
    wait_in_sync(&cluster);
    let begun = Instant::now();
    let mut gaps = Vec::new();
    for _ in 0..5 {
        let kill = kill_primary(&cluster, Some(0));
        gaps.push(kill.gap);
        wait_replica(&cluster, &kill.member, Duration::from_secs(20));
    }
    println!("five kills in {:?}: {gaps:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(30), "five kills took {:?}", begun.elapsed());
    assert!(median(gaps.clone()) < PROMISE, "{gaps:?}");
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
}

/// It dies before the former primary is linked to it, and its folder has the dump of its last sync.
fn of_a_server_that_was_handed_the_shard_a_moment_ago(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut keys = put(&cluster.ports(), "before-", 300);
    let view = cluster.wait_agreed();
    let old = view.owners()[0];
    let new = cluster.member_on(view.replicas_of(&old.id)[0].port);
    cluster.kill(&new, &[Which::Server], Signal::SIGKILL);
    wait_replica(&cluster, &new, Duration::from_secs(15));
    keys.extend(put(&cluster.ports(), "after-", 300));
    wait_in_sync(&cluster);

    // The password that it would send is one that nobody asks for: the link is refused.
    view::call(old.port, &["CONFIG", "SET", "masterauth", "nobody-asks"]).unwrap();
    let handed = cluster.cli(&["handoff", &cluster.member_on(old.port).name]);
    assert!(handed.status.success(), "{}", String::from_utf8_lossy(&handed.stderr));
    wait_until(Duration::from_secs(5), "the former primary follows, and is not linked", || {
        let info = view::info(old.port)?;
        check(info["role"] == "slave" && info["master_link_status"] == "down", || info["role"].clone())
    });
    cluster.kill(&new, &[Which::Server], Signal::SIGKILL);
    wait_replica(&cluster, &new, Duration::from_secs(15));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new(), "the former primary had them all");
}

/// Launcher, server and agent killed together, and started again after 0.3 s.
fn killed_whole(server: &Server, spec: Spec, meanwhile: impl FnOnce(&Member)) {
    let cluster = LocalCluster::start(server, spec);
    let keys = put(&cluster.ports(), "whole-", 300);
    wait_in_sync(&cluster);
    let member = cluster.a_primary();
    cluster.kill_whole(&member, Duration::from_millis(300), meanwhile);
    wait_replica(&cluster, &member, Duration::from_mins(1));
    wait_processes(&cluster, Duration::from_secs(10));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new(), "a replica held them");
}

fn of_a_node_that_comes_back_empty(server: &Server) {
    killed_whole(server, Spec::of(3, 1), |member| {
        for file in ["dump.rdb", "appendonlydir"] {
            let path = member.folder.join(file);
            fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).ok();
        }
    });
}

fn of_a_node_that_comes_back_with_an_old_dump(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let member = cluster.a_primary();
    let old = put(&cluster.ports(), "old-", 60);
    // The child of a full sync that is just over is in the way for a moment.
    wait_until(Duration::from_secs(5), "SAVE is done", || view::text(member.port, &["SAVE"]));
    assert!(member.folder.join("dump.rdb").exists(), "SAVE writes the dump into the member's folder");
    let new = put(&cluster.ports(), "new-", 240);
    wait_in_sync(&cluster);
    cluster.kill_whole(&member, Duration::from_millis(300), |_| {});
    wait_replica(&cluster, &member, Duration::from_mins(1));
    let keys = [old, new].concat();
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new(), "an old dump must not win over a replica");
}

fn without_replicas_the_loss_is_said(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 0));
    let keys = put(&cluster.ports(), "alone-", 60);
    let member = cluster.a_primary();
    cluster.kill(&member, &[Which::Server], Signal::SIGKILL);
    wait_until(Duration::from_secs(30), "the server is back", || view::text(member.port, &["PING"]));
    wait_until(Duration::from_secs(45), "the cluster heals to coverage", || cluster.shaped());
    let gone = missing(&cluster.ports(), &keys);
    assert!(!gone.is_empty() && gone.len() < keys.len(), "{} of {} keys are gone", gone.len(), keys.len());
    let status = cluster.status_text();
    assert!(
        status.contains(&member.name) && status.contains("lost"),
        "the loss is said, with the node's name: {status}"
    );
}
