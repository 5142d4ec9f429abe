//! The six conditions and the one word, each with its reason. What could not be seen is Unknown.

use redisnode_proto::report::ServerState;
use redisnode_proto::status::{Condition, ConditionType, Truth};

use super::coverage::{self, Verdict};
use super::{Seen, in_sync, nodes, slots_on_their_way};
use crate::decision::{Declined, Why};
use crate::draft::{Shard, list};
use crate::facts::Node;
use crate::health;

/// All conditions, and the word for the table.
pub(super) fn judge(seen: &Seen) -> (Vec<Condition>, &'static str) {
    let founding = seen.facts.base.is_none_or(|base| base.founding.is_some());
    let ok = coverage::judge(seen);
    let (scaling, rebalancing, rolling) = (scaling(seen), rebalancing(seen), rolling(seen));
    let ready = ready(seen, &ok, [&scaling, &rebalancing, &rolling]);
    let is = |verdict: &Verdict| verdict.0 == Truth::True;
    let summary = match () {
        () if founding => "Founding",
        () if !is(&ok) => "KO",
        () if is(&rebalancing) => "Rebalancing",
        () if is(&scaling) => "Scaling",
        () if is(&rolling) => "RollingUpdate",
        () if is(&ready) => "OK",
        () => "KO",
    };
    let conditions = [
        (ConditionType::Ready, ready),
        (ConditionType::ClusterOK, ok),
        (ConditionType::Scaling, scaling),
        (ConditionType::Rebalancing, rebalancing),
        (ConditionType::RollingUpdate, rolling),
        (ConditionType::Degraded, degraded(seen)),
    ];
    (conditions.into_iter().map(|(kind, verdict)| condition(kind, verdict)).collect(), summary)
}

fn condition(kind: ConditionType, (status, reason, message): Verdict) -> Condition {
    Condition::new(kind, status, reason, message)
}

fn not(reason: &'static str, message: &str) -> Verdict {
    (Truth::False, reason, message.to_owned())
}

fn scaling(seen: &Seen) -> Verdict {
    if let Some(unknown) = unheard(seen) {
        return unknown;
    }
    let facts = seen.facts;
    let seated = |node: &&Node| seen.shards.iter().any(|shard| shard.has(node.name));
    let in_place = facts.nodes.iter().filter(|node| seen.wanted.has(node.name)).filter(seated).count();
    let wanted = usize::try_from(seen.wanted.members).unwrap_or(usize::MAX);
    let leaving = facts.nodes.iter().filter(|node| !node.is_gone() && !seen.wanted.has(node.name)).count();
    let shards = seen.shards.iter().filter(|shard| !shard.held.is_empty()).count();
    if in_place >= wanted && leaving == 0 && shards == seen.wanted.shards && seen.shards.len() == shards {
        return not("AsWanted", "shards and members are as many as the spec asks for");
    }
    let message = format!(
        "{shards} of {} shards have slots, {in_place} of {wanted} members are in place, {leaving} are to leave",
        seen.wanted.shards
    );
    match held(seen) {
        Some((reason, why)) => (Truth::True, reason, format!("{message}; {why}")),
        None => (Truth::True, "MembersChange", message),
    }
}

/// Somebody holds moves up that are wanted, there is no room for them, or they would not be read where they go.
fn held<'s>(seen: &Seen<'s, '_>) -> Option<(&'static str, &'s str)> {
    seen.declined.iter().find_map(|declined| match declined.why {
        Why::MovesPaused => Some(("MovesPaused", declined.message.as_str())),
        Why::MovesAborted => Some(("MovesAborted", declined.message.as_str())),
        Why::NotEnoughMemory => Some(("NotEnoughMemory", declined.message.as_str())),
        Why::OlderServer => Some(("OlderServer", declined.message.as_str())),
        _ => None,
    })
}

fn rebalancing(seen: &Seen) -> Verdict {
    if let Some(unknown) = unheard(seen) {
        return unknown;
    }
    if let Some((reason, why)) = held(seen) {
        return (Truth::True, reason, why.to_owned());
    }
    match slots_on_their_way(seen.shards) {
        0 => stays(seen),
        slots => (Truth::True, "SlotsMove", format!("{slots} slots have to move to other shards")),
    }
}

/// Nothing moves; why not, where shares are even by weight.
fn stays(seen: &Seen) -> Verdict {
    let why = |declined: &&Declined| {
        let weighed =
            [Why::NotWeighedYet, Why::CannotBeWeighed, Why::FiguresTooYoung, Why::AsEvenAsCanBe, Why::HotSlot];
        weighed.contains(&declined.why)
    };
    let declined: Vec<&Declined> = seen.declined.iter().filter(why).collect();
    let messages: Vec<&str> = declined.iter().map(|declined| declined.message.as_str()).collect();
    let reason = match declined.first().map(|declined| declined.why) {
        Some(Why::NotWeighedYet) => "NotWeighedYet",
        Some(Why::CannotBeWeighed) => "CannotBeWeighed",
        Some(Why::HotSlot) => "HotSlot",
        Some(Why::AsEvenAsCanBe) => "AsEvenAsCanBe",
        Some(Why::FiguresTooYoung) => "FiguresTooYoung",
        _ => return not("NothingMoves", "every slot is where it should be"),
    };
    (Truth::False, reason, messages.join("; "))
}

