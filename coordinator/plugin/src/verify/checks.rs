//! The checks. Pure; each says what it looked for and what it found wrong.

use std::collections::BTreeMap;

use redisnode_proto::judge::is_in_sync;
use redisnode_proto::report::ServerState;
use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::topology::Health;
use redisnode_proto::{Generation, NodeName, SlotSet};

use super::look::Look;

/// What was looked for, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) wrong: Vec<String>,
}

impl Check {
    fn new(what: impl Into<String>, wrong: impl IntoIterator<Item = String>) -> Self {
        Self { what: what.into(), wrong: wrong.into_iter().collect() }
    }
}

/// All of them but who answers, in the order in which they are shown.
pub(super) const CHECKS: [fn(&Look) -> Check; 13] = [
    servers_run,
    slots_covered,
    slots_owned_once,
    views_agree,
    nobody_is_missed,
    nobody_is_a_stranger,
    shares_even,
    sizes,
    replicas_in_sync,
    no_open_slots,
    one_layout,
    configuration,
    no_problems,
];

fn servers_run(look: &Look) -> Check {
    let wrong = look.reports.iter().filter_map(|(name, report)| {
        let why = match &report.server {
            ServerState::Running(running) if !running.view.state_ok => {
                "its server says that the cluster is not ok".into()
            }
            ServerState::Running(running) if running.writes_paused => "its writes are paused".to_owned(),
            ServerState::Running(_) => return None,
            ServerState::Waiting { reason }
            | ServerState::Refused { reason }
            | ServerState::Dead { reason }
            | ServerState::Unknown { reason } => reason.clone(),
            ServerState::Starting => "its server is starting".to_owned(),
            ServerState::Loading => "its server is loading its data".to_owned(),
            ServerState::Retired => "it has left".to_owned(),
        };
        Some(format!("{name}: {why}"))
    });
    Check::new(format!("every server runs ({})", look.running.len()), wrong)
}

fn slots_covered(look: &Look) -> Check {
    let dead = look.owners.by_node.iter().filter(|(id, _)| !look.runs(id));
    let dead = dead.map(|(id, slots)| format!("{} slots belong to {}, which does not run", slots.len(), look.who(id)));
    let nobody = SlotSet::full().difference(&look.owners.covered());
    let nobody = (!nobody.is_empty()).then(|| format!("slots without an owner: {nobody}"));
    let covered = look.owners.covered().len();
    Check::new(format!("every slot has an owner that runs ({covered} of {SLOT_COUNT})"), dead.chain(nobody))
}

fn slots_owned_once(look: &Look) -> Check {
    let contested = &look.owners.contested;
    let wrong = (!contested.is_empty()).then(|| format!("slots that two servers claim: {contested}"));
    Check::new("no slot has two owners", wrong)
}

fn views_agree(look: &Look) -> Check {
    let wrong = look.running.iter().filter_map(|(name, running)| {
        let nodes = running.view.nodes.iter().filter(|node| !node.slots.is_empty());
        let seen: BTreeMap<_, _> = nodes.map(|node| (node.id.clone(), node.slots.clone())).collect();
        if seen == look.owners.by_node {
            return None;
        }
        let differs = |id| seen.get(id) != look.owners.by_node.get(id);
        let about = seen.keys().chain(look.owners.by_node.keys()).find(|id| differs(id))?;
        Some(format!("{name} sees other slots of {}", look.who(about)))
    });
    Check::new("all servers agree on who owns which slot", wrong)
}

fn nobody_is_missed(look: &Look) -> Check {
    let wrong = look.running.iter().flat_map(|(name, running)| {
        let bad = running.view.nodes.iter().filter(|node| node.id != running.view.me);
        bad.filter_map(move |node| {
            let why = match node.health {
                Health::Failed => "has failed",
                Health::Suspected => "may have failed",
                Health::Fine if !node.connected => "is not linked",
                Health::Fine => return None,
            };
            Some(format!("{} {why} in the eyes of {name}", look.who(&node.id)))
        })
    });
    Check::new("no server misses another one", wrong)
}

