//! One line of a node table:
//! `<id> <ip>:<port>@<bus port>[,<host name>[,<key>=<value>…]] <flags> <primary|-> <ping> <pong> <epoch> <link> <slots>…`

use crate::slots::{Slot, SlotRange, SlotSet};
use crate::topology::{BadReply, Direction, Health, OpenSlot, Role, ViewNode};
use crate::{ConfigEpoch, NodeId};

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// It is the line of the server whose table this is.
    pub(super) myself: bool,
    /// What it says of the node.
    pub(super) node: ViewNode,
    /// The node's open slots; servers show only their own.
    pub(super) open: Vec<OpenSlot>,
}

impl Line {
    /// Reads `text`, a line of `reply`.
    pub(super) fn parse(reply: &'static str, text: &str) -> Result<Self, BadReply> {
        parse(text).map_err(|why| BadReply::new(reply, text, why))
    }
}

fn parse(text: &str) -> Result<Line, String> {
    let mut words = text.split_ascii_whitespace();
    let mut next = |what: &str| words.next().ok_or_else(|| format!("no {what}"));
    let id: NodeId = next("node id")?.parse().map_err(|e| format!("{e}"))?;
    let address = Address::parse(next("address")?)?;
    let flags = Flags::parse(next("flags")?);
    let primary = primary(next("primary")?)?;
    number(next("time of the last ping")?)?;
    number(next("time of the last pong")?)?;
    let epoch = ConfigEpoch(number(next("epoch")?)?);
    let connected = connected(next("state of the link")?)?;
    let (slots, open) = slots(words)?;
    if !flags.myself && !open.is_empty() {
        return Err("open slots of another node".to_owned());
    }
    if flags.role.is_none() && !slots.is_empty() {
        return Err("slots, but no role".to_owned());
    }
    let node = ViewNode {
        id,
        ip: address.ip.to_owned(),
        port: address.port,
        bus_port: address.bus_port,
        role: flags.role.unwrap_or(Role::Primary),
        primary,
        health: flags.health,
        handshake: flags.handshake,
        no_address: flags.no_address,
        connected,
        epoch,
        slots,
    };
    Ok(Line { myself: flags.myself, node, open })
}

/// The second word, up to the first comma, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) ip: &'a str,
    pub(super) port: u16,
    pub(super) bus_port: u16,
    /// Host name and further properties with their leading comma; empty if there are none.
    pub(super) rest: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn parse(word: &'a str) -> Result<Self, String> {
        let (address, rest) = word.split_at(word.find(',').unwrap_or(word.len()));
        let bad = || format!("{address:?} is no ip:port@bus-port");
        // An IPv6 address stands without brackets: the last colon ends it.
        let (ip_port, bus_port) = address.split_once('@').ok_or_else(bad)?;
        let (ip, port) = ip_port.rsplit_once(':').ok_or_else(bad)?;
        let number = |digits: &str| digits.parse::<u16>().map_err(|_| bad());
        Ok(Self { ip, port: number(port)?, bus_port: number(bus_port)?, rest })
    }
}

struct Flags {
    myself: bool,
    role: Option<Role>,
    health: Health,
    handshake: bool,
    no_address: bool,
}

impl Flags {
    /// Words that are not known (`nofailover`, `noflags`, newer ones) say nothing that is needed here.
    fn parse(list: &str) -> Self {
        let mut flags = Self { myself: false, role: None, health: Health::Fine, handshake: false, no_address: false };
        for word in list.split(',') {
            match word {
                "myself" => flags.myself = true,
                "master" | "primary" => flags.role = Some(Role::Primary),
                "slave" | "replica" => flags.role = Some(Role::Replica),
                "fail?" => flags.health = flags.health.max(Health::Suspected),
                "fail" => flags.health = Health::Failed,
                "handshake" => flags.handshake = true,
                "noaddr" => flags.no_address = true,
                _ => {}
            }
        }
        flags
    }
}

