//! Time from running, empty servers to a healthy cluster of 3 primaries and 3 replicas in sync.

use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::raw::RawServers;
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::wait_until;

use crate::table::{Table, median, time};

const TIMES: usize = 3;

pub(crate) fn measure(server: &Server, table: &mut Table) {
    let ours: Vec<(Duration, Duration)> = (0..TIMES).map(|_| once(server)).collect();
    let peer: Vec<Duration> = (0..TIMES).map(|_| redis_cli(server)).collect();
    let from_servers = median(ours.iter().map(|(from_servers, _)| *from_servers).collect());
    let from_command = median(ours.iter().map(|(_, from_command)| *from_command).collect());
    table.row("create 3+3, servers started to healthy", &server.version, time(from_servers), time(median(peer)));
    table.row("create 3+3, command to healthy", &server.version, time(from_command), "-".to_owned());
}

/// From the servers' first answers, and from the command.
fn once(server: &Server) -> (Duration, Duration) {
    let mut cluster = LocalCluster::unstarted(server, Spec::of(3, 1));
    let begun = Instant::now();
    cluster.start_coordinator();
    for port in cluster.first_port()..cluster.first_port() + 6 {
        wait_until(Duration::from_secs(20), "the servers start", || view::text(port, &["PING"]));
    }
    let started = Instant::now();
    cluster.wait_healthy_line(Duration::from_secs(30));
    let took = (started.elapsed(), begun.elapsed());
    cluster.wait_settled(Duration::from_secs(5));
    took
}

/// `redis-cli --cluster create`, until every node says ok and the replicas are in sync.
fn redis_cli(server: &Server) -> Duration {
    let servers = RawServers::start(server, 6, 15_000);
    let begun = Instant::now();
    servers.create(1);
    begun.elapsed()
}
