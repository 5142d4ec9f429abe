//! What the checks look at: the running servers, who owns what in truth, and which id belongs to whom.

use std::collections::BTreeMap;

use redisnode_proto::judge::{Owners, true_owners};
use redisnode_proto::report::{Report, Running};
use redisnode_proto::spec::ClusterSpec;
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, NodeName};

use crate::place::Snapshot;

/// What the checks look at.
pub(super) struct Look<'a> {
    pub(super) spec: &'a ClusterSpec,
    pub(super) reports: BTreeMap<&'a NodeName, &'a Report>,
    pub(super) running: BTreeMap<&'a NodeName, &'a Running>,
    pub(super) owners: Owners,
    names: BTreeMap<&'a NodeId, &'a NodeName>,
}

impl<'a> Look<'a> {
    pub(super) fn at(snapshot: &'a Snapshot) -> Self {
        let own = snapshot.heard.iter().filter(|(_, heard)| heard.report.cluster == snapshot.cluster);
        let reports: BTreeMap<&NodeName, &Report> = own.map(|(name, heard)| (name, &heard.report)).collect();
        let running: BTreeMap<&NodeName, &Running> =
            reports.iter().filter_map(|(name, report)| Some((*name, report.server.running()?))).collect();
        let owners = true_owners(running.values().map(|running| &running.view).collect::<Vec<_>>());
        let names = running.iter().map(|(name, running)| (&running.view.me, *name)).collect();
        Self { spec: &snapshot.resource.spec, reports, running, owners, names }
    }

    /// The name behind an id, or the beginning of the id.
    pub(super) fn who(&self, id: &NodeId) -> String {
        self.names.get(id).map_or_else(|| id.short().to_owned(), ToString::to_string)
    }

    /// Whether some running server has this id.
    pub(super) fn runs(&self, id: &NodeId) -> bool {
        self.names.contains_key(id)
    }

    /// Primaries with slots: name, server, and how many slots they own in truth.
    pub(super) fn primaries(&self) -> Vec<(&'a NodeName, &'a Running, u16)> {
        let with_slots = self.running.iter().map(|(name, running)| {
            let slots = self.owners.slots_of(&running.view.me).len();
            (*name, *running, slots)
        });
        with_slots.filter(|(_, _, slots)| *slots > 0).collect()
    }

    /// Replicas: name, server, and their primary's id by their own word.
    pub(super) fn replicas(&self) -> Vec<(&'a NodeName, &'a Running, Option<&'a NodeId>)> {
        let replicas = self.running.iter().filter(|(_, running)| running.replication.role == Role::Replica);
        replicas
            .map(|(name, running)| (*name, *running, running.view.myself().and_then(|me| me.primary.as_ref())))
            .collect()
    }
}