fn nobody_is_a_stranger(look: &Look) -> Check {
    let strange = look.running.iter().flat_map(|(name, running)| {
        let strangers = running.view.nodes.iter().filter(|node| !look.runs(&node.id));
        strangers.map(move |node| {
            format!("{name} knows {} at {}:{}, which is no member's", node.id.short(), node.ip, node.port)
        })
    });
    let missing = look.running.iter().flat_map(|(name, running)| {
        let others = look.running.iter().filter(|(_, other)| running.view.node(&other.view.me).is_none());
        others.map(move |(other, _)| format!("{name} does not know {other}"))
    });
    Check::new("all servers know all members and nobody else", strange.chain(missing))
}

fn shares_even(look: &Look) -> Check {
    let shares: Vec<u16> = look.primaries().iter().map(|(_, _, slots)| *slots).collect();
    let (least, most) = (shares.iter().min().copied().unwrap_or(0), shares.iter().max().copied().unwrap_or(0));
    if !look.spec.balance.is_by_slots() {
        // Then shares differ in number, by any number; what they weigh the coordinator judges, and only now and then.
        let what = format!("every primary has slots ({least} to {most}; even by {})", look.spec.balance);
        return Check::new(what, (least == 0).then(|| "a primary has no slots".to_owned()));
    }
    let wrong = (most.abs_diff(least) > 1).then(|| format!("between {least} and {most} slots"));
    Check::new(format!("every primary has the same share of slots ({least} to {most})"), wrong)
}

fn sizes(look: &Look) -> Check {
    let (primaries, replicas) = (look.primaries(), look.replicas());
    let (masters, factor) = (look.spec.number_of_master, look.spec.replication_factor);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let few =
        (primaries.len() != count(masters)).then(|| format!("{} primaries have slots, not {masters}", primaries.len()));
    let uneven = primaries.iter().filter_map(|(name, running, _)| {
        let has = replicas.iter().filter(|(_, _, primary)| *primary == Some(&running.view.me)).count();
        (has != count(factor)).then(|| format!("{name} has {has} replicas, not {factor}"))
    });
    let what = format!("as many as the spec asks for: {masters} primaries, {factor} replicas each");
    Check::new(what, few.into_iter().chain(uneven).collect::<Vec<_>>())
}

fn replicas_in_sync(look: &Look) -> Check {
    let replicas = look.replicas();
    let wrong = replicas.iter().filter_map(|(name, running, primary)| {
        let primary = primary.map_or_else(|| "nobody".to_owned(), |id| look.who(id));
        (!is_in_sync(running)).then(|| format!("{name} is not in sync with {primary}"))
    });
    Check::new(format!("every replica is in sync ({})", replicas.len()), wrong.collect::<Vec<_>>())
}

fn no_open_slots(look: &Look) -> Check {
    let open = look.running.iter().filter(|(_, running)| !running.view.open.is_empty());
    let open = open.map(|(name, running)| format!("{name} has {} open", running.view.open.len()));
    let jobs = look.reports.iter().flat_map(|(name, report)| {
        report.jobs.iter().map(move |job| format!("{name} still sends {} slots to {}", job.remaining.len(), job.target))
    });
    Check::new("no slot is open and none is moving", open.chain(jobs))
}

fn one_layout(look: &Look) -> Check {
    let held = |name: &&NodeName| look.reports.get(*name)?.ledger.layout.as_ref().map(|layout| layout.generation);
    let all: BTreeMap<&NodeName, Option<Generation>> = look.reports.keys().map(|name| (*name, held(name))).collect();
    let newest = all.values().max().copied().flatten();
    let shown = |generation: Option<Generation>| generation.map_or_else(|| "none".to_owned(), |g| g.to_string());
    let wrong = all.iter().filter(|(_, generation)| **generation != newest);
    let wrong = wrong.map(|(name, generation)| format!("{name} has {}", shown(*generation)));
    Check::new(format!("all agents have the newest Layout ({})", shown(newest)), wrong)
}

fn configuration(look: &Look) -> Check {
    let wrong = look.reports.iter().filter(|(_, report)| !report.restart_needed.is_empty());
    let wrong = wrong.map(|(name, report)| format!("{name} must restart for {}", report.restart_needed.join(", ")));
    Check::new("every server has the wanted configuration", wrong)
}

fn no_problems(look: &Look) -> Check {
    let problems = look
        .reports
        .iter()
        .flat_map(|(name, report)| report.problems.iter().map(move |problem| format!("{name}: {}", problem.message)));
    let lost =
        look.reports.iter().filter_map(|(name, report)| Some(format!("{name}: {}", report.ledger.data_lost.as_ref()?)));
    Check::new("no agent reports a problem", problems.chain(lost))
}
