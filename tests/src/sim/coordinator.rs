//! The shell of a modelled coordinator: hears Reports, asks the real planner, publishes, makes and removes members. Two
//! lives may overlap; only the one with the newest term reaches the machine.

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::RngExt;
use redisnode_planner::{Heard, MachineMember, Presence, Why, plan};
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::report::Report;
use redisnode_proto::spec::{ClusterSpec, ContainerMemory, Moves};
use redisnode_proto::{Layout, Millis, NodeName};

use super::clock::Time;
use super::mutation::Mutation;
use super::world::{Event, World};

/// How often a coordinator looks.
const LOOK_EVERY: Time = 250;
/// How long an unchanged world is not planned anew.
const PLAN_AGAIN: Time = 900;
/// How long a new life listens before it takes a term.
const LISTEN_FOR: Time = 700;
/// The cluster's name: members are `c-0`, `c-1`, ...
pub(crate) const NAME: &str = "c";

/// All coordinators, and what outlives them.
#[derive(Default)]
pub(crate) struct Coordinators {
    pub(crate) lives: Vec<Life>,
    /// What the user wants now.
    pub(crate) spec: ClusterSpec,
    /// The term that is written down.
    written: u64,
    /// A Layout that is published as it is, instead of asking the planner.
    pub(crate) fixed: Option<Layout>,
    /// What the last plan declined, for the log.
    pub(crate) last_words: String,
    /// The last plan had nothing to change and nothing to wait for.
    pub(crate) settled: bool,
}

/// One life of a coordinator.
pub(crate) struct Life {
    number: u64,
    since: Time,
    term: Option<u64>,
    published: Option<Rc<Layout>>,
    heard: BTreeMap<NodeName, Heard>,
    /// When the planner was asked last, and whether something was heard since.
    planned_at: Time,
    news: bool,
}

/// What coordinator and agents send each other.
pub(crate) enum Exchange {
    Ask { life: u64, node: usize },
    Heard { life: u64, name: NodeName, report: Rc<Report> },
    Publish { life: u64, node: usize, layout: Rc<Layout> },
    Answer { life: u64, answer: LayoutAnswer },
}

impl World {
    pub(crate) fn start_coordinator(&mut self) {
        let life = self.next_life();
        let since = self.now;
        self.coordinators.lives.push(Life {
            number: life,
            since,
            term: None,
            published: None,
            heard: BTreeMap::new(),
            planned_at: 0,
            news: true,
        });
        self.after(5, Event::Coordinator { life });
    }

    pub(crate) fn kill_coordinators(&mut self) {
        self.coordinators.lives.clear();
    }

    pub(crate) fn change_spec(&mut self, primaries: u32, factor: u32) {
        self.coordinators.spec.number_of_master = primaries;
        self.coordinators.spec.replication_factor = factor;
        self.coordinators.settled = false;
    }

    fn life(&mut self, life: u64) -> Option<&mut Life> {
        self.coordinators.lives.iter_mut().find(|known| known.number == life)
    }

    pub(crate) fn coordinator_tick(&mut self, life: u64) {
        let now = self.now;
        let Some(known) = self.life(life) else { return };
        let ready = now >= known.since + LISTEN_FOR;
        self.after(LOOK_EVERY, Event::Coordinator { life });
        for node in 0..self.nodes.len() {
            if let (false, Some(delay)) = (self.nodes[node].gone, self.net.call_delay(&mut self.rng)) {
                self.after(delay, Event::Exchange(Box::new(Exchange::Ask { life, node })));
            }
        }
        if self.coordinators.fixed.is_some() {
            self.publish_fixed(life);
        } else if ready {
            self.take_term(life);
            let due = self.life(life).is_some_and(|known| {
                let due = known.news || now >= known.planned_at + PLAN_AGAIN;
                if due {
                    (known.planned_at, known.news) = (now, false);
                }
                due
            });
            if due {
                self.plan(life);
            }
        } else if self.nodes.is_empty() {
            let wanted = self.coordinators.spec.members();
            self.make_members(wanted);
        }
        self.publish_again(life);
    }

