//! Which case runs on which servers, and what several themes ask.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::ConnectionLike;
use redisnode_tests::cluster::{LocalCluster, Member, Which};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::turn::Turn;
use redisnode_tests::view::{self, View};
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Workload};

/// Writes acknowledged this short before a kill -9 may be lost: replication is asynchronous.
const LAST: Duration = Duration::from_millis(100);

/// Whether a write was acknowledged so short before a death between two moments that it may be lost.
pub(crate) fn just_before(written: Instant, (earliest, latest): (Instant, Instant)) -> bool {
    written + LAST >= earliest && written <= latest
}

/// Makes one test per family of a case: `name: families of the sample;`. With `alone`, nothing runs beside it, since it
/// measures time.
macro_rules! cases {
    ($($name:ident $($alone:ident)? : $($sample:literal),*;)*) => { $(
        mod $name {
            const SAMPLE: &[&str] = &[$($sample),*];
            const ALONE: bool = !stringify!($($alone)?).is_empty();

            #[test]
            fn system() {
                crate::run::run(super::$name, "system", SAMPLE, ALONE);
            }

            #[test]
            fn redis_8_0() {
                crate::run::run(super::$name, "redis-8.0", SAMPLE, ALONE);
            }

            #[test]
            fn redis_8_6() {
                crate::run::run(super::$name, "redis-8.6", SAMPLE, ALONE);
            }

            #[test]
            fn valkey_8_1() {
                crate::run::run(super::$name, "valkey-8.1", SAMPLE, ALONE);
            }

            #[test]
            fn valkey_9_1() {
                crate::run::run(super::$name, "valkey-9.1", SAMPLE, ALONE);
            }
        }
    )* };
}
pub(crate) use cases;

/// Runs a case on one family, if the sample or the matrix says so.
pub(crate) fn run(case: fn(&Server), family: &str, sample: &[&str], alone: bool) {
    let repeats = match matrix() {
        Some(repeats) => repeats,
        None if sample.contains(&family) => 1,
        None => {
            println!("not in the sample (REDISNODE_MATRIX=1 runs everything)");
            return;
        }
    };
    let server = if family == "system" { Some(servers::system()) } else { servers::family(family) };
    let Some(server) = server else { return };
    for repeat in 1..=repeats {
        println!("{} ({repeat} of {repeats})", server.version);
        let _turn = if alone { Turn::alone() } else { Turn::take() };
        case(&server);
    }
}

/// How often everything runs, if the whole matrix is wanted.
pub(crate) fn matrix() -> Option<u32> {
    std::env::var("REDISNODE_MATRIX").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0)
}

/// A client that writes to all shards, after its first thousand acknowledged writes.
pub(crate) fn load(cluster: &LocalCluster, options: Options) -> Workload {
    let load = Workload::start(&cluster.ports(), options);
    wait_until(Duration::from_secs(20), "the client writes", || check(load.acknowledged() >= 1_000, || load.so_far()));
    load
}

/// Waits until the node on a port is a replica in sync, and says of which node.
pub(crate) fn wait_replica(cluster: &LocalCluster, member: &Member, within: Duration) -> View {
    wait_until(within, "the old primary comes back as a replica in sync", || {
        let view = cluster.agreed()?;
        let node = view.on_port(member.port).ok_or("its server is not in the cluster")?;
        check(!node.is_primary, || "it is a primary".to_owned())?;
        Ok(view)
    })
}

/// Waits until every member has its three processes.
pub(crate) fn wait_processes(cluster: &LocalCluster, within: Duration) {
    wait_until(within, "every member has agent, launcher and server", || {
        for member in cluster.members() {
            for which in [Which::Agent, Which::Launcher, Which::Server] {
                cluster.pid(&member, which).ok_or_else(|| format!("{} has no {which:?}", member.name))?;
            }
        }
        Ok(())
    });
}

/// Writes `count` keys that start with `prefix`, through a cluster client of its own, and says their names.
pub(crate) fn put(ports: &[u16], prefix: &str, count: usize) -> Vec<String> {
    let view = ports.iter().find_map(|port| view::view(*port).ok()).expect("a node answers");
    let owners = view.owner_of_slots();
    let keys: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    for key in &keys {
        let owner = owners[usize::from(view::slot_of(key.as_bytes()))].expect("every slot has an owner");
        view::call(view.nodes[owner].port, &["SET", key, key]).unwrap();
    }
    keys
}

/// So many keys `bulk:<number>` with values of so many bytes.
pub(crate) fn fill(cluster: &LocalCluster, keys: usize, size: usize) {
    let names: Vec<String> = (0..keys).map(|number| format!("bulk:{number}")).collect();
    fill_keys(cluster, &names, size);
}

/// Keys of these names with values of so many bytes, by pipelines of each owner.
pub(crate) fn fill_keys(cluster: &LocalCluster, names: &[String], size: usize) {
    let view: View = cluster.wait_agreed();
    let owners = view.owner_of_slots();
    let mut pipes: BTreeMap<u16, redis::Pipeline> = BTreeMap::new();
    let value = "v".repeat(size);
    for key in names {
        let owner = owners[usize::from(view::slot_of(key.as_bytes()))].expect("every slot has an owner");
        pipes.entry(view.nodes[owner].port).or_default().cmd("SET").arg(key).arg(&value).ignore();
    }
    for (port, pipe) in pipes {
        let client = redis::Client::open(("127.0.0.1", port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let count = pipe.cmd_iter().count();
        connection.req_packed_commands(&pipe.get_packed_pipeline(), 0, count).unwrap();
    }
}

/// The keys of `keys` that the cluster does not have any more, as it is now.
pub(crate) fn missing(ports: &[u16], keys: &[String]) -> Vec<String> {
    let view = ports.iter().find_map(|port| view::view(*port).ok()).expect("a node answers");
    let owners = view.owner_of_slots();
    let has = |key: &String| {
        let owner = owners[usize::from(view::slot_of(key.as_bytes()))];
        owner.is_some_and(|owner| view::text(view.nodes[owner].port, &["GET", key]).is_ok_and(|value| value == *key))
    };
    keys.iter().filter(|key| !has(key)).cloned().collect()
}

/// Waits until every replica has everything that its primary has.
pub(crate) fn wait_in_sync(cluster: &LocalCluster) {
    wait_until(Duration::from_secs(20), "replicas have everything", || replicas::caught_up(&cluster.agreed()?));
}

/// What events tell of tries of moves that failed.
pub(crate) fn failed_tries(cluster: &LocalCluster) -> Vec<String> {
    let status = cluster.status().expect("the coordinator tells")["status"].clone();
    let events = status["events"].as_array().cloned().unwrap_or_default();
    let failed = events.iter().filter(|event| event["reason"] == "MoveTryFailed");
    failed.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
}
