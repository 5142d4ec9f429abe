//! For each rule of the CRD a resource that it takes and one that it refuses, so that every test that has something to
//! judge resources by (a library, an API server) can see each rule at work.

use serde_json::{Value, json};

/// A right and a wrong value for one rule.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A part of the rule's message, which no other rule's has.
    pub message: &'static str,
    /// The resource's name, right and wrong.
    pub names: (&'static str, &'static str),
    /// What the spec was before, of a rule about changes.
    pub before: Option<Value>,
    /// A spec that is taken.
    pub right: Value,
    /// A spec that this rule refuses, and no other one.
    pub wrong: Value,
}

/// The whole resource.
pub fn resource(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": redisnode_proto::spec::API_VERSION,
        "kind": redisnode_proto::spec::KIND,
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// One for each rule.
pub fn samples() -> Vec<Sample> {
    [names(), sizes(), reserved(), directives(), renames(), memory(), migration(), storage(), labels()].concat()
}

fn sample(message: &'static str, right: Value, wrong: Value) -> Sample {
    Sample { message, names: ("my", "my"), before: None, right, wrong }
}

fn names() -> Vec<Sample> {
    let long = "a-name-that-is-too-long-for-what-must-be-made-from-it-all";
    vec![
        Sample { names: ("my", long), ..sample("write a metadata.name", json!({}), json!({})) },
        sample("this cannot name a Service", json!({ "serviceName": "cache" }), json!({ "serviceName": "1cache" })),
        sample(
            "the nodes find each other by",
            json!({ "serviceName": "cache-nodes" }),
            json!({ "serviceName": "my-nodes" }),
        ),
    ]
}

fn sizes() -> Vec<Sample> {
    vec![
        sample(
            "write a number of nodes that may be away",
            json!({ "rollout": { "maxUnavailable": 2 } }),
            json!({ "rollout": { "maxUnavailable": 0 } }),
        ),
        sample("write a number of primaries", json!({ "numberOfMaster": 1000, "replicationFactor": 0 }), {
            json!({ "numberOfMaster": 0 })
        }),
        sample("write a number of replicas", json!({ "replicationFactor": 5 }), json!({ "replicationFactor": 6 })),
        sample(
            "is more than 1000 nodes",
            json!({ "numberOfMaster": 333, "replicationFactor": 2 }),
            json!({ "numberOfMaster": 334, "replicationFactor": 2 }),
        ),
        sample("write a whole number with ms, s or m", json!({ "nodeTimeout": "5m" }), json!({ "nodeTimeout": "2s" })),
    ]
}

fn config(directives: &Value) -> Value {
    json!({ "redisConfig": directives })
}

fn directives() -> Vec<Sample> {
    vec![
        sample(
            "no directive has such a name",
            config(&json!({ "save": "900 1 300 10" })),
            config(&json!({ "save 900": "1" })),
        ),
        sample(
            "a line break or a zero byte",
            config(&json!({ "maxmemory": 100, "save": "" })),
            config(&json!({ "maxmemory": "100\nport 1" })),
        ),
        sample(
            "is there twice",
            config(&json!({ "MaxMemory": 1 })),
            config(&json!({ "MaxMemory": 1, "maxmemory": 1 })),
        ),
        sample(
            "a password must keep its spelling",
            config(&json!({ "requirepass": "123" })),
            config(&json!({ "requirepass": 123 })),
        ),
        sample(
            "must be the same as requirepass",
            config(&json!({ "requirepass": "a", "masterauth": "a" })),
            config(&json!({ "requirepass": "a", "primaryauth": "b" })),
        ),
    ]
}

fn reserved() -> Vec<Sample> {
    let right = || config(&json!({ "maxmemory-policy": "noeviction", "cluster-require-full-coverage": "yes" }));
    let wrong = |message: &'static str, directive: &str| sample(message, right(), config(&json!({ directive: "1" })));
    vec![
        wrong("write spec.nodeTimeout instead", "cluster-node-timeout"),
        wrong("replicas are placed by the coordinator", "cluster-migration-barrier"),
        wrong("bind, bind-source-addr, port cannot", "PORT"),
        wrong("protected-mode cannot", "protected-mode"),
        wrong("replicaof, slaveof cannot", "replicaof"),
        wrong("appendfilename, dbfilename, dir cannot", "dir"),
        wrong("enable-protected-configs cannot", "enable-protected-configs"),
        wrong("daemonize, logfile", "daemonize"),
        wrong("include cannot", "include"),
        wrong("rename-command cannot", "rename-command"),
        wrong("aclfile, masteruser", "aclfile"),
        wrong("slot-migration-max-failover-repl-bytes cannot", "slot-migration-max-failover-repl-bytes"),
        wrong("begins with cluster-", "Cluster-Enabled"),
        wrong("begins with rdma-, replica-announce", "replica-announce-ip"),
        wrong("begins with shutdown-", "shutdown-timeout"),
        wrong("begins with tls-", "tls-port"),
    ]
}

fn renames() -> Vec<Sample> {
    let of = |old: &str, new: &str| json!({ "renameCommands": { old: new } });
    let right = || json!({ "renameCommands": { "KEYS": "", "config": "tune:1", "EVAL": "" } });
    vec![
        sample("AUTH, EXEC, MULTI, PING", right(), of("select", "x")),
        sample("ASKING, CLUSTER, READONLY", right(), of("Cluster", "x")),
        sample("CLIENT, EXISTS cannot", right(), of("CLIENT", "x")),
        sample("commands like SET, FLUSHALL", right(), of("flushall", "")),
        sample("write one of the servers' own", right(), of("FT.SEARCH", "x")),
        sample("cannot be disabled: the agents", right(), of("CONFIG", "")),
        sample("this cannot name a command", right(), of("KEYS", "a b")),
        sample("is that of another command", right(), of("KEYS", "Get")),
        sample(
            "two commands cannot have one new name",
            right(),
            json!({ "renameCommands": { "KEYS": "x", "SCAN": "X" } }),
        ),
        sample("this command stands here already", right(), json!({ "renameCommands": { "KEYS": "x", "keys": "y" } })),
    ]
}

fn memory() -> Vec<Sample> {
    let of = |max_memory: Value| json!({ "maxMemory": max_memory, "podTemplate": limited("4Gi") });
    vec![
        sample("write a share of the memory limit", of(json!({ "percent": 95 })), of(json!({ "percent": 96 }))),
        sample(
            "no server can work with this",
            of(json!({ "size": "3Gi", "policy": "allkeys-lfu" })),
            of(json!({ "size": "500m" })),
        ),
        sample("keep one of them", of(json!({})), of(json!({ "percent": 50, "size": "1Gi" }))),
        sample("and there is none", json!({ "maxMemory": { "size": "3Gi" } }), json!({ "maxMemory": {} })),
        sample(
            "leave them out of redisConfig",
            json!({ "maxMemory": { "size": "3Gi" }, "redisConfig": { "maxmemory-samples": 5 } }),
            json!({ "maxMemory": { "size": "3Gi" }, "redisConfig": { "MaxMemory": "3gb" } }),
        ),
    ]
}

fn migration() -> Vec<Sample> {
    let of = |field: &str, value: &str| json!({ "migration": { field: value } });
    vec![
        sample("write a latency in ms or s", of("maxLatency", "0ms"), of("maxLatency", "1001ms")),
        sample("a move would not end with this", of("maxBytesPerSecond", "50Mi"), of("maxBytesPerSecond", "63Ki")),
    ]
}

/// A podTemplate whose server has this memory limit.
fn limited(memory: &str) -> Value {
    json!({ "spec": { "containers": [{ "name": "redis", "resources": { "limits": { "memory": memory } } }] } })
}

fn storage() -> Vec<Sample> {
    let stored = |storage: Value| json!({ "storage": storage });
    let claim = || stored(json!({ "size": "10Gi", "storageClassName": "fast" }));
    let template = |size: &str| stored(json!({ "volumeClaimTemplate": { "spec": { "size": size } } }));
    let changed =
        |message, before: Value, wrong| Sample { before: Some(before.clone()), ..sample(message, before, wrong) };
    vec![
        sample("this is no size", stored(json!({ "size": "1.5Gi" })), stored(json!({ "size": "0" }))),
        sample(
            "volumeClaimTemplate has a size already",
            stored(json!({ "volumeClaimTemplate": {} })),
            stored(json!({ "volumeClaimTemplate": {}, "size": "1Gi" })),
        ),
        sample("without a size there is no claim", claim(), stored(json!({ "storageClassName": "fast" }))),
        changed(
            "storage.size cannot be changed",
            claim(),
            stored(json!({ "size": "20Gi", "storageClassName": "fast" })),
        ),
        changed("storage.storageClassName cannot", claim(), stored(json!({ "size": "10Gi" }))),
        changed("storage.volumeClaimTemplate cannot", template("1Gi"), template("2Gi")),
    ]
}

fn labels() -> Vec<Sample> {
    let labelled = |name: &str, value: &str| json!({ "additionalLabels": { name: value } });
    let right = || labelled("example.com/team", "a");
    vec![
        sample("the coordinator finds its objects by", right(), labelled("redisnode.io/role", "primary")),
        sample("no label has such a name", right(), labelled("a/b/c", "a")),
        sample("a label's value has at most 63", right(), labelled("team", "a b")),
    ]
}
