//! The agent's metrics, as Prometheus text, made from its Report at each scrape.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use redisnode_proto::Report;
use redisnode_proto::topology::Role;

/// The text of all metrics.
pub fn render(report: &Report, ready: bool) -> String {
    let mut registry = Registry::default();
    let mut add = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    add("redis_cluster_node_ready", "1 if the node serves its part", u64::from(ready));
    add("redis_cluster_problems", "Problems that last", report.problems.len() as u64);
    add("redis_cluster_jobs", "Moves of slots in flight", report.jobs.len() as u64);
    let left: u64 = report.jobs.iter().map(|job| u64::from(job.remaining.len())).sum();
    add("redis_cluster_slots_to_move", "Slots that still have to leave this node", left);
    let sent: u64 = report.jobs.iter().map(|job| job.bytes_done).sum();
    add("redis_cluster_moved_bytes", "Bytes sent by the moves in flight", sent);
    let slots: u64 = report.jobs.iter().map(|job| u64::from(job.slots_done)).sum();
    add("redis_cluster_moved_slots", "Slots that have left this node in the moves in flight", slots);
    let keys: u64 = report.jobs.iter().map(|job| job.keys_done).sum();
    add("redis_cluster_moved_keys", "Keys sent by the moves in flight", keys);
    let stalled = report.jobs.iter().filter(|job| job.stalled.is_some()).count();
    add("redis_cluster_jobs_stalled", "Moves of slots that do not go on", stalled as u64);
    let tries: usize = report.jobs.iter().map(|job| job.tries.len()).sum();
    add("redis_cluster_failed_tries", "Failed tries of the moves in flight, the last few of each", tries as u64);
    let generation = report.ledger.layout.as_ref().map(|layout| layout.generation).unwrap_or_default();
    add("redis_cluster_layout_term", "Term of the Layout that is obeyed", generation.term);
    add("redis_cluster_layout_sequence", "Sequence of the Layout that is obeyed", generation.sequence);
    if let Some(running) = report.server.running() {
        let replication = &running.replication;
        let owned = running.view.myself().map_or(0, |me| me.slots.len());
        add("redis_cluster_is_primary", "1 if the server is a primary", u64::from(replication.role == Role::Primary));
        add("redis_cluster_owned_slots", "Slots that the server owns", u64::from(owned));
        add("redis_cluster_open_slots", "Slots that are half moved", running.view.open.len() as u64);
        add("redis_cluster_keys", "Keys", running.keys);
        add("redis_cluster_used_memory_bytes", "Memory in use", running.used_memory);
        add("redis_cluster_replication_offset_bytes", "Position in the replication stream", replication.offset.0);
        add("redis_cluster_replica_link_up", "1 if a replica is linked", u64::from(replication.link_up));
        add("redis_cluster_attached_replicas", "Replicas attached to a primary", replication.replicas.len() as u64);
        add("redis_cluster_known_nodes", "Nodes in the server's table", running.view.nodes.len() as u64);
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    if encode(&mut text, &registry).is_err() {
        text.clear();
    }
    text
}
