//! The accounting client accounts for itself: on plain servers it finds nothing wrong in a normal run, and finds what was
//! altered on purpose. Without this, "no acknowledged write lost" would be worth nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use redisnode_tests::gap::GapProbe;
use redisnode_tests::raw::RawServers;
use redisnode_tests::view::{self, slot_of};
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Audit, Fault, Kind, Options, Workload, key_name};
use redisnode_tests::{servers, turn::Turn};

const OPTIONS: fn() -> Options =
    || Options { keys: 1_100, big_value: true, big_hash_fields: 5_000, ..Options::default() };

fn cluster() -> RawServers {
    let servers = RawServers::start(&servers::system(), 3, 5_000);
    servers.create(0);
    servers
}

fn write_for_a_while(ports: &[u16], writes: u64) -> Workload {
    let load = Workload::start(ports, OPTIONS());
    wait_until(Duration::from_secs(30), "writes are acknowledged", || {
        check(load.acknowledged() >= writes, || format!("{} so far", load.acknowledged()))
    });
    load
}

/// Does one thing to a key behind the client's back.
fn alter(ports: &[u16], key: &[u8], command: &[&str]) {
    let key = std::str::from_utf8(key).unwrap();
    let slot = slot_of(key.as_bytes());
    let view = view::view(ports[0]).unwrap();
    let owner = view.owners().into_iter().find(|node| node.slots.contains(&slot)).unwrap().port;
    let mut args = vec![command[0], key];
    args.extend(&command[1..]);
    view::call(owner, &args).unwrap();
}

fn first_of(kind: Kind, but: u32) -> Vec<u8> {
    let id = (but..1_100).find(|id| Kind::of(*id) == kind).unwrap();
    key_name(id, kind)
}

fn faults_of(audit: &Audit, kind: Kind) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        audit.findings.iter().filter(|found| found.kind == kind).map(|found| found.fault).collect();
    faults.sort();
    faults
}

#[test]
fn a_normal_run_is_clean() {
    let _turn = Turn::take();
    let cluster = cluster();
    let mut load = write_for_a_while(&cluster.ports, 4_000);
    let stats = load.stop();
    stats.assert_no_errors();
    assert!(
        stats.gaps().len() == 3 && stats.gaps().iter().all(|gap| *gap < Duration::from_secs(2)),
        "{:?}",
        stats.gaps()
    );
    let audit = load.audit(&cluster.ports);
    audit.assert_clean();
    assert_eq!(audit.keys, 1_102);
}

#[test]
fn what_is_altered_is_found() {
    let _turn = Turn::take();
    let cluster = cluster();
    let mut load = write_for_a_while(&cluster.ports, 3_000);
    let before = Instant::now();
    load.stop();
    let ports = &cluster.ports;
    alter(ports, &first_of(Kind::Hash, 0), &["DEL"]);
    alter(ports, &first_of(Kind::Text, 0), &["SET", "nonsense"]);
    for at_least in (0..300).step_by(11) {
        alter(ports, &first_of(Kind::LongTtl, at_least), &["PERSIST"]);
    }
    alter(ports, &first_of(Kind::List, 0), &["LPOP"]);
    alter(ports, &first_of(Kind::List, 20), &["RPUSH", "foreign"]);
    alter(ports, &first_of(Kind::Counter, 0), &["DECR"]);
    alter(ports, &first_of(Kind::Counter, 20), &["INCR"]);
    alter(ports, &first_of(Kind::Stream, 0), &["DEL"]);
    alter(ports, &key_name(1_101, Kind::BigHash), &["HDEL", "4999"]);
    alter(ports, &key_name(1_100, Kind::BigValue), &["SETRANGE", "4000000", "x"]);
    let audit = load.audit(ports);
    for (kind, faults) in [
        (Kind::Text, vec![Fault::NeverWritten]),
        (Kind::List, vec![Fault::Lost, Fault::NeverWritten]),
        (Kind::Counter, vec![Fault::Lost, Fault::Doubled]),
        (Kind::BigHash, vec![Fault::Lost]),
        (Kind::BigValue, vec![Fault::NeverWritten]),
    ] {
        assert_eq!(faults_of(&audit, kind), faults, "{kind:?}: {audit}");
    }
    assert!(faults_of(&audit, Kind::LongTtl).contains(&Fault::Ttl), "{audit}");
    assert!(faults_of(&audit, Kind::Hash).contains(&Fault::Lost), "{audit}");
    assert!(faults_of(&audit, Kind::Stream).contains(&Fault::Lost), "its entries are gone, and its group: {audit}");
    assert!(audit.unread.is_empty(), "{audit}");
    assert!(std::panic::catch_unwind(|| audit.assert_clean()).is_err());
    assert!(std::panic::catch_unwind(|| audit.assert_kept_but(|at| at > before)).is_err());
}

#[test]
fn a_pause_is_a_gap_and_a_death_is_errors() {
    let _turn = Turn::take();
    let cluster = cluster();
    let view = view::view(cluster.ports[0]).unwrap();
    let mut load = Workload::start(&cluster.ports, Options { rate: 500, ..OPTIONS() });
    let probe = GapProbe::start(&view);
    wait_until(Duration::from_secs(10), "the probe writes", || {
        check(probe.acknowledged(cluster.ports[0]) > 100, || "no".to_owned())
    });
    view::call(cluster.ports[0], &["CLIENT", "PAUSE", "300", "WRITE"]).unwrap();
    let before = probe.acknowledged(cluster.ports[0]);
    wait_until(Duration::from_secs(10), "the pause ends", || {
        check(probe.acknowledged(cluster.ports[0]) > before + 50, || "paused".to_owned())
    });
    let gaps = probe.stop();
    let paused = gaps.iter().find(|gap| gap.port == cluster.ports[0]).unwrap();
    assert!(paused.longest >= Duration::from_millis(250) && paused.longest < Duration::from_secs(3), "{gaps:?}");
    redisnode_tests::procs::signal(cluster.pid(cluster.ports[2]), nix::sys::signal::Signal::SIGKILL);
    wait_until(Duration::from_secs(20), "errors reach the caller", || check(load.errors() > 20, || load.so_far()));
    let stats = load.stop();
    assert!(stats.latency(1.0) >= Duration::from_millis(250), "{stats}");
}

/// Redirects of a move are no errors, and a move that loses nothing is not accused of it.
#[test]
fn a_move_of_slots_is_clean() {
    let _turn = Turn::take();
    let cluster = cluster();
    let mut load = write_for_a_while(&cluster.ports, 2_000);
    let ids: Vec<String> = cluster.ports.iter().map(|port| view::view(*port).unwrap().myself).collect();
    let entry = format!("127.0.0.1:{}", cluster.ports[0]);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let between =
            ["--cluster-from", &ids[from], "--cluster-to", &ids[to], "--cluster-slots", "1500", "--cluster-yes"];
        let args: Vec<String> =
            ["--cluster", "reshard", &entry].iter().chain(&between).map(ToString::to_string).collect();
        cluster.cli(&args);
    }
    let stats = load.stop();
    stats.assert_no_errors();
    load.audit(&cluster.ports).assert_clean();
}
