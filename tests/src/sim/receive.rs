//! The target's side of a move in one piece, as the shell of its agent does it: it agrees, lets its server pull where that
//! one does the work, and ends what nobody asks for any more.

use redisnode_agent_core::migration::{Phase, import_phase, is_busy, is_live, knows_epoch};
use redisnode_proto::message::{Mover as By, ReceiveReply, ReceiveRequest};
use redisnode_proto::{NodeId, SlotSet};

use super::clock::Time;
use super::world::World;

/// Nobody has asked for so long: the source's agent is gone, or wants it no more.
const UNASKED_FOR: Time = 6000;

/// What the own server pulls.
#[derive(Clone)]
pub(crate) struct Receiving {
    source: NodeId,
    slots: SlotSet,
    task: u64,
    asked_at: Time,
}

impl World {
    /// Answers a source's agent.
    pub(crate) fn receive(&mut self, node: usize, request: &ReceiveRequest) -> ReceiveReply {
        let now = self.now;
        let Some(server) = self.nodes[node].server.as_ref().filter(|s| !s.stopped && !s.is_loading(now)) else {
            return ReceiveReply::Waits { reason: "the target's server does not answer".into() };
        };
        let is_primary = server.is_primary();
        let Some(agent) = &mut self.nodes[node].agent else {
            return ReceiveReply::Waits { reason: "its agent is gone".into() };
        };
        let known = agent.receiving.as_mut();
        if let Some(piece) = known.filter(|piece| piece.source == request.source && piece.slots == request.slots) {
            piece.asked_at = now;
            let task = piece.task;
            return self.how_far(node, task, request.cancel);
        }
        if request.cancel {
            return ReceiveReply::Ended { error: Some("it was not under way".into()) };
        }
        if agent.receiving.is_some() {
            return ReceiveReply::Busy { reason: "the target takes slots from another server".into() };
        }
        match self.consent(node, request.generation, &request.source, &request.slots) {
            Err((true, reason)) => return ReceiveReply::Waits { reason },
            Err((false, reason)) => return ReceiveReply::Refused { reason },
            Ok(wanted) if is_primary && request.slots.is_subset(&wanted) => {}
            Ok(_) => return ReceiveReply::Refused { reason: "the Layout here does not give these slots".into() },
        }
        let knows = self.nodes[node]
            .server
            .as_ref()
            .is_some_and(|server| knows_epoch(&super::observe::view(server), &request.source, request.epoch));
        if !knows {
            return ReceiveReply::Waits { reason: "its server does not know the source's epoch yet".into() };
        }
        if let Some(reason) = self.hindrance(node) {
            return ReceiveReply::Waits { reason };
        }
        if request.by == By::Source {
            return ReceiveReply::Agreed;
        }
        match self.with_server(node, |server, ctx| server.import_slots(ctx, &request.slots)) {
            Some(Ok(task)) => {
                let (source, slots) = (request.source.clone(), request.slots.clone());
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.receiving = Some(Receiving { source, slots, task, asked_at: now });
                }
                ReceiveReply::Running
            }
            Some(Err(reason)) if is_busy(&reason) => ReceiveReply::Busy { reason },
            Some(Err(reason)) => ReceiveReply::Waits { reason },
            None => ReceiveReply::Waits { reason: "the target's server does not answer".into() },
        }
    }

    /// How the piece stands. One that has failed is ended here: the server would try again without end.
    fn how_far(&mut self, node: usize, task: u64, cancel: bool) -> ReceiveReply {
        if cancel {
            self.with_server(node, |server, ctx| server.cancel_import(ctx, task));
        }
        let shown = self.nodes[node].server.as_ref().and_then(|server| server.import_shown(task));
        let forgotten = || Phase::Over(Some("the server has forgotten the task".into()));
        let phase = shown.map_or_else(forgotten, |(state, error, retries)| import_phase(state, &error, retries));
        let Phase::Over(error) = phase else { return ReceiveReply::Running };
        if error.is_some() {
            self.with_server(node, |server, ctx| server.cancel_import(ctx, task));
        }
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.receiving = None;
        }
        ReceiveReply::Ended { error }
    }

    /// Ends what nobody asks for any more, and once, what an earlier life of this agent has begun: here and at the sources
    /// that have pushed.
    pub(crate) fn end_unasked(&mut self, node: usize) {
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let is_clean = agent.is_clean;
        let unasked = agent.receiving.take_if(|piece| now > piece.asked_at + UNASKED_FOR);
        if !is_clean {
            let is_clean = self.end_left_over(node);
            if let Some(agent) = &mut self.nodes[node].agent {
                agent.is_clean = is_clean;
            }
        }
        if let Some(piece) = unasked {
            let name = self.name(node).clone();
            self.say(|| format!("{name}: nobody asks for a move any more: it is cancelled"));
            self.with_server(node, |server, ctx| server.cancel_import(ctx, piece.task));
        }
    }

    /// Says whether that is done.
    fn end_left_over(&mut self, node: usize) -> bool {
        let mut is_clean = true;
        let Some(server) = &self.nodes[node].server else { return false };
        let (exports, whole) = (!server.whole.out.is_empty(), &server.whole);
        let shown = whole.into.keys().chain(whole.retries.keys()).copied();
        let live = |task: &u64| server.import_shown(*task).is_some_and(|(state, ..)| is_live(state));
        let tasks: Vec<u64> = shown.filter(live).collect();
        if self.flavor.ability().migrate_slots && exports {
            let name = self.name(node).clone();
            self.say(|| format!("{name}: moves of an earlier life of the agent are cancelled"));
            is_clean = self.cancel_exports(node);
        }
        if self.flavor.ability().import {
            for task in tasks {
                self.with_server(node, |server, ctx| server.cancel_import(ctx, task));
            }
        }
        is_clean
    }
}
