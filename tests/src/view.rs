//! What the servers themselves say of the cluster: the truth that tests compare everything with.
//!
//! It has a parser of its own for CLUSTER NODES, so that a mistake in the product's parser cannot hide itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use redis::{ConnectionLike, Value};

use crate::at::At;

/// How long a single question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many slots there are.
pub const SLOTS: usize = 16384;

/// One line of CLUSTER NODES.
#[derive(Clone)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its IP address, as the node that was asked knows it; empty if it knows none.
    pub host: String,
    /// The port that clients use.
    pub port: u16,
    /// `master` in the flags.
    pub is_primary: bool,
    /// `fail`, `fail?`, `noaddr` or `handshake` in the flags.
    pub is_bad: bool,
    /// The id of its primary, of a replica.
    pub primary: Option<String>,
    /// Its config epoch.
    pub epoch: u64,
    /// Slots it owns, in order.
    pub slots: Vec<u16>,
    /// Slots on the way, as written: `[93-<-id]`.
    pub open: Vec<String>,
}

impl Node {
    /// Where clients reach it, if the node that was asked knows.
    pub fn at(&self) -> Option<At> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port).into())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.is_primary { "primary" } else { "replica" };
        let few = &self.open[..self.open.len().min(3)];
        write!(f, "{role} on {} with {} slots, {} open {few:?}", self.port, self.slots.len(), self.open.len())?;
        if self.is_bad { write!(f, ", bad") } else { Ok(()) }
    }
}

/// All lines of one node's CLUSTER NODES.
#[derive(Clone, Debug)]
pub struct View {
    /// The nodes, in the order of the reply.
    pub nodes: Vec<Node>,
    /// The id of the node that was asked.
    pub myself: String,
}

/// One command to a server (a port is one of this machine), on a connection of its own.
pub fn call(at: impl Into<At>, args: &[&str]) -> Result<Value, String> {
    let at = at.into();
    let failed = |error: redis::RedisError| format!("{at} {}: {error}", args.join(" "));
    let client = redis::Client::open((at.host(), at.port())).map_err(failed)?;
    let mut connection = client.get_connection_with_timeout(PATIENCE).map_err(failed)?;
    connection.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut command = redis::Cmd::new();
    for arg in args {
        command.arg(*arg);
    }
    connection.req_command(&command).map_err(failed)
}

/// As [`call`], for commands that answer with text.
pub fn text(at: impl Into<At>, args: &[&str]) -> Result<String, String> {
    let at = at.into();
    match call(at, args)? {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Ok(text),
        Value::Okay => Ok("OK".to_owned()),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(format!("{at} {}: unexpected answer {other:?}", args.join(" "))),
    }
}

/// The fields of INFO.
pub fn info(at: impl Into<At>) -> Result<BTreeMap<String, String>, String> {
    let text = text(at, &["INFO"])?;
    Ok(text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect())
}

/// A number of INFO.
pub fn number(at: impl Into<At>, field: &str) -> Result<u64, String> {
    let at = at.into();
    let info = info(at)?;
    info.get(field).and_then(|number| number.parse().ok()).ok_or_else(|| format!("{at}: INFO has no number {field}"))
}

/// The server's process id, by its own word.
pub fn server_pid(at: impl Into<At>) -> Result<i32, String> {
    Ok(i32::try_from(number(at, "process_id")?).expect("process ids fit"))
}

/// What a server thinks of the cluster.
pub fn view(at: impl Into<At>) -> Result<View, String> {
    let at = at.into();
    let text = text(at, &["CLUSTER", "NODES"])?;
    let mut myself = String::new();
    let mut nodes = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let node = node(line).ok_or_else(|| format!("{at}: cannot read the line {line:?}"))?;
        if line.contains("myself") {
            myself.clone_from(&node.id);
        }
        nodes.push(node);
    }
    Ok(View { nodes, myself })
}

impl View {
    /// Primaries that own slots.
    pub fn owners(&self) -> Vec<&Node> {
        self.nodes.iter().filter(|node| node.is_primary && !node.slots.is_empty()).collect()
    }

    /// Replicas of a node.
    pub fn replicas_of(&self, id: &str) -> Vec<&Node> {
        self.nodes.iter().filter(|node| node.primary.as_deref() == Some(id)).collect()
    }

    /// A node by its port.
    pub fn on_port(&self, port: u16) -> Option<&Node> {
        self.nodes.iter().find(|node| node.port == port)
    }

