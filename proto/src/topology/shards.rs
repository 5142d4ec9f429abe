//! Reading of CLUSTER SHARDS: shards with their slots, and the nodes of each.
//!
//! Keys that are not known and any order of keys are fine (Valkey 9.1 adds a shard id and zones). A key that is
//! needed and missing is an error that names it.

use super::{BadReply, Role};
use crate::slots::{Slot, SlotRange, SlotSet};
use crate::{NodeId, Offset};

/// A reply that is more than text. A map stands as a list of its keys and values in turn, as RESP2 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A number.
    Integer(i64),
    /// An array, or a map made flat.
    List(Vec<Value>),
}

/// A shard in one server's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its slots; none of a shard that owns nothing.
    pub slots: SlotSet,
    /// Its nodes, failed ones too.
    pub nodes: Vec<ShardNode>,
}

/// A node in one server's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// Its id on the bus.
    pub id: NodeId,
    /// Its IP address; empty when the server does not know it.
    pub ip: String,
    /// Its client port; absent when it has a TLS port only.
    pub port: Option<u16>,
    /// Its role.
    pub role: Role,
    /// Its position in the replication stream, as the last ping said.
    pub offset: Offset,
    /// Its health.
    pub health: ShardHealth,
}

/// The health of a node as CLUSTER SHARDS has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardHealth {
    /// It serves.
    Online,
    /// A majority of the primaries agreed that it failed.
    Failed,
    /// A replica that has nothing yet; one of an idle primary whose offset is 0 looks the same.
    Loading,
}

/// Reads the reply of CLUSTER SHARDS.
pub fn parse_shards(reply: &Value) -> Result<Vec<Shard>, BadReply> {
    list(reply)?.iter().map(shard).collect()
}

fn shard(value: &Value) -> Result<Shard, BadReply> {
    let fields = Fields::of(value)?;
    let slots = slots(fields.needed("slots")?)?;
    let nodes = list(fields.needed("nodes")?)?.iter().map(node).collect::<Result<_, _>>()?;
    Ok(Shard { slots, nodes })
}

/// First and last slot of each range, in turn.
fn slots(value: &Value) -> Result<SlotSet, BadReply> {
    let slot = |value: &Value| Slot::try_from(whole::<u16>(value)?).map_err(|e| bad(value, e.to_string()));
    let range = |pair: &[Value]| match pair {
        [start, end] => SlotRange::new(slot(start)?, slot(end)?).ok_or_else(|| bad(value, "a range that ends early")),
        _ => Err(bad(value, "a range without an end")),
    };
    let ranges = list(value)?.chunks(2).map(range).collect::<Result<Vec<_>, _>>()?;
    Ok(ranges.into())
}

fn node(value: &Value) -> Result<ShardNode, BadReply> {
    let fields = Fields::of(value)?;
    let role = match fields.text("role")? {
        "master" | "primary" => Role::Primary,
        "slave" | "replica" => Role::Replica,
        _ => return Err(bad(value, "a role that is not known")),
    };
    let health = match fields.text("health")? {
        "online" => ShardHealth::Online,
        "fail" | "failed" => ShardHealth::Failed,
        "loading" => ShardHealth::Loading,
        _ => return Err(bad(value, "a health that is not known")),
    };
    Ok(ShardNode {
        id: fields.text("id")?.parse().map_err(|e| bad(value, format!("{e}")))?,
        ip: fields.text("ip")?.to_owned(),
        port: fields.find("port").map(whole).transpose()?,
        role,
        offset: Offset(whole(fields.needed("replication-offset")?)?),
        health,
    })
}

/// A flat map.
struct Fields<'a> {
    whole: &'a Value,
    pairs: &'a [Value],
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Result<Self, BadReply> {
        Ok(Self { whole: value, pairs: list(value)? })
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        self.pairs.chunks_exact(2).find_map(|pair| match pair {
            [Value::Text(key), value] if key == name => Some(value),
            _ => None,
        })
    }

    fn needed(&self, name: &str) -> Result<&'a Value, BadReply> {
        self.find(name).ok_or_else(|| bad(self.whole, format!("no {name}")))
    }

    fn text(&self, name: &str) -> Result<&'a str, BadReply> {
        match self.needed(name)? {
            Value::Text(text) => Ok(text),
            Value::Integer(_) | Value::List(_) => Err(bad(self.whole, format!("a {name} that is no text"))),
        }
    }
}

