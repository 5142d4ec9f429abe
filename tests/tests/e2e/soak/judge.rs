//! What a round may have cost: nothing that was acknowledged, but what its trouble takes away by its nature.

use std::collections::BTreeSet;
use std::time::Instant;

use redisnode_tests::moving::Side::{Source, Target};
use redisnode_tests::view::View;
use redisnode_tests::workload::{Audit, Fault, Finding};

use super::plan::Trouble;
use super::strike::Struck;
use crate::run::just_before;

/// Keys that may be on their way, or at the target and not at its replica, at one moment.
const IN_FLIGHT: usize = 1_000;

/// What is gone, and in which slot.
#[derive(Debug)]
pub(crate) struct Gone {
    /// `None`: one of the keys that were written once, long before.
    pub(crate) finding: Option<Finding>,
    pub(crate) slot: u16,
}

/// What is wrong after a round: what its trouble excuses, and what nothing excuses.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) excused: usize,
    pub(crate) wrong: Vec<Gone>,
}

/// Judges what the audit found and which of the keys that were written once are gone.
pub(crate) fn judge(trouble: Trouble, struck: &Struck, moved: &BTreeSet<u16>, gone: Vec<Gone>) -> Verdict {
    let struck_slots: BTreeSet<u16> = struck.slots.iter().chain(moved).copied().collect();
    let excused = |gone: &Gone| {
        let written = |holds: &dyn Fn(Instant) -> bool| {
            gone.finding.as_ref().is_none_or(|finding| finding.acknowledged_at.is_some_and(holds))
        };
        let fault = gone.finding.as_ref().map_or(Fault::Lost, |finding| finding.fault);
        match (trouble, fault) {
            // A client whose connection broke sends again what may have been done. A key that a paused target reads late
            // counts its time to live from then.
            (Trouble::KillServer(_) | Trouble::FullDisk(_), Fault::Doubled | Fault::Disordered)
            | (Trouble::Pause(_), Fault::Ttl) => true,
            // What a killed server had not replicated; one that cannot write who owns what ends itself. The keys that were
            // written once had been replicated.
            (Trouble::KillServer(Source) | Trouble::FullDisk(Source), Fault::Lost) => {
                gone.finding.is_some() && written(&|at| just_before(at, struck.at))
            }
            // The same of a target, whenever it was written: the source deletes a key as soon as the target has it.
            (Trouble::KillServer(Target) | Trouble::FullDisk(Target), Fault::Lost) => {
                moved.contains(&gone.slot) || gone.finding.is_some() && written(&|at| just_before(at, struck.at))
            }
            // All that was there is gone, and all that was about to arrive or to be deleted.
            (Trouble::Flush(_), Fault::Lost) => struck_slots.contains(&gone.slot) && written(&|at| at <= struck.at.1),
            _ => false,
        }
    };
    let (mut excused, mut wrong): (Vec<Gone>, Vec<Gone>) = gone.into_iter().partition(excused);
    let few = if matches!(trouble, Trouble::Flush(_)) { usize::MAX } else { IN_FLIGHT };
    if excused.len() > few {
        wrong.append(&mut excused);
    }
    Verdict { excused: excused.len(), wrong }
}

/// The findings of an audit with their slots.
pub(crate) fn findings(audit: &Audit, slot: impl Fn(u32) -> u16) -> Vec<Gone> {
    let gone = |finding: &Finding| Gone { slot: slot(finding.key), finding: Some(finding.clone()) };
    audit.findings.iter().map(gone).collect()
}

/// Slots that are another shard's than before. A change of primary within a shard is no move.
pub(crate) fn moved(before: &View, after: &View) -> BTreeSet<u16> {
    let slots = before.owners().into_iter().flat_map(|was| {
        let shard: Vec<&str> =
            before.replicas_of(&was.id).into_iter().chain([was]).map(|node| node.id.as_str()).collect();
        let others = after.owners().into_iter().filter(move |is| !shard.contains(&is.id.as_str()));
        let others: BTreeSet<u16> = others.flat_map(|is| is.slots.iter().copied()).collect();
        was.slots.iter().copied().filter(move |slot| others.contains(slot))
    });
    slots.collect()
}
