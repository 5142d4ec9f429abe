//! Calls between agents: they take time, get lost, arrive twice, and meet agents that are gone.

use std::rc::Rc;

use rand::RngExt;
use redisnode_agent_core::situation::ReceivedNotice;
use redisnode_agent_core::takeover::{Step, answer_notice};
use redisnode_proto::ledger::OpenSlots;
use redisnode_proto::message::{
    Ack, DeathNotice, ImportReply, ImportRequest, Outcome, ReceiveReply, ReceiveRequest, ResumeRequest,
};
use redisnode_proto::report::Report;
use redisnode_proto::{Millis, NodeId, NodeName};

use super::clock::Time;
use super::world::{Event, World};

/// How long a caller waits for an answer.
const PATIENCE: Time = 800;

/// What is asked.
#[derive(Clone)]
pub(crate) enum Body {
    Hello,
    Death(DeathNotice),
    Takeover { from: NodeId },
    Import(ImportRequest),
    OpenSlots(OpenSlots),
    Resume(ResumeRequest),
    Receive(ReceiveRequest),
}

/// What is answered.
#[derive(Clone)]
pub(crate) enum Said {
    Report(Rc<Report>),
    Outcome(Outcome),
    Import(ImportReply),
    Ack(Ack),
    Receive(ReceiveReply),
}

/// A call on its way.
#[derive(Clone)]
pub(crate) struct Call {
    from: usize,
    life: u64,
    to: NodeName,
    body: Body,
    sent_at: Time,
}

/// An answer on its way, or the end of the caller's patience.
pub(crate) struct Reply {
    to: usize,
    life: u64,
    by: NodeName,
    body: Body,
    said: Option<Said>,
}

impl Body {
    fn kind(&self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Death(_) => "death notice",
            Self::Takeover { .. } => "takeover",
            Self::Import(_) => "import",
            Self::OpenSlots(_) => "open slots",
            Self::Resume(_) => "resume",
            Self::Receive(_) => "receive",
        }
    }
}

impl World {
    /// Calls several agents for their Reports.
    pub(crate) fn ask(&mut self, node: usize, names: Vec<NodeName>) {
        for name in names {
            self.call(node, &name, Body::Hello);
        }
    }

    /// Calls an agent, unless such a call is under way.
    pub(crate) fn call(&mut self, node: usize, to: &NodeName, body: Body) {
        let place = &mut self.nodes[node];
        let Some(agent) = &mut place.agent else { return };
        if *to == place.member.name || !agent.calls.insert((to.clone(), body.kind())) {
            return;
        }
        let life = agent.life;
        let call = Call { from: node, life, to: to.clone(), body, sent_at: self.now };
        let twice = self.net.lossy > 0 && self.rng.random_range(0..30) == 0;
        let copies = if twice { 2 } else { 1 };
        let mut delay = None;
        for _ in 0..copies {
            delay = self.net.call_delay(&mut self.rng);
            if let Some(delay) = delay {
                self.after(delay, Event::Call(Box::new(call.clone())));
            }
        }
        if delay.is_none() {
            self.answer_after(PATIENCE, &call, None);
        }
    }

    fn answer_after(&mut self, delay: Time, call: &Call, said: Option<Said>) {
        let reply = Reply { to: call.from, life: call.life, by: call.to.clone(), body: call.body.clone(), said };
        self.after(delay, Event::Reply(Box::new(reply)));
    }

    pub(crate) fn call_arrives(&mut self, call: &Call) {
        let left = (call.sent_at + PATIENCE).saturating_sub(self.now).max(1);
        let Some(node) = self.node_named(&call.to) else { return self.answer_after(left, call, None) };
        if !self.net.reach(call.from, node) {
            return self.answer_after(left, call, None);
        }
        if self.nodes[node].agent.is_none() {
            // Nobody listens at that port: the caller learns it at once.
            return self.answer_after(2, call, None);
        }
        let said = self.serve(node, &call.body);
        match self.net.call_delay(&mut self.rng) {
            Some(delay) => self.answer_after(delay.min(left), call, Some(said)),
            None => self.answer_after(left, call, None),
        }
    }

