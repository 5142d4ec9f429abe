//! Elections and manual failovers: who stands when, who votes, and what a winner does.

use std::collections::BTreeSet;
use std::rc::Rc;

use rand::RngExt;
use redisnode_proto::judge::majority;
use redisnode_proto::topology::{Health, Role};
use redisnode_proto::{Slot, SlotSet};

use super::bus::{Header, Kind};
use super::clock::Time;
use super::ids::Id;
use super::server::{Ctx, Link, Note, Server};

/// How long a manual failover may take.
const MANUAL_LIMIT: Time = 5000;
/// `repl-ping-replica-period`.
const PING_PERIOD: Time = 10_000;
/// `cluster-replica-validity-factor`.
const VALIDITY_FACTOR: u64 = 10;

/// An election that this replica stands in.
#[derive(Clone, Default)]
pub(crate) struct Election {
    /// When it asks, or asked, for votes.
    pub(crate) at: Option<Time>,
    pub(crate) asked: bool,
    pub(crate) epoch: u64,
    pub(crate) votes: BTreeSet<Id>,
}

/// A manual failover that this replica was told to make.
#[derive(Clone)]
pub(crate) struct Manual {
    pub(crate) until: Time,
    pub(crate) force: bool,
    /// The offset at which the primary has paused.
    pub(crate) target_offset: Option<u64>,
    pub(crate) started: bool,
}

impl Server {
    /// CLUSTER FAILOVER [FORCE].
    pub(crate) fn begin_manual(&mut self, ctx: &mut Ctx<'_>, force: bool) -> Result<(), String> {
        let primary =
            self.primary().filter(|_| !self.is_primary()).ok_or("ERR You should send CLUSTER FAILOVER to a replica")?;
        let peer = self.table.get(&primary).ok_or("ERR I'm a replica but my master is unknown to me")?;
        let linked = matches!(self.link, Link::Up { from, .. } if from == primary);
        if !force && (peer.health == Health::Failed || !linked) {
            return Err("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE".into());
        }
        let addr = peer.addr;
        let until = ctx.now + MANUAL_LIMIT;
        self.manual = Some(Manual { until, force, target_offset: None, started: false });
        if let (false, Some(addr)) = (force, addr) {
            self.tell(ctx, addr, Kind::PauseForHandoff);
        }
        self.run_manual(ctx);
        self.run_election(ctx);
        Ok(())
    }

    pub(crate) fn pause_for_handoff(&mut self, ctx: &mut Ctx<'_>, replica: Id) {
        let mine = self.is_primary() && self.table.get(&replica).is_some_and(|p| p.primary == Some(self.id));
        if !mine {
            return;
        }
        self.pause_ends_moves(ctx);
        self.handoff_pause_until = ctx.now + 2 * MANUAL_LIMIT;
        if let Some(addr) = self.table[&replica].addr {
            self.tell(ctx, addr, Kind::Ping);
        }
    }

    pub(crate) fn run_manual(&mut self, ctx: &mut Ctx<'_>) {
        let Some(manual) = &mut self.manual else { return };
        if ctx.now > manual.until {
            self.manual = None;
            return;
        }
        let ready = manual.force || manual.target_offset.is_some_and(|offset| offset <= self.offset);
        if ready && !manual.started {
            manual.started = true;
            if self.flavor.force_resets {
                self.election = Election::default();
            }
        }
    }

    pub(crate) fn run_election(&mut self, ctx: &mut Ctx<'_>) {
        let (now, timeout) = (ctx.now, self.node_timeout);
        let Some(primary) = self.primary().and_then(|id| self.table.get(&id)).filter(|_| !self.is_primary()) else {
            return;
        };
        let manual = self.manual.as_ref().is_some_and(|m| m.started);
        let dead = primary.health == Health::Failed;
        let stands = manual || (dead && !self.no_failover && self.data_is_young(now));
        if !stands || (primary.slots.is_empty() && !self.flavor.knows_shards) {
            return;
        }
        let limit = (2 * timeout).max(2000);
        let age = self.election.at.map(|at| now.saturating_sub(at));
        if age.is_none_or(|age| age > 2 * limit) {
            let delay = if manual { 0 } else { self.standing_delay(ctx) };
            self.election = Election { at: Some(now + delay), ..Election::default() };
            if delay > 0 {
                return;
            }
        }
        let Some(at) = self.election.at.filter(|at| now >= *at && now - *at <= limit) else { return };
        if !self.election.asked {
            self.current_epoch += 1;
            self.election = Election { at: Some(at), asked: true, epoch: self.current_epoch, votes: BTreeSet::new() };
            self.tell_all(ctx, Kind::VoteRequest { even_if_alive: manual });
        } else if self.election.votes.len() >= majority(self.voters()) {
            let epoch = self.election.epoch;
            self.me_mut().epoch = epoch;
            self.become_primary(ctx, "elected");
        }
    }

