//! Moving a fourth of all keys from three primaries to a fourth one, while a client writes 1000 times a second.

use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::measure::fill::fill;
use redisnode_tests::raw::RawServers;
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Stats, Workload};

use crate::table::{Table, rate, time};

const BYTES: usize = 100;

/// Keys in the cluster; a fourth of them moves. `BENCH_KEYS` sets another number.
fn keys() -> usize {
    std::env::var("BENCH_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000)
}

/// What was measured of one move.
struct Moved {
    moving: Duration,
    whole: Duration,
    client: Stats,
}

pub(crate) fn measure(server: &Server, table: &mut Table) {
    let ours = ours(server);
    let peer = redis_cli(server);
    let moved = keys() / 4;
    let row = |what: &str, of: fn(&Moved, usize) -> String| {
        (format!("move {moved} keys, 3 to 4: {what}"), of(&ours, moved), of(&peer, moved))
    };
    let rows = [
        row("keys/s", |run, moved| rate(moved, run.moving)),
        row("from command to done", |run, _| time(run.whole)),
        row("client p50", |run, _| time(run.client.latency(0.5))),
        row("client p99", |run, _| time(run.client.latency(0.99))),
        row("client max", |run, _| time(run.client.latency(1.0))),
        row("client errors", |run, _| run.client.errors.values().sum::<u64>().to_string()),
    ];
    for (what, ours, peer) in rows {
        table.row(&what, &server.version, ours, peer);
    }
}

fn ours(server: &Server) -> Moved {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 0));
    fill(cluster.first_port(), keys(), BYTES);
    let mut load = client(&cluster.ports());
    load.window();
    let begun = Instant::now();
    cluster.edit(|spec| spec.primaries = 4);
    wait_until(Duration::from_secs(30), "the first slot moves", || {
        check(view::view(cluster.first_port())?.owners().len() > 3, || "three owners".to_owned())
    });
    let moving = Instant::now();
    wait_until(Duration::from_mins(5), "the shares are even", || view::view(cluster.first_port())?.is_even(4));
    let (moving, whole) = (moving.elapsed(), begun.elapsed());
    let client = load.stop();
    cluster.wait_settled(Duration::from_secs(30));
    load.audit(&cluster.ports()).assert_clean();
    Moved { moving, whole, client }
}

/// `redis-cli --cluster reshard` as it comes. The fourth node has joined before.
fn redis_cli(server: &Server) -> Moved {
    let servers = RawServers::start(server, 4, 15_000);
    let three: Vec<u16> = servers.ports[..3].to_vec();
    servers.create_of(&three, 0);
    let (first, fourth) = (servers.ports[0], servers.ports[3]);
    servers.cli(
        &["--cluster", "add-node", &format!("127.0.0.1:{fourth}"), &format!("127.0.0.1:{first}")].map(str::to_owned),
    );
    wait_until(Duration::from_secs(20), "the fourth node joins", || view::agreed(&servers.ports));
    fill(first, keys(), BYTES);
    let mut load = client(&servers.ports);
    let target = view::view(fourth).unwrap().myself;
    load.window();
    let begun = Instant::now();
    let reshard =
        ["--cluster", "reshard", &format!("127.0.0.1:{first}"), "--cluster-from", "all", "--cluster-to", &target];
    let slots = ["--cluster-slots", "4096", "--cluster-yes"];
    servers.cli(&reshard.iter().chain(&slots).map(ToString::to_string).collect::<Vec<_>>());
    let took = begun.elapsed();
    let client = load.stop();
    Moved { moving: took, whole: took, client }
}

fn client(ports: &[u16]) -> Workload {
    let load = Workload::start(ports, Options { keys: 5_500, ..Options::default() });
    wait_until(Duration::from_secs(20), "the client writes", || check(load.acknowledged() > 2_000, String::new));
    load
}
