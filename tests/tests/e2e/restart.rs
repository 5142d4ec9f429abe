//! The product's own processes die. The data path must not notice, and the next ones go on.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Spec, Which};
use redisnode_tests::gap::GapProbe;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;
use redisnode_tests::{procs, view};

use crate::run::{cases, load, missing, put, wait_in_sync, wait_replica};

cases! {
    of_an_agent_the_server_does_not_notice: "system", "valkey-9.1";
    of_a_replicas_agent_while_its_primarys_is_silent: "system", "valkey-8.1";
    of_the_coordinator_in_a_scale_out: "system", "redis-8.6";
    of_everything_with_storage: "system", "valkey-9.1";
    of_everything_without_storage: "system";
    of_a_former_replica_on_its_old_data: "system", "redis-8.6", "valkey-9.1";
}

fn of_an_agent_the_server_does_not_notice(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options::default());
    let member = cluster.a_primary();
    let before = cluster.pid(&member, Which::Server).expect("the server lives");
    let killed = cluster.kill(&member, &[Which::Agent], Signal::SIGKILL)[0];
    wait_until(Duration::from_secs(15), "another agent comes", || {
        let agent = cluster.pid(&member, Which::Agent).ok_or("none")?;
        check(agent != killed, || "the old one".to_owned())
    });
    wait_until(Duration::from_secs(15), "the cluster is as before", || cluster.settled());
    assert_eq!(cluster.pid(&member, Which::Server), Some(before), "the same server runs on");
    load.stop().assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();

    let probe = GapProbe::start(&cluster.wait_settled(Duration::from_secs(15)));
    let writes = |more| {
        let so_far = probe.acknowledged(member.port);
        wait_until(Duration::from_secs(30), "writes", || {
            check(probe.acknowledged(member.port) >= so_far + more, String::new)
        });
    };
    writes(200);
    cluster.kill(&member, &[Which::Server], Signal::SIGKILL);
    writes(200);
    let gap = probe.stop().into_iter().find(|gap| gap.port == member.port).unwrap();
    assert!(gap.longest < Duration::from_secs(1), "the new agent has its certificate duties: {gap:?}");
    wait_replica(&cluster, &member, Duration::from_secs(30));
}

/// A new agent finds a linked replica. Whether it has what was written while it synced only its primary can tell.
fn of_a_replicas_agent_while_its_primarys_is_silent(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let primary = cluster.a_primary();
    let view = cluster.wait_agreed();
    let id = &view.on_port(primary.port).expect("it is there").id;
    let replica = cluster.member_on(view.replicas_of(id).first().expect("it has a replica").port);
    let silent = cluster.kill(&primary, &[Which::Agent], Signal::SIGSTOP)[0];
    cluster.kill(&replica, &[Which::Agent], Signal::SIGKILL);
    wait_until(Duration::from_secs(15), "the replica does not count as in sync", || {
        let status = cluster.status()?;
        let nodes = status["status"]["nodes"].as_array().ok_or("the status has no nodes")?;
        let node = nodes.iter().find(|node| node["name"] == *replica.name).ok_or("it is not there")?;
        check(node["state"] == "Syncing" && node["ready"] == false, || format!("{node}"))
    });
    procs::signal(silent, Signal::SIGCONT);
    cluster.wait_settled(Duration::from_secs(15));
    let linked = view::info(replica.port).map(|info| info.get("master_link_status").cloned());
    assert_eq!(linked, Ok(Some("up".to_owned())), "its server noticed nothing of it");
}

/// The term of the Layout in force, as the status shows it.
fn term(cluster: &LocalCluster) -> Result<u64, String> {
    let status = cluster.status()?;
    let generation = &status["status"]["layoutGeneration"];
    let text = generation.as_str().and_then(|text| text.split(['.', '-', '/', ':']).next()?.parse().ok());
    generation["term"].as_u64().or(text).ok_or_else(|| format!("no term in {generation}"))
}

