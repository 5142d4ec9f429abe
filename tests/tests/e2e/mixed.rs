//! Servers of two versions in one cluster, as while it is upgraded: slots go from older servers to newer ones with all that
//! they hold; the other way they wait, the status says for what, and they go as soon as it is there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::replicas;
use redisnode_tests::servers::{self, Server};
use redisnode_tests::skip::skip;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::watch::SlotWatch;
use redisnode_tests::workload::Options;

use crate::run::{cases, fill, load};

cases! {
    slots_go_to_newer_servers_and_wait_while_it_would_be_to_older_ones alone: "system", "valkey-8.1";
    a_source_that_became_newer_on_the_way_waits_for_its_target alone: "system", "valkey-8.1";
}

const STEP: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(15);
/// For so long nothing moves.
const STILL: Duration = Duration::from_secs(3);
/// What belongs to every primary, not to slots.
const FUNCTION: &str = "#!lua name=mixed\nredis.register_function('mixed', function() return 'here' end)";
/// Its speed is that of the bound alone, whatever else the machine does.
const SLOWLY: &str = "migration: {maxBytesPerSecond: 400Ki}";
const KEYS: usize = 20_000;
const VALUE: usize = 1_000;

fn slots_go_to_newer_servers_and_wait_while_it_would_be_to_older_ones(server: &Server) {
    let Some(newer) = newer(server) else { return };
    let (mut cluster, program) = start(server, Spec::of(3, 1));
    for owner in cluster.wait_agreed().owners() {
        view::text(owner.port, &["FUNCTION", "LOAD", FUNCTION]).unwrap();
    }
    let mut load = load(&cluster, Options { keys: 11_000, ..Options::default() });

    program.exchange(&newer);
    cluster.edit(|spec| spec.primaries = 4);
    let view = cluster.wait_settled(STEP);
    let (fourth, newest) = (cluster.first_port() + 6, number(&newer));
    assert!(view.on_port(fourth).is_some_and(|node| node.slots.len() == view::SLOTS / 4), "{view:?}");
    for port in cluster.ports() {
        let wanted = if port < fourth { number(server) } else { newest.clone() };
        assert_eq!(version(port).unwrap(), wanted, "the server on {port}");
    }
    for owner in view.owners() {
        assert_eq!(view::text(owner.port, &["FCALL", "mixed", "0"]).unwrap(), "here", "on {}", owner.port);
    }
    load.window().assert_no_errors();

    let slots = SlotWatch::start(cluster.ports());
    cluster.edit(|spec| spec.primaries = 3);
    let said = waits_for_newer(&cluster, "an older or other server cannot read them");
    for word in [number(server), newest.clone(), "there stay 4 shards, though 3 are wanted".to_owned()] {
        assert!(said.contains(&word), "{said}");
    }
    let last = upgrade_all_but_one(&cluster, &newest);
    let said = waits_for_newer(&cluster, &format!("while {} in it runs", last.name));
    assert!(said.contains(&format!("bring {} to the version of", last.name)), "{said}");
    std::thread::sleep(STILL);
    let (moved, _) = slots.stop();
    assert_eq!((moved, cluster.ports().len()), (0, 8), "nothing of it has begun");

    upgrade(&cluster, &last, &newest);
    let view = cluster.wait_settled(STEP);
    assert_eq!(view.owners().len(), 3);
    println!("{}", load.stop());
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
    cluster.verify().unwrap();
}

/// As a pod does that is evicted while its image has been changed.
fn a_source_that_became_newer_on_the_way_waits_for_its_target(server: &Server) {
    let Some(newer) = newer(server) else { return };
    let spec = Spec { lines: vec![SLOWLY.to_owned()], ..Spec::of(3, 0).stored() };
    let (mut cluster, program) = start(server, spec);
    fill(&cluster, KEYS, VALUE);
    let mut load = load(&cluster, Options::default());
    load.stop();
    cluster.edit(|spec| spec.primaries = 4);
    let (first, fourth) = (cluster.first_port(), cluster.first_port() + 3);
    wait_until(STEP, "slots move", || check(slots_of(fourth)? > 0, || "none yet".to_owned()));

    program.exchange(&newer);
    let newest = number(&newer);
    restart(&cluster, &cluster.member_on(first), &newest);
    // The first is said where a slot is half gone, the second where none is.
    let what_to_do = ["update the target first", "the slots wait until the target's server is as new"];
    let said = wait_until(STEP, "it is said why they wait", || {
        let (_, _, message) = cluster.condition("Degraded").ok_or("no such condition")?;
        let is_said = message.contains("cannot read") && what_to_do.iter().any(|words| message.contains(words));
        check(is_said, || message.clone()).map(|()| message)
    });
    println!("{said}");
    let kept = slots_of(first).unwrap();
    assert!(kept > view::SLOTS / 4, "it was upgraded in the middle");
    std::thread::sleep(STILL);
    assert_eq!(slots_of(first).unwrap(), kept, "nothing goes to the older server");

    restart(&cluster, &cluster.member_on(fourth), &newest);
    let view = cluster.wait_settled(STEP);
    assert_eq!(view.owners().len(), 4);
    load.audit(&cluster.ports()).assert_clean();
    let keys = replicas::wait_same(&cluster.ports());
    let bulk = keys.iter().filter(|key| key.starts_with(b"bulk:")).count();
    assert_eq!(bulk, KEYS, "no key is lost");
    cluster.verify().unwrap();
}

