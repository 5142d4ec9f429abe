//! Writes and reads of the workload as commands, and their answers. Nothing here decides or waits.

use std::collections::BTreeMap;

use redis::{Cmd, Value, cmd};

use super::keys::Kind;
use super::model::{Answer, Entry, Observed, What, Write};
use super::value::value;

/// The group and the consumer of every stream.
const GROUP: &str = "readers";

/// The command of a write.
pub(super) fn write(write: &Write) -> Cmd {
    let Write { key, kind, name, element, seq, what } = write;
    let content = || value(*key, *element, *seq, kind.value_len());
    let mut command = Cmd::new();
    match (kind, what) {
        (Kind::Hash | Kind::BigHash, What::Put(_)) => command.arg("HSET").arg(name).arg(*element).arg(content()),
        (Kind::Hash | Kind::BigHash, What::Remove(_)) => command.arg("HDEL").arg(name).arg(*element),
        (Kind::Set, What::Put(_)) => command.arg("SADD").arg(name).arg(format!("{element}.{seq}")),
        (Kind::Set, What::Remove(old)) => command.arg("SREM").arg(name).arg(format!("{element}.{old}")),
        (Kind::SortedSet, What::Put(_)) => command.arg("ZADD").arg(name).arg(*seq).arg(*element),
        (Kind::SortedSet, What::Remove(_)) => command.arg("ZREM").arg(name).arg(*element),
        (_, What::Put(None)) => command.arg("SET").arg(name).arg(content()),
        (_, What::Put(Some(at))) => command.arg("SET").arg(name).arg(content()).arg("PXAT").arg(*at),
        (_, What::Remove(_)) => command.arg("DEL").arg(name),
        (Kind::Stream, What::Append) => command.arg("XADD").arg(name).arg("*").arg("v").arg(content()),
        (_, What::Append) => command.arg("RPUSH").arg(name).arg(content()),
        (_, What::Count) => command.arg("INCR").arg(name),
        (_, What::Deliver) => command
            .arg("XREADGROUP")
            .arg("GROUP")
            .arg(GROUP)
            .arg("one")
            .arg("COUNT")
            .arg(1)
            .arg("STREAMS")
            .arg(name)
            .arg(">"),
        (_, What::Settle(id)) => command.arg("XACK").arg(name).arg(GROUP).arg(id),
    };
    command
}

/// What a stream needs before its first write.
pub(super) fn create_group(name: &[u8]) -> Cmd {
    let mut command = cmd("XGROUP");
    command.arg("CREATE").arg(name).arg(GROUP).arg("0").arg("MKSTREAM");
    command
}

/// Many fields of the big hash in one command.
pub(super) fn fill_hash(key: u32, name: &[u8], fields: std::ops::Range<u32>) -> Cmd {
    let mut command = cmd("HSET");
    command.arg(name);
    for field in fields {
        command.arg(field).arg(value(key, field, 1, Kind::BigHash.value_len()));
    }
    command
}

/// The answer to a write.
pub(super) fn answer(what: &What, reply: &Value) -> Answer {
    let ids = match what {
        What::Append => id_of(reply).into_iter().collect(),
        // [[name, [[id, [field, value]] …]]], or nil when there is nothing new.
        What::Deliver => items(reply).iter().flat_map(|stream| items(&items(stream)[1])).filter_map(first_id).collect(),
        _ => Vec::new(),
    };
    let number = if let Value::Int(number) = reply { Some(*number) } else { None };
    Answer { number, ids }
}

/// The commands that read a key, in order. The big hash is read in parts, so that no server stalls.
pub(super) fn reads(name: &[u8], kind: Kind, elements: u32) -> Vec<Cmd> {
    let with = |parts: &[&str]| {
        let mut command = cmd(parts[0]);
        command.arg(name);
        for part in &parts[1..] {
            command.arg(*part);
        }
        command
    };
    match kind {
        Kind::Hash => vec![with(&["HGETALL"])],
        Kind::BigHash => big_hash_reads(name, elements),
        Kind::List => vec![with(&["LRANGE", "0", "-1"])],
        Kind::Set => vec![with(&["SMEMBERS"])],
        Kind::SortedSet => vec![with(&["ZRANGE", "0", "-1", "WITHSCORES"])],
        Kind::Stream => vec![with(&["XRANGE", "-", "+"]), with(&["XPENDING", GROUP, "-", "+", "1000000"])],
        Kind::Counter => vec![with(&["GET"])],
        _ => vec![with(&["GET"]), with(&["PEXPIRETIME"])],
    }
}

