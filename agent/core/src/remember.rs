//! What goes into the ledger from what was seen, so that the next life of the agent or of the server can decide.

use redisnode_proto::judge;
use redisnode_proto::ledger::{Identity, Ledger};
use redisnode_proto::report::Running;
use redisnode_proto::topology::Role;

/// The ledger after looking at the running server; equal to `ledger` when there is nothing new.
pub fn remember(ledger: &Ledger, running: &Running) -> Ledger {
    let mut next = ledger.clone();
    let replication = &running.replication;
    if let Some(me) = running.view.myself() {
        // What was in sync with one primary says nothing of the next: until that sync the data is another's.
        let before = ledger.identity.as_ref().filter(|before| before.id == me.id && before.primary == me.primary);
        let in_sync = judge::is_in_sync(running)
            || (replication.role == Role::Replica && !replication.syncing && before.is_some_and(|i| i.in_sync));
        if replication.role == Role::Replica && before.is_none() {
            next.synced_run = None;
        }
        next.identity = Some(Identity {
            id: me.id.clone(),
            role: replication.role,
            primary: me.primary.clone(),
            in_sync,
            had_keys: running.keys > 0,
        });
        settle_promise(&mut next, running);
    }
    if judge::is_in_sync(running) {
        next.synced_run = Some(running.run_id.clone());
    } else if replication.syncing && next.synced_run.as_deref() == Some(running.run_id.as_str()) {
        // A full sync replaces what the server had: until it is over it has nothing to offer.
        next.synced_run = None;
    }
    let healed = running.keys > 0 || judge::is_in_sync(running);
    if healed {
        next.data_lost = None;
    }
    next
}

/// A promise ends when it is known who owns the slots: the server follows that one; or it serves them itself, after it
/// was released; or it lives under another id, and the old one owns nothing any more.
fn settle_promise(ledger: &mut Ledger, running: &Running) {
    let Some(promise) = &ledger.promise else { return };
    let view = &running.view;
    let follows = running.replication.role == Role::Replica;
    let serves = view.me == promise.dead && !running.writes_paused;
    let has_met_others = view.nodes.iter().any(|node| node.id != view.me && !node.handshake);
    let owned = view.node(&promise.dead).is_some_and(|dead| !dead.slots.is_empty());
    let replaced = view.me != promise.dead && has_met_others && !owned;
    if follows || serves || replaced {
        ledger.promise = None;
    }
}
