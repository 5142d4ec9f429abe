//! How members of the tiny world obey a Layout, and how its machine and its coordinator's shell carry out a Plan. Slots
//! move in pieces; whoever has bad luck with the dice does nothing this time.

use redisnode_proto::layout::LayoutShard;
use redisnode_proto::topology::Role;
use redisnode_proto::{Layout, Millis, NodeId, NodeName, SlotSet, Supersedes};

use super::model::{Dice, Model, Sim};
use crate::{Plan, Presence, Why};

impl Model {
    /// One round: plan, carry it out, let everybody obey. `laziness` of ten members do nothing.
    pub(super) fn step(&mut self, dice: &mut Dice, laziness: u64) -> Plan {
        self.now = self.now.after(Millis(100));
        self.refresh();
        let plan = self.plan();
        assert!(!plan.declined.iter().any(|declined| declined.why == Why::TermOvertaken), "{:?}", plan.declined);
        self.carry_out(&plan);
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in names {
            if dice.roll(10) >= laziness {
                self.obey(&name, dice);
                self.refresh();
            }
        }
        plan
    }

    /// The machine's and the shell's part.
    pub(super) fn carry_out(&mut self, plan: &Plan) {
        self.events.extend(plan.events.iter().map(|event| event.reason.clone()));
        if let Some(layout) = &plan.layout {
            assert_eq!(layout.supersedes(self.published.as_ref()), Supersedes::Newer);
            self.check(layout);
            self.published = Some(layout.clone());
        }
        for name in &plan.remove {
            let sim = self.nodes.remove(name).unwrap();
            let unlisted = self.published.as_ref().is_some_and(|layout| layout.member(name).is_none());
            let dead = |id: &NodeId| self.table.get(id).is_some_and(|line| !line.alive && !line.slots.is_empty());
            let only_copy = sim.has_data && sim.follows.as_ref().is_some_and(dead);
            let gave_up = sim.retired || unlisted || (!sim.up && !only_copy);
            assert!(gave_up && sim.slots.is_empty(), "{name} was removed before it gave up everything");
        }
        self.run_ordinals(plan.members_wanted);
        for name in &plan.restart {
            let sim = self.nodes.get_mut(name).unwrap();
            assert!(sim.slots.is_empty(), "{name} restarts as a primary with slots");
            (sim.restart_needed, sim.synced, sim.version) = (false, false, self.newest);
        }
    }

    /// What must hold of every Layout that is published.
    fn check(&self, layout: &Layout) {
        let total: u32 = layout.shards.iter().map(|shard| u32::from(shard.slots.len())).sum();
        let union = layout.shards.iter().fold(SlotSet::new(), |all, shard| all.union(&shard.slots));
        assert!(total == 16384 && union == SlotSet::full(), "every slot belongs to one shard");
        let mut seats: Vec<&NodeName> = layout.shards.iter().flat_map(LayoutShard::nodes).collect();
        assert!(seats.iter().all(|name| layout.member(name).is_some_and(|m| !m.leaving)), "who has a seat is a member");
        let all = seats.len();
        seats.sort();
        seats.dedup();
        assert_eq!(all, seats.len(), "nobody has two seats");
        let alive = |id: &NodeId| self.name_of(id).is_some_and(|name| self.nodes[&name].up);
        assert!(!layout.forget.iter().any(alive), "nobody forgets a server that lives");
    }

    /// News is everywhere at once.
    pub(super) fn refresh(&mut self) {
        for sim in self.nodes.values() {
            if let Some(id) = sim.id.as_ref().filter(|id| self.table.contains_key(*id)) {
                self.table.insert(id.clone(), sim.line());
            }
        }
        let ids: Vec<NodeId> = self.table.keys().cloned().collect();
        for id in ids {
            if self.name_of(&id).is_none()
                && let Some(line) = self.table.get_mut(&id)
            {
                line.alive = false;
            }
        }
    }

