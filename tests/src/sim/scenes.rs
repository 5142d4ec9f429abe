//! Directed histories of moves in one piece.

use super::data::Key;
use super::disk::Keeping;
use super::faults::Fault;
use super::flavor::{self, Flavor};
use super::mutation::Mutation;
use super::scenario::healthy;
use super::temper::Temper;
use super::whole::Step;
use super::world::World;

/// Scale-out where the best driver does not do its work.
pub(super) fn stubborn(flavor: Flavor, temper: Temper, mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor, Keeping::Everything, (2, 1), mutation);
    world.temper = temper;
    world.apply_fault(&Fault::Spec(3, 1));
    world.wait(5000);
    world
}

/// Scale-out; the source is emptied once its target may take the slots.
pub(super) fn failed_and_moved(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::VALKEY_91, Keeping::Everything, (2, 1), mutation);
    world.apply_fault(&Fault::Spec(3, 1));
    world.wait_for(|world| granted(world).is_some());
    let Some((source, _)) = granted(&world) else { return world };
    world.apply_fault(&Fault::Flush(source));
    world.wait(3000);
    world
}

/// Scale-out; the source's agent begins a new life once the target may take the slots, and a client writes.
pub(super) fn cancelled_after_grant(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::VALKEY_91, Keeping::Everything, (2, 1), mutation);
    world.writing = false;
    world.apply_fault(&Fault::Spec(3, 1));
    world.wait_for(|world| granted(world).is_some());
    let Some((source, key)) = granted(&world) else { return world };
    world.start_agent(source);
    world.end_unasked(source);
    world.push_once(source, key);
    world.wait(3000);
    world
}

/// A source that has let its target take slots, and a key of one of them.
fn granted(world: &World) -> Option<(usize, Key)> {
    (0..world.nodes.len()).find_map(|node| {
        let server = world.nodes[node].server.as_ref()?;
        let side = server.whole.out.values().find(|side| side.step == Step::Granted)?;
        let key = server.data.keys().copied().find(|key| side.slots.contains(key.slot))?;
        Some((node, key))
    })
}
