//! Directed histories: each leads straight to the situation that one rule is about. With the rule nothing breaks;
//! without it an invariant does.

use redisnode_proto::NodeName;
use redisnode_proto::topology::Direction;

use super::clock::Time;
use super::data::Key;
use super::disk::Keeping;
use super::faults::Fault;
use super::flavor::{self, Flavor};
use super::history::{Outcome, end_faults, finish};
use super::mutation::Mutation;
use super::temper::Temper;
use super::world::{Event, World};

const NODE_TIMEOUT: Time = 3000;

/// A situation that one rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A primary with an old dump is killed beside an in-sync replica.
    KilledWithOldDump,
    /// A primary's data is gone; its replica has them on disk and is about to start.
    DataGoneBesideReplica,
    /// The same, and the replica's agent does not answer for a while.
    DataGoneReplicaSilent,
    /// The only node that had the data comes back without.
    DataGoneEverywhere,
    /// A primary was started empty by hand; its replica comes back with data.
    StartedEmptyByHand,
    /// A deposed primary comes back and hears the agents, but not the bus.
    DeposedAndDeaf,
    /// A primary comes back cut off from everybody, while its replica is elected.
    IsolatedRestart,
    /// A primary dies, its agent too, right after the certificate; then the pair cannot reach each other.
    CertifierDies,
    /// The folder of the only primary is lost beside its replica.
    FolderLost,
    /// A re-created member, deaf on the bus, is told to found.
    FoundingAgain,
    /// The source of a move dies before its replica has heard that a key has left, and the key has changed since.
    SourceDiesInMove,
    /// The best driver never succeeds: the target has no room for what it brings.
    NeverSucceeds,
    /// Moves in one piece never come to their end, as under writes that do not stop.
    NeverEnds,
    /// A user empties the source when it has just let its target take the slots: the job says that it has failed.
    FailedAndMoved,
    /// A source's agent begins a new life, and ends what the one before has begun, when the target may just take the slots.
    CancelledAfterGrant,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::KilledWithOldDump,
        Self::DataGoneBesideReplica,
        Self::DataGoneReplicaSilent,
        Self::DataGoneEverywhere,
        Self::StartedEmptyByHand,
        Self::DeposedAndDeaf,
        Self::IsolatedRestart,
        Self::CertifierDies,
        Self::FolderLost,
        Self::FoundingAgain,
        Self::SourceDiesInMove,
        Self::NeverSucceeds,
        Self::NeverEnds,
        Self::FailedAndMoved,
        Self::CancelledAfterGrant,
    ];

    /// Plays it, with a rule taken away if one is named.
    pub fn play(self, mutation: Option<Mutation>) -> Outcome {
        let mut world = match self {
            Self::KilledWithOldDump => killed_with_old_dump(mutation),
            Self::DataGoneBesideReplica => data_gone(mutation, 10),
            Self::DataGoneReplicaSilent => data_gone(mutation, 8000),
            Self::DataGoneEverywhere => data_gone_everywhere(mutation),
            Self::StartedEmptyByHand => started_empty(mutation),
            Self::DeposedAndDeaf => deposed_and_deaf(mutation),
            Self::IsolatedRestart => isolated_restart(mutation),
            Self::CertifierDies => certifier_dies(mutation),
            Self::FolderLost => folder_lost(mutation),
            Self::FoundingAgain => founding_again(mutation),
            Self::SourceDiesInMove => source_dies_in_move(mutation),
            Self::NeverSucceeds => super::scenes::stubborn(flavor::REDIS_86, Temper::Fails, mutation),
            Self::NeverEnds => super::scenes::stubborn(flavor::VALKEY_91, Temper::Hangs(1), mutation),
            Self::FailedAndMoved => super::scenes::failed_and_moved(mutation),
            Self::CancelledAfterGrant => super::scenes::cancelled_after_grant(mutation),
        };
        end_faults(&mut world);
        finish(world, 0, format!("{self:?}, without {mutation:?}"))
    }
}

/// A healthy cluster with clients, five seconds old.
pub(super) fn healthy(
    flavor: Flavor,
    keeping: Keeping,
    (primaries, factor): (u32, u32),
    mutation: Option<Mutation>,
) -> World {
    let mut world = World::new(1, flavor, keeping, NODE_TIMEOUT);
    world.mutation = mutation;
    world.coordinators.spec = super::spec::spec(primaries, factor, NODE_TIMEOUT, keeping);
    world.make_keys(6 + 2 * primaries as usize);
    world.start_coordinator();
    world.run_until(4000);
    world.writing = true;
    world.after(1, Event::Client);
    world.run_until(7000);
    world
}

impl World {
    pub(super) fn wait(&mut self, time: Time) {
        let until = self.now + time;
        self.run_until(until);
    }

    /// Runs until `reached`, ten seconds at most; says whether it was.
    pub(super) fn wait_for(&mut self, reached: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + 10_000;
        while self.now < limit && self.oracle.broken.is_none() {
            if reached(self) {
                return true;
            }
            let next = self.now + 1;
            self.run_until(next);
        }
        false
    }

