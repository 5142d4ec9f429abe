//! `plan()`: composes the rules of the other files, in their order. No rule stands here.

use redisnode_proto::status::ClusterStatus;
use redisnode_proto::{Layout, NodeName};

use crate::assemble::{self, Decided};
use crate::decision::{Declined, Plan, Why};
use crate::draft::{Notes, Wanted};
use crate::facts::{Facts, Node};
use crate::founding::{self, Progress};
use crate::safety::Quorum;
use crate::status::{self, Seen};
use crate::weighing::Weighing;
use crate::world::World;
use crate::{adopt, base, forget, handoffs, health, leaving, placement, rollout, seats, shards, targets};

/// What to do now. The same World gives the same Plan; a World that is what the spec asks for gives one that changes
/// nothing.
pub fn plan(world: &World) -> Plan {
    let base = base::newest(world);
    let facts = Facts::gather(world, base);
    let mut draft = Draft::new(world);
    draft.decide(&facts);
    let overtaken = base::overtaken(world);
    let leads = overtaken.is_none() && !world.paused;
    let speaks = draft.speaks && leads;
    draft.notes.declined.splice(0..0, overtaken.into_iter().chain(paused(world)));
    let layout = if speaks { draft.next_layout(&facts) } else { None };
    let status = draft.status(&facts);
    let Notes { declined, next, mut events } = draft.notes;
    match (&layout, base) {
        (Some(layout), Some(base)) => events.extend(assemble::changes(base, layout)),
        (Some(_), None) => {}
        (None, _) => events.clear(),
    }
    // A cluster that does not exist yet has no Layout that could be published: only who never ran may run anew.
    let may_restart = speaks || (base.is_none() && leads);
    let restart = if may_restart { draft.restart } else { Vec::new() };
    let remove = if speaks { draft.remove } else { Vec::new() };
    let members_wanted = draft.members_wanted;
    Plan { layout, members_wanted, paused: world.paused, remove, restart, status, declined, next, events }
}

/// What agents were told goes on: who holds a dying cluster's changes up must not hold up what keeps it alive.
fn paused(world: &World) -> Option<Declined> {
    let message = "all changes are paused: what agents were told before goes on, takeovers too; resume with \
                   kubectl rediscluster resume";
    world.paused.then(|| Declined::new(Why::Paused, message))
}

/// What is: the same that `plan()` shows. It does not look at terms, so whoever has the Reports may ask, coordinator
/// or not.
pub fn status(world: &World) -> ClusterStatus {
    let facts = Facts::gather(world, base::newest(world));
    let mut draft = Draft::new(world);
    draft.decide(&facts);
    draft.status(&facts)
}

/// A plan in the making.
struct Draft {
    wanted: Wanted,
    decided: Decided,
    notes: Notes,
    /// The slots of shards that are to end cannot go to the others: they stay, and [`Draft::wanted`] says so.
    full: bool,
    /// A Layout may be published.
    speaks: bool,
    /// Why the members are not placed as well as can be, where they are now.
    misplaced: Option<String>,
    restart: Vec<NodeName>,
    remove: Vec<NodeName>,
    members_wanted: u32,
}

impl Draft {
    fn new(world: &World) -> Self {
        let wanted = Wanted::by(world);
        Self {
            wanted,
            decided: Decided::default(),
            notes: Notes::default(),
            full: false,
            speaks: true,
            misplaced: Some("the cluster has not come to be yet".to_owned()),
            restart: Vec::new(),
            remove: Vec::new(),
            members_wanted: wanted.members,
        }
    }

    fn decide(&mut self, facts: &Facts) {
        let quorum = Quorum::of(facts);
        match facts.base {
            None => self.found(facts),
            Some(base) => {
                self.decided.shards = adopt::adopt(facts, base, &self.wanted);
                self.misplaced = placement::flaw(facts, &self.decided.shards);
                if let Some(refusal) = quorum.refusal() {
                    self.notes.declined.push(refusal);
                    self.keep(facts, base);
                    self.speaks = facts.world.published.is_some();
                } else if base.founding.is_some() {
                    self.go_on_founding(facts, &quorum, base);
                } else {
                    self.follow_the_spec(facts, &quorum);
                }
            }
        }
        let (remove, members) = leaving::removals(facts, &quorum, &self.wanted, &self.decided.leaving, &mut self.notes);
        (self.remove, self.members_wanted) = (remove, members);
    }

