//! nodes.conf, read before its server starts: who the server is, and new addresses for its peers.
//!
//! Nothing but the address of a peer's line is changed here: a slot map that does not cover the data makes a server
//! delete keys, and a property that its version does not know makes it exit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::line::{Address, Line};
use super::primer::is_primer;
use super::{lines, only_myself};
use crate::slots::SlotSet;
use crate::topology::{BadReply, Health, Role};
use crate::{ConfigEpoch, NodeId};

const REPLY: &str = "nodes.conf";

/// Who a server is by its nodes.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    /// Its id.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Whose replica it is.
    pub primary: Option<NodeId>,
    /// Its configuration epoch (a replica's is its primary's).
    pub epoch: ConfigEpoch,
    /// The slots it owned.
    pub slots: SlotSet,
    /// The slots it had open, in either direction.
    pub open: SlotSet,
    /// Everyone else that it knew.
    pub peers: Vec<NodeId>,
}

/// Who the server is by its nodes.conf; `None` for an empty file, from which a server starts as a new node.
pub fn identity_of(nodes_conf: &str) -> Result<Option<StoredIdentity>, BadReply> {
    let table = lines(nodes_conf).filter(|line| !is_vars(line));
    let table = table.map(|line| Line::parse(REPLY, line)).collect::<Result<Vec<_>, _>>()?;
    if table.is_empty() && lines(nodes_conf).next().is_none() {
        return Ok(None);
    }
    let own = only_myself(REPLY, nodes_conf, &table)?;
    let (mut me, open) = (own.node.clone(), own.open.iter().map(|open| open.slot).collect());
    if me.primary.as_ref().is_some_and(is_primer) {
        (me.role, me.primary) = (Role::Primary, None);
    }
    let peers = table.into_iter().filter(|line| !line.myself).map(|line| line.node.id);
    let peers = peers.filter(|id| !is_primer(id)).collect();
    let (id, role, primary, epoch, slots) = (me.id, me.role, me.primary, me.epoch, me.slots);
    Ok(Some(StoredIdentity { id, role, primary, epoch, slots, open, peers }))
}

/// The file with new addresses (IP, client port, bus port) of peers; `None` if they are all there already.
///
/// The server's own line stays as it is, so do lines that the server has no address for (`noaddr`: it does not
/// dial these, a MEET repairs them) and whatever follows the address in its word.
pub fn edit_addresses(
    nodes_conf: &str,
    new: &BTreeMap<NodeId, (IpAddr, u16, u16)>,
) -> Result<Option<String>, BadReply> {
    let mut edited = String::with_capacity(nodes_conf.len());
    for line in nodes_conf.split_inclusive('\n') {
        match moved(line, new)? {
            Some(line) => edited.push_str(&line),
            None => edited.push_str(line),
        }
    }
    Ok((edited != nodes_conf).then_some(edited))
}

fn moved(text: &str, new: &BTreeMap<NodeId, (IpAddr, u16, u16)>) -> Result<Option<String>, BadReply> {
    if lines(text).next().is_none() || is_vars(text) {
        return Ok(None);
    }
    let line = Line::parse(REPLY, text)?;
    let Some((ip, port, bus_port)) = new.get(&line.node.id).filter(|_| !line.myself && !line.node.no_address) else {
        return Ok(None);
    };
    let word = text.split_ascii_whitespace().nth(1).unwrap_or_default();
    let rest = Address::parse(word).map_err(|why| BadReply::new(REPLY, text, why))?.rest;
    // Neither an id nor a blank holds a colon: the first occurrence of the word is the address itself.
    Ok(Some(text.replacen(word, &format!("{ip}:{port}@{bus_port}{rest}"), 1)))
}

/// The file without the addresses of peers that are surely wrong: those of `proved` nodes on lines of others, and that of
/// `unsure`, unless it is proved itself. `None` if there is none of them.
///
/// A server that dials another one's address finds out by its id, on the bus. But a replica that asks there for its
/// primary's data is given another's, and takes it. A line without address (`noaddr`) is not dialled; a MEET repairs it.
pub fn forget_addresses(
    nodes_conf: &str,
    proved: &BTreeMap<NodeId, (IpAddr, u16, u16)>,
    unsure: Option<&NodeId>,
) -> Result<Option<String>, BadReply> {
    let taken: BTreeSet<(String, u16)> = proved.values().map(|(ip, port, _)| (ip.to_string(), *port)).collect();
    let is_wrong = |line: &Line| {
        let node = &line.node;
        let dealt_anew = taken.contains(&(node.ip.clone(), node.port)) || unsure == Some(&node.id);
        dealt_anew && !proved.contains_key(&node.id) && !line.myself && !node.no_address
    };
    edit_peers(nodes_conf, |line, text| if is_wrong(line) { without_address(text).map(Some) } else { Ok(None) })
}