    fn take_term(&mut self, life: u64) {
        let (written, mutation) = (self.coordinators.written, self.mutation);
        let Some(known) = self.life(life).filter(|known| known.term.is_none()) else { return };
        let read = known.heard.values().filter_map(|heard| heard.report.ledger.layout.as_ref());
        let term = super::mutation::term(mutation, written, read.map(|layout| layout.generation.term));
        known.term = Some(term);
        self.coordinators.written = written.max(term);
        self.say(|| format!("coordinator {life}: term {term}"));
    }

    fn machine(&self) -> Vec<MachineMember> {
        let member = |node: &super::world::Node| MachineMember {
            member: node.member.clone(),
            address: node.addr.address(),
            host: None,
            zone: None,
            presence: if node.agent.is_none() && node.server.is_none() { Presence::Down } else { Presence::Present },
            outdated: false,
            unborn: false,
            memory: ContainerMemory::default(),
        };
        self.nodes.iter().filter(|node| !node.gone).map(member).collect()
    }

    fn plan(&mut self, life: u64) {
        let machine = self.machine();
        let Some(known) = self.coordinators.lives.iter().find(|known| known.number == life) else { return };
        let Some(term) = known.term else { return };
        let plan = plan(&redisnode_planner::World {
            paused: false,
            moves: Moves::GoOn,
            now: Millis(self.now),
            name: NAME,
            cluster: &self.cluster,
            spec: &self.coordinators.spec,
            spec_generation: None,
            term,
            published: known.published.as_deref(),
            machine: &machine,
            heard: &known.heard,
        });
        let words: Vec<&str> = plan.declined.iter().map(|declined| declined.message.as_str()).collect();
        let words = words.join("; ");
        if words != self.coordinators.last_words {
            self.coordinators.last_words.clone_from(&words);
            self.say(|| format!("coordinator {life}: declined: {words}"));
        }
        self.coordinators.settled = plan.layout.is_none() && plan.declined.is_empty() && plan.remove.is_empty();
        if plan.declined.iter().any(|declined| declined.why == Why::TermOvertaken) {
            self.forget_term(life);
            return;
        }
        if term == self.coordinators.written {
            self.make_members(plan.members_wanted);
            self.remove_members(&plan.remove);
            for name in &plan.restart {
                self.restart_server(name);
            }
        }
        if let Some(layout) = plan.layout {
            self.publish(life, layout);
        }
    }

    /// Somebody else has a newer term: who holds the lease (the newest life) takes another one, others end.
    fn forget_term(&mut self, life: u64) {
        if self.coordinators.lives.iter().any(|other| other.number > life) {
            self.say(|| format!("coordinator {life}: ends, another one leads"));
            self.coordinators.lives.retain(|known| known.number != life);
            return;
        }
        if let Some(known) = self.life(life) {
            (known.term, known.published) = (None, None);
        }
    }

    fn publish(&mut self, life: u64, mut layout: Layout) {
        if self.mutation == Some(Mutation::FoundsAgain) {
            layout.founding = Some(layout.members.iter().filter_map(|member| member.node_id.clone()).collect());
        }
        self.oracle.publishes(life, layout.generation.term);
        let generation = layout.generation;
        let shards: Vec<String> = layout
            .shards
            .iter()
            .map(|s| {
                let replicas: Vec<String> = s.replicas.iter().map(ToString::to_string).collect();
                format!("{}={}[{}]+{}", s.name, s.primary, s.slots, replicas.join(","))
            })
            .collect();
        let forget: Vec<&str> = layout.forget.iter().map(redisnode_proto::NodeId::short).collect();
        let (shards, forget) = (shards.join(" "), forget.join(","));
        self.say(|| format!("coordinator {life}: publishes {generation}: {shards} forget {forget}"));
        let layout = Rc::new(layout);
        if let Some(known) = self.life(life) {
            known.published = Some(Rc::clone(&layout));
        }
        for node in 0..self.nodes.len() {
            self.send_layout(life, node, &layout);
        }
    }

    fn send_layout(&mut self, life: u64, node: usize, layout: &Rc<Layout>) {
        if let (false, Some(delay)) = (self.nodes[node].gone, self.net.call_delay(&mut self.rng)) {
            let layout = Rc::clone(layout);
            self.after(delay, Event::Exchange(Box::new(Exchange::Publish { life, node, layout })));
        }
    }

