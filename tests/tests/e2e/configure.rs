//! What servers are told besides who they are: how much they may hold, and what commands are called.

use std::time::Duration;

use nix::sys::signal::Signal;
use redis::Value;
use redisnode_proto::spec::commands::{KEPT, RENAMEABLE, WRITES};
use redisnode_tests::cluster::{LocalCluster, Spec, Which};
use redisnode_tests::raw::RawServers;
use redisnode_tests::servers::Server;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::Options;

use crate::run::{cases, load, missing, put, wait_replica};

cases! {
    max_memory_follows_the_spec_without_a_restart: "system", "redis-8.6", "valkey-9.1";
    max_memory_of_nothing_is_refused: "system";
    commands_are_renamed_under_a_cluster_that_goes_on: "system", "redis-8.6", "valkey-9.1";
    a_command_that_the_server_has_not_is_said_and_nothing_restarts: "system";
    the_tables_of_commands_are_those_of_the_servers: "system", "redis-8.0", "redis-8.6", "valkey-8.1", "valkey-9.1";
}

/// A live change.
const SOON: Duration = Duration::from_secs(20);
/// Every server restarts, one after the other.
const ROLL: Duration = Duration::from_mins(2);

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Waits until every server has this `maxmemory` and this policy. `config` is what CONFIG is called.
#[track_caller]
fn wait_memory(cluster: &LocalCluster, config: &str, bytes: u64, policy: &str) {
    let has = |port: u16, name: &str| match view::call(port, &[config, "GET", name])? {
        Value::Array(pair) => match pair.get(1) {
            Some(Value::BulkString(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            other => Err(format!("{other:?}")),
        },
        other => Err(format!("{other:?}")),
    };
    wait_until(SOON, "every server has its maxmemory", || {
        for port in cluster.ports() {
            let found = (has(port, "maxmemory")?, has(port, "maxmemory-policy")?);
            check(found == (bytes.to_string(), policy.to_owned()), || format!("{port}: {found:?}"))?;
        }
        Ok(())
    });
}

fn pids(cluster: &LocalCluster) -> Vec<i32> {
    cluster.ports().into_iter().map(|port| view::server_pid(port).unwrap()).collect()
}

fn max_memory_follows_the_spec_without_a_restart(server: &Server) {
    let spec = Spec { lines: lines(&["maxMemory: {size: 64Mi, policy: allkeys-lru}"]), ..Spec::of(3, 1) };
    let mut cluster = LocalCluster::start(server, spec);
    wait_memory(&cluster, "CONFIG", 64 << 20, "allkeys-lru");
    let before = pids(&cluster);
    cluster.edit(|spec| spec.lines = lines(&["maxMemory: {size: 128Mi, policy: volatile-ttl}"]));
    wait_memory(&cluster, "CONFIG", 128 << 20, "volatile-ttl");
    let limit = "podTemplate: {spec: {containers: [{name: redis, resources: {limits: {memory: 256Mi}}}]}}";
    cluster.edit(|spec| spec.lines = lines(&["maxMemory: {percent: 25}", limit]));
    wait_memory(&cluster, "CONFIG", 64 << 20, "noeviction");
    cluster.edit(|spec| spec.lines = lines(&["maxMemory: {}", limit]));
    wait_memory(&cluster, "CONFIG", 192 << 20, "noeviction");
    cluster.edit(|spec| spec.lines = lines(&["maxMemory: {size: 32Mi, policy: volatile-lfu}"]));
    wait_memory(&cluster, "CONFIG", 32 << 20, "volatile-lfu");
    cluster.edit(|spec| spec.lines.clear());
    wait_memory(&cluster, "CONFIG", 0, "noeviction");
    cluster.wait_settled(SOON);
    assert_eq!(pids(&cluster), before, "no server has restarted");
}

fn max_memory_of_nothing_is_refused(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(1, 1));
    let before = pids(&cluster);
    let lru = || ("maxmemory-policy".to_owned(), "allkeys-lru".to_owned());
    for (line, config, said) in [
        ("maxMemory: {}", vec![], "no memory limit to take 75 percent of"),
        ("maxMemory:", vec![], "write maxMemory: {}"),
        ("maxMemory: {size: 3gb}", vec![], "is no size; write a number and a unit"),
        ("maxMemory: {size: 64Mi, policy: alkeys-lru}", vec![], "did you mean allkeys-lru?"),
        ("maxMemory: {size: 64Mi}", vec![lru()], "spec.maxMemory sets this directive"),
        ("renameCommands: {FLUSHALL: \"\"}", vec![], "would lose what they cannot read"),
        ("renameCommands: {KEYZ: \"\"}", vec![], "did you mean KEYS?"),
        ("rollout: {maxUnavailable: 0}", vec![], "write a number from 1 to 1000"),
    ] {
        cluster.edit(|spec| (spec.lines, spec.config) = (lines(&[line]), config));
        wait_until(SOON, "the edit is refused with a sentence", || {
            let text = cluster.status_text();
            check(text.contains(&said.replace('"', "\\\"")), || text.clone())
        });
    }
    cluster.edit(|spec| (spec.lines, spec.config) = (Vec::new(), Vec::new()));
    cluster.wait_settled(SOON);
    assert_eq!(pids(&cluster), before, "no server has restarted");
}

/// Waits until every server knows `known` and does not know `unknown`.
#[track_caller]
fn wait_names(cluster: &LocalCluster, known: &[&[&str]], unknown: &[&[&str]]) {
    // A server's refusal is an answer or an error, as the client library likes it.
    let is_unknown = |port: u16, command: &[&str]| match view::call(port, command) {
        Ok(answer) => Ok(format!("{answer:?}").contains("unknown command")),
        Err(error) if error.contains("unknown command") => Ok(true),
        Err(error) => Err(error),
    };
    wait_until(ROLL, "every server has the names that the file asks for", || {
        for port in cluster.ports() {
            for (command, wanted) in known.iter().map(|c| (c, false)).chain(unknown.iter().map(|c| (c, true))) {
                let found = is_unknown(port, command)?;
                check(found == wanted, || format!("{port} and {command:?}"))?;
            }
        }
        Ok(())
    });
}

/// All that a cluster does, with agents that must use other names than those of the book.
fn commands_are_renamed_under_a_cluster_that_goes_on(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1).stored());
    let mut writes = load(&cluster, Options::default());
    let names = "renameCommands: {KEYS: \"\", DEBUG: \"\", CONFIG: tune-1a2b, role: my.role, MEMORY: mem, DBSIZE: size, \
                 SHUTDOWN: halt, COMMAND: cmds, EVAL: lua}";
    cluster.edit(|spec| spec.lines = lines(&[names]));
    wait_names(
        &cluster,
        &[&["tune-1a2b", "GET", "port"], &["my.role"], &["size"]],
        &[&["KEYS", "*"], &["CONFIG", "GET", "port"], &["ROLE"], &["EVAL", "return 1", "0"]],
    );
    cluster.wait_settled(SOON);
    // What is changed while they run, slots that move, and a takeover.
    cluster.edit(|spec| spec.lines.push("maxMemory: {size: 1Gi, policy: volatile-lru}".to_owned()));
    wait_memory(&cluster, "tune-1a2b", 1 << 30, "volatile-lru");
    cluster.edit(|spec| spec.primaries = 4);
    cluster.wait_settled(Duration::from_secs(90));
    wait_names(&cluster, &[&["tune-1a2b", "GET", "port"]], &[&["CONFIG", "GET", "port"]]);
    println!("{}", writes.stop());
    writes.audit(&cluster.ports()).assert_clean();
    scripts_write_under_another_name(&cluster);
    let primary = cluster.a_primary();
    cluster.kill(&primary, &[Which::Server], Signal::SIGKILL);
    wait_replica(&cluster, &primary, Duration::from_secs(30));
    // An agent that comes to a running server knows its names.
    cluster.kill(&primary, &[Which::Agent], Signal::SIGKILL);
    cluster.wait_settled(Duration::from_secs(30));
    // Other names, two nodes at a time; in between some servers have the old ones and some the new ones.
    let keys = put(&cluster.ports(), "kept-", 300);
    let other = "renameCommands: {CONFIG: other, INFO: tune-1a2b, SHUTDOWN: size, role: mem}";
    cluster.edit(|spec| spec.lines = lines(&[other, "rollout: {maxUnavailable: 2}"]));
    wait_names(
        &cluster,
        &[&["other", "GET", "port"], &["tune-1a2b"], &["KEYS", "a"]],
        &[&["INFO"], &["lua", "x", "0"]],
    );
    let ready = || {
        let condition = cluster.condition("Ready").ok_or("no condition")?;
        check(condition.0 == "True", || format!("{condition:?}"))
    };
    wait_until(SOON, "the cluster is ready", ready);
    cluster.edit(|spec| spec.lines.clear());
    wait_names(&cluster, &[&["INFO"], &["CONFIG", "GET", "port"], &["ROLE"]], &[&["other", "GET", "port"]]);
    cluster.wait_settled(SOON);
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
}

