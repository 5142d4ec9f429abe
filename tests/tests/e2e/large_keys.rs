//! A key that would hold up its servers for so long that the others took it for a death: its slot stays, all others move, and
//! the status says which key it is and what to do. Done what is said, it moves as well. So does one that looked smaller than it
//! is, or whose target is slow: clients do not wait for it all the while.

use std::time::{Duration, Instant};

use redisnode_proto::spec::MIGRATION;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::moving::{Side, is_moving};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::view::{self, SLOTS, key_in};
use redisnode_tests::wait::{check, wait_until};

use crate::run::{cases, failed_tries, fill, wait_in_sync};

cases! {
    a_key_that_is_too_large_stays_with_its_slot_and_the_others_move alone: "system", "valkey-8.1";
    a_key_that_does_not_arrive_is_tried_ever_less_often alone: "system";
    a_source_that_is_held_up_for_a_moment_goes_on_where_it_was alone: ;
}

const STEP: Duration = Duration::from_mins(1);
/// Of the slots that a fourth primary gets from the first one.
const SLOT: u16 = 5000;
/// More than moves in half of a node time-out of 3 s, and less than in half of 6 s.
const BYTES: usize = 90_000_000;

fn a_key_that_is_too_large_stays_with_its_slot_and_the_others_move(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec { node_timeout: 3, ..Spec::of(3, 1) });
    let (first, fourth) = (cluster.first_port(), cluster.first_port() + 6);
    let (large, beside) = (key_in("large:", &[SLOT]), key_in("beside:", &[SLOT]));
    view::call(first, &["SETRANGE", &large, &(BYTES - 1).to_string(), "x"]).unwrap();
    view::call(first, &["SET", &beside, "y"]).unwrap();
    let others: Vec<String> = (4_096..5_462).step_by(100).map(|slot| key_in("other:", &[slot])).collect();
    for key in &others {
        view::call(first, &["SET", key, "z"]).unwrap();
    }

    cluster.edit(|spec| spec.primaries = 4);
    let kept = wait_until(STEP, "all slots but one have moved", || {
        let view = view::view(fourth)?;
        let own = view.on_port(fourth).ok_or("it does not know itself")?;
        check(own.slots.len() == SLOTS / 4 - 1, || format!("it has {}", own.slots.len()))?;
        Ok(!own.slots.contains(&SLOT))
    });
    assert!(kept, "it is slot {SLOT} that stays");
    let shown = wait_until(STEP, "it is said why", || {
        let shown = cluster.cli(&["migration"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        check(shown.contains("or set spec.nodeTimeout to "), || shown.clone()).map(|()| shown)
    });
    println!("{shown}");
    let key = format!("slot {SLOT} stays where it is: its key \"{large}\" has ");
    assert!(shown.contains(&key) && shown.contains("more than half of the node time-out (3.0 s)"), "{shown}");
    // Nothing of the slot has gone, and it is not half open.
    let view = cluster.wait_agreed();
    let owner = view.owner_of_slots()[usize::from(SLOT)].expect("the slot has an owner");
    assert_eq!(view.nodes[owner].port, first, "no failover");
    assert_eq!(view::text(first, &["STRLEN", &large]).unwrap(), BYTES.to_string());
    assert_eq!(view::text(first, &["GET", &beside]).unwrap(), "y");

    cluster.edit(|spec| spec.node_timeout = 6);
    let view = cluster.wait_settled(STEP);
    let owner = view.owner_of_slots()[usize::from(SLOT)].expect("the slot has an owner");
    assert_eq!(view.nodes[owner].port, fourth);
    assert_eq!(view::text(fourth, &["STRLEN", &large]).unwrap(), BYTES.to_string());
    assert_eq!(view::text(fourth, &["GET", &beside]).unwrap(), "y");
    for key in &others {
        assert_eq!(view::text(fourth, &["GET", key]).unwrap(), "z");
    }
    let on_first = |port| view.nodes.iter().any(|node| node.port == port && node.is_primary);
    assert!((first..first + 3).all(on_first), "no primary was taken for dead: {view:?}");
}

/// A whole command for itself, and no more than moves at once.
const ALONE: usize = 100_000;
/// Longer than this test takes.
const HELD: &str = "120000";
/// The shortest wait between two jobs that held clients up for nothing is 5 s; as seen from outside.
const APART: Duration = Duration::from_secs(4);

fn a_key_that_does_not_arrive_is_tried_ever_less_often(server: &Server) {
    let annotations = vec![(MIGRATION.to_owned(), "paused".to_owned())];
    let mut cluster = LocalCluster::start(server, Spec { node_timeout: 3, annotations, ..Spec::of(3, 0) });
    let (first, fourth) = (cluster.first_port(), cluster.first_port() + 3);
    let key = key_in("slow:", &[SLOT]);
    view::call(first, &["SETRANGE", &key, &(ALONE - 1).to_string(), "x"]).unwrap();
    cluster.edit(|spec| spec.primaries = 4);
    wait_until(STEP, "the fourth has joined", || {
        let view = cluster.agreed()?;
        check(view.nodes.len() == 4, || format!("{} nodes", view.nodes.len()))
    });

    view::call(fourth, &["CLIENT", "PAUSE", HELD, "WRITE"]).unwrap();
    cluster.edit(|spec| spec.annotations.clear());
    let tries = |wanted: u32| wait_until(STEP, "it is tried", || at_least(first, wanted).map(|()| Instant::now()));
    let given_up = tries(2);
    let apart = tries(3) - given_up;
    assert!(apart > APART, "it is tried again after {apart:?}");
    let shown = wait_until(STEP, "it is said why", || {
        let shown = cluster.cli(&["migration"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        check(shown.contains("did not arrive within 1.5 s"), || shown.clone()).map(|()| shown)
    });
    assert!(shown.contains(&format!("slot {SLOT} stays open: its key \"{key}\"")), "{shown}");
    assert_eq!(view::text(first, &["STRLEN", &key]).unwrap(), ALONE.to_string(), "clients have it all the while");

    view::call(fourth, &["CLIENT", "UNPAUSE"]).unwrap();
    cluster.edit(|spec| spec.node_timeout = 6);
    cluster.wait_settled(APART);
    assert_eq!(view::text(fourth, &["STRLEN", &key]).unwrap(), ALONE.to_string());
}

/// Whether a server has run so many `MIGRATE`s.
fn at_least(port: u16, tries: u32) -> Result<(), String> {
    let stats = view::text(port, &["INFO", "commandstats"])?;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_migrate:calls=")).unwrap_or("0,");
    let calls = line.split(',').next().and_then(|calls| calls.parse().ok()).unwrap_or(0);
    check(calls >= tries, || format!("{calls} times"))
}

/// As long as a large key may hold a server up, and longer than its agent waits for one answer.
const HELD_UP: &str = "4000";
/// What moves for some seconds at this speed.
const KEYS: usize = 20_000;
const VALUE: usize = 1_000;
const SLOWLY: &str = "migration: {maxBytesPerSecond: 1Mi}";

/// It does nothing for anybody, as while a large key moves. Where the marks of open slots do not survive a failover, no slot is
/// opened before the replicas' agents know of it, and who they are is asked of this server.
fn a_source_that_is_held_up_for_a_moment_goes_on_where_it_was(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec { lines: vec![SLOWLY.to_owned()], ..Spec::of(3, 1) });
    let source = cluster.first_port();
    if ["cluster|migration", "cluster|migrateslots"].iter().any(|name| servers::has_command(source, name)) {
        // A pause ends such moves.
        return;
    }
    fill(&cluster, KEYS, VALUE);
    wait_in_sync(&cluster);
    cluster.edit(|spec| spec.primaries = 4);
    wait_until(STEP, "slots are on their way", || check(is_moving(source, Side::Source), || "none is".to_owned()));
    view::call(source, &["CLIENT", "PAUSE", HELD_UP, "ALL"]).unwrap();
    cluster.wait_settled(STEP);
    assert_eq!(failed_tries(&cluster), Vec::<String>::new());
    assert_eq!(replicas::wait_same(&cluster.ports()).len(), KEYS, "no key is lost");
}
