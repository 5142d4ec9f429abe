//! Reading of CLUSTER INFO.

use super::Info;
use crate::ConfigEpoch;
use crate::topology::BadReply;

/// CLUSTER INFO, the part that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// `cluster_state:ok`.
    pub state_ok: bool,
    /// The highest epoch that this server has seen.
    pub current_epoch: ConfigEpoch,
    /// The epoch of this server; of its primary, if it is a replica.
    pub my_epoch: ConfigEpoch,
    /// How many nodes it knows, itself among them.
    pub known_nodes: u32,
    /// How many primaries have slots in its eyes.
    pub size: u32,
    /// How many slots have an owner in its eyes, 0 to 16384.
    pub slots_assigned: u16,
}

impl ClusterInfo {
    /// Reads the reply of CLUSTER INFO.
    pub fn parse(text: &str) -> Result<Self, BadReply> {
        let fields = Info::parse_as("CLUSTER INFO", text)?;
        let state_ok = match fields.text("cluster_state")? {
            "ok" => true,
            "fail" => false,
            _ => return Err(fields.unreadable("cluster_state", "neither ok nor fail")),
        };
        Ok(Self {
            state_ok,
            current_epoch: ConfigEpoch(fields.number("cluster_current_epoch")?),
            my_epoch: ConfigEpoch(fields.number("cluster_my_epoch")?),
            known_nodes: fields.number("cluster_known_nodes")?,
            size: fields.number("cluster_size")?,
            slots_assigned: fields.number("cluster_slots_assigned")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS_8_6: &str = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
        cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:3\r\ncluster_size:2\r\n\
        cluster_current_epoch:7\r\ncluster_my_epoch:1\r\ncluster_stats_messages_ping_sent:6\r\n\
        total_cluster_links_buffer_limit_exceeded:0\r\ncluster_slot_migration_active_tasks:0\r\n";

    #[test]
    fn reads_the_part_that_is_used() {
        let info = ClusterInfo::parse(REDIS_8_6).unwrap();
        let wanted = ClusterInfo {
            state_ok: true,
            current_epoch: ConfigEpoch(7),
            my_epoch: ConfigEpoch(1),
            known_nodes: 3,
            size: 2,
            slots_assigned: 16384,
        };
        assert_eq!(info, wanted);
        assert!(!ClusterInfo::parse(&REDIS_8_6.replace("state:ok", "state:fail")).unwrap().state_ok);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let without = ClusterInfo::parse(&REDIS_8_6.replace("cluster_size", "cluster_length")).unwrap_err();
        assert!(without.to_string().contains("CLUSTER INFO: no field cluster_size"), "{without}");
        let unknown = ClusterInfo::parse(&REDIS_8_6.replace("state:ok", "state:fine")).unwrap_err();
        assert!(unknown.to_string().contains("cluster_state:fine"), "{unknown}");
    }
}
