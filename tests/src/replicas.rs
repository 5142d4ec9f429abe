//! Whether every replica holds what its primary holds, key by key and value by value, and no primary holds keys of slots
//! that are another's. Nothing may write meanwhile; what expires meanwhile is looked at again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use redis::{Cmd, Connection, RedisError, Value, cmd};

use crate::view::{self, Node, View, slot_of};
use crate::wait::{check, wait_until};

/// How long a replica may take to have everything, and a primary to drop what it has given away.
const CAUGHT_UP: Duration = Duration::from_secs(30);
/// How long one answer may take. The largest is a hash of some hundred thousand fields.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys that are asked for at once.
const AT_ONCE: usize = 500;

/// The keys of a server: what its serialised value hashes to, and when it expires (Unix, ms; negative: never).
type Keys = BTreeMap<Vec<u8>, (u64, i64)>;

/// Waits until all is as above, and says which keys the primaries have, in order.
#[track_caller]
pub fn wait_same(ports: &[u16]) -> Vec<Vec<u8>> {
    wait_until(CAUGHT_UP, "replicas hold what their primaries hold", || same(ports))
}

/// Whether every replica has come to where its primary was when this was asked. One that has just synced is linked before it
/// has what was written meanwhile.
pub fn caught_up(view: &View) -> Result<(), String> {
    let at = |node: &Node| node.at().unwrap_or_else(|| node.port.into());
    for owner in view.owners() {
        let offset = view::number(at(owner), "master_repl_offset")?;
        for replica in view.replicas_of(&owner.id) {
            let has = view::number(at(replica), "slave_repl_offset")?;
            check(has >= offset, || format!("{has} of {offset}: {replica:?}"))?;
        }
    }
    Ok(())
}

/// Whether all is as above now: the keys in order, or the first differences.
pub fn same(ports: &[u16]) -> Result<Vec<Vec<u8>>, String> {
    let view = view::agreed(ports)?;
    let mut all = Vec::new();
    for owner in view.owners() {
        let mut primary = connect(owner.port)?;
        let keys = keys(&mut primary).map_err(|error| said(owner.port, &error))?;
        let mut wrong: Vec<String> = strays(&keys, &owner.slots);
        for node in view.replicas_of(&owner.id) {
            let mut replica = connect(node.port)?;
            let there = self::keys(&mut replica).map_err(|error| said(node.port, &error))?;
            let differ = different(&keys, &there).into_iter();
            let differ = differ.filter(|key| plain(&mut primary, key).ok() != plain(&mut replica, key).ok());
            wrong.extend(differ.map(|key| format!("{} differs on its replica {}", readable(&key), node.port)));
        }
        if !wrong.is_empty() {
            wrong.sort();
            return Err(format!("{}: {} wrong: {:?}", owner.port, wrong.len(), &wrong[..wrong.len().min(5)]));
        }
        all.extend(keys.into_keys());
    }
    all.sort();
    Ok(all)
}

fn strays(keys: &Keys, slots: &[u16]) -> Vec<String> {
    let strays = keys.keys().filter(|key| slots.binary_search(&slot_of(key)).is_err());
    strays.map(|key| format!("{} of slot {} is another's", readable(key), slot_of(key))).collect()
}

/// Keys that are not there on both, or that may differ: order inside a serialised set, hash or stream is the server's own.
fn different(one: &Keys, other: &Keys) -> Vec<Vec<u8>> {
    let unlike = one.iter().filter(|(key, value)| other.get(*key) != Some(value)).map(|(key, _)| key);
    let more = other.keys().filter(|key| !one.contains_key(*key));
    unlike.chain(more).cloned().collect()
}

fn keys(connection: &mut Connection) -> Result<Keys, RedisError> {
    let mut found = Keys::new();
    let mut cursor = 0;
    loop {
        let (next, names): (u64, Vec<Vec<u8>>) = cmd("SCAN").arg(cursor).arg("COUNT").arg(AT_ONCE).query(connection)?;
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.cmd("DUMP").arg(name).cmd("PEXPIRETIME").arg(name);
        }
        let answers: Vec<Value> = if names.is_empty() { Vec::new() } else { pipe.query(connection)? };
        for (name, answer) in names.into_iter().zip(answers.chunks_exact(2)) {
            // One without a value has expired since its name was read.
            if let [Value::BulkString(dump), Value::Int(expires_at)] = answer {
                let mut hasher = DefaultHasher::new();
                dump.hash(&mut hasher);
                found.insert(name, (hasher.finish(), *expires_at));
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(found);
        }
    }
}

/// What a key holds, the same on every server that holds the same: as text, sorted where the order means nothing.
fn plain(connection: &mut Connection, key: &[u8]) -> Result<String, RedisError> {
    let kind: String = with("TYPE", key, &[]).query(connection)?;
    let expires_at: i64 = with("PEXPIRETIME", key, &[]).query(connection)?;
    let (command, width) = match kind.as_str() {
        "string" => (with("GET", key, &[]), 0),
        "list" => (with("LRANGE", key, &["0", "-1"]), 0),
        "set" => (with("SMEMBERS", key, &[]), 1),
        "hash" => (with("HGETALL", key, &[]), 2),
        "zset" => (with("ZRANGE", key, &["0", "-1", "WITHSCORES"]), 2),
        "stream" => return Ok(format!("{kind} {expires_at} {}", stream(connection, key)?)),
        _ => return Ok(kind),
    };
    let value: Value = command.query(connection)?;
    let value = match value {
        Value::Array(items) if width > 0 => {
            let mut entries: Vec<String> = items.chunks(width).map(|entry| format!("{entry:?}")).collect();
            entries.sort();
            entries.concat()
        }
        other => format!("{other:?}"),
    };
    Ok(format!("{kind} {expires_at} {value}"))
}

/// The entries, and what each group was given and has not acknowledged. For how long is each server's own.
fn stream(connection: &mut Connection, key: &[u8]) -> Result<String, RedisError> {
    let entries: Value = with("XRANGE", key, &["-", "+"]).query(connection)?;
    let groups: Vec<BTreeMap<String, Value>> = with("XINFO", b"GROUPS", &[]).arg(key).query(connection)?;
    let mut text = format!("{entries:?}");
    for group in groups {
        let Some(Value::BulkString(name)) = group.get("name") else { continue };
        let pending: Vec<(String, String, i64, i64)> =
            with("XPENDING", key, &[]).arg(name).arg("-").arg("+").arg(1_000_000).query(connection)?;
        let pending: Vec<_> = pending.into_iter().map(|(id, consumer, _, _)| (id, consumer)).collect();
        write!(text, "{name:?} {:?} {pending:?}", group.get("last-delivered-id")).expect("a string grows");
    }
    Ok(text)
}

fn with(command: &str, key: &[u8], args: &[&str]) -> Cmd {
    let mut command = cmd(command);
    command.arg(key).arg(args);
    command
}

fn connect(port: u16) -> Result<Connection, String> {
    let failed = |error: RedisError| said(port, &error);
    let client = redis::Client::open(("127.0.0.1", port)).map_err(failed)?;
    let mut connection = client.get_connection_with_timeout(PATIENCE).map_err(failed)?;
    connection.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    cmd("READONLY").exec(&mut connection).map_err(failed)?;
    Ok(connection)
}

fn said(port: u16, error: &RedisError) -> String {
    format!("127.0.0.1:{port}: {error}")
}

fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
