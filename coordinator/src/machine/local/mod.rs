//! Members as processes of this machine: for each an agent and a launcher, which outlive the coordinator and are
//! adopted by the next one.

mod backoff;
mod binaries;
pub mod dir;
mod folders;
mod keeper;
mod opening;
mod ports;
mod random;
mod stop;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use redisnode_planner::{MachineMember, Presence};
use redisnode_proto::event::Problem;
use redisnode_proto::spec::ContainerMemory;
use redisnode_proto::{Address, Member, NodeName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::dir::{ClusterFile, Dir, Index};
use self::keeper::{Job, Keeper, News};
use self::stop::{Stopped, Stopping};
use super::Machine;
use crate::files::is_free;

pub use binaries::Binaries;
pub use opening::{DEFAULT_PORT, Opened};
pub use trial::{Directives, trial};

/// Runs members as processes.
#[derive(Debug)]
pub struct LocalMachine {
    opened: Opened,
    binaries: Binaries,
    index: Index,
    runners: BTreeMap<NodeName, Runner>,
    /// What stood in the way at the last try, per member.
    obstacles: BTreeMap<NodeName, String>,
    going: BTreeSet<NodeName>,
    removals: JoinSet<(NodeName, Result<(), String>)>,
    keepers: JoinSet<()>,
    news: mpsc::UnboundedReceiver<News>,
    teller: mpsc::UnboundedSender<News>,
    hurry: watch::Sender<bool>,
}

/// The processes of one member.
#[derive(Debug)]
struct Runner {
    member: Member,
    address: Address,
    agent: Keeper,
    launcher: Keeper,
}

/// How the stop of all members ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllStopped {
    /// Members that stopped by themselves.
    pub in_order: usize,
    /// Members of which something had to be killed.
    pub by_force: Vec<NodeName>,
    /// Members of which something lives on.
    pub alive: Vec<NodeName>,
}

impl LocalMachine {
    /// Takes over the members that the folder has, running or not. Starts those that do not run.
    pub fn start(opened: Opened, binaries: Binaries) -> Result<Self, String> {
        let index = opened.dir.read_index()?;
        let names = folders::names(&opened.dir)?;
        let (teller, news) = mpsc::unbounded_channel();
        let mut machine = Self {
            opened,
            binaries,
            index,
            runners: BTreeMap::new(),
            obstacles: BTreeMap::new(),
            going: BTreeSet::new(),
            removals: JoinSet::new(),
            keepers: JoinSet::new(),
            news,
            teller,
            hurry: watch::Sender::new(false),
        };
        let ordinals = names.iter().filter_map(|name| opening::ordinal(machine.cluster(), name));
        for ordinal in ordinals.collect::<Vec<_>>() {
            machine.try_one(ordinal);
        }
        Ok(machine)
    }

    /// The paths of the cluster.
    pub fn dir(&self) -> &Dir {
        &self.opened.dir
    }

    /// Whose it is.
    pub fn cluster(&self) -> &ClusterFile {
        &self.opened.cluster
    }

    /// Stops using patience: whatever is being stopped is killed.
    pub fn hurry(&self) -> watch::Sender<bool> {
        self.hurry.clone()
    }

    /// Stops all members, all at once.
    pub async fn stop_all(&mut self) -> AllStopped {
        let mut stops = JoinSet::new();
        for (name, runner) in &self.runners {
            let (name, stopping, hurry) = (name.clone(), runner.stopping(self.dir()), self.hurry.subscribe());
            stops.spawn(async move { (name, stopping.run(hurry).await) });
        }
        let mut all = AllStopped::default();
        for (name, stopped) in stops.join_all().await {
            match stopped {
                Stopped::InOrder => all.in_order = all.in_order.saturating_add(1),
                Stopped::ByForce => all.by_force.push(name),
                Stopped::Not => all.alive.push(name),
            }
        }
        all
    }

    /// Makes one member exist, unless something stands in the way.
    fn try_one(&mut self, ordinal: u32) {
        let Ok(name) = NodeName::of(&self.cluster().name, ordinal) else { return };
        if self.runners.contains_key(&name) || self.going.contains(&name) {
            return;
        }
        match self.begin(&name, ordinal) {
            Ok(runner) => {
                self.obstacles.remove(&name);
                self.runners.insert(name, runner);
            }
            Err(why) => {
                tracing::debug!(%name, why, "a member cannot be started");
                self.obstacles.insert(name, why);
            }
        }
    }

    fn begin(&mut self, name: &NodeName, ordinal: u32) -> Result<Runner, String> {
        ports::check_fit(self.cluster(), ordinal.saturating_add(1))?;
        let address = self.cluster().address(ordinal).ok_or("its ports are beyond the last one")?;
        let node = self.dir().node(name);
        let runs = [node.agent_lock(), node.server_lock()].iter().any(|lock| !is_free(lock));
        if !runs {
            ports::check_free(name.as_str(), &address)?;
        }
        let member = folders::prepare(&self.opened.dir, &self.opened.cluster, &mut self.index, name, &address)?;
        let (agent, launcher) = self.jobs(&member, &address);
        let runner = Runner { member, address, agent: Keeper::new(agent), launcher: Keeper::new(launcher) };
        for keeper in [&runner.launcher, &runner.agent] {
            self.keepers.spawn(keeper.clone().keep(self.teller.clone()));
        }
        tracing::info!(%name, uid = %runner.member.uid, port = runner.address.port, "the member is kept running");
        Ok(runner)
    }

