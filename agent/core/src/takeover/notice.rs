//! A death notice came: promote the own server, once, and say how it ended.
//!
//! FORCE first: it is a vote. TAKEOVER needs no vote, and so is allowed only where nobody else can be elected meanwhile.

use std::collections::BTreeMap;

use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::topology::{Direction, Role, View, ViewNode};
use redisnode_proto::{Ledger, Millis, NodeId, NodeName, Slot, SlotSet};

use super::voters::Voters;
use super::{Promotion, Step};
use crate::situation::{Answer, ReceivedNotice, Situation};

/// How long a vote may take before TAKEOVER is considered. A vote among living primaries takes 30 to 90 ms (measured).
const VOTE_WAIT: Millis = Millis(150);

/// The servers end a FORCE that was not answered after 5 s; before that a second one does nothing.
const FORCE_AGAIN: Millis = Millis(5200);

/// What to do about the notice in the inbox. Called at each look until it answers `Done` or `Refused`.
pub fn answer_notice(s: &Situation<'_>, received: &ReceivedNotice) -> Step {
    let notice = &received.notice;
    if let Some(refused) = refusal_of_retired(s.ledger) {
        return Step::Answer(refused);
    }
    let Some(view) = s.view() else { return pending("this node's own server does not answer yet") };
    let Some(me) = view.myself() else { return pending("this node's own server shows no line of its own") };
    if let Some(done) = settled(s, view, notice) {
        return Step::Answer(done);
    }
    if s.stopping && s.inbox.forced_at.is_some_and(|at| at >= received.at && s.now.since(at) < FORCE_AGAIN) {
        // A refusal would let another one be asked while the votes for this one still come in.
        return pending("this node is stopping, and its server has asked for votes before");
    }
    if me.role == Role::Primary && !me.slots.is_empty() && view.node(&notice.dead).is_none_or(|d| d.slots.is_empty()) {
        // Promoted, but under an epoch that does not rise above the dead one's: telling the sender to ask another one
        // would make two owners.
        return raised(s, view, me, received)
            .unwrap_or_else(|| pending("the server is promoted, and waits for an epoch above the dead one's"));
    }
    if let Some(reason) = unfit(s, me, notice) {
        return Step::Answer(Outcome::Refused { reason });
    }
    if let Some(step) = better_sibling(s, received) {
        return step;
    }
    let voters = Voters::look(s, received.at, &notice.dead);
    let reopen = reopened(s, &notice.dead);
    let promote = |how| Step::Promote { how, reopen: reopen.clone() };
    let hindered = || behind(s, view, received).or_else(|| outnumbered(s, view, received, &reopen));
    let take_over = || hindered().unwrap_or_else(|| promote(Promotion::Takeover));
    // Two primaries never give a majority for FORCE, and nobody else is there to vote: do not wait for it.
    if voters.count <= 2 && voters.count > 0 {
        return take_over();
    }
    let Some(forced_at) = s.inbox.forced_at.filter(|at| *at >= received.at) else {
        // The others vote by their own tables, which may be behind as well.
        let table = if is_moving(s, view, &notice.dead) { behind(s, view, received) } else { None };
        return table.or_else(|| too_low(s, view, received)).unwrap_or_else(|| promote(Promotion::Force));
    };
    if s.now.since(forced_at) < VOTE_WAIT {
        return pending("the other primaries are voting");
    }
    if !voters.unasked.is_empty() {
        return Step::Ask(voters.unasked);
    }
    if nobody_else_can_win(s, received, &voters) {
        return take_over();
    }
    if s.now.since(forced_at) >= FORCE_AGAIN {
        return promote(Promotion::Force);
    }
    if !voters.silent.is_empty() {
        return Step::Ask(voters.silent);
    }
    pending("not enough primaries vote, and not enough are known to be dead")
}

/// A server that was restarted after it was chosen has only what its disk had. Before it asks for votes it lets a sibling
/// that has the data by a sync of its own life go first: the sender asks that one next.
fn better_sibling(s: &Situation<'_>, received: &ReceivedNotice) -> Option<Step> {
    let begun = s.inbox.forced_at.is_some_and(|at| at >= received.at);
    if begun || s.running().is_none_or(|running| running.synced_since_start) {
        return None;
    }
    let siblings: Vec<&NodeName> = s.mates().into_iter().filter(|name| **name != received.notice.by).collect();
    let asked = |name: &&NodeName| s.peers.get(*name).is_some_and(|peer| peer.was_tried_since(received.at));
    let unasked: Vec<NodeName> = siblings.iter().filter(|name| !asked(name)).map(|name| (*name).clone()).collect();
    if !unasked.is_empty() {
        return Some(Step::Ask(unasked));
    }
    let holds = |name: &&&NodeName| {
        let report = s.peers.get(**name).and_then(|peer| peer.heard_since(received.at)).filter(|r| !r.stopping);
        report.and_then(|report| report.server.running()).is_some_and(|running| {
            let follows = running.view.myself().is_some_and(|me| me.primary.as_ref() == Some(&received.notice.dead));
            follows && running.synced_since_start
        })
    };
    let better = siblings.iter().find(holds)?;
    let reason = format!("{better} has newer data than the server of {}, which was restarted", s.me.name);
    Some(Step::Answer(Outcome::Refused { reason }))
}

