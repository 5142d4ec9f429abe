//! Where members belong, by the labels of the machines they run on: a shard's nodes in different zones, then on
//! different hosts; primaries even over zones, then hosts. A label that is not known clashes with nothing, and
//! makes the whole a best effort.

use std::collections::{BTreeMap, BTreeSet};

use redisnode_proto::NodeName;

use crate::draft::{Shard, list};
use crate::facts::{Facts, Node};

/// Pairs of a shard's nodes in one zone, then pairs on one host. Smaller is better; zones weigh more than hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crowding {
    zones: u32,
    hosts: u32,
}

/// How crowded `name` is among `others`.
pub(crate) fn crowding<'n>(facts: &Facts, name: &NodeName, others: impl IntoIterator<Item = &'n NodeName>) -> Crowding {
    let Some(node) = facts.node(name) else { return Crowding::default() };
    let others = others.into_iter().filter(|other| *other != name).filter_map(|other| facts.node(other));
    others.fold(Crowding::default(), |sum, other| sum.plus(clash(node, other)))
}

fn clash(a: &Node, b: &Node) -> Crowding {
    let same = |a: Option<&str>, b: Option<&str>| u32::from(a.is_some() && a == b);
    Crowding { zones: same(a.zone(), b.zone()), hosts: same(a.host(), b.host()) }
}

impl Crowding {
    fn plus(self, other: Self) -> Self {
        Self { zones: self.zones + other.zones, hosts: self.hosts + other.hosts }
    }
}

/// How many of `names` each zone and each host has.
pub(crate) struct Spread<'a> {
    zones: BTreeMap<&'a str, i64>,
    hosts: BTreeMap<&'a str, i64>,
}

impl<'a> Spread<'a> {
    /// Of the members called `names`. Zones and hosts that no such member is in count too, with none.
    pub(crate) fn of<'n>(facts: &Facts<'a>, names: impl IntoIterator<Item = &'n NodeName>) -> Self {
        let mut spread = Self { zones: BTreeMap::new(), hosts: BTreeMap::new() };
        for node in facts.nodes.iter().filter(|node| !node.is_gone()) {
            spread.count(node, 0);
        }
        for name in names {
            spread.add(facts, name);
        }
        spread
    }

    /// One more.
    pub(crate) fn add(&mut self, facts: &Facts<'a>, name: &NodeName) {
        if let Some(node) = facts.node(name) {
            self.count(node, 1);
        }
    }

    fn count(&mut self, node: &Node<'a>, by: i64) {
        if let Some(zone) = node.zone() {
            *self.zones.entry(zone).or_default() += by;
        }
        if let Some(host) = node.host() {
            *self.hosts.entry(host).or_default() += by;
        }
    }

    /// How many are where `name` is: in its zone, on its host.
    pub(crate) fn at(&self, facts: &Facts<'a>, name: &NodeName) -> (i64, i64) {
        let node = facts.node(name);
        let zone = node.and_then(Node::zone).and_then(|zone| self.zones.get(zone)).copied().unwrap_or_default();
        let host = node.and_then(Node::host).and_then(|host| self.hosts.get(host)).copied().unwrap_or_default();
        (zone, host)
    }

    /// How uneven: sums of squares over zones and hosts. A move from a fuller to an emptier place by two or more
    /// makes it smaller.
    pub(crate) fn unevenness(&self) -> (i64, i64) {
        let squares = |counts: &BTreeMap<&str, i64>| counts.values().map(|count| count * count).sum();
        (squares(&self.zones), squares(&self.hosts))
    }

    fn is_even(&self) -> bool {
        let even = |counts: &BTreeMap<&str, i64>| {
            counts.values().max().zip(counts.values().min()).is_none_or(|(max, min)| max - min <= 1)
        };
        even(&self.zones) && even(&self.hosts)
    }
}

