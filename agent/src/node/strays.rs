//! Keys that a primary holds of slots that others own: counted once in each of its terms as a primary, and taken away, when
//! the core says so, where the owner has them too. What the owner does not have stays, and is said.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use redisnode_proto::event::Severity;
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, NodeName, Slot, SlotSet};

use super::acting::IMPORT_GRACE;
use super::peek::{self, hides, mark, unmark};
use super::reconcile::Reconciler;
use super::shared::{Shared, whole};
use crate::resp::{Command, Connection, Reply, RespError};

/// Slots that are counted at once: other clients wait that long.
const COUNTED: usize = 1000;
/// Most keys of one slot that are looked at in one go.
const MOST: u32 = 1000;
const WITHIN: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Counts the keys of slots that are not the server's own, if that was not done since it became a primary.
    pub(super) async fn count_strays(&mut self) {
        let (own, foreign, hides) = {
            let state = self.shared.state();
            let Some(running) = state.server.running().filter(|r| r.replication.role == Role::Primary) else { return };
            if self.eye.strays.is_some() {
                return;
            }
            let lines = running.view.nodes.iter().filter(|node| running.keys > 0 && node.id != running.view.me);
            let foreign: Vec<(Slot, NodeId)> =
                lines.flat_map(|node| node.slots.iter().map(|slot| (slot, node.id.clone()))).collect();
            let own = running.view.myself().map(|me| me.slots.clone()).unwrap_or_default();
            (own, foreign, hides(&state.server))
        };
        match self.count(&own, &foreign, hides).await {
            // A move opens slots: the next look counts.
            Ok(None) => {}
            Ok(Some(strays)) => {
                if !strays.is_empty() {
                    tracing::info!(slots = %strays, "the server holds keys of slots that are not its own");
                }
                self.eye.strays = Some(strays);
            }
            Err(error) => {
                tracing::info!(error = %whole(&error), "keys of foreign slots are not counted yet; the next look tries again");
                if !matches!(error, RespError::Refused { .. }) {
                    self.eye.close();
                }
            }
        }
    }

    async fn count(
        &mut self,
        own: &SlotSet,
        foreign: &[(Slot, NodeId)],
        hides: bool,
    ) -> Result<Option<SlotSet>, RespError> {
        let shared = self.shared.clone();
        let connection = self.eye.open(&shared).await?;
        let mut found = SlotSet::new();
        if hides && !foreign.is_empty() && !has_more(connection, own).await? {
            return Ok(Some(found));
        }
        for chunk in foreign.chunks(COUNTED) {
            let Ok(_marking) = shared.marking.try_write() else { return Ok(None) };
            let open = opened(&shared);
            let left: Vec<_> = chunk.iter().filter(|(slot, _)| !open.contains(*slot)).cloned().collect();
            let counts = peek::count(connection, &left, hides).await?;
            found.extend(counts.into_iter().filter(|(_, keys)| *keys > 0).map(|(slot, _)| slot));
        }
        Ok(Some(found))
    }

    /// Takes away what the owner of these slots has too, slot by slot.
    pub(super) async fn drop_doubles(&mut self, slots: &SlotSet, owner: &NodeName) -> Result<(), RespError> {
        let Some((id, address)) = server_of(&self.shared, owner) else { return Ok(()) };
        let mut theirs = Connection::open(address, &self.shared.access(), WITHIN).await?;
        theirs.set_deadline(WITHIN);
        let (mut dropped, mut kept) = (0, 0);
        for slot in slots.iter() {
            let shared = self.shared.clone();
            let Ok(_marking) = shared.marking.try_write() else { continue };
            if opened(&shared).contains(slot) {
                // What is here is the move's.
                continue;
            }
            let hides = hides(&self.shared.state().server);
            let own = self.eye.open(&self.shared).await?;
            let keys = peek::keys(own, slot, &id, MOST, hides).await?;
            let doubles = there(&mut theirs, &keys).await?;
            unlink(own, slot, &id, &doubles).await?;
            (dropped, kept) = (dropped + doubles.len(), kept + keys.len() - doubles.len());
            let all = keys.len() < MOST as usize;
            if let Some(strays) = self.eye.strays.as_mut().filter(|_| all || doubles.is_empty()) {
                strays.remove(slot);
            }
        }
        self.tell_strays(owner, dropped, kept);
        Ok(())
    }

    fn tell_strays(&self, owner: &NodeName, dropped: usize, kept: usize) {
        let mut state = self.shared.state();
        let me = &self.shared.me.name;
        if dropped > 0 {
            let text = format!("{dropped} keys that {me} had of slots of {owner}, which has them too, are taken away");
            state.event(Severity::Normal, "StraysDropped", text);
        }
        if kept > 0 {
            let text = format!(
                "{me} holds {kept} keys of slots that {owner} owns and that are not there; no client sees them: read them \
                 with ASKING after CLUSTER SETSLOT IMPORTING if they are missed, or delete them"
            );
            state.event(Severity::Warning, "StraysKept", text);
        }
    }
}