/// What a member that has left answers, also while it has no server: that one never comes back, and whoever asks must
/// not wait for it.
pub fn refusal_of_retired(ledger: &Ledger) -> Option<Outcome> {
    let reason = || format!("{} has left the cluster, and has nothing", ledger.member.name);
    ledger.retired.then(|| Outcome::Refused { reason: reason() })
}

/// Whether slots of the dead one were on their way elsewhere.
fn is_moving(s: &Situation<'_>, view: &View, dead: &NodeId) -> bool {
    let owned = view.node(dead).map(|dead| dead.slots.clone()).unwrap_or_default();
    let open = s.ledger.open_slots.as_ref().is_some_and(|open| open.source == *dead) || !view.open.is_empty();
    open || s.my_shard().is_some_and(|shard| !owned.is_subset(&shard.slots))
}

/// A promoted replica claims all that the own table gives to the dead one. If somebody calls a slot of it his own, or
/// another server's table shows a newer owner of it, or the dead one's folder has it no more, it has moved a moment ago,
/// and claiming it would have its keys deleted there (simulated). The table follows within a ping.
fn behind(s: &Situation<'_>, view: &View, received: &ReceivedNotice) -> Option<Step> {
    let dead = view.node(&received.notice.dead);
    let claimed = dead.map(|dead| dead.slots.clone()).unwrap_or_default();
    let dead_epoch = dead.map(|dead| dead.epoch).unwrap_or_default();
    let mut unasked = Vec::new();
    for name in s.others() {
        match s.peers.get(&name).map(|peer| &peer.answer) {
            Some(Answer::Heard { report, at }) if *at >= received.at => {
                let folder = report.disk.identity.as_ref().filter(|disk| disk.id == received.notice.dead);
                if report.server.is_certainly_down() && folder.is_some_and(|disk| !claimed.is_subset(&disk.slots)) {
                    return Some(pending("this server's table is behind: some of the slots have left the dead one"));
                }
                let lines = report.server.running().into_iter().flat_map(|running| &running.view.nodes);
                let mine = s.view().map(|view| &view.me);
                let other = |line: &&ViewNode| line.id != received.notice.dead && Some(&line.id) != mine;
                // Under an epoch that is not greater it is an old claim: of a source that has not let go, or has just come back.
                let newer = |line: &&ViewNode| line.role == Role::Primary && line.epoch > dead_epoch;
                let mut owners = lines.filter(other).filter(newer);
                if owners.any(|line| !line.slots.is_disjoint(&claimed)) {
                    if s.fresh(&name).is_none() {
                        unasked.push(name);
                        continue;
                    }
                    return Some(pending("this server's table is behind: some of the slots have just moved"));
                }
            }
            Some(Answer::Silent { .. }) => {}
            Some(Answer::Heard { .. } | Answer::NeverAsked) | None => unasked.push(name),
        }
    }
    (!unasked.is_empty()).then_some(Step::Ask(unasked))
}

/// TAKEOVER takes the epoch after the highest that its server knows. The dead one may have taken one in its last moment
/// that nobody has heard of; at that epoch or below it, nobody would believe the promoted one (simulated). A FORCE that
/// begins an election raises what the server knows by one. Within four node time-outs of an election that was not won it
/// begins none (seen on Redis 8.6: a shard whose primary died for the third time within seconds waited for a minute).
///
/// Its own epoch of a time as a primary may be the highest that it knows, and no list shows it: TAKEOVER would leave it as
/// it is (simulated). Where the highest is just the dead one's, BUMPEPOCH raises it, or does not because it is the own one.
fn outnumbered(s: &Situation<'_>, view: &View, received: &ReceivedNotice, reopen: &[(Slot, NodeId)]) -> Option<Step> {
    if view.current_epoch > received.notice.epoch {
        return None;
    }
    let tried = s.inbox.forced_at.is_some_and(|at| at >= received.at && s.now.since(at) < FORCE_AGAIN);
    if view.current_epoch == received.notice.epoch && (tried || s.now.since(received.at) < VOTE_WAIT) {
        return Some(Step::RaiseEpoch);
    }
    let force = || Step::Promote { how: Promotion::Force, reopen: reopen.to_vec() };
    Some(if tried { pending("the dead one had an epoch that this server has not reached yet") } else { force() })
}