fn list(value: &Value) -> Result<&[Value], BadReply> {
    match value {
        Value::List(items) => Ok(items),
        Value::Text(_) | Value::Integer(_) => Err(bad(value, "no list")),
    }
}

fn whole<T: TryFrom<i64> + std::str::FromStr>(value: &Value) -> Result<T, BadReply> {
    let number = match value {
        Value::Integer(number) => T::try_from(*number).ok(),
        Value::Text(digits) => digits.parse().ok(),
        Value::List(_) => None,
    };
    number.ok_or_else(|| bad(value, "no whole number, or one that is too large,"))
}

fn bad(value: &Value, why: impl Into<String>) -> BadReply {
    BadReply::new("CLUSTER SHARDS", &format!("{value:?}"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON, as `redis-cli --json` prints a reply; maps are made flat.
    fn value(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::String(text) => Value::Text(text.clone()),
            Json::Number(number) => Value::Integer(number.as_i64().unwrap()),
            Json::Array(items) => Value::List(items.iter().map(value).collect()),
            Json::Object(map) => {
                Value::List(map.iter().flat_map(|(key, item)| [Value::Text(key.clone()), value(item)]).collect())
            }
            Json::Null | Json::Bool(_) => panic!("not in a reply"),
        }
    }

    fn read(json: &str) -> Result<Vec<Shard>, BadReply> {
        parse_shards(&value(&serde_json::from_str(json).unwrap()))
    }

    const VALKEY_9_1: &str = r#"[{"slots":[8192,16383],"nodes":[{"id":"fc06ba07e1da2091a8dc4ea65cb661d534a902e9",
        "port":23013,"ip":"127.0.0.1","endpoint":"127.0.0.1","hostname":"b.example","role":"master",
        "replication-offset":0,"health":"fail"}],"id":"043644bba212b0d20281309687402a07510440e9"},
        {"slots":[0,100,102,8191],"nodes":[{"id":"ebbb2412c4071beace97a3b4f9c4efbae6b60c01","port":23012,
        "ip":"127.0.0.1","endpoint":"127.0.0.1","role":"master","replication-offset":452,"health":"online"},
        {"id":"2215366dc0ec4b5725c283f90b75aec4bd487850","tls-port":23014,"ip":"127.0.0.1","endpoint":"127.0.0.1",
        "role":"replica","replication-offset":440,"health":"loading"}],"id":"fc6a2f7c69811479ae58d1d3bfc59438ba81"},
        {"slots":[],"nodes":[]}]"#;

    #[test]
    fn reads_shards_whatever_the_order_and_number_of_keys() {
        let shards = read(VALKEY_9_1).unwrap();
        let slots: Vec<_> = shards.iter().map(|shard| shard.slots.to_string()).collect();
        assert_eq!(slots, ["8192-16383", "0-100,102-8191", "-"]);
        let [primary, replica] = shards[1].nodes.as_slice() else { panic!("two nodes") };
        assert_eq!((primary.role, primary.port, primary.offset), (Role::Primary, Some(23012), Offset(452)));
        assert_eq!((replica.role, replica.port, replica.offset), (Role::Replica, None, Offset(440)));
        assert_eq!(replica.health, ShardHealth::Loading);
        assert_eq!(shards[0].nodes[0].health, ShardHealth::Failed);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (from, to, why) in [
            (r#""role":"master","#, "", "no role"),
            (r#""master""#, r#""sentinel""#, "role that is not known"),
            (r#""online""#, r#""fine""#, "health that is not known"),
            (r#""replication-offset":452"#, r#""replication-offset":-1"#, "no whole number"),
            ("8192,16383", "8192,16384", "16384"),
            ("8192,16383", "16383,8192", "ends early"),
            ("8192,16383", "8192", "without an end"),
            (r#""nodes":[]"#, r#""nodes":5"#, "no list"),
            (r#""nodes":[]"#, r#""others":[]"#, "no nodes"),
            ("fc06ba07e1da", "nothing", "40 digits"),
        ] {
            let error = read(&VALKEY_9_1.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("CLUSTER SHARDS"), "{to}: {error}");
        }
        assert!(parse_shards(&Value::Text("ERR".to_owned())).is_err());
    }
}
