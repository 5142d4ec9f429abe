//! When the writes of a primary that has just started may flow.
//!
//! A primary restarted alone would take writes from its third second until the node time-out (measured); held until a
//! majority of the primaries is seen, it cannot acknowledge what it would drop later.

use redisnode_proto::report::Report;
use redisnode_proto::topology::{Direction, OpenSlot, Role, View};
use redisnode_proto::{LayoutShard, Millis, NodeName, SlotSet, judge};

use crate::duties::was_promoted_from;
use crate::situation::Situation;

/// What the gate may know besides the situation.
#[derive(Clone, Copy, Debug)]
pub struct GateSituation<'a> {
    /// The node.
    pub node: &'a Situation<'a>,
    /// When the server was started: answers from before do not count.
    pub started_at: Millis,
    /// The coordinator has confirmed the Layout since then.
    pub layout_confirmed: bool,
}

/// Whether writes flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// Not yet.
    Held {
        /// Why, a sentence.
        reason: String,
        /// Whom to ask.
        ask: Vec<NodeName>,
    },
}

/// Whether the writes of the server that has just started may flow.
pub fn gate(g: &GateSituation<'_>) -> Gate {
    let s = g.node;
    let Some(view) = s.view() else { return held("the server does not answer yet", Vec::new()) };
    let Some(layout) = s.layout() else { return Gate::Open };
    let mine = view.myself().map(|me| me.slots.clone()).unwrap_or_default();
    if !s.is_primary() {
        return Gate::Open;
    }
    if mine.is_empty() {
        return target(g, view);
    }
    let others: Vec<&LayoutShard> =
        layout.shards.iter().filter(|shard| !shard.slots.is_empty() && !shard.has(&s.me.name)).collect();
    if others.is_empty() { alone(g, view, &mine) } else { among(g, view, &mine, &others) }
}

/// A deposed target of a move takes what clients bring by ASK, as long as its old mark stands: what its heir has of the
/// slot would be behind that.
fn target(g: &GateSituation<'_>, view: &View) -> Gate {
    if !view.open.iter().any(|open| open.direction == Direction::Importing) {
        return Gate::Open;
    }
    let others = g.node.others();
    let untried: Vec<NodeName> = others.iter().filter(|name| !was_tried(g, name)).cloned().collect();
    if !untried.is_empty() {
        return held("waiting until the others say whether one of them was promoted meanwhile", untried);
    }
    let heir = others.iter().find(|name| {
        let report = g.node.peers.get(*name).and_then(|peer| peer.heard_since(g.started_at));
        report.is_some_and(|report| was_promoted_from(report.ledger.identity.as_ref(), &view.me))
    });
    if let Some(heir) = heir {
        let reason = format!("{heir} was promoted meanwhile and goes on with what was arriving here");
        return held(&reason, vec![heir.clone()]);
    }
    let silent: Vec<NodeName> = g.node.kin().into_iter().filter(|name| !was_heard(g, name)).cloned().collect();
    if silent.is_empty() {
        return Gate::Open;
    }
    held("waiting for the replicas' agents: one that is silent may have been promoted meanwhile", silent)
}

fn was_heard(g: &GateSituation<'_>, name: &NodeName) -> bool {
    g.node.peers.get(name).is_some_and(|peer| peer.heard_since(g.started_at).is_some())
}

/// Whether `name` was called since the start, whatever came of it.
fn was_tried(g: &GateSituation<'_>, name: &NodeName) -> bool {
    g.node.peers.get(name).is_some_and(|peer| peer.was_tried_since(g.started_at))
}

/// With one primary there is nobody to vote: every mate must have answered, or the coordinator has confirmed.
fn alone(g: &GateSituation<'_>, view: &View, mine: &SlotSet) -> Gate {
    let mates = g.node.mates();
    if let Some(mate) = mates.iter().find(|mate| says(g, mate, view, mine) == Says::OwnedByOther) {
        return held(&format!("{mate} shows another owner of these slots"), vec![(*mate).clone()]);
    }
    let missing: Vec<NodeName> =
        mates.iter().filter(|mate| says(g, mate, view, mine) == Says::Nothing).map(|m| (*m).clone()).collect();
    // A server that was deposed before its start knows of another owner, whatever the coordinator has heard of it.
    let deposed = g.node.ledger.deposed;
    if missing.is_empty() || (g.layout_confirmed && !deposed) {
        return Gate::Open;
    }
    let reason = if deposed {
        "another server owned these slots when this one started; waiting to follow it, or for every agent of the shard"
    } else {
        "waiting until every replica's agent has answered, or the coordinator confirms the Layout"
    };
    held(reason, missing)
}