    /// Sends the newest Layout to those whose Report shows an older one, or none.
    fn publish_again(&mut self, life: u64) {
        let Some(known) = self.coordinators.lives.iter().find(|known| known.number == life) else { return };
        let Some(layout) = known.published.clone() else { return };
        let has = |name: &NodeName| {
            let held = known.heard.get(name).and_then(|heard| heard.report.ledger.layout.as_ref());
            held.is_some_and(|held| held.generation >= layout.generation)
        };
        let behind: Vec<usize> = (0..self.nodes.len()).filter(|node| !has(&self.nodes[*node].member.name)).collect();
        let confirms = self.rng.random_range(0..8) == 0;
        for node in 0..self.nodes.len() {
            if behind.contains(&node) || confirms {
                self.send_layout(life, node, &layout);
            }
        }
    }

    fn publish_fixed(&mut self, life: u64) {
        let Some(layout) = self.coordinators.fixed.clone() else { return };
        let Some(known) = self.life(life) else { return };
        if known.published.as_ref().is_none_or(|old| old.generation != layout.generation) {
            self.publish(life, layout);
        }
    }

    /// Makes the members below `wanted` that are not there.
    pub(crate) fn make_members(&mut self, wanted: u32) {
        for ordinal in 0..wanted {
            let name = NodeName::of(NAME, ordinal).unwrap();
            if self.node_named(&name).is_none() {
                self.say(|| format!("machine: makes {name}"));
                self.make_node(name);
            }
        }
    }

    fn remove_members(&mut self, names: &[NodeName]) {
        for name in names {
            let Some(node) = self.node_named(name) else { continue };
            self.say(|| format!("machine: removes {name}"));
            let place = &mut self.nodes[node];
            place.gone = true;
            place.agent = None;
            let before = place.server.take().map(|s| s.data).or(place.disk.data.take()).unwrap_or_default();
            place.disk = super::disk::Disk::default();
            self.nodes[node].member.name = format!("gone-{node}").parse().unwrap();
            self.check_wipe(node, &before, "the member was removed");
        }
    }

    fn restart_server(&mut self, name: &NodeName) {
        let Some(node) = self.node_named(name).filter(|node| self.nodes[*node].agent.is_some()) else { return };
        self.say(|| format!("{name}: restarts its server by order"));
        self.stop_server(node);
        self.wake(node, 1);
    }

    pub(crate) fn exchange(&mut self, exchange: Exchange) {
        match exchange {
            Exchange::Ask { life, node } => {
                let Some(agent) = self.nodes[node].agent.as_ref().filter(|_| !self.net.islands.contains(&node)) else {
                    return;
                };
                let (name, report) = (agent.report.member.name.clone(), Rc::clone(&agent.report));
                if let Some(delay) = self.net.call_delay(&mut self.rng) {
                    self.after(delay, Event::Exchange(Box::new(Exchange::Heard { life, name, report })));
                }
            }
            Exchange::Heard { life, name, report } => self.take_report(life, name, &report),
            Exchange::Publish { life, node, layout } => {
                if self.net.islands.contains(&node) {
                    return;
                }
                let answer = self.offer_layout(node, &layout, true);
                if let (Some(answer), Some(delay)) = (answer, self.net.call_delay(&mut self.rng)) {
                    self.after(delay, Event::Exchange(Box::new(Exchange::Answer { life, answer })));
                }
            }
            Exchange::Answer { life, answer } => {
                if matches!(answer, LayoutAnswer::Conflict { .. }) {
                    self.forget_term(life);
                }
            }
        }
    }

    fn take_report(&mut self, life: u64, name: NodeName, report: &Rc<Report>) {
        let at = Millis(self.now);
        let Some(known) = self.life(life) else { return };
        match known.heard.get_mut(&name) {
            Some(heard) if (heard.report.life, heard.report.revision) == (report.life, report.revision) => {
                heard.at = at;
            }
            Some(heard) if heard.report.life == report.life && heard.report.revision > report.revision => {}
            Some(_) | None => {
                known.news = true;
                known.heard.insert(name, Heard { report: (**report).clone(), at });
            }
        }
    }
}
