//! What the product itself needs: memory, processor time when nothing happens, and disk.

use std::time::Duration;

use redisnode_tests::cluster::{LocalCluster, Spec, Which, binaries};
use redisnode_tests::procs;
use redisnode_tests::servers::Server;

use crate::table::{Table, mib, share_of_a_core};

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(20);

pub(crate) fn measure(server: &Server, table: &mut Table) {
    if server.family != "system" {
        return;
    }
    let cluster = LocalCluster::start(server, Spec::of(3, 1));
    cluster.wait_settled(Duration::from_secs(30));
    let pids = |which| cluster.members().iter().filter_map(|member| cluster.pid(member, which)).collect::<Vec<i32>>();
    let coordinator = cluster.coordinator_pid().expect("a coordinator runs");
    let processes =
        [("agent", pids(Which::Agent)), ("launcher", pids(Which::Launcher)), ("coordinator", vec![coordinator])];
    let before: Vec<u64> = processes.iter().map(|(_, pids)| ticks(pids)).collect();
    // A span of the measurement, not a wait for a state.
    std::thread::sleep(IDLE);
    for ((name, pids), before) in processes.iter().zip(before) {
        let each = u32::try_from(pids.len()).unwrap_or(1);
        let share = share_of_a_core(ticks(pids) - before, IDLE * each);
        let memory = pids.iter().filter_map(|pid| procs::resident_bytes(*pid)).max().unwrap_or(0);
        table.row(&format!("{name}: resident memory (largest)"), &server.version, mib(memory), "-".to_owned());
        table.row(&format!("{name}: idle processor, share of a core"), &server.version, share, "-".to_owned());
    }
    for name in ["redisnode", "redis-coordinator", "kubectl-rediscluster"] {
        let size = std::fs::metadata(binaries().join(name)).map_or(0, |file| file.len());
        table.row(&format!("{name}: file"), "-", mib(size), "-".to_owned());
    }
}

fn ticks(pids: &[i32]) -> u64 {
    pids.iter().filter_map(|pid| procs::cpu_ticks(*pid)).sum()
}
