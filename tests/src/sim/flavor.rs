//! What differs between the families of servers, as far as the rules of safety depend on it.

use redisnode_agent_core::migration::Ability;
use redisnode_proto::topology::{Product, ServerVersion};

use super::whole::Mover;

/// A family of servers and its habits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flavor {
    pub(crate) name: &'static str,
    pub(crate) version: ServerVersion,
    /// No second vote for the same primary within twice the node time-out (Redis, Valkey before 8.1).
    pub(crate) vote_rule: bool,
    /// A manual failover resets an election that is under way (Valkey 8.1 and later).
    pub(crate) force_resets: bool,
    /// SETSLOT is replicated and its marks live on in a promoted replica (Valkey 8.0 and later).
    pub(crate) marks_survive: bool,
    /// Claims of others to a slot that is marked IMPORTING are ignored (Redis, Valkey 7.2).
    pub(crate) importing_ignores_claims: bool,
    /// At its start a primary deletes keys of slots that are assigned elsewhere (Valkey 8, Redis 8.4 and later).
    pub(crate) deletes_foreign_keys: bool,
    /// A replica does the same when it is promoted (seen on Valkey 9.1; not on 8.1, Redis 7.0 and 8.6).
    pub(crate) verifies_when_promoted: bool,
    /// CLUSTER REPLICATE always means a full sync (Valkey 8 and later).
    pub(crate) replicate_full_syncs: bool,
    /// A replica of a primary without slots may be elected, and an emptied primary follows only within its shard
    /// (Valkey 8 and later).
    pub(crate) knows_shards: bool,
    /// Who moves many slots in one piece, if any server does.
    pub(crate) moves: Option<Mover>,
}

impl Flavor {
    /// What an agent learns when it asks a server what it can do.
    pub(crate) fn ability(self) -> Ability {
        Ability {
            version: self.version,
            migrate_slots: self.moves == Some(Mover::Source),
            import: self.moves == Some(Mover::Target),
        }
    }
}

const fn version(product: Product, major: u16, minor: u16) -> ServerVersion {
    ServerVersion { product, major, minor, patch: 1 }
}

pub(crate) const REDIS_70: Flavor = Flavor {
    name: "redis-7.0",
    version: version(Product::Redis, 7, 0),
    vote_rule: true,
    force_resets: false,
    marks_survive: false,
    importing_ignores_claims: true,
    deletes_foreign_keys: false,
    verifies_when_promoted: false,
    replicate_full_syncs: false,
    knows_shards: false,
    moves: None,
};

pub(crate) const REDIS_86: Flavor = Flavor {
    name: "redis-8.6",
    version: version(Product::Redis, 8, 6),
    deletes_foreign_keys: true,
    moves: Some(Mover::Target),
    ..REDIS_70
};

pub(crate) const VALKEY_81: Flavor = Flavor {
    name: "valkey-8.1",
    version: version(Product::Valkey, 8, 1),
    vote_rule: false,
    force_resets: true,
    marks_survive: true,
    importing_ignores_claims: false,
    deletes_foreign_keys: true,
    verifies_when_promoted: false,
    replicate_full_syncs: true,
    knows_shards: true,
    moves: None,
};

pub(crate) const VALKEY_91: Flavor = Flavor {
    name: "valkey-9.1",
    version: version(Product::Valkey, 9, 1),
    verifies_when_promoted: true,
    moves: Some(Mover::Source),
    ..VALKEY_81
};

/// All that are modelled.
pub(crate) const ALL: [Flavor; 4] = [REDIS_70, REDIS_86, VALKEY_81, VALKEY_91];