    fn data_is_young(&self, now: Time) -> bool {
        let age = match self.link {
            Link::Up { heard_at, .. } => now.saturating_sub(heard_at),
            Link::Down { since: Some(since) } => now.saturating_sub(since),
            Link::Down { since: None } | Link::Syncing { .. } => return false,
        };
        age.saturating_sub(self.node_timeout) <= PING_PERIOD + self.node_timeout * VALIDITY_FACTOR
    }

    fn standing_delay(&self, ctx: &mut Ctx<'_>) -> Time {
        let siblings = self.table.iter().filter(|(id, p)| **id != self.id && p.primary == self.primary());
        let rank = siblings.filter(|(_, p)| p.role == Role::Replica && p.offset > self.offset).count() as u64;
        500 + ctx.rng.random_range(0..500) + rank * 1000
    }

    pub(crate) fn consider_vote(&mut self, ctx: &mut Ctx<'_>, from: &Header, even_if_alive: bool) {
        let (now, timeout) = (ctx.now, self.node_timeout);
        let epoch = from.current_epoch;
        let Some(primary) = from.primary.filter(|_| from.role == Role::Replica) else { return };
        let Some(dead) = self.table.get(&primary).map(|p| p.health == Health::Failed) else { return };
        let fresh = epoch >= self.current_epoch && self.last_vote < epoch;
        let claimed = from.slots.difference(&self.unclaimed);
        let newer_owner = self.table.values().any(|p| p.epoch > from.epoch && !p.slots.is_disjoint(&claimed));
        let recent = self.table[&primary].voted_at.is_some_and(|at| now < at + 2 * timeout) && self.flavor.vote_rule;
        if !self.me().is_voter() || !fresh || !(dead || even_if_alive) || newer_owner || recent {
            return;
        }
        self.last_vote = epoch;
        self.table.get_mut(&primary).unwrap().voted_at = Some(now);
        self.tell(ctx, from.addr, Kind::Vote);
    }

    pub(crate) fn take_vote(&mut self, from: &Header) {
        let counts = self.table[&from.id].is_voter() && from.current_epoch >= self.election.epoch;
        if counts && self.election.asked {
            self.election.votes.insert(from.id);
        }
    }

    /// CLUSTER FAILOVER TAKEOVER.
    pub(crate) fn take_over(&mut self, ctx: &mut Ctx<'_>) -> Result<(), String> {
        if self.is_primary() {
            return Err("ERR You should send CLUSTER FAILOVER to a replica".into());
        }
        self.bump_epoch();
        self.become_primary(ctx, "took over");
        Ok(())
    }

    /// A new epoch without asking anybody, unless the own one is the highest already.
    pub(crate) fn bump_epoch(&mut self) -> bool {
        let max = self.max_epoch();
        if self.me().epoch != 0 && self.me().epoch == max {
            return false;
        }
        self.current_epoch = max + 1;
        self.me_mut().epoch = max + 1;
        true
    }

    fn become_primary(&mut self, ctx: &mut Ctx<'_>, how: &'static str) {
        let Some(former) = self.primary() else { return };
        let slots = self.table.get(&former).map(|p| (*p.slots).clone()).unwrap_or_default();
        let me = self.me_mut();
        (me.role, me.primary) = (Role::Primary, None);
        me.health = Health::Fine;
        let epoch = me.epoch;
        self.assign(&slots, Some(self.id));
        self.settle_staged();
        self.begin_history(ctx.rng.random());
        self.unlink(ctx.now);
        self.link = Link::Down { since: None };
        self.manual = None;
        self.election = Election::default();
        self.judge_state(ctx.now);
        self.state_ok |= self.minority_at.is_none();
        ctx.notes.push(Note::Promoted { epoch, how });
        if self.flavor.verifies_when_promoted {
            let foreign =
                |slot: &Slot| !self.open.contains_key(slot) && self.owner(*slot).is_some_and(|owner| owner != self.id);
            let strays: SlotSet = self.data.keys().map(|key| key.slot).filter(foreign).collect();
            self.drop_keys(ctx, &strays, "it was promoted, and their slots are assigned to others");
        }
        let message = Rc::new(super::bus::Message { from: self.header(ctx.now), kind: Kind::Pong });
        let others = self.table.iter().filter(|(id, _)| **id != self.id).filter_map(|(_, p)| p.addr);
        ctx.out.extend(others.map(|addr| (addr, Rc::clone(&message))));
    }
}