/// Slots that are open here by the last look, or were opened for arrival since: a mark of ours would end theirs. It is asked
/// for while `marking` is held, so that none is opened between the answer and the mark.
fn opened(shared: &Shared) -> SlotSet {
    let (now, state) = (shared.now(), shared.state());
    let shown = state.server.running().into_iter().flat_map(|running| running.view.open.iter().map(|open| open.slot));
    let since = state.imports.iter().filter(|(_, at)| now.since(**at) < IMPORT_GRACE);
    shown.chain(since.filter_map(|(number, _)| Slot::try_from(*number).ok())).collect()
}

/// Whether the server holds more keys than its own slots have. Clients that write meanwhile may make it look so; a
/// promotion that is looked at in vain costs some milliseconds.
async fn has_more(connection: &mut Connection, own: &SlotSet) -> Result<bool, RespError> {
    let size = Command::new("DBSIZE");
    let before = connection.demand(&size).await?.integer("DBSIZE")?;
    let mut sum = 0;
    for chunk in own.iter().collect::<Vec<_>>().chunks(COUNTED) {
        let count = |slot: &Slot| Command::new("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot.to_string());
        let commands: Vec<Command> = chunk.iter().map(count).collect();
        for reply in connection.pipeline(&commands).await? {
            sum += reply.integer("CLUSTER COUNTKEYSINSLOT")?;
        }
    }
    let after = connection.demand(&size).await?.integer("DBSIZE")?;
    Ok(before.max(after) > sum)
}

/// Which of these keys the owner has.
async fn there(theirs: &mut Connection, keys: &[Bytes]) -> Result<Vec<Bytes>, RespError> {
    let asks: Vec<Command> = keys.iter().map(|key| Command::new("EXISTS").bytes(key.clone())).collect();
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let replies = theirs.pipeline(&asks).await?;
    let found = keys.iter().zip(replies).filter(|(_, reply)| reply.as_integer() == Some(1));
    Ok(found.map(|(key, _)| key.clone()).collect())
}

/// A server answers for a foreign slot only while it is marked as arriving, and only to who asks.
async fn unlink(own: &mut Connection, slot: Slot, owner: &NodeId, keys: &[Bytes]) -> Result<(), RespError> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut commands = vec![mark(slot, owner)];
    commands.extend(keys.iter().flat_map(|key| [Command::new("ASKING"), Command::new("UNLINK").bytes(key.clone())]));
    commands.push(unmark(slot));
    for refusal in own.pipeline(&commands).await?.iter().filter_map(Reply::error_text) {
        tracing::warn!(%slot, %refusal, "a key of a slot that another node owns stays here");
    }
    Ok(())
}

fn server_of(shared: &Shared, name: &NodeName) -> Option<(NodeId, SocketAddr)> {
    let state = shared.state();
    let report = state.peers.get(name)?.heard_since(redisnode_proto::Millis(0))?;
    let id = report.server.running()?.view.me.clone();
    let node = state.server.running()?.view.node(&id)?;
    Some((id, SocketAddr::new(node.ip.parse::<IpAddr>().ok()?, node.port)))
}