/// The file without the failures that the server had seen in its last life; `None` if there is none.
///
/// They are of then: where everybody was down, everybody has died before somebody else's eyes. A server that starts with
/// such a flag counts it from its start, and keeps a primary failed for twice the node time-out although it answers (seen
/// on Valkey 9.1, which notices a refused connection at once). Who is down now is noticed or told anew.
pub fn clear_failures(nodes_conf: &str) -> Result<Option<String>, BadReply> {
    edit_peers(nodes_conf, |line, text| {
        if line.myself || line.node.health == Health::Fine {
            return Ok(None);
        }
        let (before, flags, end) = around_flags(text)?;
        let kept: Vec<&str> = flags.split(',').filter(|flag| !matches!(*flag, "fail" | "fail?")).collect();
        let flags = if kept.is_empty() { "noflags".to_owned() } else { kept.join(",") };
        Ok(Some(format!("{before} {flags} {end}")))
    })
}

/// The file with what `edit` makes of the lines of nodes; `None` if that changes nothing.
fn edit_peers(
    nodes_conf: &str,
    edit: impl Fn(&Line, &str) -> Result<Option<String>, BadReply>,
) -> Result<Option<String>, BadReply> {
    let mut edited = String::with_capacity(nodes_conf.len());
    for text in nodes_conf.split_inclusive('\n') {
        let is_node = lines(text).next().is_some() && !is_vars(text);
        let new = if is_node { edit(&Line::parse(REPLY, text)?, text)? } else { None };
        edited.push_str(new.as_deref().unwrap_or(text));
    }
    Ok((edited != nodes_conf).then_some(edited))
}

/// As the server itself writes it when another one answers there.
fn without_address(text: &str) -> Result<String, BadReply> {
    let (before, flags, end) = around_flags(text)?;
    let (id, word) = before.split_once(' ').unwrap_or((before, ""));
    let rest = Address::parse(word).map_err(|why| BadReply::new(REPLY, text, why))?.rest;
    Ok(format!("{id} :0@0{rest} {flags},noaddr {end}"))
}

/// Id and address, the flags, and all that follows.
fn around_flags(text: &str) -> Result<(&str, &str, &str), BadReply> {
    let mut blanks = text.match_indices(' ').map(|(at, _)| at).skip(1);
    let parts = blanks
        .next()
        .zip(blanks.next())
        .and_then(|(first, second)| Some((text.get(..first)?, text.get(first + 1..second)?, text.get(second + 1..)?)));
    parts.ok_or_else(|| BadReply::new(REPLY, text, "the line has less than four words"))
}

