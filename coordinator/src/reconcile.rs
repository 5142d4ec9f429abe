//! The loop: observe, plan, publish, carry out, report. Every choice is the planner's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redisnode_http::Client;
use redisnode_planner::{Declined, Intent, MachineMember, Plan, Why, World, plan};
use redisnode_proto::event::Problem;
use redisnode_proto::spec::RedisCluster;
use redisnode_proto::{ClusterId, Generation, Millis};
use tokio::sync::watch;

use crate::agents::Agents;
use crate::amend::{amend, hold_ready, merge_events};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::founding;
use crate::journal::Journal;
use crate::machine::Machine;
use crate::publish::Publisher;
use crate::restarts::Restarts;
use crate::source::Source;
use crate::term::{Term, TermStore};
use crate::tries::Tries;

/// Decides anew at least that often: silence raises no event.
const AT_LEAST_EVERY: Millis = Millis(250);
/// The same where there is nothing to do and nothing to wait for.
const IN_QUIET_EVERY: Millis = Millis(10_000);
/// What happens within this is decided together.
const TOGETHER: Duration = Duration::from_millis(5);

/// What the coordinator shows of its cluster.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The resource with its status; absent before the first decision.
    pub resource: Option<Arc<RedisCluster>>,
    /// Everything wanted and not done now.
    pub declined: Vec<Declined>,
    /// What is done now and will be done next.
    pub next: Vec<Intent>,
    /// The newest Layout of this life.
    pub published: Option<Generation>,
    /// When the last decision was made.
    pub decided_at: Millis,
}

/// The coordinator of one cluster.
#[derive(Debug)]
pub struct Coordinator<S, M, T> {
    /// Where specs come from.
    pub source: S,
    /// What runs members.
    pub machine: M,
    cluster: ClusterId,
    clock: Clock,
    term: Term<T>,
    agents: Agents,
    publisher: Publisher,
    restarts: Restarts,
    journal: Journal,
    tries: Tries,
    /// Why nothing can be published although it should be.
    stuck: Option<String>,
    overtaken_by: Vec<u64>,
    shown: watch::Sender<Shown>,
}

impl<S: Source, M: Machine, T: TermStore> Coordinator<S, M, T> {
    /// The coordinator of the cluster `cluster`, which calls agents through `client`.
    pub fn new(source: S, machine: M, cluster: ClusterId, client: &Client, clock: Clock, term: Term<T>) -> Self {
        Self {
            source,
            machine,
            clock,
            term,
            agents: Agents::new(client.clone(), clock, cluster.clone()),
            publisher: Publisher::new(client.clone(), clock),
            restarts: Restarts::new(client.clone(), clock),
            cluster,
            journal: Journal::default(),
            tries: Tries::default(),
            stuck: None,
            overtaken_by: Vec::new(),
            shown: watch::Sender::default(),
        }
    }

    /// The same, showing what it shows to the receivers of `shown`.
    #[must_use]
    pub fn showing(self, shown: watch::Sender<Shown>) -> Self {
        Self { shown, ..self }
    }

    /// What is shown, from now on.
    pub fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Works until it cannot.
    pub async fn run(&mut self) -> Result<Infallible, Failure> {
        loop {
            let lagged = self.machine.lags();
            let members = self.observe();
            let mut plan = self.decide(&members).await;
            self.publish(&plan, &members);
            // Boxed: what is rarely done takes no room in the loop of each cluster while nothing is done.
            Box::pin(self.carry_out(&plan, &members)).await;
            let lagged = lagged.or_else(|| self.machine.lags()).filter(|_| !plan.paused);
            if let Some(why) = &lagged {
                hold_ready(&mut plan.status, why);
            }
            let quiet = lagged.is_none() && self.is_quiet(&plan, &members);
            self.report(plan, &members)?;
            self.something_happens(quiet).await;
        }
    }

    fn observe(&mut self) -> Vec<MachineMember> {
        let members = self.machine.members();
        self.agents.watch(&members);
        self.agents.catch_up();
        let overtaken = self.publisher.take_overtaken();
        if !overtaken.is_empty() {
            self.overtaken_by.extend(overtaken);
            self.term.give_up();
        }
        members
    }

    /// The plan under this life's term. A Layout of it may be published: the term is written down first.
    async fn decide(&mut self, members: &[MachineMember]) -> Plan {
        let mut plan = self.plan(members);
        if self.term.is_taken() && plan.declined.iter().any(|declined| declined.why == Why::TermOvertaken) {
            self.term.give_up();
            plan = self.plan(members);
        }
        self.stuck = None;
        if let Some(layout) = &plan.layout
            && !self.term.is_taken()
            && let Err(error) = self.term.take(layout.generation.term).await
        {
            self.stuck = Some(format!("no Layout can be published: {error}"));
            plan.layout = None;
        }
        plan
    }