/// Swaps replicas between shards as long as that makes them less crowded. Only those in `movable` move.
pub(crate) fn untangle(facts: &Facts, shards: &mut [Shard], movable: &BTreeSet<NodeName>) {
    for _ in 0..=movable.len() {
        let Some((a, b)) = best_swap(facts, shards, movable) else { return };
        swap(shards, &a, &b);
    }
}

/// Two replicas of different shards, of `movable`, whose exchange makes the shards less crowded.
pub(crate) fn best_swap(facts: &Facts, shards: &[Shard], movable: &BTreeSet<NodeName>) -> Option<(NodeName, NodeName)> {
    let mut free = Vec::new();
    for shard in shards {
        for name in shard.replicas.iter().filter(|name| movable.contains(*name)) {
            free.push((shard, name, crowding(facts, name, shard.nodes())));
        }
    }
    let crowded = free.iter().filter(|(_, _, now)| *now > Crowding::default());
    for (shard, name, now) in crowded {
        let others = free.iter().filter(|(other, _, _)| other.name != shard.name);
        let gains = others.filter_map(|(other, mate, mate_now)| {
            let then = crowding(facts, name, other.nodes().filter(|n| n != mate)).plus(crowding(
                facts,
                mate,
                shard.nodes().filter(|n| n != name),
            ));
            (then < now.plus(*mate_now)).then_some((then, *mate))
        });
        if let Some((_, mate)) = gains.min() {
            return Some(((*name).clone(), mate.clone()));
        }
    }
    None
}

/// Exchanges the places of two replicas.
pub(crate) fn swap(shards: &mut [Shard], a: &NodeName, b: &NodeName) {
    for name in shards.iter_mut().flat_map(|shard| shard.replicas.iter_mut()) {
        if name == a {
            *name = b.clone();
        } else if name == b {
            *name = a.clone();
        }
    }
}

/// Why the placement is no better than a best effort: the first thing that is amiss. Absent when no two nodes of a shard
/// share a host or, as far as there are zones enough, a zone, and primaries are even.
pub(crate) fn flaw(facts: &Facts, shards: &[Shard]) -> Option<String> {
    let mut all = shards.iter().flat_map(Shard::nodes);
    let known = |name: &NodeName| facts.node(name).is_some_and(|node| node.zone().is_some() || node.host().is_some());
    if let Some(name) = all.find(|name| !known(name)) {
        return Some(format!("nobody knows on which machine {name} runs"));
    }
    let zones: BTreeSet<&str> = facts.nodes.iter().filter(|n| !n.is_gone()).filter_map(Node::zone).collect();
    let crowded = shards.iter().find_map(|shard| shared_host(facts, shard).or_else(|| full_zone(facts, shard, &zones)));
    let primaries = Spread::of(facts, shards.iter().map(|shard| &shard.primary));
    let uneven = || Some("zones or machines have more primaries than others".to_owned());
    crowded.or_else(|| if primaries.is_even() { None } else { uneven() })
}

fn shared_host(facts: &Facts, shard: &Shard) -> Option<String> {
    let name = shard.nodes().find(|name| crowding(facts, name, shard.nodes()).hosts > 0)?;
    let host = facts.node(name).and_then(Node::host).unwrap_or_default();
    let there = shard.nodes().filter(|name| facts.node(name).is_some_and(|node| node.host() == Some(host)));
    Some(format!("{} of {} are on the same machine {host}", list(there), shard.name))
}

fn full_zone(facts: &Facts, shard: &Shard, zones: &BTreeSet<&str>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = zones.iter().map(|zone| (*zone, 0)).collect();
    for zone in shard.nodes().filter_map(|name| facts.node(name)).filter_map(Node::zone) {
        *counts.entry(zone).or_default() += 1;
    }
    let (fullest, most) = counts.iter().max_by_key(|(_, count)| **count)?;
    let (emptiest, least) = counts.iter().min_by_key(|(_, count)| **count)?;
    let message = || format!("{} has {most} nodes in zone {fullest} and {least} in zone {emptiest}", shard.name);
    (most - least > 1).then(message)
}