/// A script is replicated by what it does, whatever it was called by.
fn scripts_write_under_another_name(cluster: &LocalCluster) {
    let keys = put(&cluster.ports(), "script-", 30);
    let view = cluster.wait_agreed();
    let owners = view.owner_of_slots();
    for key in &keys {
        let owner = view.nodes[owners[usize::from(view::slot_of(key.as_bytes()))].unwrap()].port;
        let script = "return redis.call('SET', KEYS[1], KEYS[1])";
        view::call(owner, &["DEL", key]).unwrap();
        view::call(owner, &["lua", script, "1", key]).unwrap();
    }
    let primary = cluster.a_primary();
    cluster.kill(&primary, &[Which::Server], Signal::SIGTERM);
    wait_replica(cluster, &primary, Duration::from_secs(30));
    assert_eq!(missing(&cluster.ports(), &keys), Vec::<String>::new());
}

/// `COMMANDLOG` is Valkey's alone: Redis would not start with another name for it.
fn a_command_that_the_server_has_not_is_said_and_nothing_restarts(server: &Server) {
    let mut cluster = LocalCluster::start(server, Spec::of(1, 1));
    let before = pids(&cluster);
    cluster.edit(|spec| spec.lines = lines(&["renameCommands: {COMMANDLOG: \"\"}"]));
    wait_until(SOON, "the trial says it", || {
        let text = cluster.status_text();
        check(text.contains("does not start with what the spec says"), || text.clone())
    });
    cluster.edit(|spec| spec.lines.clear());
    cluster.wait_settled(SOON);
    assert_eq!(pids(&cluster), before, "no server has restarted");
}