    fn plan(&self, members: &[MachineMember]) -> Plan {
        let wanted = self.source.wanted();
        plan(&World {
            now: self.clock.now(),
            name: &wanted.resource.metadata.name,
            cluster: &self.cluster,
            spec: &wanted.resource.spec,
            spec_generation: Some(wanted.generation),
            paused: wanted.resource.metadata.is_paused(),
            moves: wanted.resource.metadata.moves(),
            term: self.term.now_or_next(self.terms_read()),
            published: self.publisher.published(),
            machine: members,
            heard: self.agents.heard(),
        })
    }

    fn terms_read(&self) -> impl Iterator<Item = u64> {
        let layouts = self.agents.heard().values().filter_map(|heard| heard.report.ledger.layout.as_ref());
        layouts.map(|layout| layout.generation.term).chain(self.overtaken_by.iter().copied())
    }

    fn publish(&mut self, plan: &Plan, members: &[MachineMember]) {
        if let Some(layout) = &plan.layout {
            self.publisher.publish(layout.clone());
            plan.events.iter().cloned().for_each(|event| self.journal.add(event));
        }
        self.publisher.deliver(members, self.agents.heard());
    }

    async fn carry_out(&mut self, plan: &Plan, members: &[MachineMember]) {
        if plan.paused {
            return;
        }
        self.machine.ensure(plan.members_wanted).await;
        for name in &plan.remove {
            self.machine.remove(name).await;
        }
        for member in members.iter().filter(|m| plan.restart.contains(&m.member.name)) {
            if member.outdated {
                self.machine.renew(&member.member).await;
            } else {
                self.restarts.ask(&member.member.name, member.address.agent());
            }
        }
    }

    /// Shows what is; fails when a first creation cannot succeed.
    fn report(&mut self, plan: Plan, members: &[MachineMember]) -> Result<(), Failure> {
        let problems = self.problems();
        if M::GIVES_UP
            && let Some(why) = founding::failed(members, plan.members_wanted, self.agents.heard(), &problems)
        {
            return Err(Failure::Runtime(format!("the cluster cannot be created: {why}")));
        }
        let wanted = self.source.wanted();
        let mut status = plan.status;
        amend(&mut status, wanted.invalid_edit.as_deref(), &problems);
        for event in self.tries.news(self.agents.heard(), self.clock.now()) {
            self.journal.add(event);
        }
        merge_events(&mut status, self.journal.events());
        let mut resource = wanted.resource.clone();
        resource.metadata.generation = Some(wanted.generation);
        resource.status = Some(status);
        self.shown.send_replace(Shown {
            resource: Some(Arc::new(resource)),
            declined: plan.declined,
            next: plan.next,
            published: self.publisher.published().map(|layout| layout.generation),
            decided_at: self.clock.now(),
        });
        Ok(())
    }

    fn problems(&self) -> Vec<Problem> {
        let refusals = self.publisher.refusals().iter();
        let refusals =
            refusals.map(|(name, why)| Problem::new("LayoutRefused", format!("{name} refuses the Layout: {why}")));
        let stuck = self.stuck.iter().map(|why| Problem::new("TermNotWritten", why.clone()));
        self.machine.problems().into_iter().chain(refusals).chain(stuck).collect()
    }

    /// Whether nothing is done, nothing is waited for, and everybody is heard: then only an event makes a difference.
    fn is_quiet(&self, plan: &Plan, members: &[MachineMember]) -> bool {
        let decides = plan.layout.is_some() || !plan.remove.is_empty() || !plan.restart.is_empty();
        let intends = !plan.declined.is_empty() || !plan.next.is_empty();
        let (wanted, heard) = (usize::try_from(plan.members_wanted), self.agents.heard());
        let complete = wanted == Ok(members.len()) && members.iter().all(|m| heard.contains_key(&m.member.name));
        let fresh = self.agents.fresh_until().is_some_and(|until| until > self.clock.now());
        let calm = fresh && self.agents.silent().is_empty() && self.problems().is_empty();
        !decides && !intends && complete && calm && self.publisher.is_delivered(members, heard)
    }

    /// Comes back when something has changed, or when it is time to decide anew.
    async fn something_happens(&mut self, quiet: bool) {
        let begun = self.clock.now();
        let latest = begun.after(if quiet { IN_QUIET_EVERY } else { AT_LEAST_EVERY });
        loop {
            // A Report that is confirmed meanwhile stays fresh for longer.
            let until = self.agents.fresh_until().filter(|_| quiet).map_or(latest, |fresh| fresh.min(latest));
            let left = until.since(self.clock.now());
            if left == Millis(0) {
                return;
            }
            if tokio::time::timeout(Duration::from_millis(left.0), self.next_change()).await.is_ok() {
                return tokio::time::sleep(TOGETHER).await;
            }
        }
    }

    async fn next_change(&mut self) {
        tokio::select! {
            () = self.source.changed() => {}
            () = self.machine.changed() => {}
            () = self.agents.changed() => {}
            () = self.publisher.changed() => {}
            () = self.restarts.changed() => {}
        }
    }
}