    fn named(&self, ordinal: u32) -> usize {
        self.node_named(&NodeName::of(super::coordinator::NAME, ordinal).unwrap()).unwrap()
    }
}

fn killed_with_old_dump(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_86, Keeping::OldDumps, (3, 1), mutation);
    world.apply_fault(&Fault::KillServer(0));
    world.wait(5000);
    world
}

/// Both nodes of a shard are killed, and the primary's data is deleted; the replica's agent is back after `back`.
fn data_gone(mutation: Option<Mutation>, back: Time) -> World {
    let mut world = healthy(flavor::REDIS_86, Keeping::Everything, (3, 1), mutation);
    let (primary, replica) = (world.named(0), world.named(3));
    world.writing = false;
    world.wait(500);
    world.apply_fault(&Fault::KillNode(replica, back));
    world.apply_fault(&Fault::KillNode(primary, 10));
    world.nodes[primary].disk.data = None;
    world.writing = true;
    world.after(1, Event::Client);
    world.wait(12_000);
    world
}

fn data_gone_everywhere(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::VALKEY_81, Keeping::Nothing, (3, 0), mutation);
    world.apply_fault(&Fault::KillServer(1));
    world.wait(5000);
    world
}

fn started_empty(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_70, Keeping::Everything, (3, 1), mutation);
    let (primary, replica) = (world.named(0), world.named(3));
    world.writing = false;
    world.wait(500);
    world.apply_fault(&Fault::KillNode(replica, 1500));
    world.apply_fault(&Fault::KillNode(primary, 60_000));
    world.nodes[primary].disk.data = None;
    world.start_agent(primary);
    world.start_server(primary, false);
    world.wait(5000);
    world
}

fn deposed_and_deaf(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::VALKEY_81, Keeping::Everything, (3, 1), mutation);
    let primary = world.named(0);
    world.apply_fault(&Fault::KillNode(primary, 9000));
    world.net.deaf.insert(primary);
    world.wait(15_000);
    world.net.deaf.clear();
    world
}

fn isolated_restart(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_70, Keeping::Everything, (3, 1), mutation);
    let primary = world.named(0);
    world.apply_fault(&Fault::KillNode(primary, 1500));
    world.apply_fault(&Fault::Island(primary, 12_000));
    world.wait(12_500);
    world
}

fn certifier_dies(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_86, Keeping::Everything, (1, 1), mutation);
    let (primary, replica) = (world.named(0), world.named(1));
    world.apply_fault(&Fault::KillServer(primary));
    world.wait_for(|world| world.nodes[replica].server.as_ref().is_some_and(super::server::Server::is_primary));
    world.apply_fault(&Fault::Cut(primary, replica, 15_000));
    world.apply_fault(&Fault::KillAgent(primary, 300));
    world.wait(15_500);
    world
}

fn folder_lost(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::VALKEY_91, Keeping::Everything, (1, 1), mutation);
    world.apply_fault(&Fault::LoseFolder(0, 800));
    world.wait(8000);
    world
}

fn founding_again(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_70, Keeping::Nothing, (3, 1), mutation);
    let primary = world.named(0);
    world.apply_fault(&Fault::LoseFolder(primary, 300));
    world.net.deaf.insert(primary);
    world.wait(12_000);
    world.net.deaf.clear();
    world
}

/// Scale-out; the replica of a source stops hearing just before a key leaves, the client changes the key at its new
/// place, and the source dies.
fn source_dies_in_move(mutation: Option<Mutation>) -> World {
    let mut world = healthy(flavor::REDIS_70, Keeping::Everything, (2, 1), mutation);
    world.writing = false;
    world.apply_fault(&Fault::Spec(3, 1));
    world.wait_for(|world| leaving(world).is_some());
    let Some((source, replica, key)) = leaving(&world) else { return world };
    world.net.deaf.insert(replica);
    world.wait_for(|world| world.nodes[source].server.as_ref().is_some_and(|s| !s.data.contains_key(&key)));
    world.push_once(source, key);
    world.wait(3);
    world.apply_fault(&Fault::KillServer(source));
    world.net.deaf.clear();
    world.wait(6000);
    world
}

/// A key that is about to leave, the server it is still at, and that one's replica.
fn leaving(world: &World) -> Option<(usize, usize, Key)> {
    let source = (0..world.nodes.len()).find_map(|node| Some((node, open_key(world, node)?)));
    let (source, key) = source?;
    let id = world.nodes[source].server.as_ref()?.id;
    let follows = |node: &super::world::Node| node.server.as_ref().is_some_and(|s| s.primary() == Some(id));
    Some((source, world.nodes.iter().position(follows)?, key))
}

/// A key of this primary whose slot is leaving, and that is still there.
fn open_key(world: &World, source: usize) -> Option<Key> {
    let server = world.nodes[source].server.as_ref().filter(|server| server.is_primary())?;
    let leaves = |key: &Key| matches!(server.open.get(&key.slot), Some((Direction::Migrating, _)));
    server.data.keys().copied().find(leaves)
}
