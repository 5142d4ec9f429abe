//! Moves of slots with something in the way: a party killed with -9 at a random moment, a failover, FLUSHALL, a full
//! disk, CLIENT PAUSE, a child that saves for long, while clients write to the half-moved slots all the time. After each
//! round every slot has one owner on every node, none is open, replicas hold what their primaries hold, and nothing that
//! was acknowledged is lost but what the trouble takes by its nature (`judge.rs`).
//!
//! A sample of fixed seeds, or with `REDISNODE_SOAK=ROUNDS` so many from `REDISNODE_SOAK_SEED` on (`make soak-migration`).

mod disk;
mod judge;
mod plan;
mod strike;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::moving::{Side, is_moving};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::skip::skip;
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{poll, wait_until};
use redisnode_tests::workload::{Options, tags};

use crate::run::{fill_keys, load, matrix, put, wait_in_sync, wait_processes};
use disk::Disks;
use judge::{Gone, findings, judge, moved};
use plan::Plan;
use strike::strike;

/// A cluster may take so long to be as its file says, and slots to be on their way.
const SETTLED: Duration = Duration::from_mins(1);
/// A move may take so long, with what was in its way.
const STEP: Duration = Duration::from_mins(3);
/// How many slots have keys: about eight of them move.
const SLOTS: u16 = 32;
/// Keys that are written once, and their bytes: what takes its time to move.
const ONCE: usize = 10_000;
const BYTES: usize = 3_000;
/// Its speed is that of the bound alone, whatever else the machine does.
const SLOWLY: &str = "migration: {maxBytesPerSecond: 2Mi}";

/// Where slots move one by one, by the servers' own command of the target, and by that of the source.
#[test]
fn redis_7_0() {
    // Debian's own is the same.
    let server = servers::family("redis-7.0").unwrap_or_else(servers::system);
    soak(&server, "redis-7.0", &[1]);
}

#[test]
fn redis_8_6() {
    soak_on("redis-8.6", &[3, 0]);
}

#[test]
fn valkey_9_1() {
    soak_on("valkey-9.1", &[5, 4]);
}

#[test]
fn redis_8_0() {
    soak_on("redis-8.0", if matrix().is_some() { &[1, 2] } else { &[] });
}

#[test]
fn valkey_8_1() {
    soak_on("valkey-8.1", if matrix().is_some() { &[1, 2] } else { &[] });
}

fn soak_on(family: &str, sample: &[u64]) {
    servers::family(family).inspect(|server| soak(server, family, sample));
}

/// Runs rounds in one cluster for as long as it fits and they go well, and names the seeds of those that do not.
fn soak(server: &Server, family: &str, sample: &[u64]) {
    let seeds = wanted().unwrap_or_else(|| sample.to_vec());
    let mut failed = Vec::new();
    let mut bed: Option<Bed> = None;
    for (round, seed) in (1..).zip(&seeds) {
        let _turn = Turn::alone();
        let plan = Plan::of(*seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let Some(bed) = Bed::fit(bed.take(), server, &plan) else { return (None, "skipped".to_owned()) };
            let (bed, outcome) = run(bed, &plan);
            (Some(bed), outcome)
        }));
        let line = if let Ok((kept, outcome)) = outcome {
            bed = kept;
            outcome
        } else {
            failed.push(format!("make soak-migration ROUNDS=1 SEED={seed} ONLY={family}"));
            "FAILED, as said above".to_owned()
        };
        println!("soak {family} {round} of {}: {plan}: {line}", seeds.len());
    }
    assert!(failed.is_empty(), "{} of {} rounds failed:\n{}", failed.len(), seeds.len(), failed.join("\n"));
}

/// The seeds that the environment asks for.
fn wanted() -> Option<Vec<u64>> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("REDISNODE_SOAK_SEED").unwrap_or(0);
    number("REDISNODE_SOAK").map(|rounds| (first..first + rounds).collect())
}

/// What a round runs in. The cluster goes before its disks.
struct Bed {
    cluster: LocalCluster,
    disks: Option<Disks>,
}

