//! How long a shard takes no writes when its primary is killed, and when it is stopped in order.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::gap::GapProbe;
use redisnode_tests::procs;
use redisnode_tests::raw::RawServers;
use redisnode_tests::servers::Server;
use redisnode_tests::view::{self, SLOTS, View};
use redisnode_tests::wait::{check, wait_until};

use crate::table::{Table, median, time};

const TIMES: usize = 5;
/// The servers alone need more than a node time-out; this is what they get.
const ALONE: Duration = Duration::from_mins(2);

pub(crate) fn takeover(server: &Server, table: &mut Table) {
    let ours = ours(server, |cluster, member| {
        cluster.kill(member, &[Which::Server], Signal::SIGKILL);
    });
    let alone = alone(server, Signal::SIGKILL);
    let range = format!("{} (median of {TIMES}: {})", time(median(ours.clone())), list(ours));
    table.row("kill -9 of a primary: longest gap", &server.version, range, format!("{} (servers alone)", time(alone)));
}

pub(crate) fn handoff(server: &Server, table: &mut Table) {
    let signal = ours(server, |cluster, member| {
        cluster.kill(member, &[Which::Launcher], Signal::SIGTERM);
    });
    let command = ours(server, |cluster, member| {
        let output = cluster.cli(&["handoff", &member.name]);
        assert!(output.status.success(), "handoff: {}", String::from_utf8_lossy(&output.stderr));
    });
    let alone = alone(server, Signal::SIGTERM);
    let planned = planned(server);
    let ours = |gaps: Vec<Duration>| format!("{} (median of {TIMES}: {})", time(median(gaps.clone())), list(gaps));
    table.row(
        "SIGTERM of a primary: longest gap",
        &server.version,
        ours(signal),
        format!("{} (servers alone)", time(alone)),
    );
    table.row(
        "handoff by command: longest gap",
        &server.version,
        ours(command),
        format!("{} (CLUSTER FAILOVER)", time(planned)),
    );
}

fn list(gaps: Vec<Duration>) -> String {
    gaps.into_iter().map(time).collect::<Vec<_>>().join(", ")
}

/// One cluster, several events, each after the last one has healed, on the shards in turn: the servers vote only once
/// in two node time-outs about the same primary.
fn ours(server: &Server, event: impl Fn(&LocalCluster, &Member)) -> Vec<Duration> {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    (0..TIMES)
        .map(|turn| {
            let view = cluster.wait_settled(Duration::from_mins(1));
            // Well inside a shard's share: the borders are not exactly at the thirds.
            let owner = view.owner_of_slots()[(turn * SLOTS / 3 + 100) % SLOTS].expect("every slot has an owner");
            let member = cluster.member_on(view.nodes[owner].port);
            gap(&view, member.port, ALONE, || event(&cluster, &member))
        })
        .collect()
}

fn alone(server: &Server, signal: Signal) -> Duration {
    let servers = RawServers::start(server, 6, 15_000);
    servers.create(1);
    let view = view::agreed(&servers.ports).unwrap();
    let owner = view.owners()[0].port;
    gap(&view, owner, ALONE, || procs::signal(servers.pid(owner), signal))
}

/// The bare command at a replica, without any of the product.
fn planned(server: &Server) -> Duration {
    let servers = RawServers::start(server, 6, 15_000);
    servers.create(1);
    let view = view::agreed(&servers.ports).unwrap();
    let owner = view.owners()[0];
    let replica = view.replicas_of(&owner.id)[0].port;
    gap(&view, owner.port, ALONE, || {
        view::call(replica, &["CLUSTER", "FAILOVER"]).unwrap();
    })
}

/// The longest gap that a probe sees around an event on the shard of `port`.
fn gap(view: &View, port: u16, patience: Duration, event: impl FnOnce()) -> Duration {
    let probe = GapProbe::start(view);
    let writes = |more: u64| {
        let so_far = probe.acknowledged(port);
        wait_until(patience, "the shard takes writes", || {
            check(probe.acknowledged(port) >= so_far + more, String::new)
        });
    };
    writes(300);
    event();
    // Longer than the pause between the event and its effect, however that is ordered.
    writes(1_000);
    probe.stop().into_iter().find(|gap| gap.port == port).unwrap().longest
}
