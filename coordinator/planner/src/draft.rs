//! What planning works on: the shards as they should be next, and the notes it takes on the way. Nothing here decides.

use redisnode_proto::layout::{LayoutShard, WishedHandoff};
use redisnode_proto::{NodeName, ShardName, SlotSet};

use crate::decision::{Declined, Intent, IntentKind, PlannedEvent, Why};
use crate::world::World;

/// What the spec asks for, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Shards.
    pub(crate) shards: usize,
    /// Replicas of each.
    pub(crate) replicas: usize,
    /// Members with an ordinal below this stay.
    pub(crate) members: u32,
    /// One more member than the spec asks for is among them, to take over shards that have no replica while their
    /// primary restarts.
    pub(crate) surge: bool,
}

/// A shard in planning.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// Its stable name.
    pub(crate) name: ShardName,
    /// Its primary in truth, else the one the Layout names.
    pub(crate) primary: NodeName,
    /// All others in it.
    pub(crate) replicas: Vec<NodeName>,
    /// The slots it should own.
    pub(crate) target: SlotSet,
    /// The slots that its nodes own in truth.
    pub(crate) owned: SlotSet,
    /// [`Shard::owned`], and slots of its target that no member owns.
    pub(crate) held: SlotSet,
    /// What becomes of it.
    pub(crate) fate: Fate,
    /// A wished change of primary.
    pub(crate) handoff: Option<WishedHandoff>,
}

/// What becomes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has slots and keeps some.
    Stays,
    /// It has none yet and will get some.
    Joins,
    /// It gives up all it has.
    Ends,
}

/// What is noted on the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Wanted, and not done now.
    pub(crate) declined: Vec<Declined>,
    /// Done now or next.
    pub(crate) next: Vec<Intent>,
    /// Said once, with the Layout that brings it.
    pub(crate) events: Vec<PlannedEvent>,
}

impl Wanted {
    pub(crate) fn by(world: &World) -> Self {
        let spec = world.spec;
        Self {
            shards: usize::try_from(spec.number_of_master).unwrap_or(usize::MAX),
            replicas: usize::try_from(spec.replication_factor).unwrap_or(usize::MAX),
            members: spec.members(),
            surge: false,
        }
    }

    /// The same with so many shards.
    pub(crate) fn with_shards(&self, shards: usize) -> Self {
        let members = shards.saturating_mul(self.replicas.saturating_add(1));
        Self { shards, members: u32::try_from(members).unwrap_or(u32::MAX), ..*self }
    }

    /// Whether the node called `name` stays.
    pub(crate) fn has(&self, name: &NodeName) -> bool {
        name.ordinal().is_some_and(|ordinal| ordinal < self.members)
    }
}

impl Shard {
    /// A shard that nobody has slots of.
    pub(crate) fn empty(name: ShardName, primary: NodeName) -> Self {
        let none = SlotSet::new;
        let (target, owned, held) = (none(), none(), none());
        Self { name, primary, replicas: Vec::new(), target, owned, held, fate: Fate::Joins, handoff: None }
    }

    /// Everyone in it, the primary first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// Whether `name` is in it.
    pub(crate) fn has(&self, name: &NodeName) -> bool {
        self.nodes().any(|node| node == name)
    }

    /// Whether it does not end.
    pub(crate) fn is_kept(&self) -> bool {
        self.fate != Fate::Ends
    }

    /// Whether it owns what it should and nothing else.
    pub(crate) fn is_quiet(&self) -> bool {
        self.owned == self.target
    }

    /// How many of its nodes stay.
    pub(crate) fn staying(&self, wanted: &Wanted) -> usize {
        self.nodes().filter(|name| wanted.has(name)).count()
    }

    /// As the Layout writes it.
    pub(crate) fn to_layout(&self) -> LayoutShard {
        LayoutShard {
            name: self.name.clone(),
            slots: self.target.clone(),
            primary: self.primary.clone(),
            replicas: self.replicas.clone(),
            handoff: self.handoff.clone(),
        }
    }
}

impl Notes {
    pub(crate) fn decline(&mut self, why: Why, message: impl Into<String>) {
        let declined = Declined::new(why, message);
        if !self.declined.contains(&declined) {
            self.declined.push(declined);
        }
    }

    pub(crate) fn intend(&mut self, kind: IntentKind, message: impl Into<String>) {
        self.next.push(Intent::new(kind, message));
    }
}

/// `a, b and 3 more`: at most four names, so that a sentence stays one.
pub(crate) fn list<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    match (names.len(), more) {
        (0, _) => "nobody".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}