fn of_the_coordinator_in_a_scale_out(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options { keys: 20_000, ..Options::default() });
    let first = wait_until(Duration::from_secs(5), "a term", || term(&cluster));
    cluster.edit(|spec| spec.primaries = 5);
    wait_until(Duration::from_secs(30), "slots begin to move", || {
        let view = view::view(cluster.first_port())?;
        check(view.owners().len() > 3, || "three owners".to_owned())
    });
    cluster.kill_coordinator();
    let before = load.acknowledged();
    wait_until(Duration::from_secs(20), "writes go on without a coordinator", || {
        check(load.acknowledged() > before + 1_000, || load.so_far())
    });
    cluster.start_coordinator();
    cluster.wait_settled(Duration::from_secs(90));
    wait_until(Duration::from_secs(5), "each life has a term of its own", || {
        let second = term(&cluster)?;
        check(second > first, || format!("{first}, then {second}"))
    });
    load.stop().assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
}

/// With storage that has each acknowledged write: with `everysec`, the default, a server puts writes off for up to two
/// seconds while the disk is busy, and a kill loses them.
fn written_at_once(spec: Spec) -> Spec {
    Spec { config: vec![("appendfsync".to_owned(), "always".to_owned())], ..spec.stored() }
}

fn of_everything_with_storage(server: &Server) {
    let mut cluster = LocalCluster::start(server, written_at_once(Spec::of(3, 1)));
    let keys = put(&cluster.ports(), "stored-", 300);
    let before = cluster.wait_settled(Duration::from_secs(10));
    cluster.kill_everything();
    cluster.start_coordinator();
    cluster.wait_healthy_line(Duration::from_mins(1));
    let after = cluster.wait_settled(Duration::from_secs(30));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
    let primaries = |view: &view::View| {
        let mut ports: Vec<u16> = view.owners().iter().map(|node| node.port).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(primaries(&before), primaries(&after), "roles are as before");
}

fn of_everything_without_storage(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let keys = put(&cluster.ports(), "memory-", 50);
    cluster.kill_everything();
    cluster.start_coordinator();
    cluster.wait_healthy_line(Duration::from_mins(1));
    wait_until(Duration::from_secs(30), "the cluster has its shape again", || cluster.shaped());
    assert_eq!(missing(&cluster.ports(), &keys).len(), keys.len());
    let status = cluster.status_text();
    assert!(status.to_lowercase().contains("empty"), "it says why it is empty: {status}");
}

/// A replica that became a primary of a new shard has the old shard's keys in its append-only file, unless it is emptied:
/// a restart would bring back what its owner has deleted meanwhile.
fn of_a_former_replica_on_its_old_data(server: &Server) {
    let mut cluster = LocalCluster::start(server, written_at_once(Spec::of(1, 1)));
    let keys = put(&cluster.ports(), "old-", 400);
    wait_in_sync(&cluster);
    let primary = cluster.a_primary();
    let member = cluster.members().into_iter().find(|member| member.port != primary.port).unwrap();
    cluster.edit(|spec| (spec.primaries, spec.replicas) = (2, 0));
    let view = cluster.wait_settled(Duration::from_mins(1));
    assert!(view.on_port(member.port).unwrap().is_primary, "the replica has a shard of its own now");
    let (deleted, kept) = keys.split_at(200);
    let owners = view.owner_of_slots();
    for key in deleted {
        let owner = owners[usize::from(view::slot_of(key.as_bytes()))].unwrap();
        view::call(view.nodes[owner].port, &["DEL", key]).unwrap();
    }
    cluster.kill_whole(&member, Duration::from_millis(300), |_| ());
    cluster.wait_settled(Duration::from_secs(30));
    assert_eq!(missing(&cluster.ports(), kept), Vec::<String>::new());
    let there: usize =
        cluster.ports().iter().map(|port| view::text(*port, &["DBSIZE"]).unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(there, kept.len(), "keys of the old shard are back");
}
