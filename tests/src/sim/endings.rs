//! How a piece of a move ends, as the shell of the source's agent does it: cancelled, or by the servers' last words; then
//! both servers' tables say who owns its slots.

use redisnode_agent_core::migration::DriverKind;
use redisnode_proto::{NodeName, SlotSet};

use super::clock::Time;
use super::pieces::{KNOWN_WITHIN, Memory, Step, Stop};
use super::world::World;

const CANCELLED_WITHIN: Time = 5000;
/// A move that failed is tried again after so long.
const RETRY_AFTER: Time = 1000;

impl World {
    /// Cancels. Valkey ends every export of the server: there is no way to end one.
    pub(super) fn give_up(&mut self, node: usize, target: &NodeName, job: Option<u64>, why: Stop) {
        let (name, words) = (self.name(node).clone(), format!("{why:?}"));
        self.say(|| format!("{name}: gives a piece to {target} up: {words}"));
        if job.is_some() {
            self.cancel_exports(node);
        }
        let until = self.now + CANCELLED_WITHIN;
        self.set_step(node, target, Step::Ending { job, until, why });
        if let Some(piece) = self.piece(node, target).cloned() {
            self.follow(node, target, &piece, true);
        }
    }

    /// Ends every export of the server, unless one is past the point where that is safe. Says whether it has.
    pub(super) fn cancel_exports(&mut self, node: usize) -> bool {
        let states = self.nodes[node].server.as_ref().map(super::server::Server::export_states).unwrap_or_default();
        let may = super::mutation::may_cancel(self.mutation, &states);
        if may {
            let now = self.now;
            if let Some(agent) = self.nodes[node].agent.as_mut() {
                agent.moves.swept_at = Some(now);
            }
            self.with_server(node, |server, _| server.cancel_exports());
        }
        may
    }

    /// The servers' last words.
    pub(super) fn is_over(&mut self, node: usize, target: &NodeName, error: Option<String>) {
        let until = self.now + KNOWN_WITHIN;
        let how = error.map_or(Ok(()), |error| Err(Stop::Failed(error)));
        self.set_step(node, target, Step::Over { until, how });
        self.wake(node, 1);
    }

    /// Who owns the slots, by both servers' own tables: the one that has not heard of a change is waited for.
    pub(super) fn read_owners(
        &mut self,
        node: usize,
        target: &NodeName,
        slots: &SlotSet,
        until: Time,
        how: Result<(), Stop>,
    ) {
        let Some(work) = self.work(node, target) else { return };
        let send = work.send.clone();
        let there = self.target(node, &send).filter(|there| self.net.reach(node, *there));
        let servers = [Some(node), there].map(|party| {
            let server = self.nodes[party?].server.as_ref()?;
            (!server.stopped && !server.is_loading(self.now)).then(|| super::observe::view(server))
        });
        let [Some(own), Some(remote)] = servers else {
            let reason = "a server does not answer";
            return self.end_job(node, target, |memory, driver| memory.tries.failed(driver, reason));
        };
        let arrived = super::mutation::arrived(self.mutation, how.is_ok(), slots, (&own, &remote), &send.target_id);
        let mine = own.myself().map(|me| me.slots.clone()).unwrap_or_default();
        let theirs = remote.myself().map(|me| me.slots.clone()).unwrap_or_default();
        let both = !slots.intersection(&mine).is_disjoint(&theirs);
        let settled = arrived == *slots || (how.is_err() && !both);
        if !settled && self.now <= until {
            return self.wake(node, 5);
        }
        let moved = slots.intersection(&theirs).difference(&mine);
        self.check_truth(node, &arrived, &moved);
        self.conclude(node, target, slots, &arrived, how);
    }

    fn conclude(&mut self, node: usize, target: &NodeName, slots: &SlotSet, arrived: &SlotSet, how: Result<(), Stop>) {
        if arrived == slots {
            if let Some(driver) = self.piece(node, target).map(|piece| piece.driver)
                && let Some(memory) = self.memory(node, target)
            {
                memory.tries.moved(driver);
            }
            self.set_piece(node, target, None);
            return self.wake(node, 1);
        }
        match how {
            Err(Stop::Unwanted | Stop::Swept) => self.set_piece(node, target, None),
            Err(Stop::Queued(reason)) => {
                self.end_job(node, target, |memory, driver| memory.tries.gave_way(driver, &reason));
            }
            Err(Stop::Failed(reason)) => {
                self.end_job(node, target, |memory, driver| memory.tries.failed(driver, &reason));
            }
            Ok(()) => {
                let reason = "the servers say that all went well";
                self.end_job(node, target, |memory, driver| memory.tries.failed(driver, reason));
            }
        }
    }

    /// The job ends with a reason, and is tried again after a while.
    pub(super) fn end_job(&mut self, node: usize, target: &NodeName, note: impl FnOnce(&mut Memory, DriverKind)) {
        let rests_until = self.now + RETRY_AFTER;
        let Some(driver) = self.piece(node, target).map(|piece| piece.driver) else { return };
        if let Some(memory) = self.memory(node, target) {
            note(memory, driver);
            memory.rests_until = rests_until;
            let last = memory.tries.shown().pop();
            let name = self.name(node).clone();
            self.say(|| format!("{name}: a piece to {target} has not moved: {last:?}"));
        }
        self.set_piece(node, target, None);
    }
}