/// With several, a majority of the primaries must show this one as the owner of its slots.
fn among(g: &GateSituation<'_>, view: &View, mine: &SlotSet, others: &[&LayoutShard]) -> Gate {
    if let Some(held) = superseded(g, view, mine) {
        return held;
    }
    let agreeing = others.iter().filter(|shard| shard.nodes().any(|name| is_voter_that_agrees(g, name, view, mine)));
    let needed = judge::majority(others.len() + 1);
    if agreeing.count() + 1 >= needed {
        return Gate::Open;
    }
    let ask = others.iter().flat_map(|shard| shard.nodes()).cloned().collect();
    held(
        &format!("waiting until {needed} of {} primaries show this one as the owner of its slots", others.len() + 1),
        ask,
    )
}

/// A server that has slots open for arrival keeps their source as their owner, whoever has been promoted for it since
/// (Redis), and shows that to others. So a source that died in the middle of a move asks its mates too.
fn superseded(g: &GateSituation<'_>, view: &View, mine: &SlotSet) -> Option<Gate> {
    let leaves = |open: &OpenSlot| open.direction == Direction::Migrating && mine.contains(open.slot);
    if !view.open.iter().any(leaves) {
        return None;
    }
    let mates = g.node.mates();
    let untried: Vec<NodeName> = mates.iter().filter(|name| !was_tried(g, name)).map(|name| (*name).clone()).collect();
    if !untried.is_empty() {
        return Some(held(
            "waiting until the replicas' agents say whether one of them was promoted meanwhile",
            untried,
        ));
    }
    let newer = |name: &&&NodeName| {
        let report = g.node.peers.get(**name).and_then(|peer| peer.heard_since(g.started_at));
        let own = report.and_then(|report| report.server.running()).and_then(|running| running.view.myself());
        own.is_some_and(|own| own.role == Role::Primary && !own.slots.is_disjoint(mine))
    };
    let heir = mates.iter().find(newer)?;
    Some(held(&format!("{heir} was promoted meanwhile and has these slots"), vec![(*heir).clone()]))
}

fn is_voter_that_agrees(g: &GateSituation<'_>, name: &NodeName, view: &View, mine: &SlotSet) -> bool {
    let running = g.node.peers.get(name).and_then(|p| p.heard_since(g.started_at)).and_then(|r| r.server.running());
    let votes = running.is_some_and(|r| r.replication.role == Role::Primary);
    votes && says(g, name, view, mine) == Says::OwnedByMe
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    OwnedByMe,
    OwnedByOther,
    Nothing,
}

fn says(g: &GateSituation<'_>, name: &NodeName, view: &View, mine: &SlotSet) -> Says {
    let report = g.node.peers.get(name).and_then(|peer| peer.heard_since(g.started_at));
    // A server that is surely down takes no writes; but if its folder has these slots at a higher epoch, what is
    // written here would be dropped as soon as it starts.
    if let Some(report) = report.filter(|report| report.server.is_certainly_down()) {
        return if owns_by_folder(report, view, mine) { Says::OwnedByOther } else { Says::OwnedByMe };
    }
    let Some(running) = report.and_then(|r| r.server.running()) else { return Says::Nothing };
    let theirs = running.view.node(&view.me).map(|me| me.slots.clone()).unwrap_or_default();
    // What it has open for arrival says nothing: with the mark it may never have bound the slot to anybody (Redis).
    let arriving = running.view.open.iter().filter(|open| open.direction == Direction::Importing);
    let settled = mine.difference(&arriving.map(|open| open.slot).collect());
    let shown = if settled.is_empty() { mine } else { &settled };
    if shown.is_subset(&theirs) { Says::OwnedByMe } else { Says::OwnedByOther }
}

fn owns_by_folder(report: &Report, view: &View, mine: &SlotSet) -> bool {
    let epoch = view.myself().map(|me| me.epoch).unwrap_or_default();
    report.disk.identity.as_ref().is_some_and(|disk| {
        disk.role == Role::Primary && disk.id != view.me && disk.epoch > epoch && !disk.slots.is_disjoint(mine)
    })
}

fn held(reason: &str, ask: Vec<NodeName>) -> Gate {
    Gate::Held { reason: reason.to_owned(), ask }
}
