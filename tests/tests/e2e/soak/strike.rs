//! The troubles, as they are made. Each says what it did and between which two moments.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::cluster::{LocalCluster, Member, Which};
use redisnode_tests::moving::{Side, is_moving};
use redisnode_tests::view::{self, View};
use redisnode_tests::wait::poll;

use super::disk;
use super::plan::{Plan, Trouble};

/// For so long a party that has slots on their way is looked for, before any primary will do.
const LOOKED_FOR: Duration = Duration::from_secs(4);
/// About how long a child of a server is made to work.
const CHILD: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Debug)]
pub(crate) struct Struck {
    /// For people.
    pub(crate) what: String,
    /// When: a party that was killed died between these.
    pub(crate) at: (Instant, Instant),
    /// The slots of the server that was struck, as it said itself just before.
    pub(crate) slots: Vec<u16>,
}

/// Does what the plan says.
pub(crate) fn strike(cluster: &mut LocalCluster, plan: &Plan) -> Struck {
    let (what, at, slots) = match plan.trouble {
        Trouble::KillCoordinator => {
            let begun = Instant::now();
            cluster.kill_coordinator();
            let at = (begun, Instant::now());
            sleep(plan.lasts);
            cluster.start_coordinator();
            (format!("killed, and started again after {:?}", plan.lasts), at, Vec::new())
        }
        Trouble::FullDisk(side) => on(cluster, side, |member, _| full(plan, member)),
        Trouble::KillServer(side) => on(cluster, side, |member, _| kill(cluster, member, Which::Server)),
        Trouble::KillAgent(side) => on(cluster, side, |member, _| kill(cluster, member, Which::Agent)),
        Trouble::Failover(side) => on(cluster, side, |member, view| failover(cluster, plan, member, view)),
        Trouble::Flush(side) => on(cluster, side, |member, _| said(member.port, &["FLUSHALL"])),
        Trouble::Pause(side) => on(cluster, side, |member, _| pause(plan, member.port)),
        Trouble::Save(side) => on(cluster, side, |member, _| slowly(member.port, "BGSAVE")),
        Trouble::Rewrite(side) => on(cluster, side, |member, _| slowly(member.port, "BGREWRITEAOF")),
    };
    Struck { what, at, slots }
}

/// Finds the server of a side and acts on it.
fn on(
    cluster: &LocalCluster,
    side: Side,
    act: impl FnOnce(&Member, &View) -> String,
) -> (String, (Instant, Instant), Vec<u16>) {
    let ports = cluster.ports();
    let moving = || {
        let found = ports.iter().copied().find(|port| is_moving(*port, side));
        found.ok_or_else(|| "none shows slots on their way".to_owned())
    };
    let (member, note) = match poll(LOOKED_FOR, moving) {
        Ok(port) => (cluster.member_on(port), String::new()),
        Err(why) => (cluster.a_primary(), format!(" ({why})")),
    };
    let view = view::view(member.port).expect("a server that nobody has touched shows the cluster");
    let slots = view.on_port(member.port).map(|node| node.slots.clone()).unwrap_or_default();
    let begun = Instant::now();
    let what = act(&member, &view);
    (format!("{}{note}: {what}", member.name), (begun, Instant::now()), slots)
}

fn kill(cluster: &LocalCluster, member: &Member, which: Which) -> String {
    let pids = cluster.kill(member, &[which], Signal::SIGKILL);
    format!("killed {pids:?}")
}

fn full(plan: &Plan, member: &Member) -> String {
    disk::fill(&member.folder);
    sleep(2 * plan.lasts);
    disk::free(&member.folder);
    format!("its disk was full for {:?}", 2 * plan.lasts)
}

/// By the command line, or by hand as on servers without the product.
fn failover(cluster: &LocalCluster, plan: &Plan, member: &Member, view: &View) -> String {
    if plan.other_way {
        let output = cluster.cli(&["handoff", &member.name]);
        let text = [output.stdout, output.stderr].concat();
        return format!("handoff: {}", String::from_utf8_lossy(&text).trim());
    }
    match view.replicas_of(&view.myself).first() {
        Some(replica) => said(replica.port, &["CLUSTER", "FAILOVER"]),
        None => "it has no replica".to_owned(),
    }
}

fn pause(plan: &Plan, port: u16) -> String {
    let what = if plan.other_way { "ALL" } else { "WRITE" };
    said(port, &["CLIENT", "PAUSE", &plan.lasts.as_millis().to_string(), what])
}

/// Starts a child that sleeps at each key. One that a full sync has just started is waited for.
fn slowly(port: u16, command: &str) -> String {
    let keys = view::text(port, &["DBSIZE"]).ok().and_then(|keys| keys.parse::<u128>().ok()).unwrap_or(1).max(1);
    let delay = |us: u128| view::text(port, &["CONFIG", "SET", "rdb-key-save-delay", &us.to_string()]);
    delay(CHILD.as_micros() / keys).expect("a server can be told to be slow");
    let started = poll(LOOKED_FOR, || view::text(port, &[command]));
    delay(0).expect("a server can be told to be quick");
    started.unwrap_or_else(|why| why)
}

fn said(port: u16, args: &[&str]) -> String {
    format!("{}: {}", args.join(" "), view::text(port, args).unwrap_or_else(|why| why))
}
