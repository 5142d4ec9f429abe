//! Directives of the server's configuration that the user may not set, each with the reason and what to do instead.
//!
//! Everything else goes to the server as it is; the server itself refuses what it does not know.

/// `cluster-…` directives that are the user's to choose: they change what clients see, or limits, but neither who is
/// in the cluster nor who owns what.
pub const ALLOWED_CLUSTER: [&str; 8] = [
    "cluster-allow-pubsubshard-when-down",
    "cluster-allow-reads-when-down",
    "cluster-compatibility-sample-ratio",
    "cluster-link-sendbuf-limit",
    "cluster-replica-validity-factor",
    "cluster-require-full-coverage",
    "cluster-slave-validity-factor",
    "cluster-slot-stats-enabled",
];

const ADDRESS: &str = "each node gets its own addresses and ports; leave it out";
const ROLE: &str = "roles follow numberOfMaster and replicationFactor; leave it out";
const FILES: &str =
    "each node keeps its files in its own folder, under the names that its start is checked by; leave it out";
const PROCESS: &str = "the launcher runs the server in the foreground and reads its output; leave it out";
const STOP: &str = "the agent stops the server in order, after a handoff; leave it out";
const USERS: &str = "the agents and replication log in as the default user; set requirepass instead";
const TLS: &str = "TLS is not supported yet; leave it out";

/// Reserved directives by name (in lower case), with the reason they share and what to do instead.
pub const RESERVED: [(&[&str], &str); 12] = [
    (&["cluster-node-timeout"], "write spec.nodeTimeout instead"),
    (
        &["cluster-allow-replica-migration", "cluster-migration-barrier"],
        "replicas are placed by the coordinator, and never move by themselves; leave it out",
    ),
    (&["bind", "bind-source-addr", "port"], ADDRESS),
    (&["protected-mode"], "the nodes must reach each other; set requirepass to keep others out"),
    (&["replicaof", "slaveof"], ROLE),
    (&["appenddirname", "appendfilename", "dbfilename", "dir"], FILES),
    (
        &["enable-protected-configs"],
        "with it any client could change the folder that a start is checked by; leave it out",
    ),
    (&["daemonize", "logfile", "pidfile", "supervised", "syslog-enabled"], PROCESS),
    (&["include"], "what it includes cannot be checked; write its directives here"),
    (&["rename-command"], "write spec.renameCommands instead"),
    (&["aclfile", "masteruser", "primaryuser", "user"], USERS),
    (&["slot-migration-max-failover-repl-bytes"], "the agent sets it for each move of slots; leave it out"),
];

/// Beginnings of reserved directives, for all that are not in [`RESERVED`] or [`ALLOWED_CLUSTER`].
pub const RESERVED_PREFIXES: [(&[&str], &str); 4] = [
    (&["cluster-"], "the agents run the cluster by it; leave it out"),
    (&["rdma-", "replica-announce", "slave-announce", "unixsocket"], ADDRESS),
    (&["shutdown-"], STOP),
    (&["tls-"], TLS),
];

/// Why the directive called `name` (in lower case) may not be in redisConfig, and what to do instead; `None` if it
/// may be.
pub fn reserved(name: &str) -> Option<&'static str> {
    by_name(name).or_else(|| by_prefix(name))
}

fn by_name(name: &str) -> Option<&'static str> {
    RESERVED.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why)
}

fn by_prefix(name: &str) -> Option<&'static str> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let found = RESERVED_PREFIXES.iter().find(|(prefixes, _)| starts(prefixes)).map(|(_, why)| *why);
    found.filter(|_| !ALLOWED_CLUSTER.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agents_depend_on_is_reserved_and_says_what_to_do() {
        for name in [
            "cluster-enabled",
            "cluster-config-file",
            "cluster-announce-ip",
            "cluster-port",
            "cluster-databases",
            "cluster-replica-no-failover",
            "cluster-migration-barrier",
            "cluster-something-new",
            "port",
            "bind",
            "dir",
            "unixsocket",
            "unixsocketperm",
            "replicaof",
            "slaveof",
            "protected-mode",
            "daemonize",
            "supervised",
            "pidfile",
            "include",
            "tls-port",
            "rename-command",
            "logfile",
            "dbfilename",
            "appenddirname",
            "enable-protected-configs",
            "shutdown-on-sigterm",
            "replica-announce-ip",
            "aclfile",
        ] {
            let why = reserved(name).unwrap_or_else(|| panic!("{name} is not reserved"));
            assert!(why.contains("leave it out") || why.contains("set ") || why.contains("write "), "{name}: {why}");
        }
        assert!(reserved("cluster-node-timeout").unwrap().contains("spec.nodeTimeout"));
    }

    #[test]
    fn what_is_the_users_is_not_reserved() {
        for name in ALLOWED_CLUSTER {
            assert_eq!(reserved(name), None, "{name}");
        }
        for name in [
            "maxmemory",
            "save",
            "appendonly",
            "requirepass",
            "masterauth",
            "primaryauth",
            "loadmodule",
            "loglevel",
            "enable-debug-command",
            "replica-priority",
            "min-replicas-to-write",
            "timeout",
            "io-threads",
        ] {
            assert_eq!(reserved(name), None, "{name}");
        }
    }
}