/// The line of the epochs, which is no node's.
pub(super) fn is_vars(line: &str) -> bool {
    line.split_ascii_whitespace().next() == Some("vars")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS_8_6: &str = "\
e2e44ce0dd298fc61527dd5b733d7e396ee7742f 127.0.0.1:23008@23058,,tls-port=0,shard-id=00ecbb83a20f6728a4e045f57c98ae699a6b9268 slave b7bf78809b9a673a0b4ea59ced767564e0e2daf6 0 1795370804563 1 connected
02f16944e092c30a4b39131628de080cc4529088 127.0.0.1:23007@23057,b.example,tls-port=0,shard-id=66c8e1810bb4e7ceb717e2746f2419a2c5eb5d20 master - 0 1795370805066 2 connected 8192-16383
b7bf78809b9a673a0b4ea59ced767564e0e2daf6 127.0.0.1:23006@23056,,tls-port=0,shard-id=00ecbb83a20f6728a4e045f57c98ae699a6b9268 myself,master - 0 0 1 connected 0-8191 [100->-02f16944e092c30a4b39131628de080cc4529088]
vars currentEpoch 2 lastVoteEpoch 0
";
    const REPLICA: &str = "e2e44ce0dd298fc61527dd5b733d7e396ee7742f";
    const PEER: &str = "02f16944e092c30a4b39131628de080cc4529088";
    const ME: &str = "b7bf78809b9a673a0b4ea59ced767564e0e2daf6";

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    fn addresses(list: &[(&str, &str, u16, u16)]) -> BTreeMap<NodeId, (IpAddr, u16, u16)> {
        list.iter().map(|(node, ip, port, bus)| (id(node), (ip.parse().unwrap(), *port, *bus))).collect()
    }

    #[test]
    fn reads_who_the_server_is() {
        let identity = identity_of(REDIS_8_6).unwrap().unwrap();
        let wanted = StoredIdentity {
            id: id(ME),
            role: Role::Primary,
            primary: None,
            epoch: ConfigEpoch(1),
            slots: vec!["0-8191".parse().unwrap()].into(),
            open: "100".parse::<crate::SlotRange>().unwrap().into(),
            peers: vec![id(REPLICA), id(PEER)],
        };
        assert_eq!(identity, wanted);
    }

    #[test]
    fn an_empty_file_is_no_identity_but_a_cut_one_is_an_error() {
        for empty in ["", "\n\n", "\0\0\0\n"] {
            assert_eq!(identity_of(empty).unwrap(), None, "{empty:?}");
        }
        for cut in ["vars currentEpoch 2 lastVoteEpoch 0\n", &REDIS_8_6[..300], &REDIS_8_6[..9]] {
            assert!(identity_of(cut).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn what_is_left_behind_the_end_is_not_read() {
        let padded = format!("{REDIS_8_6}\n\n\0\0\0");
        assert_eq!(identity_of(&padded).unwrap(), identity_of(REDIS_8_6).unwrap());
    }

    #[test]
    fn only_the_address_of_the_peers_line_changes() {
        let new = addresses(&[(PEER, "10.0.0.7", 6379, 16379), (REPLICA, "fd00::8", 6380, 16380)]);
        let edited = edit_addresses(REDIS_8_6, &new).unwrap().unwrap();
        let wanted = REDIS_8_6
            .replace("127.0.0.1:23007@23057,b.example", "10.0.0.7:6379@16379,b.example")
            .replace("127.0.0.1:23008@23058,,", "fd00::8:6380@16380,,");
        assert_eq!(edited, wanted);
        assert_eq!(edit_addresses(&edited, &new).unwrap(), None, "a second time there is nothing to do");
    }

    #[test]
    fn the_servers_own_line_and_strangers_never_change() {
        let new = addresses(&[(ME, "10.0.0.1", 1, 2), ("0000000000000000000000000000000000000001", "10.0.0.2", 3, 4)]);
        assert_eq!(edit_addresses(REDIS_8_6, &new).unwrap(), None);
    }

    #[test]
    fn a_line_without_address_is_left_to_a_meet() {
        let lost = REDIS_8_6.replace("slave b7bf", "slave,noaddr b7bf").replace("127.0.0.1:23008@23058", ":0@0");
        assert_eq!(edit_addresses(&lost, &addresses(&[(REPLICA, "10.0.0.8", 5, 6)])).unwrap(), None);
    }

    #[test]
    fn a_file_of_redis_7_0_with_no_address_yet_is_edited_too() {
        let plain = format!("{PEER} :0@0 master - 0 0 2 connected 5\n{ME} :0@0 myself,slave {PEER} 0 0 2 connected\n");
        let edited = edit_addresses(&plain, &addresses(&[(PEER, "10.0.0.7", 6379, 16379)])).unwrap().unwrap();
        assert_eq!(edited, plain.replacen(":0@0", "10.0.0.7:6379@16379", 1));
        assert_eq!(identity_of(&edited).unwrap().unwrap().primary, Some(id(PEER)));
    }

    #[test]
    fn an_address_that_is_another_nodes_now_is_forgotten() {
        let new = addresses(&[(PEER, "127.0.0.1", 23008, 23058)]);
        let moved = edit_addresses(REDIS_8_6, &new).unwrap().unwrap();
        let edited = forget_addresses(&moved, &new, None).unwrap().unwrap();
        let wanted = moved
            .replace("127.0.0.1:23008@23058,,tls-port=0,shard-id=00ec", ":0@0,,tls-port=0,shard-id=00ec")
            .replace("slave b7bf", "slave,noaddr b7bf");
        assert_eq!(edited, wanted, "the peer that has proved it keeps it");
        assert_eq!(forget_addresses(&edited, &new, None).unwrap(), None, "a second time there is nothing to do");
        let stored = identity_of(&edited).unwrap().unwrap();
        assert_eq!((stored.id, stored.peers.len()), (id(ME), 2));
    }

    #[test]
    fn failures_of_the_last_life_are_cleared() {
        assert_eq!(clear_failures(REDIS_8_6).unwrap(), None);
        let failed =
            REDIS_8_6.replace("slave b7bf", "slave,fail?,nofailover b7bf").replace(" master -", " master,fail -");
        let cleared = clear_failures(&failed).unwrap().unwrap();
        assert_eq!(cleared, REDIS_8_6.replace("slave b7bf", "slave,nofailover b7bf"));
    }

    #[test]
    fn the_address_of_the_one_in_doubt_is_forgotten_unless_it_is_proved() {
        assert_eq!(forget_addresses(REDIS_8_6, &BTreeMap::new(), None).unwrap(), None);
        let edited = forget_addresses(REDIS_8_6, &BTreeMap::new(), Some(&id(PEER))).unwrap().unwrap();
        assert!(edited.contains(&format!("{PEER} :0@0,b.example,tls-port=0,")), "{edited}");
        assert!(edited.contains("master,noaddr - 0 1795370805066 2 connected 8192-16383\n"), "{edited}");
        let proved = addresses(&[(PEER, "10.0.0.7", 6379, 16379)]);
        assert_eq!(forget_addresses(REDIS_8_6, &proved, Some(&id(PEER))).unwrap(), None);
        assert_eq!(forget_addresses(REDIS_8_6, &BTreeMap::new(), Some(&id(ME))).unwrap(), None, "the own line stays");
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_is_written() {
        let error = edit_addresses(&REDIS_8_6.replace("23007@", "x@"), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the server's nodes.conf"), "{error}");
        assert!(error.line.starts_with(PEER));
    }
}
