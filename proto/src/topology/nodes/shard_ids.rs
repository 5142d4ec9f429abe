//! Shard ids in nodes.conf, made consistent before a server starts.
//!
//! Each primary makes a shard id of its own, a replica takes its primary's, and both spread with the gossip. A file written
//! before they have spread shows a replica with another id than its primary; Redis 7.2 and 7.4, Valkey 8.0 and 8.1 refuse
//! to start with it, or crash (seen on Valkey 8.1.1 when a cluster is stopped half a second after its creation). Servers
//! before 7.2 know no shard ids, newer ones correct them in the same way as it is done here.

use std::collections::BTreeMap;

use super::conf::is_vars;
use super::line::{Address, Line};
use super::lines;
use crate::NodeId;
use crate::topology::{BadReply, Role};

const REPLY: &str = "nodes.conf";
const KEY: &str = "shard-id=";

/// The file with each replica's shard id as its primary has it; `None` if that is so already.
pub fn align_shard_ids(nodes_conf: &str) -> Result<Option<String>, BadReply> {
    let mut primaries = BTreeMap::new();
    for text in lines(nodes_conf).filter(|line| !is_vars(line)) {
        let line = Line::parse(REPLY, text)?;
        if line.node.role == Role::Primary
            && let Some(shard) = shard_id(text)
        {
            primaries.insert(line.node.id, shard);
        }
    }
    let aligned: String = nodes_conf.split_inclusive('\n').map(|line| aligned(line, &primaries)).collect();
    Ok((aligned != nodes_conf).then_some(aligned))
}

fn aligned(text: &str, primaries: &BTreeMap<NodeId, &str>) -> String {
    let primary = text.split_ascii_whitespace().nth(3).and_then(|word| word.parse::<NodeId>().ok());
    let wanted = primary.and_then(|primary| primaries.get(&primary));
    match (shard_id(text), wanted) {
        (Some(own), Some(wanted)) => text.replacen(&format!("{KEY}{own}"), &format!("{KEY}{wanted}"), 1),
        _ => text.to_owned(),
    }
}

/// The shard id among the properties that follow a line's address.
fn shard_id(text: &str) -> Option<&str> {
    let word = text.split_ascii_whitespace().nth(1)?;
    Address::parse(word).ok()?.rest.split(',').find_map(|property| property.strip_prefix(KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Valkey 8.1.1 wrote it at its stop, half a second after the cluster was made; two nodes left out.
    const DIVERGED: &str = "\
a8850504e6865b60a7377f52fb939da452ec7bcc 127.0.0.1:20122@30122,,tls-port=0,shard-id=03c2116f298c9e986d64e8eb9d5fee6e1d875a2c master - 0 1795370804563 3000 connected 10923-16383
3010b5ba5531d2348f9071286fa36a424bfab4c9 127.0.0.1:20123@30123,,tls-port=0,shard-id=4158770624fa2d32703891ec8abe58c5863dbc38 myself,slave a8850504e6865b60a7377f52fb939da452ec7bcc 0 0 3000 connected
vars currentEpoch 3000 lastVoteEpoch 0
";

    #[test]
    fn a_replica_gets_its_primary_s_shard_id_and_nothing_else_changes() {
        let aligned = align_shard_ids(DIVERGED).unwrap().unwrap();
        let (own, primary_s) = ("4158770624fa2d32703891ec8abe58c5863dbc38", "03c2116f298c9e986d64e8eb9d5fee6e1d875a2c");
        assert_eq!(aligned, DIVERGED.replace(own, primary_s));
        assert_eq!(align_shard_ids(&aligned), Ok(None), "once is enough");
    }

    #[test]
    fn without_shard_ids_or_without_the_primary_s_line_nothing_changes() {
        let older = DIVERGED.replace(",,tls-port=0,shard-id=4158770624fa2d32703891ec8abe58c5863dbc38", "");
        assert_eq!(align_shard_ids(&older), Ok(None));
        let (_, alone) = DIVERGED.split_once('\n').unwrap();
        assert_eq!(align_shard_ids(alone), Ok(None));
        assert_eq!(align_shard_ids(""), Ok(None));
    }

    #[test]
    fn a_bad_line_is_an_error() {
        assert!(align_shard_ids("nonsense\n").is_err());
    }
}