    fn found(&mut self, facts: &Facts) {
        self.restart = rollout::unborn(facts, &mut self.notes);
        let founded = founding::found(facts, &self.wanted, &mut self.notes);
        self.speaks = founded.is_some();
        if let Some((shards, ids)) = founded {
            self.decided.shards = shards;
            self.decided.founding = Some(ids);
        }
    }

    fn go_on_founding(&mut self, facts: &Facts, quorum: &Quorum, base: &Layout) {
        self.restart = rollout::unborn(facts, &mut self.notes);
        match founding::progress(facts, base, &mut self.notes) {
            Progress::Over | Progress::Broken => {
                self.keep(facts, base);
                self.decided.forget = forget::forget(facts, quorum, &self.decided.shards, &mut self.notes);
            }
            Progress::GoesOn => {
                self.keep(facts, base);
                self.decided.founding.clone_from(&base.founding);
                // Said once in each life: who has ended founding meanwhile refuses another founding Layout.
                self.speaks = base.generation.term < facts.world.term;
            }
        }
    }

    /// Everything stays as the base has it, but for what is true anyway.
    fn keep(&mut self, facts: &Facts, base: &Layout) {
        let leaving = base.members.iter().filter(|member| member.leaving).map(|member| &member.member.name);
        let here = |name: &&NodeName| facts.node(name).is_some_and(|node| !node.is_gone() && !node.is_replaced());
        self.decided.leaving = leaving.filter(here).cloned().collect();
        self.decided.forget = base.forget.iter().cloned().collect();
    }

    fn follow_the_spec(&mut self, facts: &Facts, quorum: &Quorum) {
        let (notes, shards) = (&mut self.notes, &mut self.decided.shards);
        let weighing = &Weighing::of(facts, shards, notes);
        shards::choose(shards, &self.wanted, weighing);
        if let Some(instead) = shards::keep_what_cannot_go(facts, shards, &self.wanted, weighing, notes) {
            (self.wanted, self.full) = (instead, true);
        }
        shards::say_ends(facts, shards, &self.wanted, notes);
        shards::dissolve(facts, quorum, shards, &self.wanted, notes);
        if rollout::surge(facts, shards, &self.wanted).is_some() {
            self.wanted.surge = true;
            self.wanted.members = self.wanted.members.saturating_add(1);
        }
        let wanted = &self.wanted;
        let surge = rollout::surge(facts, shards, wanted);
        seats::seat(facts, shards, wanted, surge, notes);
        targets::aim(facts, shards, wanted, weighing, self.full, notes);
        targets::say_moves(facts, shards, notes);
        self.decided.leaving = leaving::dismiss(facts, quorum, shards, wanted, surge, notes);
        self.decided.forget = forget::forget(facts, quorum, shards, notes);
        handoffs::from_the_leaving(facts, shards, wanted, notes);
        self.restart = rollout::restarts(facts, shards, wanted, notes);
        if !facts.nodes.iter().any(Node::waits_for_restart) && health::calm(facts, shards, wanted).is_ok() {
            let _busy = handoffs::to_spread(facts, shards, notes) || handoffs::to_untangle(facts, shards, notes);
        }
    }

    /// The Layout to publish, if it says something new, or this life has not published yet.
    fn next_layout(&self, facts: &Facts) -> Option<Layout> {
        let generation = base::next_generation(facts.world, facts.base);
        let next = assemble::layout(facts, &self.wanted, &self.decided, generation);
        let new = facts.base.is_none_or(|base| base.generation.term < facts.world.term || !base.says_the_same(&next));
        new.then_some(next)
    }

    fn status(&self, facts: &Facts) -> ClusterStatus {
        // People see what they asked for.
        let wanted = if self.full { Wanted::by(facts.world) } else { self.wanted };
        let seen = Seen {
            facts,
            shards: &self.decided.shards,
            wanted: &wanted,
            leaving: &self.decided.leaving,
            declined: &self.notes.declined,
            misplaced: self.misplaced.as_deref(),
        };
        status::show(&seen)
    }
}
