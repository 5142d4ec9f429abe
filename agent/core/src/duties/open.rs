//! Half-open slots that no move owns: found at any time, not only in a move, and closed so that nothing is lost.

use redisnode_proto::NodeName;
use redisnode_proto::report::Report;
use redisnode_proto::topology::{Direction, OpenSlot, Role, View};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn settle(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    // Valkey 8.0 and later show a primary's marks at its replicas too: only the primary acts on them.
    let own = view.open.iter().filter(|_| view.myself().is_some_and(|me| me.role == Role::Primary));
    for open in own {
        match open.direction {
            Direction::Importing if made_at_start(s, open) => out.push(Duty::CloseExport { slot: open.slot }),
            Direction::Importing => importing(s, view, open, out),
            Direction::Migrating => migrating(s, view, open, out),
        }
    }
    clear_notice(s, view, out);
}

/// Redis before 8.4 marks the slots of others that its data has keys of when it starts. It saves its marks at each change,
/// so one that nodes.conf did not have stands for no move: the keys are from an older dump, and the owner has been
/// without them, or has newer ones, ever since. Asked to finish a move, it would stop at them.
fn made_at_start(s: &Situation<'_>, open: &OpenSlot) -> bool {
    s.ledger.open_at_start.as_ref().is_some_and(|before| !before.contains(open.slot))
}

/// The source's agent drives a move. If it has nothing open towards this server, the mark is a left-over.
fn importing(s: &Situation<'_>, view: &View, open: &OpenSlot, out: &mut Vec<Duty>) {
    let Some(owner) = view.owner(open.slot) else {
        unbound(s, open, out);
        return;
    };
    let Some(name) = s.name_of(&owner.id) else { return };
    if owner.id == view.me {
        out.push(Duty::CloseExport { slot: open.slot });
        return;
    }
    match s.fresh(&name) {
        Some(report) if !is_sending(report, s, open) => out.push(Duty::CloseImport { slot: open.slot, owner: name }),
        Some(_) => {}
        None => ask(out, [name]),
    }
}

/// A slot that was marked before its owner was known, or whose owner was forgotten: with the mark it is never bound to
/// anybody (measured). The mark goes, and the owner that others show is asked to begin the move again; if there is none
/// for sure, the slot can be claimed then.
fn unbound(s: &Situation<'_>, open: &OpenSlot, out: &mut Vec<Duty>) {
    let others = s.others();
    let views = others.iter().filter_map(|name| s.fresh(name)?.server.running()).map(|running| &running.view);
    let owner = views.filter_map(|view| view.owner(open.slot)).max_by_key(|node| node.epoch);
    if let Some(owner) = owner.and_then(|node| s.name_of(&node.id)) {
        out.push(Duty::CloseImport { slot: open.slot, owner });
        return;
    }
    let unheard: Vec<NodeName> = others.into_iter().filter(|name| s.fresh(name).is_none()).collect();
    if unheard.is_empty() {
        out.push(Duty::CloseExport { slot: open.slot });
    }
    ask(out, unheard);
}

fn is_sending(report: &Report, s: &Situation<'_>, open: &OpenSlot) -> bool {
    let job = report.jobs.iter().any(|job| job.target == s.me.name && job.remaining.contains(open.slot));
    let marked = report.server.running().is_none_or(|running| {
        running.view.open.iter().any(|o| o.slot == open.slot && o.direction == Direction::Migrating)
    });
    job || marked
}

/// A slot open towards a node that is not there any more is closed here: its keys went nowhere else that lives. So is
/// one that has a new owner already: Redis keeps the mark of a source that died before it let go (simulated).
fn migrating(s: &Situation<'_>, view: &View, open: &OpenSlot, out: &mut Vec<Duty>) {
    if view.owner(open.slot).is_some_and(|owner| owner.id != view.me) {
        out.push(Duty::CloseExport { slot: open.slot });
        return;
    }
    let forgotten = s.layout().is_some_and(|layout| layout.forget.contains(&open.peer));
    if view.node(&open.peer).is_none() && (forgotten || s.name_of(&open.peer).is_none()) {
        out.push(Duty::CloseExport { slot: open.slot });
    }
}

/// A replica that was told of open slots asks its primary's agent whether they still are.
fn clear_notice(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(notice) = s.ledger.open_slots.as_ref().filter(|open| !open.slots.is_empty()) else { return };
    let Some(me) = view.myself() else { return };
    if me.role == Role::Primary {
        // Promoted: the marks are on this server now, and its own duties see to them.
        out.push(Duty::ClearOpenSlots);
        return;
    }
    let source: Option<NodeName> = s.name_of(&notice.source);
    let Some(source) = source else {
        if view.node(&notice.source).is_none() {
            out.push(Duty::ClearOpenSlots);
        }
        return;
    };
    match s.fresh(&source) {
        Some(report) => {
            let idle = report.jobs.is_empty() && report.server.running().is_some_and(|r| r.view.open.is_empty());
            if idle {
                out.push(Duty::ClearOpenSlots);
            }
        }
        None => ask(out, [source]),
    }
}