    fn obey(&mut self, name: &NodeName, dice: &mut Dice) {
        let published = self.published.clone();
        let Some(sim) = self.nodes.get_mut(name) else { return };
        if sim.machine.presence != Presence::Present || sim.retired {
            return;
        }
        match published.as_ref().map(|layout| layout.supersedes(sim.layout.as_ref())) {
            Some(Supersedes::Conflict) => panic!("two Layouts of one generation"),
            Some(Supersedes::Newer) if sim.founded && published.as_ref().is_some_and(|l| l.founding.is_some()) => {}
            Some(Supersedes::Newer) => sim.layout = published,
            Some(Supersedes::Same | Supersedes::Older) | None => {}
        }
        let (Some(layout), Some(id), true) = (sim.layout.clone(), sim.id.clone(), sim.up) else { return };
        let Some(member) = layout.member(name).cloned() else { return };
        if self.found(name, &id, &layout) {
            return;
        }
        let line = self.nodes[name].line();
        self.table.entry(id.clone()).or_insert(line);
        self.forget(&layout);
        if member.leaving {
            self.leave(name, &id);
        } else if let Some(shard) = layout.shard_of(name) {
            self.follow(name, &id, shard, &layout);
            self.claim(name, shard);
        }
        self.send(name, &layout, dice);
        self.hand_off(name, &id, &layout);
    }

    /// A founding Layout is obeyed by the very servers it names.
    fn found(&mut self, name: &NodeName, id: &NodeId, layout: &Layout) -> bool {
        let founders = layout.founding.clone().unwrap_or_default();
        if !founders.contains(id) || self.nodes[name].founded {
            return false;
        }
        let (index, shard) = layout.shards.iter().enumerate().find(|(_, shard)| shard.has(name)).unwrap();
        let primary = layout.member(&shard.primary).and_then(|m| m.node_id.clone());
        let sim = self.nodes.get_mut(name).unwrap();
        if shard.primary == *name {
            (sim.slots, sim.epoch, sim.has_data) = (shard.slots.clone(), index as u64 + 1, true);
        } else {
            (sim.role, sim.follows, sim.synced) = (Role::Replica, primary, true);
            sim.has_data = true;
        }
        let line = sim.line();
        self.table.insert(id.clone(), line);
        let whole = self.covered() == SlotSet::full() && founders.iter().all(|id| self.table.contains_key(id));
        self.nodes.get_mut(name).unwrap().founded = whole;
        true
    }

    fn forget(&mut self, layout: &Layout) {
        for id in &layout.forget {
            if self.table.get(id).is_some_and(|line| !line.alive) {
                self.table.remove(id);
            }
        }
    }

    fn leave(&mut self, name: &NodeName, id: &NodeId) {
        let copied = self.nodes.values().any(|other| other.up && other.follows.as_ref() == Some(id));
        let sim = self.nodes.get_mut(name).unwrap();
        if copied || !sim.slots.is_empty() {
            return;
        }
        let only =
            sim.follows.as_ref().and_then(|id| self.table.get(id)).is_some_and(|p| !p.alive && !p.slots.is_empty());
        assert!(!(sim.synced && only), "{name} leaves with the only copy");
        (sim.retired, sim.up, sim.id, sim.follows, sim.synced) = (true, false, None, None, false);
        sim.has_data = false;
    }

