//! More and fewer primaries and replicas while a client writes all the time.

use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use redisnode_tests::cluster::{LocalCluster, Member, Spec, Which};
use redisnode_tests::moving::{Side, is_moving};
use redisnode_tests::replicas;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::watch::{SlotWatch, StallWatch};
use redisnode_tests::workload::{Audit, Fault, Options};

use crate::run::{cases, just_before, load, matrix};

cases! {
    up_and_down_under_load alone: "system", "redis-8.6";
    a_changed_mind alone: "system", "valkey-9.1";
    a_source_is_killed_in_the_middle alone: "system", "valkey-9.1";
    a_target_is_killed_in_the_middle alone: "system";
    a_target_freezes_in_the_middle alone: "system";
}

/// Keys of MIGRATE that may be on the way, or at the target and not at its replica, at one moment.
const IN_FLIGHT: usize = 1000;
/// One step, with slots to move and replicas to sync.
const STEP: Duration = Duration::from_secs(90);

/// The whole promise in the matrix; in the sample with fewer keys, for time.
fn options() -> Options {
    if matrix().is_some() {
        Options::full()
    } else {
        Options { keys: 20_000, big_hash_fields: 50_000, ..Options::full() }
    }
}

fn up_and_down_under_load(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, options());
    let all: Vec<u16> = (cluster.first_port()..cluster.first_port() + 16).collect();
    let stalls = StallWatch::start(all.clone());
    let steps: [(usize, usize); 6] = [(5, 1), (2, 1), (3, 1), (3, 2), (3, 0), (3, 1)];
    for (primaries, replicas) in steps {
        let slots = SlotWatch::start(all.clone());
        cluster.edit(|spec| (spec.primaries, spec.replicas) = (primaries, replicas));
        cluster.wait_settled(STEP);
        let (moved, most) = slots.stop();
        assert!(most <= 1, "to {primaries}×{replicas}: {moved} slots moved, one of them {most} times");
    }
    let (silence, port) = stalls.stop();
    let quarter = Duration::from_secs(u64::from(cluster.spec.node_timeout)) / 4;
    assert!(silence <= quarter, "the server on {port} was silent for {silence:?}, at most {quarter:?}");
    let stats = load.stop();
    println!("{stats}");
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
    cluster.verify().unwrap();
}

fn a_changed_mind(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options { keys: 20_000, ..Options::default() });
    cluster.edit(|spec| spec.primaries = 6);
    // The span between two edits of a person, not a wait for a state.
    std::thread::sleep(Duration::from_secs(1));
    let changed = Instant::now();
    cluster.edit(|spec| spec.primaries = 2);
    wait_until(STEP, "the new wish is met", || {
        let view = cluster.settled()?;
        check(view.owners().len() == 2, || "more than two own slots".to_owned())
    });
    println!("two primaries {:?} after the second edit", changed.elapsed());
    let stats = load.stop();
    stats.assert_no_errors();
    load.audit(&cluster.ports()).assert_clean();
    replicas::wait_same(&cluster.ports());
}

/// A source's server dies while its slots are open. Its replica goes on with the move, and nothing that was acknowledged
/// before the last moment is lost.
fn a_source_is_killed_in_the_middle(server: &Server) {
    struck_in_the_middle(server, Side::Source, kill, |audit, at| {
        audit.assert_kept_but(|written| just_before(written, at));
    });
}

/// A target's server dies. What had arrived in the last moment and was not replicated there yet is gone, whenever it was
/// written: `MIGRATE` deletes at the source as soon as the target has a key.
fn a_target_is_killed_in_the_middle(server: &Server) {
    struck_in_the_middle(server, Side::Target, kill, |audit, _| {
        let lost = audit.findings.len() + audit.unread.len();
        assert!(lost <= IN_FLIGHT, "{lost} keys are not as they were written: {audit}");
    });
}

/// A target's server answers nothing for a while: what was sent to it may have arrived and is sent again. Nothing is lost.
/// A key that expires at the source meanwhile may live that much longer at the target: `MIGRATE` sends the time that is
/// left, and the target counts from when it reads it.
fn a_target_freezes_in_the_middle(server: &Server) {
    let freeze = |cluster: &LocalCluster, member: &Member| {
        let pids = cluster.kill(member, &[Which::Server], Signal::SIGSTOP);
        // The fault itself lasts so long; more than the time-out of a MIGRATE, less than the node time-out.
        std::thread::sleep(Duration::from_secs(3));
        for pid in pids {
            signal::kill(Pid::from_raw(pid), Signal::SIGCONT).expect("the frozen server is still there");
        }
    };
    struck_in_the_middle(server, Side::Target, freeze, |audit, _| {
        assert!(audit.count(Fault::Ttl) <= IN_FLIGHT, "{audit}");
        audit.assert_clean_but(Fault::Ttl);
    });
}

fn kill(cluster: &LocalCluster, member: &Member) {
    cluster.kill(member, &[Which::Server], Signal::SIGKILL);
}

/// Grows by a primary, strikes the first server of that side that shows slots on their way, and waits until all is
/// settled.
fn struck_in_the_middle(
    server: &Server,
    side: Side,
    strike: impl FnOnce(&LocalCluster, &Member),
    judge: impl FnOnce(&Audit, (Instant, Instant)),
) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    let mut load = load(&cluster, Options { keys: 20_000, ..Options::default() });
    cluster.wait_settled(Duration::from_secs(15));
    cluster.edit(|spec| spec.primaries = 4);
    let all: Vec<u16> = (cluster.first_port()..cluster.first_port() + 8).collect();
    let port = wait_until(STEP, "slots are on their way", || {
        all.iter().copied().find(|port| is_moving(*port, side)).ok_or_else(|| "none is".to_owned())
    });
    let member = cluster.member_on(port);
    let at = Instant::now();
    strike(&cluster, &member);
    let struck = Instant::now();
    let view = cluster.wait_settled(STEP);
    println!("settled {:?} after {} was struck", at.elapsed(), member.name);
    assert_eq!(view.owners().len(), 4);
    load.stop();
    let audit = load.audit(&cluster.ports());
    println!("{audit}");
    judge(&audit, (at, struck));
    replicas::wait_same(&cluster.ports());
    cluster.verify().unwrap();
}