fn primary(word: &str) -> Result<Option<NodeId>, String> {
    if word == "-" { Ok(None) } else { word.parse().map(Some).map_err(|e| format!("{e}")) }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

fn connected(word: &str) -> Result<bool, String> {
    match word {
        "connected" => Ok(true),
        "disconnected" => Ok(false),
        _ => Err(format!("{word:?} is no state of a link")),
    }
}

fn slots<'a>(words: impl Iterator<Item = &'a str>) -> Result<(SlotSet, Vec<OpenSlot>), String> {
    let (mut slots, mut open) = (SlotSet::new(), Vec::new());
    for word in words {
        if let Some(inside) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            open.push(open_slot(inside).ok_or_else(|| format!("{word:?} is no open slot"))?);
        } else {
            slots.extend(word.parse::<SlotRange>().map_err(|e| e.to_string())?.iter());
        }
    }
    Ok((slots, open))
}

/// `100->-<id>` leaves for the node, `100-<-<id>` arrives from it.
fn open_slot(text: &str) -> Option<OpenSlot> {
    let leaving = text.split_once("->-").map(|sides| (sides, Direction::Migrating));
    let arriving = || text.split_once("-<-").map(|sides| (sides, Direction::Importing));
    let ((slot, peer), direction) = leaving.or_else(arriving)?;
    Some(OpenSlot { slot: Slot::try_from(slot.parse::<u16>().ok()?).ok()?, direction, peer: peer.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slots::SLOT_COUNT;

    const ID: &str = "0ba1af8c623416ef995175c0f6c1b132d94f7e94";

    fn read(text: &str) -> Result<Line, String> {
        parse(&text.replace("ID", ID))
    }

    #[test]
    fn reads_addresses_with_and_without_what_follows() {
        for (word, ip, port, bus_port, rest) in [
            ("127.0.0.1:7000@17000", "127.0.0.1", 7000, 17000, ""),
            ("10.1.2.3:6379@16379,b.example", "10.1.2.3", 6379, 16379, ",b.example"),
            (":0@0,,tls-port=0,shard-id=26f8", "", 0, 0, ",,tls-port=0,shard-id=26f8"),
            ("fd00::12:6379@16379,,a=b@c:1", "fd00::12", 6379, 16379, ",,a=b@c:1"),
        ] {
            assert_eq!(Address::parse(word), Ok(Address { ip, port, bus_port, rest }), "{word}");
        }
        for word in ["", "127.0.0.1", "127.0.0.1:7000", "127.0.0.1@1", "h:70000@1", "h:1@", "h:@1", ",h:1@2"] {
            assert!(Address::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_node_in_handshake_has_no_role_and_no_slots() {
        let line = read("ID 10.0.0.9:7001@17001 handshake - 1795370805578 0 0 disconnected").unwrap();
        assert!(line.node.handshake && !line.node.connected && line.node.slots.is_empty());
        assert!(read("ID 10.0.0.9:7001@17001 handshake - 0 0 0 disconnected 5").is_err());
    }

    #[test]
    fn every_flag_counts_in_any_company() {
        let of = |flags: &str| read(&format!("ID :0@0 {flags} - 0 0 3 disconnected")).unwrap();
        assert!(of("master,fail,noaddr").node.no_address);
        assert_eq!(of("master,fail,noaddr").node.health, Health::Failed);
        assert_eq!(of("slave,fail?").node.health, Health::Suspected);
        assert_eq!(of("fail,fail?,slave").node.health, Health::Failed);
        assert_eq!(of("myself,replica,nofailover").node.role, Role::Replica);
        assert!(of("myself,replica,nofailover").myself);
        assert_eq!(of("noflags").node.role, Role::Primary);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("xyz :0@0 master - 0 0 0 connected", "40 digits"),
            ("ID nowhere master - 0 0 0 connected", "ip:port@bus-port"),
            ("ID :0@0 master me 0 0 0 connected", "40 digits"),
            ("ID :0@0 master - x 0 0 connected", "no number"),
            ("ID :0@0 master - 0 0 -1 connected", "no number"),
            ("ID :0@0 master - 0 0 0 maybe", "state of a link"),
            ("ID :0@0 master - 0 0 0", "no state of the link"),
            ("ID :0@0 myself,master - 0 0 0 connected [5>ID]", "no open slot"),
            ("ID :0@0 myself,master - 0 0 0 connected [16384->-ID]", "no open slot"),
            ("ID :0@0 master - 0 0 0 connected [5->-ID]", "another node"),
            ("ID :0@0 master - 0 0 0 connected 9-5", "no slot or range"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn any_id() -> impl Strategy<Value = NodeId> {
        "[0-9a-f]{40}".prop_map(|text| text.parse().unwrap())
    }

    fn any_slots() -> impl Strategy<Value = SlotSet> {
        proptest::collection::vec((0..SLOT_COUNT, 1u16..300), 0..6).prop_map(|parts| {
            let numbers = parts.into_iter().flat_map(|(start, n)| start..start.saturating_add(n).min(SLOT_COUNT));
            numbers.map(|n| Slot::try_from(n).unwrap()).collect()
        })
    }

    fn any_open() -> impl Strategy<Value = OpenSlot> {
        (0..SLOT_COUNT, any::<bool>(), any_id()).prop_map(|(slot, leaves, peer)| OpenSlot {
            slot: Slot::try_from(slot).unwrap(),
            direction: if leaves { Direction::Migrating } else { Direction::Importing },
            peer,
        })
    }

    fn any_address() -> impl Strategy<Value = (String, u16, u16)> {
        let ip = prop_oneof![
            Just(String::new()),
            any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        ];
        (ip, any::<u16>(), any::<u16>())
    }

    prop_compose! {
        fn any_line()(
            id in any_id(),
            (ip, port, bus_port) in any_address(),
            myself in any::<bool>(),
            primary in proptest::option::of(any_id()),
            health in prop_oneof![Just(Health::Fine), Just(Health::Suspected), Just(Health::Failed)],
            (handshake, no_address, connected) in any::<(bool, bool, bool)>(),
            epoch in any::<u64>(),
            slots in any_slots(),
            open in proptest::collection::vec(any_open(), 0..4),
        ) -> Line {
            let role = if primary.is_some() { Role::Replica } else { Role::Primary };
            let epoch = ConfigEpoch(epoch);
            let node = ViewNode {
                id, ip, port, bus_port, role, primary, health, handshake, no_address, connected, epoch, slots,
            };
            Line { myself, node, open: if myself { open } else { Vec::new() } }
        }
    }

    fn print(line: &Line, rest: &str) -> String {
        let node = &line.node;
        let flags = [
            line.myself.then_some("myself"),
            Some(if node.role == Role::Primary { "master" } else { "slave" }),
            (node.health == Health::Suspected).then_some("fail?"),
            (node.health == Health::Failed).then_some("fail"),
            node.handshake.then_some("handshake"),
            node.no_address.then_some("noaddr"),
        ];
        let primary = node.primary.as_ref().map_or("-", NodeId::as_str);
        let mut words = vec![
            node.id.to_string(),
            format!("{}:{}@{}{rest}", node.ip, node.port, node.bus_port),
            flags.into_iter().flatten().collect::<Vec<_>>().join(","),
            format!("{primary} 0 1795370805000 {}", node.epoch),
            if node.connected { "connected" } else { "disconnected" }.to_owned(),
        ];
        words.extend(node.slots.ranges().iter().map(ToString::to_string));
        words.extend(line.open.iter().map(|open| {
            let arrow = if open.direction == Direction::Migrating { "->-" } else { "-<-" };
            format!("[{}{arrow}{}]", open.slot, open.peer)
        }));
        words.join(" ")
    }

    proptest! {
        #[test]
        fn reads_what_a_server_would_print(
            line in any_line(),
            rest in prop_oneof![Just(""), Just(",b.example"), Just(",,tls-port=0,shard-id=00ec")],
        ) {
            prop_assert_eq!(parse(&print(&line, rest)), Ok(line));
        }

        #[test]
        fn never_panics(text in "\\PC{0,120}", cut in 0usize..200) {
            let _ignored = parse(&text).is_ok();
            let line = format!("{ID} 127.0.0.1:1@2,h myself,master - 0 0 1 connected 0-8191 [100->-{ID}] [9-<-{ID}]");
            let whole = line.get(..cut.min(line.len())).unwrap_or(&line);
            let _ignored = parse(whole).is_ok();
        }
    }
}