    fn primary_of<'l>(&self, shard: &'l LayoutShard) -> &'l NodeName {
        let owner = shard.nodes().filter(|name| self.nodes.get(*name).is_some_and(|sim| !sim.slots.is_empty()));
        owner.max_by_key(|name| self.nodes[*name].slots.intersection(&shard.slots).len()).unwrap_or(&shard.primary)
    }

    fn follow(&mut self, name: &NodeName, id: &NodeId, shard: &LayoutShard, layout: &Layout) {
        let primary = self.primary_of(shard).clone();
        let sim = &self.nodes[name];
        let elsewhere = sim.follows.as_ref().is_some_and(|id| self.name_of(id).is_none_or(|name| !shard.has(&name)));
        if primary == *name {
            // A primary without slots has nothing that a replica of it could lose.
            let of_nothing = sim.follows.as_ref().and_then(|id| self.table.get(id)).is_some_and(|p| p.slots.is_empty());
            let named = layout.shard_of(name).is_some_and(|shard| shard.primary == *name);
            if sim.role == Role::Replica && named && (elsewhere || of_nothing) {
                self.reset(name, id);
            }
            return;
        }
        let target = self.nodes.get(&primary).filter(|p| p.up && p.role == Role::Primary).and_then(|p| p.id.clone());
        let Some(target) = target.filter(|id| self.table.contains_key(id)) else { return };
        let sim = self.nodes.get_mut(name).unwrap();
        if !sim.slots.is_empty() {
            return;
        }
        if sim.follows.as_ref() == Some(&target) {
            (sim.synced, sim.has_data) = (true, true);
        } else {
            (sim.role, sim.follows, sim.synced) = (Role::Replica, Some(target), false);
        }
    }

    /// `CLUSTER RESET HARD`.
    fn reset(&mut self, name: &NodeName, old: &NodeId) {
        let id = self.fresh_id();
        let sim = self.nodes.get_mut(name).unwrap();
        (sim.role, sim.follows, sim.synced, sim.epoch) = (Role::Primary, None, false, 0);
        (sim.id, sim.has_data) = (Some(id), false);
        self.table.get_mut(old).unwrap().alive = false;
    }

    fn claim(&mut self, name: &NodeName, shard: &LayoutShard) {
        let free = shard.slots.difference(&self.covered());
        if free.is_empty() || self.primary_of(shard) != name || self.nodes[name].role != Role::Primary {
            return;
        }
        let epoch = self.fresh_number() + 1000;
        let sim = self.nodes.get_mut(name).unwrap();
        (sim.slots, sim.epoch) = (sim.slots.union(&free), epoch);
    }

    /// Some of the slots that belong elsewhere, to each of their shards whose server reads them.
    fn send(&mut self, name: &NodeName, layout: &Layout, dice: &mut Dice) {
        if layout.settings.migration.pause {
            return;
        }
        for shard in &layout.shards {
            let to = self.primary_of(shard).clone();
            let mine = self.nodes[name].slots.intersection(&shard.slots);
            let met = |id: &NodeId| self.table.contains_key(id);
            let takes = |to: &Sim| to.up && to.role == Role::Primary && to.id.as_ref().is_some_and(met);
            let reads = self.nodes.get(&to).is_some_and(|to| to.version >= self.nodes[name].version);
            let takes = reads && self.nodes.get(&to).is_some_and(takes);
            if to == *name || mine.is_empty() || !takes {
                continue;
            }
            let some = usize::try_from(dice.roll(6000) + 500).unwrap();
            let piece: SlotSet = mine.iter().take(some).collect();
            for slot in piece.iter() {
                self.moves[usize::from(slot.number())] += 1;
            }
            let epoch = self.fresh_number() + 1000;
            let from = self.nodes.get_mut(name).unwrap();
            from.slots = from.slots.difference(&piece);
            let to = self.nodes.get_mut(&to).unwrap();
            (to.slots, to.epoch, to.has_data) = (to.slots.union(&piece), epoch, true);
        }
    }

    fn hand_off(&mut self, name: &NodeName, id: &NodeId, layout: &Layout) {
        let wish = layout.shard_of(name).and_then(|shard| shard.handoff.clone()).filter(|wish| wish.from == *name);
        let Some(wish) = wish.filter(|_| !self.nodes[name].slots.is_empty()) else { return };
        if self.nodes.get(&wish.to).is_some_and(|to| to.up && to.synced && to.follows.as_ref() == Some(id)) {
            self.promote(name, &wish.to);
        }
    }

    /// `to` takes over what `from` has; `from` and its replicas follow.
    pub(super) fn promote(&mut self, from: &NodeName, to: &NodeName) {
        let epoch = self.fresh_number() + 1000;
        let old = self.nodes.get_mut(from).unwrap();
        let (slots, old_id) = (std::mem::take(&mut old.slots), old.id.clone());
        let new = self.nodes.get_mut(to).unwrap();
        (new.slots, new.epoch, new.role, new.follows) = (slots, epoch, Role::Primary, None);
        let new_id = new.id.clone();
        for (name, sim) in &mut self.nodes {
            if name == from || (sim.follows.is_some() && sim.follows == old_id) {
                (sim.role, sim.follows) = (Role::Replica, new_id.clone());
                sim.synced = sim.up && name != from;
            }
        }
        self.refresh();
    }
}