impl Bed {
    /// The cluster of the round before if it fits, or a new one; `None` if there cannot be one here.
    fn fit(last: Option<Self>, server: &Server, plan: &Plan) -> Option<Self> {
        if let Some(last) =
            last.filter(|bed| bed.cluster.spec.primaries == plan.from && bed.disks.is_some() == plan.own_disks)
        {
            return Some(last);
        }
        let spec = Spec { lines: vec![SLOWLY.to_owned()], ..Spec::of(plan.from, 1) };
        let spec = if plan.own_disks { spec.stored() } else { spec };
        let mut cluster = LocalCluster::unstarted(server, spec);
        cluster.start_coordinator();
        cluster.wait_healthy_line(SETTLED);
        cluster.wait_settled(SETTLED);
        let disks = match plan.own_disks.then(|| own_disks(&mut cluster)).transpose() {
            Ok(disks) => disks,
            Err(why) => {
                skip("soak: a full disk", &why);
                return None;
            }
        };
        Some(Self { cluster, disks })
    }

    /// Empties the servers and writes the keys that are written once. Says their names.
    fn fill(&self) -> Vec<String> {
        for owner in self.cluster.wait_settled(SETTLED).owners() {
            view::call(owner.port, &["FLUSHALL"]).unwrap();
        }
        let tags = tags(SLOTS);
        let names: Vec<String> = (0..ONCE).map(|n| format!("{}once:{n}", tags[n % tags.len()])).collect();
        fill_keys(&self.cluster, &names, BYTES);
        wait_in_sync(&self.cluster);
        names
    }
}

/// Gives each node a disk of its own, while nothing runs. An empty server could not say that it has lost nothing.
fn own_disks(cluster: &mut LocalCluster) -> Result<Disks, String> {
    put(&cluster.ports(), "before-", 100);
    cluster.stop(Signal::SIGTERM);
    let folders = cluster.members().into_iter().map(|member| member.folder).collect();
    let disks = Disks::on(folders, &cluster.folder().join("disks"))?;
    cluster.start_coordinator();
    cluster.wait_healthy_line(SETTLED);
    Ok(disks)
}

/// One round. Panics with what is wrong.
fn run(mut bed: Bed, plan: &Plan) -> (Bed, String) {
    let once = bed.fill();
    let options = Options { keys: 4_400, slots: SLOTS, seed: plan.seed, ..Options::default() };
    let mut load = load(&bed.cluster, options);
    let before = bed.cluster.wait_agreed();
    bed.cluster.edit(|spec| spec.primaries = plan.to);
    let begun = begun(&bed.cluster);
    // The moment of the trouble, not a wait for a state.
    std::thread::sleep(plan.after);
    let struck = strike(&mut bed.cluster, plan);
    let after = poll(STEP, || bed.cluster.settled()).unwrap_or_else(|why| {
        let rebalancing = bed.cluster.condition("Rebalancing");
        panic!("{plan}: {}: not as its file says after {STEP:?}: {why}; the status says {rebalancing:?}", struck.what)
    });
    let took = begun.elapsed();
    wait_processes(&bed.cluster, SETTLED);

    let stats = load.stop();
    let audit = load.audit(&bed.cluster.ports());
    assert!(audit.unread.is_empty(), "{plan}: {}: {audit}", struck.what);
    let there = replicas::wait_same(&bed.cluster.ports());
    let moved = moved(&before, &after);
    let mut gone = findings(&audit, |key| load.slot(key));
    let missing = once.iter().filter(|name| there.binary_search_by(|key| key.as_slice().cmp(name.as_bytes())).is_err());
    gone.extend(missing.map(|name| Gone { finding: None, slot: view::slot_of(name.as_bytes()) }));
    let verdict = judge(plan.trouble, &struck, &moved, gone);
    let few = &verdict.wrong[..verdict.wrong.len().min(10)];
    assert!(
        verdict.wrong.is_empty(),
        "{plan}: {}: {} wrong: {few:?}\n{audit}\n{stats}",
        struck.what,
        verdict.wrong.len()
    );
    let outcome = format!(
        "{}; {} slots moved in {took:.1?}; {} writes acknowledged, {} stuck in the client, errors {:?}, lost and excused: {}; ok",
        struck.what,
        moved.len(),
        stats.acknowledged,
        stats.stuck,
        stats.errors,
        verdict.excused,
    );
    (bed, outcome)
}

/// Waits until a slot is on its way.
fn begun(cluster: &LocalCluster) -> Instant {
    let all: Vec<u16> = (cluster.first_port()..cluster.first_port() + 8).collect();
    wait_until(SETTLED, "slots are on their way", || {
        let moving = all.iter().any(|port| is_moving(*port, Side::Source));
        redisnode_tests::wait::check(moving, || "none is".to_owned())
    });
    Instant::now()
}
