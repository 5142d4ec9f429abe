//! The Layout that planning starts from: the newest that this life published or that an agent's ledger holds. It
//! remembers nothing else, and refuses to go on when another life of a coordinator has spoken since.

use redisnode_proto::{Generation, Layout};

use crate::decision::{Declined, Why};
use crate::world::World;

/// The newest Layout of this cluster that is known. A ledger counts even when its agent is silent now: what was
/// published stays published.
pub(crate) fn newest<'a>(world: &World<'a>) -> Option<&'a Layout> {
    let read = ledgers(world).map(|(_, layout)| layout);
    // `max_by_key` takes the last of equals: the one that this life published.
    read.chain(world.published).max_by_key(|layout| layout.generation)
}

/// Whether another life of a coordinator has published: a newer term, a generation that this life never used, or the
/// same generation with other content. Then this life says nothing before it has a term above all of them.
pub(crate) fn overtaken(world: &World) -> Option<Declined> {
    let (name, layout) = ledgers(world).find(|(_, layout)| is_of_another_life(world, layout))?;
    let message = format!(
        "the agent of {name} knows Layout {}, which this coordinator (term {}) did not publish: it must take a term \
         above {} before it publishes again",
        layout.generation, world.term, layout.generation.term
    );
    Some(Declined::new(Why::TermOvertaken, message))
}

fn is_of_another_life(world: &World, layout: &Layout) -> bool {
    if layout.generation.term != world.term {
        return layout.generation.term > world.term;
    }
    match world.published {
        None => true,
        Some(own) if layout.generation == own.generation => layout != own,
        Some(own) => layout.generation > own.generation,
    }
}

/// The generation of what is published next: the first of this life's term, or the next within it.
pub(crate) fn next_generation(world: &World, base: Option<&Layout>) -> Generation {
    match base {
        Some(base) if base.generation.term >= world.term => base.generation.next(),
        _ => Generation::first_of(world.term),
    }
}

/// Layouts of this cluster in the ledgers of agents of this cluster.
fn ledgers<'a>(world: &World<'a>) -> impl Iterator<Item = (&'a redisnode_proto::NodeName, &'a Layout)> {
    let cluster = world.cluster;
    world.heard.iter().filter_map(move |(name, heard)| {
        let ledger = &heard.report.ledger;
        let ours = heard.report.cluster == *cluster && ledger.cluster == *cluster;
        let layout = ledger.layout.as_ref().filter(|layout| ours && layout.cluster == *cluster)?;
        Some((name, layout))
    })
}
