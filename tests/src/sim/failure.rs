//! Who is thought dead: pings, suspicion, the majority's verdict, and whether the server itself may serve.

use redisnode_proto::judge::majority;
use redisnode_proto::topology::Health;

use super::bus::{Header, Kind};
use super::clock::Time;
use super::ids::Id;
use super::server::{Ctx, Server, WRITABLE_DELAY};

/// How often a server's own clock work runs.
pub(crate) const CRON: Time = 100;

impl Server {
    /// The clock work of a server.
    pub(crate) fn cron(&mut self, ctx: &mut Ctx<'_>) {
        self.forgotten.retain(|_, until| *until > ctx.now);
        self.greet(ctx);
        self.ping(ctx);
        self.suspect(ctx);
        self.run_manual(ctx);
        self.run_election(ctx);
        self.judge_state(ctx.now);
    }

    fn greet(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        self.handshakes.retain(|h| now < h.until);
        let mut due = Vec::new();
        for shake in &mut self.handshakes {
            if shake.sent_at.is_none_or(|at| now >= at + 300) {
                shake.sent_at = Some(now);
                due.push((shake.addr, if shake.meet { Kind::Meet } else { Kind::Ping }));
            }
        }
        for (addr, kind) in due {
            self.tell(ctx, addr, kind);
        }
    }

    fn ping(&mut self, ctx: &mut Ctx<'_>) {
        let (now, me, half) = (ctx.now, self.id, self.node_timeout / 2);
        let oldest = self.table.iter().filter(|(id, p)| **id != me && p.ping_sent.is_none() && p.addr.is_some());
        let oldest = oldest.min_by_key(|(_, p)| p.pong_at).map(|(id, _)| *id).filter(|_| now >= self.next_random_ping);
        if oldest.is_some() {
            self.next_random_ping = now + 1000;
        }
        let mut due = Vec::new();
        for (id, peer) in &mut self.table {
            let stale = peer.ping_sent.is_none() && now >= peer.pong_at + half;
            let again = peer.ping_sent.is_some();
            if *id != me && (stale || again || Some(*id) == oldest) {
                peer.ping_sent.get_or_insert(now);
                due.extend(peer.addr);
            }
        }
        if due.is_empty() {
            return;
        }
        let message = std::rc::Rc::new(super::bus::Message { from: self.header(now), kind: Kind::Ping });
        ctx.out.extend(due.into_iter().map(|addr| (addr, std::rc::Rc::clone(&message))));
    }

    fn suspect(&mut self, ctx: &mut Ctx<'_>) {
        let (now, me, timeout) = (ctx.now, self.id, self.node_timeout);
        let mut suspected = Vec::new();
        for (id, peer) in &mut self.table {
            let silent = peer.ping_sent.is_some_and(|at| now > at + timeout);
            if *id != me && silent && peer.health == Health::Fine {
                peer.health = Health::Suspected;
            }
            if peer.health == Health::Suspected {
                suspected.push(*id);
            }
        }
        for id in suspected {
            self.convict(ctx, id);
        }
    }

    /// Marks a suspected node as failed if a majority of the primaries agrees, and tells everybody.
    fn convict(&mut self, ctx: &mut Ctx<'_>, id: Id) {
        let (now, timeout) = (ctx.now, self.node_timeout);
        let booting = self.is_primary() && now < self.started_at + WRITABLE_DELAY;
        let needed = if booting { 1 } else { majority(self.voters()) };
        let own = usize::from(self.me().is_voter());
        let Some(peer) = self.table.get_mut(&id).filter(|p| p.health == Health::Suspected) else { return };
        peer.accused.retain(|_, at| now <= *at + 2 * timeout);
        if peer.accused.len() + own < needed {
            return;
        }
        (peer.health, peer.failed_at) = (Health::Failed, now);
        if own == 1 {
            self.tell_all(ctx, Kind::Fail(id));
        }
    }

    pub(crate) fn take_fail(&mut self, now: Time, id: Id) {
        let me = self.id;
        if let Some(peer) = self.table.get_mut(&id).filter(|p| id != me && p.health != Health::Failed) {
            (peer.health, peer.failed_at) = (Health::Failed, now);
        }
    }

    pub(crate) fn take_gossip(&mut self, ctx: &mut Ctx<'_>, from: &Header) {
        let by_voter = self.table[&from.id].is_voter();
        let me = self.id;
        for word in from.gossip.iter().filter(|word| word.id != me) {
            let Some(peer) = self.table.get_mut(&word.id) else {
                let wanted = !self.forgotten.contains_key(&word.id) && word.health != Health::Failed;
                if let (Some(addr), true) = (word.addr, wanted) {
                    self.shake_hands(ctx.now, addr, false, word.id);
                }
                continue;
            };
            if word.health == Health::Fine {
                peer.accused.remove(&from.id);
                if peer.health == Health::Fine && peer.ping_sent.is_none() {
                    peer.pong_at = peer.pong_at.max(word.pong_at.min(ctx.now));
                }
                let moved = peer.health != Health::Fine && word.addr.is_some() && word.addr != peer.addr;
                if let (Some(addr), true) = (word.addr, moved) {
                    self.shake_hands(ctx.now, addr, false, word.id);
                }
            } else if by_voter {
                peer.accused.insert(from.id, ctx.now);
                self.convict(ctx, word.id);
            }
        }
    }

    /// `cluster_state`, with `cluster-require-full-coverage no`.
    pub(crate) fn judge_state(&mut self, now: Time) {
        if self.is_primary() && now < self.started_at + WRITABLE_DELAY {
            self.state_ok = false;
            return;
        }
        let voters = self.voters();
        let reachable = self.table.values().filter(|p| p.is_voter() && p.health == Health::Fine).count();
        if reachable < majority(voters) {
            (self.state_ok, self.minority_at) = (false, Some(now));
            return;
        }
        let wait = self.node_timeout.clamp(500, 5000);
        let too_early = self.is_primary() && self.minority_at.is_some_and(|at| now < at + wait);
        if self.state_ok || !too_early {
            self.state_ok = true;
        }
    }
}