    fn serve(&mut self, node: usize, body: &Body) -> Said {
        match body {
            Body::Hello => {
                self.observe(node);
                Said::Report(Rc::clone(&self.nodes[node].agent.as_ref().unwrap().report))
            }
            Body::Death(notice) => Said::Outcome(self.take_notice(node, notice)),
            Body::Takeover { from } => Said::Outcome(self.take_handoff(node, from)),
            Body::Import(request) => Said::Import(self.open_for_arrival(node, request)),
            Body::OpenSlots(open) => Said::Ack(self.learn_open_slots(node, open)),
            Body::Receive(request) => Said::Receive(self.receive(node, request)),
            Body::Resume(request) => {
                let agent = self.nodes[node].agent.as_mut().unwrap();
                for slot in &request.slots {
                    if !agent.inbox.resume.iter().any(|(known, _)| known == slot) {
                        agent.inbox.resume.push((*slot, request.target.clone()));
                    }
                }
                self.wake(node, 1);
                Said::Ack(Ack::Done)
            }
        }
    }

    fn take_notice(&mut self, node: usize, notice: &DeathNotice) -> Outcome {
        let now = Millis(self.now);
        self.observe(node);
        let Some(agent) = &mut self.nodes[node].agent else {
            return Outcome::Pending { reason: String::new() };
        };
        let known = agent
            .inbox
            .death
            .as_ref()
            .is_some_and(|death| death.notice.dead == notice.dead && death.notice.by == notice.by);
        if !known {
            agent.inbox.death = Some(ReceivedNotice { notice: notice.clone(), at: now });
        }
        let received = agent.inbox.death.clone().unwrap();
        match self.judge(node, |s| answer_notice(s, &received)) {
            Some(Step::Answer(outcome)) => {
                let agent = self.nodes[node].agent.as_mut();
                if let Some(agent) = agent.filter(|_| !matches!(outcome, Outcome::Pending { .. })) {
                    (agent.inbox.death, agent.inbox.forced_at) = (None, None);
                }
                outcome
            }
            Some(Step::Promote { .. } | Step::RaiseEpoch | Step::Ask(_) | Step::Rest) | None => {
                self.wake(node, 0);
                Outcome::Pending { reason: "it is being done".into() }
            }
        }
    }

    pub(crate) fn reply_arrives(&mut self, reply: Reply) {
        let node = reply.to;
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| agent.life == reply.life) else { return };
        if !agent.calls.remove(&(reply.by.clone(), reply.body.kind())) {
            return;
        }
        match (&reply.body, reply.said) {
            (Body::Hello, Some(Said::Report(report))) => {
                self.hear(node, &reply.by, Some(&report));
                self.wake(node, 0);
            }
            (Body::Death(_), Some(Said::Outcome(outcome))) => self.notice_answered(node, &reply.by, Some(&outcome)),
            (Body::Death(_), _) => {
                self.hear(node, &reply.by, None);
                self.notice_answered(node, &reply.by, None);
            }
            (Body::Takeover { .. }, Some(Said::Outcome(outcome))) => self.handoff_answered(node, &reply.by, &outcome),
            (Body::Import(request), Some(Said::Import(opened))) => self.opened(node, &reply.by, request, &opened),
            (Body::OpenSlots(open), Some(Said::Ack(Ack::Done))) => self.replica_knows(node, &reply.by, open),
            (Body::Receive(request), Some(Said::Receive(said))) => {
                self.receive_answered(node, &reply.by, request, Some(&said));
            }
            (Body::Receive(request), _) => self.receive_answered(node, &reply.by, request, None),
            (Body::Hello, _) => {
                self.hear(node, &reply.by, None);
                self.wake(node, 0);
            }
            _ => {}
        }
    }
}
