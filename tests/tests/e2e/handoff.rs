//! A planned change of primary: nothing acknowledged is lost, and writes stop for a moment only.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::gap::GapProbe;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Workload};

use crate::run::{cases, load, wait_replica};

cases! {
    on_sigterm_to_the_launcher alone: "system", "redis-8.6", "valkey-9.1";
    on_sigterm_to_the_agent alone: "system", "valkey-9.1";
    by_the_command_line alone: "system";
    again_and_again_in_one_shard alone: "system";
}

/// How long writes may stop.
const PROMISE: Duration = Duration::from_millis(150);

/// Makes a primary hand off by `order` while clients write, and waits until another one serves.
fn handoff(server: &Server, order: impl FnOnce(&LocalCluster, &Member)) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options::default());
    let member = cluster.a_primary();
    let gap = handed_off(&cluster, &member, order);
    assert!(gap < PROMISE, "writes stopped for {gap:?}, promised {PROMISE:?}");
    nothing_lost(&cluster, &mut load);
}

/// The longest time without an acknowledged write in the member's shard.
fn handed_off(cluster: &LocalCluster, member: &Member, order: impl FnOnce(&LocalCluster, &Member)) -> Duration {
    let probe = GapProbe::start(&cluster.wait_settled(Duration::from_secs(15)));
    let acknowledged = || probe.acknowledged(member.port);
    wait_until(Duration::from_secs(10), "the probe writes", || check(acknowledged() > 200, String::new));
    order(cluster, member);
    wait_replica(cluster, member, Duration::from_secs(30));
    let so_far = acknowledged();
    wait_until(Duration::from_secs(10), "the probe writes on", || check(acknowledged() > so_far + 200, String::new));
    let gap = probe.stop().into_iter().find(|gap| gap.port == member.port).unwrap();
    println!("{gap:?}");
    gap.longest
}

/// Killing is not told apart from losing here: a handoff loses nothing at all.
fn nothing_lost(cluster: &LocalCluster, load: &mut Workload) {
    println!("{}", load.stop());
    load.audit(&cluster.ports()).assert_clean();
}

/// Primaries that have voted for a shard do not vote for it again for twice the node time-out: a handoff needs no votes.
fn again_and_again_in_one_shard(server: &Server) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options::default());
    for _ in 0..3 {
        let view = cluster.wait_settled(Duration::from_secs(15));
        let owner = view.owners().into_iter().find(|node| node.slots.contains(&0)).unwrap().port;
        let gap = handed_off(&cluster, &cluster.member_on(owner), |cluster, member| {
            cluster.kill(member, &[Which::Launcher], Signal::SIGTERM);
        });
        // A server that asks for votes and gets none holds writes for 5 s.
        assert!(gap < Duration::from_secs(1), "writes stopped for {gap:?}");
    }
    nothing_lost(&cluster, &mut load);
}

fn on_sigterm_to_the_launcher(server: &Server) {
    handoff(server, |cluster, member| {
        cluster.kill(member, &[Which::Launcher], Signal::SIGTERM);
    });
}

fn on_sigterm_to_the_agent(server: &Server) {
    handoff(server, |cluster, member| {
        cluster.kill(member, &[Which::Agent], Signal::SIGTERM);
    });
}

fn by_the_command_line(server: &Server) {
    handoff(server, |cluster, member| {
        let output = cluster.cli(&["handoff", &member.name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}
