//! Shares that are even by bytes or by operations: slots move when they have grown apart, and once they are even nothing moves
//! any more. Where servers cannot be weighed so, that is said and shares are even by the number of slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::view::{self, View, key_in};
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::watch::SlotWatch;
use redisnode_tests::workload::{Options, Workload};

use crate::run::{cases, fill_keys, load, put, wait_in_sync};

cases! {
    a_few_large_slots_are_evened: "system", "valkey-9.1";
    a_few_busy_slots_are_evened alone: "valkey-8.1", "redis-8.6";
    operations_that_nobody_counts_are_said_and_shares_are_even_by_number: "system";
}

const STEP: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);
/// For so long nothing moves: an agent weighs all slots in less.
const STILL: Duration = Duration::from_secs(8);
/// All in the share that the first of three primaries begins with.
const HEAVY: [u16; 9] = [100, 200, 300, 400, 500, 600, 700, 800, 900];
/// Keys of each heavy slot, and their bytes.
const KEYS: usize = 40;
const VALUE: usize = 100_000;
/// Elements of each list whose end is looked for: that takes a server a good part of a millisecond.
const ELEMENTS: usize = 40_000;
/// How long clients rest when they have looked through every list: servers are to be busy, not the machine.
const BETWEEN: Duration = Duration::from_millis(20);

fn a_few_large_slots_are_evened(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let load = load(&cluster, Options::default());
    let names: Vec<String> = HEAVY.iter().flat_map(|slot| in_slot(*slot, KEYS)).collect();
    fill_keys(&cluster, &names, VALUE);
    wait_in_sync(&cluster);
    evened(&mut cluster, "Bytes", load);
    let view = cluster.wait_agreed();
    let owners = view.owner_of_slots();
    for name in &names {
        let owner = owners[usize::from(view::slot_of(name.as_bytes()))].expect("every slot has an owner");
        let length = view::text(view.nodes[owner].port, &["STRLEN", name]).unwrap();
        assert_eq!(length, VALUE.to_string(), "{name}");
    }
}

fn a_few_busy_slots_are_evened(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    if !servers::has_command(cluster.first_port(), "cluster|slot-stats") {
        return;
    }
    let load = load(&cluster, Options::default());
    let lists: Vec<String> = HEAVY.iter().flat_map(|slot| in_slot(*slot, 1)).collect();
    let elements: Vec<String> = (0..ELEMENTS).map(|number| number.to_string()).collect();
    for list in &lists {
        for part in elements.chunks(5000) {
            let command: Vec<&str> = ["RPUSH", list].into_iter().chain(part.iter().map(String::as_str)).collect();
            view::call(cluster.first_port(), &command).unwrap();
        }
    }
    let seekers = Seekers::start(cluster.ports(), lists);
    evened(&mut cluster, "Operations", load);
    seekers.stop();
}

fn operations_that_nobody_counts_are_said_and_shares_are_even_by_number(server: &Server) {
    let lines = vec!["balance: Operations".to_owned()];
    let mut cluster = LocalCluster::start(server, Spec { lines, ..Spec::of(3, 1) });
    if servers::has_command(cluster.first_port(), "cluster|slot-stats") {
        return;
    }
    let mut load = load(&cluster, Options::default());
    let said = wait_until(SOON, "the status says that it cannot be done", || {
        let (truth, reason, message) = cluster.condition("Rebalancing").ok_or("there is no such condition")?;
        check(truth == "False" && reason == "CannotBeWeighed", || format!("{reason}: {message}")).map(|()| message)
    });
    assert!(said.contains("shares are even by the number of slots, not by balance: Operations"), "{said}");
    assert!(said.contains("as Valkey 8.0 and Redis 8.2 do"), "{said}");
    cluster.edit(|spec| spec.primaries = 4);
    cluster.wait_settled(STEP);
    load.stop().assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
}

/// Has shares be even by `by`: the heavy slots come to be shared out, each slot moves once at most, and then all stays.
fn evened(cluster: &mut LocalCluster, by: &str, mut load: Workload) {
    let kept = put(&cluster.ports(), "kept-", 500);
    let slots = SlotWatch::start(cluster.ports());
    cluster.edit(|spec| spec.lines = vec![format!("balance: {by}")]);
    wait_until(STEP, "every primary has three of the heavy slots", || {
        let view = cluster.agreed()?;
        let found = heavy(&view);
        check(found == [3, 3, 3], || format!("{found:?}: {:?}", cluster.condition("Rebalancing")))
    });
    wait_until(SOON, "the status says that nothing moves", || {
        let (truth, reason, message) = cluster.condition("Ready").ok_or("there is no such condition")?;
        check(truth == "True", || format!("{reason}: {message}"))
    });
    let (moved, most) = slots.stop();
    assert!(moved >= 6 && most == 1, "{moved} slots moved, one of them {most} times");
    let slots = SlotWatch::start(cluster.ports());
    std::thread::sleep(STILL);
    assert_eq!(slots.stop().0, 0, "slots move although shares are even");
    let stats = load.stop();
    println!("{moved} slots moved; {stats}");
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    assert_eq!(crate::run::missing(&cluster.ports(), &kept), [""; 0]);
    replicas::wait_same(&cluster.ports());
    cluster.verify().unwrap();
}

/// How many of the heavy slots each owner has.
fn heavy(view: &View) -> Vec<usize> {
    view.owners().iter().map(|owner| HEAVY.iter().filter(|slot| owner.slots.contains(slot)).count()).collect()
}

/// So many names of keys in a slot.
fn in_slot(slot: u16, count: usize) -> Vec<String> {
    let tag = key_in("heavy-", &[slot]);
    (0..count).map(|number| format!("{{{tag}}}:{number}")).collect()
}

/// Clients that look for what is not there, at the owners of the lists, one list after the other.
struct Seekers {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Seekers {
    fn start(ports: Vec<u16>, lists: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let Some(view) = ports.iter().find_map(|port| view::view(*port).ok()) else { continue };
                let owners = view.owner_of_slots();
                for list in &lists {
                    let Some(owner) = owners[usize::from(view::slot_of(list.as_bytes()))] else { continue };
                    // A list that has just moved is looked for at its new owner the next time.
                    view::call(view.nodes[owner].port, &["LPOS", list, "none"]).ok();
                }
                std::thread::sleep(BETWEEN);
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the clients do not panic");
    }
}
