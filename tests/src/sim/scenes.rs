//! Directed histories of moves: drivers that do not do their work, and blows to each party in each
//! state of each driver.

use redisnode_proto::Slot;
use redisnode_proto::topology::Direction;

use super::data::Key;
use super::disk::Keeping;
use super::faults::Fault;
use super::flavor::{self, Flavor};
use super::history::{Outcome, end_faults, finish};
use super::mutation::Mutation;
use super::scenario::healthy;
use super::server::Server;
use super::temper::Temper;
use super::whole::Step;
use super::world::World;

/// A way of moving slots, and the server that is moved with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Slots are opened, keys sent one by one.
    Classic,
    /// Pushed in one piece by the source.
    Push,
    /// Pulled in one piece by the target.
    Pull,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The target knows of it, the source does not act yet.
    Begun,
    /// Keys are on their way, and none is there.
    UnderWay,
    /// Some keys are there.
    HalfThere,
    /// The source holds its writes, or all keys are there.
    AboutToMove,
    /// The source has let the target take the slots (pushed only).
    Granted,
    /// The target has taken slots, and the source does not know it.
    Taken,
}

/// What happens to a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The source's server dies; its agent sees it.
    SourceServer,
    /// The target's server dies; its agent sees it.
    TargetServer,
    /// The source's agent dies, and is back soon.
    SourceAgent,
    /// The target's agent dies, and is back soon.
    TargetAgent,
    /// Server and agent of the source.
    Source,
    /// Server and agent of the target.
    Target,
    /// The coordinator dies, and is back soon.
    Coordinator,
    /// The two nodes do not reach each other for a while.
    Parted,
    /// The source's server does nothing for a while.
    SourceFrozen,
    /// The target's server does nothing for a while.
    TargetFrozen,
    /// A user empties the source.
    SourceFlushed,
    /// A user empties the target.
    TargetFlushed,
    /// A user holds the source's writes for a while.
    SourcePaused,
    /// A user holds the target's writes for a while.
    TargetPaused,
}

impl Blow {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SourceServer,
        Self::TargetServer,
        Self::SourceAgent,
        Self::TargetAgent,
        Self::Source,
        Self::Target,
        Self::Coordinator,
        Self::Parted,
        Self::SourceFrozen,
        Self::TargetFrozen,
        Self::SourceFlushed,
        Self::TargetFlushed,
        Self::SourcePaused,
        Self::TargetPaused,
    ];

    fn fault(self, source: usize, target: usize) -> Fault {
        match self {
            Self::SourceServer => Fault::KillServer(source),
            Self::TargetServer => Fault::KillServer(target),
            Self::SourceAgent => Fault::KillAgent(source, 500),
            Self::TargetAgent => Fault::KillAgent(target, 500),
            Self::Source => Fault::KillNode(source, 1500),
            Self::Target => Fault::KillNode(target, 1500),
            Self::Coordinator => Fault::KillCoordinator(500),
            Self::Parted => Fault::Cut(source, target, 2000),
            Self::SourceFrozen => Fault::Freeze(source, 1000),
            Self::TargetFrozen => Fault::Freeze(target, 1000),
            Self::SourceFlushed => Fault::Flush(source),
            Self::TargetFlushed => Fault::Flush(target),
            Self::SourcePaused => Fault::Pause(source, 1000),
            Self::TargetPaused => Fault::Pause(target, 1000),
        }
    }
}

/// Scale-out with so many replicas a shard; `blow` comes when the first move is in `state`. Nothing if no move of this way
/// comes to be in it.
pub fn struck(way: Way, state: State, blow: Blow, replicas: u32) -> Option<Outcome> {
    let flavor = match way {
        Way::Classic => flavor::REDIS_70,
        Way::Push => flavor::VALKEY_91,
        Way::Pull => flavor::REDIS_86,
    };
    let mut world = healthy(flavor, Keeping::Everything, (2, replicas), None);
    world.apply_fault(&Fault::Spec(3, replicas));
    world.wait_for(|world| parties(world, way, state).is_some());
    let (source, target) = parties(&world, way, state)?;
    world.apply_fault(&blow.fault(source, target));
    world.wait(8000);
    end_faults(&mut world);
    Some(finish(world, 0, format!("{way:?}, {state:?}, {blow:?}, {replicas} replicas")))
}

/// Source and target of a move that is in this state.
fn parties(world: &World, way: Way, state: State) -> Option<(usize, usize)> {
    let servers = || world.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.server.as_ref()?)));
    let primaries = || servers().filter(|(_, server)| server.is_primary());
    let pairs = primaries().flat_map(|source| primaries().map(move |target| (source, target)));
    let mut pairs = pairs.filter(|((source, _), (target, _))| source != target);
    let found =
        pairs.find(
            |((_, source), (_, target))| {
                if state == State::Taken { both_own(source, target) } else { is_in(way, state, source, target) }
            },
        );
    found.map(|((source, _), (target, _))| (source, target))
}

fn both_own(source: &Server, target: &Server) -> bool {
    !source.me().slots.is_disjoint(&target.me().slots) && target.me().epoch > source.me().epoch
}

fn is_in(way: Way, state: State, source: &Server, target: &Server) -> bool {
    if way == Way::Classic {
        let marked = |server: &Server, direction| {
            let all = server.open.iter().filter(move |(_, (known, _))| *known == direction);
            all.map(|(slot, _)| *slot).collect::<Vec<Slot>>()
        };
        let (leaving, coming) = (marked(source, Direction::Migrating), marked(target, Direction::Importing));
        let holds = |server: &Server| server.data.keys().any(|key| coming.contains(&key.slot));
        let open = leaving.iter().any(|slot| coming.contains(slot));
        return match state {
            State::Begun => !coming.is_empty() && leaving.is_empty(),
            State::UnderWay => open && holds(source) && !holds(target),
            State::HalfThere => open && holds(source) && holds(target),
            State::AboutToMove => open && !holds(source) && holds(target),
            State::Granted | State::Taken => false,
        };
    }
    let given = source.whole.out.values().find(|side| side.peer == target.id).map(|side| side.step);
    let taking = target.whole.into.values().any(|side| side.peer == source.id);
    let there = taking && target.whole.staged.values().any(|staged| !staged.data.is_empty());
    match state {
        State::Begun => (given == Some(Step::Connecting) || given.is_none()) && taking,
        State::UnderWay => given == Some(Step::Streaming) && !there,
        State::HalfThere => given == Some(Step::Streaming) && there,
        State::AboutToMove => given == Some(Step::Paused),
        State::Granted => given == Some(Step::Granted),
        State::Taken => false,
    }
}

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