/// What the servers of a family are upgraded to, if there is such a one.
fn newer(server: &Server) -> Option<Server> {
    let family = match server.family.as_str() {
        "system" | "redis-7.0" | "redis-8.0" => "redis-8.6",
        "valkey-8.1" => "valkey-9.1",
        // The newest there is.
        _ => return None,
    };
    let found = servers::family(family);
    if found.is_none() {
        skip("servers of two versions", &format!("{family} is not here (`make servers`)"));
    }
    found
}

/// The program that servers are started from: a link, which an upgrade leads elsewhere. Those that run are not disturbed.
struct Program(PathBuf);

impl Program {
    fn exchange(&self, server: &Server) {
        let new = self.0.with_extension("new");
        symlink(&server.server, &new).and_then(|()| fs::rename(&new, &self.0)).expect("a link can be made");
    }
}

/// A settled cluster whose program can be exchanged.
fn start(server: &Server, spec: Spec) -> (LocalCluster, Program) {
    let mut cluster = LocalCluster::unstarted(server, spec);
    let folder = cluster.folder().join("program");
    fs::create_dir(&folder).expect("a folder can be made");
    // The name of a link decides what Debian's servers do.
    let program = Program(folder.join(server.server.file_name().expect("a program has a name")));
    program.exchange(server);
    cluster.server.server.clone_from(&program.0);
    cluster.start_coordinator();
    cluster.wait_healthy_line(STEP);
    cluster.wait_settled(STEP);
    (cluster, program)
}

/// Brings all servers to the newer version, replicas first, but for the last primary, which only hands off and stays as the
/// replica of a newer one.
fn upgrade_all_but_one(cluster: &LocalCluster, newest: &str) -> Member {
    let view = cluster.wait_agreed();
    let old = |port: u16| version(port).unwrap() != newest;
    let owners: Vec<_> = view.owners().into_iter().filter(|owner| old(owner.port)).collect();
    for replica in owners.iter().flat_map(|owner| view.replicas_of(&owner.id)) {
        upgrade(cluster, &cluster.member_on(replica.port), newest);
    }
    let (last, others) = owners.split_last().expect("some are old");
    for owner in others {
        upgrade(cluster, &cluster.member_on(owner.port), newest);
    }
    let last = cluster.member_on(last.port);
    let told = cluster.cli(&["handoff", &last.name]);
    wait_until(STEP, "it hands off", || {
        let node = cluster.agreed()?.on_port(last.port).map(|node| node.is_primary);
        check(node == Some(false), || format!("{node:?}: {told:?}"))
    });
    last
}

/// Restarts a server that has or is a replica, and waits until all is in sync.
fn upgrade(cluster: &LocalCluster, member: &Member, newest: &str) {
    restart(cluster, member, newest);
    wait_until(STEP, "all agree again", || cluster.agreed());
}

/// Has a node restart in order, as a pod that is replaced: its server is started from what the program is now.
fn restart(cluster: &LocalCluster, member: &Member, newest: &str) {
    cluster.kill(member, &[Which::Launcher], Signal::SIGTERM);
    wait_until(STEP, "it runs the newer version", || {
        let found = version(member.port)?;
        check(found == newest, || format!("{} runs {found}", member.name))
    });
}

/// Waits until moves wait for a newer server, and the sentence has these words.
fn waits_for_newer(cluster: &LocalCluster, words: &str) -> String {
    let mut said = String::new();
    for kind in ["Scaling", "Rebalancing"] {
        said = wait_until(SOON, "the status says that slots wait for a newer server", || {
            let (truth, reason, message) = cluster.condition(kind).ok_or("there is no such condition")?;
            let waits = truth == "True" && reason == "OlderServer" && message.contains(words);
            check(waits, || format!("{reason}: {message}")).map(|()| message)
        });
        println!("{kind}: {said}");
    }
    said
}

/// The number of a running server's version.
fn version(port: u16) -> Result<String, String> {
    let info = view::info(port)?;
    let found = info.get("valkey_version").or(info.get("redis_version")).cloned();
    found.ok_or_else(|| format!("{port} has no version"))
}

/// The number of a program's version.
fn number(server: &Server) -> String {
    server.version.split_whitespace().last().unwrap_or_default().to_owned()
}

/// How many slots the server on a port owns, by its own word.
fn slots_of(port: u16) -> Result<usize, String> {
    let view = view::view(port)?;
    view.on_port(port).map(|node| node.slots.len()).ok_or_else(|| format!("{port} is not in its own table"))
}
