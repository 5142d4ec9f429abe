//! Servers die, members fall silent, folders are lost, pods are replaced, all while the spec changes: the world still
//! comes to be what is asked for, and nothing is declared lost that somebody has a copy of.

use proptest::prelude::*;
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, NodeName, SlotSet};

use super::converge::{is_as_wanted, settle};
use super::model::{Dice, Model, spec};
use crate::Presence;

/// What goes wrong with one member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Kill,
    Silence,
    Wipe,
    Gone,
}

impl Model {
    /// A replica in sync that the servers or agents would promote in place of `name`.
    pub(super) fn heir_of(&self, name: &NodeName) -> Option<NodeName> {
        let id = self.nodes[name].id.as_ref()?;
        let fits = |name: &&NodeName| {
            let sim = &self.nodes[*name];
            sim.up && sim.synced && sim.follows.as_ref() == Some(id) && sim.machine.presence == Presence::Present
        };
        self.nodes.keys().find(fits).cloned()
    }

    /// Whether nothing is lost for good when `name` loses its folder.
    fn can_spare(&self, name: &NodeName) -> bool {
        self.nodes[name].slots.is_empty() || self.heir_of(name).is_some()
    }

    pub(super) fn strike(&mut self, name: &NodeName, fault: Fault) {
        let heir = self.heir_of(name).filter(|_| !self.nodes[name].slots.is_empty());
        if let Some(heir) = heir.filter(|_| !matches!(fault, Fault::Silence)) {
            self.promote(name, &heir);
        }
        let sim = self.nodes.get_mut(name).unwrap();
        match fault {
            Fault::Kill => (sim.up, sim.synced) = (false, false),
            Fault::Silence => sim.speaks = false,
            Fault::Wipe => self.replace(name),
            Fault::Gone => (sim.up, sim.machine.presence) = (false, Presence::Gone),
        }
        self.now = self.now.after(Millis(if matches!(fault, Fault::Silence) { 4000 } else { 0 }));
        self.refresh();
    }

    /// The same name, with another uid, another id and nothing else.
    fn replace(&mut self, name: &NodeName) {
        let newborn = self.newborn(name, name.ordinal().unwrap());
        self.nodes.insert(name.clone(), newborn);
    }

    pub(super) fn heal(&mut self, name: &NodeName, fault: Fault) {
        let Some(sim) = self.nodes.get_mut(name) else { return };
        match fault {
            Fault::Kill => sim.up = sim.id.is_some(),
            Fault::Silence => sim.speaks = true,
            Fault::Wipe => {}
            Fault::Gone => {
                self.nodes.remove(name);
            }
        }
    }
}

fn faults() -> impl Strategy<Value = Vec<(Fault, usize, usize)>> {
    let fault = prop_oneof![Just(Fault::Kill), Just(Fault::Silence), Just(Fault::Wipe), Just(Fault::Gone)];
    proptest::collection::vec((fault, 0usize..18, 1usize..6), 1..12)
}

/// Founded, then struck again and again while the spec changes in the middle.
fn live(specs: [(u32, u32); 2], faults: &[(Fault, usize, usize)], seed: u64, spare_only: bool) -> Model {
    let mut dice = Dice(seed);
    let mut model = Model::new(spec(specs[0].0, specs[0].1));
    settle(&mut model, &mut dice, 2);
    for (index, (fault, victim, rounds)) in faults.iter().enumerate() {
        if index == faults.len() / 2 {
            model.spec = spec(specs[1].0, specs[1].1);
        }
        let names: Vec<NodeName> = model.nodes.keys().cloned().collect();
        let name = &names[victim % names.len()];
        let destroys = matches!(fault, Fault::Wipe | Fault::Gone);
        let strikes = !(spare_only && destroys) || model.can_spare(name);
        if strikes {
            model.strike(name, *fault);
        }
        for _ in 0..*rounds {
            model.step(&mut dice, 2);
        }
        if strikes {
            model.heal(name, *fault);
            model.step(&mut dice, 2);
        }
    }
    model.spec = spec(specs[1].0, specs[1].1);
    let plan = settle(&mut model, &mut dice, 2);
    is_as_wanted(&model, &plan);
    model
}

fn some_spec() -> impl Strategy<Value = (u32, u32)> {
    (1u32..5, 0u32..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_declared_lost_that_somebody_has_a_copy_of(
        first in some_spec(), second in some_spec(), faults in faults(), seed in 1u64..,
    ) {
        let model = live([first, second], &faults, seed, true);
        prop_assert!(!model.events.iter().any(|event| event == "DataLost"));
    }

    #[test]
    fn the_cluster_heals_to_coverage_whatever_is_lost(
        first in some_spec(), second in some_spec(), faults in faults(), seed in 1u64..,
    ) {
        let model = live([first, second], &faults, seed, false);
        prop_assert_eq!(model.covered(), SlotSet::full());
        prop_assert!(model.nodes.values().all(|sim| sim.role == Role::Replica || !sim.slots.is_empty()));
    }
}
