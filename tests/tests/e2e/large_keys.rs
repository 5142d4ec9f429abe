//! A key that would hold up its servers for so long that the others took it for a death: its slot stays, all others move, and
//! the status says which key it is and what to do. Done what is said, it moves as well.

use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;
use redisnode_tests::view::{self, SLOTS, key_in};
use redisnode_tests::wait::{check, wait_until};

use crate::run::cases;

cases! {
    a_key_that_is_too_large_stays_with_its_slot_and_the_others_move alone: "system", "valkey-8.1";
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