/// An election is won under the epoch after the highest that its server knows. Nobody has heard of one that the dead one
/// took in its last moment: elected under that very one, the new owner would be no newer than the dead (simulated).
fn too_low(s: &Situation<'_>, view: &View, received: &ReceivedNotice) -> Option<Step> {
    let known = view.current_epoch >= received.notice.epoch;
    // One raise is all that a server grants by itself; what more is missing comes with the others' words, if it comes.
    (!known && s.now.since(received.at) < FORCE_AGAIN).then_some(Step::RaiseEpoch)
}

/// A server that won an election not long ago and was deposed in order since counts the old votes again when it is told
/// FORCE (seen on Redis 8.6, which forgets them only after four node time-outs): it is primary at once, under the epoch of
/// that election, and nobody believes it. Its epoch may rise as with TAKEOVER: while nobody else can be elected.
fn raised(s: &Situation<'_>, view: &View, me: &ViewNode, received: &ReceivedNotice) -> Option<Step> {
    let alone = s.mates().into_iter().all(|name| *name == received.notice.by);
    (me.epoch < view.current_epoch && (alone || is_fresh(s, received))).then_some(Step::RaiseEpoch)
}

/// Nobody is marked as failed before the node time-out, so nobody stands for election before that.
fn is_fresh(s: &Situation<'_>, received: &ReceivedNotice) -> bool {
    let dead_for = received.notice.dead_for.after(s.now.since(received.at));
    s.settled_timeout().is_some_and(|timeout| dead_for < timeout.half())
}

/// Whether an election by the servers cannot have begun, or cannot succeed.
fn nobody_else_can_win(s: &Situation<'_>, received: &ReceivedNotice, voters: &Voters) -> bool {
    // With even numbers half of them is enough: what is left cannot elect.
    let silenced = voters.certified_dead + voters.ignorant;
    let nobody_votes = voters.count.saturating_sub(silenced) < voters.majority();
    let reached = voters.running >= voters.majority();
    nobody_votes || (reached && is_fresh(s, received))
}

/// The slots have an owner that is not the dead one: this node, or another.
fn settled(s: &Situation<'_>, view: &View, notice: &DeathNotice) -> Option<Outcome> {
    let newer = |node: &&ViewNode| {
        node.role == Role::Primary && node.id != notice.dead && !node.slots.is_empty() && node.epoch > notice.epoch
    };
    let left = view.node(&notice.dead).map(|dead| dead.slots.clone()).unwrap_or_default();
    if !left.is_empty() {
        return None;
    }
    // The heir is of this shard: either this very server, or who this server follows now.
    let me = view.myself()?;
    let owner = if me.role == Role::Primary { me } else { view.node(me.primary.as_ref()?)? };
    let owner = Some(owner).filter(newer)?;
    Some(Outcome::Done { primary: owner.id.clone(), name: name_or_id(s, &owner.id)? })
}

fn name_or_id(s: &Situation<'_>, id: &NodeId) -> Option<NodeName> {
    if s.view().is_some_and(|view| view.me == *id) { Some(s.me.name.clone()) } else { s.name_of(id) }
}

/// Why this server cannot be promoted for the dead one.
fn unfit(s: &Situation<'_>, me: &ViewNode, notice: &DeathNotice) -> Option<String> {
    if s.stopping {
        return Some(format!("{} is stopping itself", s.me.name));
    }
    if me.role == Role::Primary {
        return Some(format!("the server of {} is a primary already and follows nobody", s.me.name));
    }
    if me.primary.as_ref() != Some(&notice.dead) {
        return Some(format!("the server of {} follows another primary than {}", s.me.name, notice.dead.short()));
    }
    let running = s.running()?;
    (running.replication.syncing || (running.keys == 0 && !running.synced_since_start))
        .then(|| format!("the server of {} has no copy of the data", s.me.name))
}

/// Slots that the dead primary had open, with their targets: what its agent told this one before the first key moved, or,
/// where marks survive a failover, what the own server shows.
pub(super) fn reopened(s: &Situation<'_>, dead: &NodeId) -> Vec<(Slot, NodeId)> {
    let Some(view) = s.view() else { return Vec::new() };
    let told = s.ledger.open_slots.as_ref().filter(|open| open.source == *dead);
    let mut open: BTreeMap<Slot, NodeId> = told.map(|open| open.slots.iter().cloned().collect()).unwrap_or_default();
    let shown = view.open.iter().filter(|mark| s.marks_survive && mark.direction == Direction::Migrating);
    open.extend(shown.map(|mark| (mark.slot, mark.peer.clone())));
    let owned: SlotSet = view.node(dead).map(|node| node.slots.clone()).unwrap_or_default();
    open.into_iter().filter(|(slot, _)| owned.contains(*slot)).collect()
}

fn pending(reason: &str) -> Step {
    Step::Answer(Outcome::Pending { reason: reason.to_owned() })
}