    /// A node by its IP address, of a cluster whose servers all have addresses of their own.
    pub fn on_host(&self, host: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.host == host)
    }

    /// The owner of each slot, as an index into `nodes`.
    pub fn owner_of_slots(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; SLOTS];
        for (index, node) in self.nodes.iter().enumerate() {
            for slot in &node.slots {
                owners[usize::from(*slot)] = Some(index);
            }
        }
        owners
    }

    /// Whether every slot has an owner, and the owners are `primaries` in number with shares within one slot.
    pub fn is_even(&self, primaries: usize) -> Result<(), String> {
        let shares: Vec<usize> = self.owners().iter().map(|node| node.slots.len()).collect();
        let even = shares.iter().all(|share| *share == SLOTS / primaries || *share == SLOTS.div_ceil(primaries));
        let whole = shares.iter().sum::<usize>() == SLOTS;
        if shares.len() == primaries && even && whole {
            Ok(())
        } else {
            Err(format!("wanted {primaries} even shares of all slots, found {shares:?}"))
        }
    }
}

/// Whether every one of `servers` answers, is ok, agrees with the others on who owns what, has no slot on the way, and
/// is a primary or a replica in sync.
pub fn agreed<A: Copy + Into<At>>(servers: &[A]) -> Result<View, String> {
    let mut first: Option<(Vec<String>, View)> = None;
    for at in servers {
        let at: At = (*at).into();
        let view = view(at)?;
        if let Some(node) = view.nodes.iter().find(|node| node.is_bad || !node.open.is_empty()) {
            return Err(format!("{at} shows {node:?}"));
        }
        let state = text(at, &["CLUSTER", "INFO"])?;
        if !state.contains("cluster_state:ok") || view.nodes.len() != servers.len() {
            return Err(format!("{at} is not ok, or knows {} of {} nodes", view.nodes.len(), servers.len()));
        }
        in_sync(at)?;
        let names = claims(&view);
        match &first {
            Some((other, _)) if *other != names => return Err(format!("{at} sees other owners")),
            Some(_) => {}
            None => first = Some((names, view)),
        }
    }
    first.map(|(_, view)| view).ok_or_else(|| "no servers".to_owned())
}

/// Whether the server is a primary, or a replica whose link is up and whose offset is its primary's or close to it.
fn in_sync(at: At) -> Result<(), String> {
    let info = info(at)?;
    let is = |key: &str, value: &str| info.get(key).is_some_and(|found| found == value);
    if is("role", "master") || (is("master_link_status", "up") && is("master_sync_in_progress", "0")) {
        return Ok(());
    }
    Err(format!("{at} is a replica whose link to its primary is down"))
}

fn claims(view: &View) -> Vec<String> {
    let mut claims: Vec<String> = view
        .nodes
        .iter()
        .map(|node| format!("{} {} {:?} {:?}", node.id, node.is_primary, node.primary, node.slots))
        .collect();
    claims.sort();
    claims
}

/// `<id> <ip:port@cport[,hostname]> <flags> <primary> <ping> <pong> <epoch> <link> <slot> …`
fn node(line: &str) -> Option<Node> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, primary, _, _, epoch, _, slots @ ..] = fields.as_slice() else { return None };
    let flags: Vec<&str> = flags.split(',').collect();
    let (host, port) = address.split('@').next()?.rsplit_once(':')?;
    let (open, owned): (Vec<&str>, Vec<&str>) = slots.iter().partition(|range| range.starts_with('['));
    let mut all = Vec::new();
    for range in owned {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        all.extend(from.parse::<u16>().ok()?..=to.parse::<u16>().ok()?);
    }
    Some(Node {
        id: (*id).to_owned(),
        host: host.to_owned(),
        port: port.parse().ok()?,
        is_primary: flags.contains(&"master"),
        is_bad: flags.iter().any(|flag| ["fail", "fail?", "noaddr", "handshake"].contains(flag)),
        primary: (*primary != "-").then(|| (*primary).to_owned()),
        epoch: epoch.parse().ok()?,
        slots: all,
        open: open.into_iter().map(str::to_owned).collect(),
    })
}

/// The slot of a key: CRC16 (XMODEM) of its hash tag or of all of it, modulo 16384 (Redis Cluster specification).
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|close| *close > 0).map(|close| &rest[..close])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    });
    crc % 16384
}

/// A key that starts with `prefix` and lies in one of `slots`.
pub fn key_in(prefix: &str, slots: &[u16]) -> String {
    let mut wanted = vec![false; SLOTS];
    for slot in slots {
        wanted[usize::from(*slot)] = true;
    }
    (0..u32::MAX)
        .map(|n| format!("{prefix}{n}"))
        .find(|key| wanted[usize::from(slot_of(key.as_bytes()))])
        .expect("some key lies in every slot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // "123456789" is the check value of CRC16 XMODEM: 0x31C3.
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}".as_ref()));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
    }

    #[test]
    fn a_line_with_ranges_and_open_slots_is_read() {
        let node =
            node("07c3 127.0.0.1:30004@31004,host myself,master - 0 1426238317239 4 connected 0-2 7 [93-<-a]").unwrap();
        assert_eq!((node.port, node.epoch, node.slots), (30004, 4, vec![0, 1, 2, 7]));
        assert_eq!(node.open, ["[93-<-a]"]);
        assert!(node.is_primary && !node.is_bad && node.primary.is_none());
    }
}
