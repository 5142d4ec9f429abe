//! Servers of several versions beside each other, as while a cluster is upgraded: slots go from older servers to newer ones,
//! never the other way. The replicas of the target count as well: they are sent keys as their source has written them, and
//! one that cannot read a key goes on without it, in sync by its own word.

use redisnode_proto::NodeName;
use redisnode_proto::topology::ServerVersion;

use crate::decision::{Declined, Why};
use crate::draft::Shard;
use crate::facts::{Facts, Node};
use crate::targets::{self, Flow};

/// Why these flows must wait, if one of them goes to an older or another server.
pub(crate) fn judge(facts: &Facts, flows: &[Flow]) -> Option<Declined> {
    let mut found = flows.iter().filter_map(|(from, to, _)| older(facts, from, to));
    let message = found.next()?;
    let more = found.count();
    let more = if more > 0 {
        format!(" ({more} more shards would get slots that they cannot read, too)")
    } else {
        String::new()
    };
    Some(Declined::new(Why::OlderServer, message + &more))
}

/// Whether slots are on their way, and every one of them to a server that must be brought to a newer version first: nothing
/// moves before, so nothing is disturbed by a restart.
pub(crate) fn hold_all_up(facts: &Facts, shards: &[Shard]) -> bool {
    let next: Vec<_> = shards.iter().map(|shard| shard.target.clone()).collect();
    let flows = targets::flows(shards, &next);
    !flows.is_empty() && flows.iter().all(|(from, to, _)| older(facts, from, to).is_some())
}

/// A server of `to` that cannot read what that of `from` writes, as a sentence.
fn older(facts: &Facts, from: &Shard, to: &Shard) -> Option<String> {
    let source = version(facts, &from.primary)?;
    let stay = to.nodes().filter(|name| facts.node(name).is_some_and(|node| !node.is_gone() && !node.is_retired()));
    let mut others = stay.filter_map(|name| Some((name, version(facts, name)?)));
    let (name, target) = others.find(|(_, target)| !reads(*target, source))?;
    Some(format!(
        "no slots go from {} ({source}) to {} while {name} in it runs {target}: an older or other server cannot read \
         them; bring {name} to the version of {}",
        from.primary, to.name, from.primary
    ))
}

/// A server reads what its own or an older minor version of its product writes.
fn reads(target: ServerVersion, source: ServerVersion) -> bool {
    source.product == target.product && (source.major, source.minor) <= (target.major, target.minor)
}

/// Unknown versions are not held against anybody: the servers themselves refuse what they cannot read.
fn version(facts: &Facts, name: &NodeName) -> Option<ServerVersion> {
    facts.node(name).and_then(Node::running).map(|running| running.version)
}