    fn jobs(&self, member: &Member, address: &Address) -> (Job, Job) {
        let node = self.dir().node(&member.name);
        let folder = node.root().to_owned();
        let mut agent: Vec<OsString> = vec!["agent".into()];
        let mut option = |name: &str, value: OsString| agent.extend([name.into(), value]);
        option("--name", member.name.as_str().into());
        option("--cluster", self.cluster().cluster.as_str().into());
        option("--uid", member.uid.as_str().into());
        option("--dir", folder.clone().into());
        option("--token-file", self.dir().token().into());
        option("--server", self.binaries.server.clone().into());
        option("--ip", address.ip.to_string().into());
        option("--port", address.port.to_string().into());
        option("--bus-port", address.bus_port.to_string().into());
        option("--http-port", address.http_port.to_string().into());
        if self.dir().was_never_founded() {
            agent.push("--may-found".into());
        }
        let job = |what, args, lock| Job {
            what,
            name: member.name.clone(),
            program: self.binaries.agent.clone(),
            args,
            log: folder.join(format!("{what}.log")),
            folder: folder.clone(),
            lock,
        };
        let launcher = vec!["launch".into(), "--dir".into(), folder.clone().into()];
        (job("agent", agent, node.agent_lock()), job("launcher", launcher, node.launcher_lock()))
    }

    /// Stops the member and removes its folder, in the background.
    fn begin_removal(&mut self, name: &NodeName) {
        let Some(runner) = self.runners.get(name) else { return };
        if !self.going.insert(name.clone()) {
            return;
        }
        tracing::info!(%name, "the member is removed");
        let (name, dir) = (name.clone(), self.dir().clone());
        let (stopping, hurry) = (runner.stopping(&dir), self.hurry.subscribe());
        self.removals.spawn(async move {
            let removed = match stopping.run(hurry).await {
                Stopped::Not => Err(format!("a process of {name} does not end: end it by hand")),
                Stopped::InOrder | Stopped::ByForce => folders::remove(&dir, &name).map_err(String::from),
            };
            (name, removed)
        });
    }

    fn end_removal(&mut self, name: &NodeName, removed: Result<(), String>) {
        self.going.remove(name);
        self.runners.remove(name);
        self.index.remove(name);
        let written = self.opened.dir.write_index(&self.index).map_err(String::from);
        match removed.and(written) {
            Ok(()) => self.obstacles.remove(name),
            Err(why) => self.obstacles.insert(name.clone(), why),
        };
    }
}

impl Machine for LocalMachine {
    const GIVES_UP: bool = true;

    fn members(&self) -> Vec<MachineMember> {
        let shown = self.runners.iter().map(|(name, runner)| {
            let presence = if self.going.contains(name) { Presence::Gone } else { runner.presence(self.dir()) };
            runner.shown(presence)
        });
        shown.collect()
    }

    async fn ensure(&mut self, wanted: u32) {
        for ordinal in 0..wanted {
            self.try_one(ordinal);
        }
        let cluster = &self.opened.cluster;
        self.obstacles.retain(|name, _| opening::ordinal(cluster, name).is_some_and(|ordinal| ordinal < wanted));
    }

    async fn remove(&mut self, name: &NodeName) {
        self.begin_removal(name);
    }

    /// Nothing of a local member is ever out of date: its server gets its configuration from its agent.
    async fn renew(&mut self, _member: &Member) {}

    fn problems(&self) -> Vec<Problem> {
        let keepers = self.runners.values().flat_map(|runner| [&runner.agent, &runner.launcher]);
        let trouble = keepers.filter_map(Keeper::trouble).map(|why| Problem::new("ProcessEnds", why));
        let obstacles = self
            .obstacles
            .iter()
            .map(|(name, why)| Problem::new("MemberNotStarted", format!("{name} cannot be started: {why}")));
        trouble.chain(obstacles).collect()
    }

    async fn changed(&mut self) {
        tokio::select! {
            Some(news) = self.news.recv() => {
                if let News::FolderLost(name) = news {
                    tracing::warn!(%name, "the folder is gone; the member is made anew");
                    self.begin_removal(&name);
                }
            }
            Some(ended) = self.removals.join_next() => match ended {
                Ok((name, removed)) => self.end_removal(&name, removed),
                Err(error) => tracing::error!(%error, "a removal broke off"),
            },
            Some(_) = self.keepers.join_next() => {}
        }
    }
}

impl Runner {
    fn stopping(&self, dir: &Dir) -> Stopping {
        let node = dir.node(&self.member.name);
        Stopping { node, agent: self.agent.clone(), launcher: self.launcher.clone() }
    }

    fn presence(&self, dir: &Dir) -> Presence {
        let server = dir.node(&self.member.name).server_lock();
        let is_down = self.agent.is_down() && is_free(&server);
        if is_down { Presence::Down } else { Presence::Present }
    }

    fn shown(&self, presence: Presence) -> MachineMember {
        MachineMember {
            member: self.member.clone(),
            address: self.address.clone(),
            host: None,
            zone: None,
            presence,
            outdated: false,
            unborn: false,
            memory: ContainerMemory::default(),
        }
    }
}