fn big_hash_reads(name: &[u8], elements: u32) -> Vec<Cmd> {
    let mut reads = Vec::new();
    for first in (0..elements).step_by(1000) {
        let mut command = cmd("HMGET");
        command.arg(name);
        for field in first..elements.min(first + 1000) {
            command.arg(field);
        }
        reads.push(command);
    }
    reads
}

/// What the answers to [`reads`] show.
pub(super) fn observed(kind: Kind, replies: &[Value]) -> Observed {
    let texts = || items(&replies[0]).iter().filter_map(bytes).collect::<Vec<_>>();
    let elements = |values| Observed::Elements { values, expires_at: None };
    match kind {
        Kind::Hash => {
            elements(pairs(&texts()).filter_map(|(field, value)| Some((number(field)?, value.clone()))).collect())
        }
        Kind::BigHash => {
            let all = replies.iter().flat_map(items).enumerate();
            elements(all.filter_map(|(n, value)| Some((u32::try_from(n).ok()?, bytes(value)?))).collect())
        }
        Kind::SortedSet => {
            elements(pairs(&texts()).filter_map(|(member, score)| Some((number(member)?, score.clone()))).collect())
        }
        Kind::Set => elements(set_members(texts())),
        Kind::List => Observed::Entries {
            entries: texts().into_iter().map(|value| Entry { id: None, value }).collect(),
            pending: Vec::new(),
        },
        Kind::Stream => Observed::Entries {
            entries: items(&replies[0]).iter().map(stream_entry).collect(),
            pending: items(&replies[1]).iter().filter_map(first_id).collect(),
        },
        Kind::Counter => {
            Observed::Number(bytes(&replies[0]).and_then(|text| String::from_utf8(text).ok()?.parse().ok()))
        }
        _ => text(replies),
    }
}

/// PEXPIRETIME: -2 no key, -1 no expiry.
fn text(replies: &[Value]) -> Observed {
    let expires_at = if let Value::Int(at) = replies[1] { Some(at).filter(|at| *at >= 0) } else { None };
    Observed::Elements { values: bytes(&replies[0]).map(|value| (0, value)).into_iter().collect(), expires_at }
}

/// Members are `element.write`. Of two of one element the older is kept: it should have been removed.
fn set_members(members: Vec<Vec<u8>>) -> BTreeMap<u32, Vec<u8>> {
    let mut found: BTreeMap<u32, u32> = BTreeMap::new();
    let mut strange = Vec::new();
    for member in members {
        let text = String::from_utf8_lossy(&member).into_owned();
        let parsed: Option<(u32, u32)> =
            text.split_once('.').and_then(|(element, seq)| Some((element.parse().ok()?, seq.parse().ok()?)));
        match parsed {
            Some((element, seq)) => {
                let older = found.get(&element).map_or(seq, |other| seq.min(*other));
                found.insert(element, older);
            }
            None => strange.push(member),
        }
    }
    let mut found: BTreeMap<u32, Vec<u8>> =
        found.into_iter().map(|(element, seq)| (element, seq.to_string().into_bytes())).collect();
    found.extend(strange.into_iter().map(|member| (u32::MAX, member)));
    found
}

fn stream_entry(entry: &Value) -> Entry {
    let fields = items(entry).get(1).map(items).unwrap_or_default();
    Entry { id: first_id(entry), value: fields.get(1).and_then(bytes).unwrap_or_default() }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

fn first_id(value: &Value) -> Option<String> {
    items(value).first().and_then(id_of)
}

fn id_of(value: &Value) -> Option<String> {
    bytes(value).and_then(|bytes| String::from_utf8(bytes).ok())
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn pairs(flat: &[Vec<u8>]) -> impl Iterator<Item = (&[u8], &Vec<u8>)> {
    flat.chunks_exact(2).map(|pair| (pair[0].as_slice(), &pair[1]))
}
