//! All that the planner may know, as plain data. It refuses a clock, a random number and any I/O: whoever calls
//! `plan()` has asked the machine and the agents before.

use std::collections::BTreeMap;

use redisnode_proto::spec::{ClusterSpec, ContainerMemory, Moves};
use redisnode_proto::{Address, ClusterId, Layout, Member, Millis, NodeName, Report};

/// A Report older than this says nothing about now.
pub const FRESH_FOR: Millis = Millis(3000);

/// All that `plan()` may know.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Now, on the clock that stamped [`Heard::at`].
    pub now: Millis,
    /// The cluster's name: members are called `<name>-<ordinal>`.
    pub name: &'a str,
    /// The cluster's identity.
    pub cluster: &'a ClusterId,
    /// What is wanted; valid, whoever calls has checked it.
    pub spec: &'a ClusterSpec,
    /// Which edit of the spec it is.
    pub spec_generation: Option<u64>,
    /// The coordinator is told to change nothing.
    pub paused: bool,
    /// Whether slots may move, by the switch beside the spec.
    pub moves: Moves,
    /// The term of this coordinator's life: already written down, above every term that was read before it.
    pub term: u64,
    /// The newest Layout that this life published; `None` before the first.
    pub published: Option<&'a Layout>,
    /// Every member that the machine has: the source of truth for name, uid, address, labels and presence.
    pub machine: &'a [MachineMember],
    /// The newest Report of each agent and when it was last heard.
    pub heard: &'a BTreeMap<NodeName, Heard>,
}

/// A member as the machine that runs it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineMember {
    /// Name and incarnation.
    pub member: Member,
    /// Where it is reached.
    pub address: Address,
    /// The machine it runs on, if known.
    pub host: Option<String>,
    /// The zone of that machine, if known.
    pub zone: Option<String>,
    /// Whether it is there.
    pub presence: Presence,
    /// Its process or pod is not as it is wanted now: it has to run anew.
    pub outdated: bool,
    /// For sure, its server has never run since this incarnation came to be: it holds nothing but what its storage
    /// keeps.
    pub unborn: bool,
    /// The memory of the container that its server runs in; nothing is known of it where there is none.
    pub memory: ContainerMemory,
}

/// Whether a member is there, by the word of the machine that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// Its process or pod exists; it may still be starting.
    Present,
    /// The machine is sure that neither its server nor its agent runs now. It will be started again.
    Down,
    /// Gone for good: the pod is deleted or replaced, the machine it ran on is deleted.
    Gone,
}

/// The newest Report of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it said.
    pub report: Report,
    /// When it was last heard (an unchanged Report may be confirmed without being sent again).
    pub at: Millis,
}

impl World<'_> {
    /// The member called `name`, if the machine has it.
    pub fn machine_member(&self, name: &NodeName) -> Option<&MachineMember> {
        self.machine.iter().find(|m| m.member.name == *name)
    }

    /// The Report of `name`, if it says something about now: young enough, of this cluster, of the incarnation that
    /// the machine has, and the machine does not know better.
    pub fn fresh(&self, name: &NodeName) -> Option<&Report> {
        let heard = self.heard.get(name)?;
        let machine = self.machine_member(name)?;
        let young = self.now.since(heard.at) <= FRESH_FOR;
        let same = heard.report.member == machine.member && heard.report.cluster == *self.cluster;
        (young && same && machine.presence == Presence::Present).then_some(&heard.report)
    }
}