/// Commands that a server replicates as they came although they have no flag `write`: none of them in a cluster but
/// PFCOUNT. Scripts and functions are replicated by what they do, messages go over the bus.
const MAY_REPLICATE: [&str; 6] = ["EVAL", "EVALSHA", "FCALL", "PFCOUNT", "PUBLISH", "SPUBLISH"];

fn the_tables_of_commands_are_those_of_the_servers(server: &Server) {
    let raw = RawServers::start(server, 1, 5000);
    let Value::Array(table) = view::call(raw.ports[0], &["COMMAND"]).unwrap() else { panic!("no table") };
    let is_kept = |name: &str| KEPT.iter().any(|(names, _)| names.contains(&name));
    for command in &table {
        let (name, flags) = described(command);
        let stands = (is_kept(&name), WRITES.contains(&name.as_str()), RENAMEABLE.contains(&name.as_str()));
        if flags.iter().any(|flag| flag == "write") {
            assert!(stands.0 || stands.1, "{name} changes data");
        } else if name != "PFCOUNT" {
            assert!(stands.0 || stands.2, "{name} is not known");
            let replicates = flags.iter().any(|flag| flag == "may_replicate");
            assert!(!replicates || MAY_REPLICATE.contains(&name.as_str()), "do replicas get {name}?");
        }
    }
    assert!(table.len() > 200, "{}", table.len());
}

/// A command's name, and its flags with those of its subcommands.
fn described(command: &Value) -> (String, Vec<String>) {
    let Value::Array(fields) = command else { panic!("{command:?}") };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let list = |value: Option<&Value>| match value {
        Some(Value::Array(items) | Value::Set(items)) => items.clone(),
        _ => Vec::new(),
    };
    let mut flags: Vec<String> = list(fields.get(2)).iter().map(text).collect();
    flags.extend(list(fields.get(9)).iter().flat_map(|sub| described(sub).1));
    (text(&fields[0]).to_uppercase(), flags)
}
