//! A planned change of primary: nothing acknowledged is lost, and writes stop for a moment only.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::gap::GapProbe;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;

use crate::run::{cases, load, wait_replica};

cases! {
    on_sigterm_to_the_launcher alone: "system", "redis-8.6", "valkey-9.1";
    on_sigterm_to_the_agent alone: "system", "valkey-9.1";
    by_the_command_line alone: "system";
}

/// How long writes may stop.
const PROMISE: Duration = Duration::from_millis(150);

/// Makes a primary hand off by `order` while clients write, and waits until another one serves.
fn handoff(server: &Server, order: impl FnOnce(&LocalCluster, &Member)) {
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options::default());
    let view = cluster.wait_settled(Duration::from_secs(15));
    let member = cluster.a_primary();
    let probe = GapProbe::start(&view);
    let acknowledged = || probe.acknowledged(member.port);
    wait_until(Duration::from_secs(10), "the probe writes", || check(acknowledged() > 200, String::new));
    order(&cluster, &member);
    wait_replica(&cluster, &member, Duration::from_secs(30));
    let so_far = acknowledged();
    wait_until(Duration::from_secs(10), "the probe writes on", || check(acknowledged() > so_far + 200, String::new));
    let gap = probe.stop().into_iter().find(|gap| gap.port == member.port).unwrap();
    println!("{gap:?}");
    assert!(gap.longest < PROMISE, "writes stopped for {:?}, promised {PROMISE:?}", gap.longest);
    let stats = load.stop();
    println!("{stats}");
    // Killing is not told apart from losing here: a handoff loses nothing at all.
    load.audit(&cluster.ports()).assert_clean();
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