fn rolling(seen: &Seen) -> Verdict {
    let waiting: Vec<_> = seen.facts.nodes.iter().filter(|n| n.waits_for_restart()).map(|n| n.name).collect();
    if waiting.is_empty() {
        return not("NothingToRestart", "no server waits for a restart");
    }
    let message = format!("servers restart for their configuration; still to come: {}", list(waiting));
    (Truth::True, "ServersRestart", message)
}

/// Without a base or a majority nobody can say what is under way.
fn unheard(seen: &Seen) -> Option<Verdict> {
    let refused = seen.declined.iter().find(|declined| declined.why == Why::MajorityNotHeard);
    refused.map(|declined| (Truth::Unknown, "MajorityNotHeard", declined.message.clone()))
}

fn ready(seen: &Seen, ok: &Verdict, busy: [&Verdict; 3]) -> Verdict {
    match ok.0 {
        Truth::Unknown => return (Truth::Unknown, ok.1, ok.2.clone()),
        Truth::False => return (Truth::False, ok.1, ok.2.clone()),
        Truth::True => {}
    }
    if seen.facts.base.is_some_and(|base| base.founding.is_some()) {
        return not("Founding", "the cluster is being founded");
    }
    if let Some((_, reason, message)) = busy.into_iter().find(|verdict| verdict.0 != Truth::False) {
        return (Truth::False, reason, message.clone());
    }
    if let Some(shard) = seen.shards.iter().find(|shard| in_sync(seen, shard) != seen.wanted.replicas) {
        return (Truth::False, "ReplicasNotInSync", replicas_message(seen, shard));
    }
    let mut late = seen.facts.nodes.iter().filter(|node| !node.is_gone());
    if let Some((node, why)) = late.find_map(|node| Some((node, nodes::unready(seen, node)?))) {
        return (Truth::False, "MemberNotReady", format!("{}: {why}", node.name));
    }
    match health::calm(seen.facts, seen.shards, seen.wanted) {
        Ok(()) => (Truth::True, "AsWanted", "the cluster is what the spec asks for".to_owned()),
        Err(reason) => (Truth::False, "NotSettled", reason),
    }
}

fn replicas_message(seen: &Seen, shard: &Shard) -> String {
    let (name, wanted) = (&shard.name, seen.wanted.replicas);
    format!("{name} has {} replicas in sync, {wanted} are wanted", in_sync(seen, shard))
}

fn degraded(seen: &Seen) -> Verdict {
    let mut wrong = Vec::new();
    for node in &seen.facts.nodes {
        trouble(seen, node, &mut wrong);
    }
    let lasting =
        [Why::StrangerPresent, Why::FounderNotEmpty, Why::MemberUnusable, Why::TermOvertaken, Why::OlderServer];
    for declined in seen.declined.iter().filter(|declined| lasting.contains(&declined.why)) {
        wrong.push(("NeedsAttention", declined.message.clone()));
    }
    let Some((reason, _)) = wrong.first() else { return not("NothingWrong", "nothing is wrong") };
    let messages: Vec<&str> = wrong.iter().map(|(_, message)| message.as_str()).collect();
    (Truth::True, reason, messages.join("; "))
}

/// What is wrong with one member, lost data first.
fn trouble(seen: &Seen, node: &Node, wrong: &mut Vec<(&'static str, String)>) {
    let name = node.name;
    let seated = seen.shards.iter().any(|shard| shard.has(name));
    let Some(report) = node.report else {
        // A member that has no place yet is late, not lost.
        if seated && node.listed.is_some() {
            let (_, why) = nodes::state(seen, node);
            wrong.push(("MemberSilent", format!("{name}: {}", why.unwrap_or_default())));
        }
        return;
    };
    if let Some(loss) = &report.ledger.data_lost {
        wrong.insert(0, ("DataLost", format!("{name}: {loss}")));
    }
    // A refusal is told once, with the server's state.
    let refused = matches!(report.server, ServerState::Refused { .. });
    for problem in report.problems.iter().filter(|problem| !(refused && problem.reason == "Refused")) {
        wrong.push(("ProblemReported", format!("{name}: {}", problem.message)));
    }
    match &report.server {
        ServerState::Waiting { reason } | ServerState::Dead { reason } | ServerState::Unknown { reason } if seated => {
            wrong.push(("ServerNotRunning", format!("{name}: {reason}")));
        }
        ServerState::Refused { reason } => wrong.push(("ServerRefused", format!("{name}: {reason}"))),
        ServerState::Waiting { .. }
        | ServerState::Dead { .. }
        | ServerState::Unknown { .. }
        | ServerState::Starting
        | ServerState::Loading
        | ServerState::Running(_)
        | ServerState::Retired => {}
    }
    for job in &report.jobs {
        if let Some(why) = &job.stalled {
            wrong.push(("MoveStalled", format!("{name} cannot send slots to {}: {why}", job.target)));
        }
    }
}
