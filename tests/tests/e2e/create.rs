//! From a file to a healthy cluster, and the whole way back.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::wait_until;

use crate::run::{cases, missing, put};

cases! {
    is_healthy_soon alone: "system", "redis-8.6", "valkey-9.1";
    stops_and_goes_on_with_its_data: "system", "valkey-9.1";
    one_primary_and_two_primaries: "system", "redis-8.6";
    without_storage_it_comes_back_empty_and_says_why: "system";
}

/// From servers that answer to healthy, with replicas in sync. Without the first table that founders start with, no
/// primary could take a write in the first two seconds of its server (`CLUSTER_WRITABLE_DELAY`).
const SOON: Duration = Duration::from_millis(1_500);

fn is_healthy_soon(server: &Server) {
    let mut cluster = LocalCluster::unstarted(server, Spec::of(3, 1).stored());
    cluster.start_coordinator();
    let ports: Vec<u16> = (cluster.first_port()..cluster.first_port() + 6).collect();
    for port in &ports {
        wait_until(Duration::from_secs(20), "the servers start", || view::text(*port, &["PING"]));
    }
    let started = Instant::now();
    cluster.wait_healthy_line(Duration::from_secs(20));
    let took = started.elapsed();
    let view = cluster.wait_settled(Duration::from_secs(5));
    println!("healthy {took:?} after the servers started");
    assert!(took <= SOON, "healthy {took:?} after the servers started, wanted {SOON:?}");
    assert_eq!(view.owners().len(), 3);
    let port = cluster.first_port().to_string();
    let cli = |args: &[&str]| {
        let output = Command::new(&server.cli).args(["-c", "-p", &port]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    for key in ["a", "b", "c", "d"] {
        assert_eq!(cli(&["SET", key, "there"]), "OK");
        assert_eq!(cli(&["GET", key]), "there");
    }
    assert_eq!(cluster.cli(&["status"]).status.code(), Some(0));
}

fn stops_and_goes_on_with_its_data(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1).stored());
    let keys = put(&cluster.ports(), "kept-", 200);
    let before = cluster.wait_settled(Duration::from_secs(5));
    cluster.stop(Signal::SIGINT);
    assert_eq!(cluster.cli(&["status"]).status.code(), Some(2), "nobody answers any more");
    cluster.start_coordinator();
    cluster.wait_healthy_line(Duration::from_secs(30));
    let after = cluster.wait_settled(Duration::from_secs(20));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
    let primaries = |view: &view::View| {
        let mut ports: Vec<u16> = view.owners().iter().map(|node| node.port).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(primaries(&before), primaries(&after), "roles are as before");
    cluster.stop(Signal::SIGTERM);
}

fn one_primary_and_two_primaries(server: &Server) {
    for spec in [Spec::of(1, 1), Spec::of(2, 0)] {
        let cluster = LocalCluster::start(server, spec);
        cluster.wait_settled(Duration::from_secs(20));
        let keys = put(&cluster.ports(), "small-", 20);
        assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
    }
}

fn without_storage_it_comes_back_empty_and_says_why(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let keys = put(&cluster.ports(), "cached-", 50);
    cluster.stop(Signal::SIGINT);
    cluster.start_coordinator();
    cluster.wait_healthy_line(Duration::from_secs(30));
    wait_until(Duration::from_secs(20), "the cluster has its shape again", || cluster.shaped());
    assert_eq!(missing(&cluster.ports(), &keys).len(), keys.len());
    let status = cluster.status_text();
    assert!(status.to_lowercase().contains("empty"), "the status says that it is empty and why: {status}");
}
