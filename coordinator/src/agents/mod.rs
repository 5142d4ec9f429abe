//! What the agents say: one long poll per member, the newest Report of each, and when it was last confirmed.

mod watcher;

use std::collections::BTreeMap;

use redisnode_http::Client;
use redisnode_planner::{FRESH_FOR, Heard, MachineMember};
use redisnode_proto::{Address, ClusterId, Member, Millis, NodeName};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use self::watcher::{Said, Watcher};
use crate::clock::Clock;

/// Listens to all agents.
#[derive(Debug)]
pub struct Agents {
    client: Client,
    clock: Clock,
    cluster: ClusterId,
    watched: BTreeMap<NodeName, Watched>,
    heard: BTreeMap<NodeName, Heard>,
    /// Why an agent was not heard at the last try.
    silent: BTreeMap<NodeName, String>,
    watchers: JoinSet<()>,
    said: mpsc::Receiver<(Member, Said)>,
    tell: mpsc::Sender<(Member, Said)>,
}

#[derive(Debug)]
struct Watched {
    member: Member,
    address: Address,
    task: AbortHandle,
}

impl Agents {
    /// Listens to nobody yet.
    pub fn new(client: Client, clock: Clock, cluster: ClusterId) -> Self {
        let (tell, said) = mpsc::channel(64);
        Self {
            client,
            clock,
            cluster,
            watched: BTreeMap::new(),
            heard: BTreeMap::new(),
            silent: BTreeMap::new(),
            watchers: JoinSet::new(),
            said,
            tell,
        }
    }

    /// The newest Report of each member.
    pub fn heard(&self) -> &BTreeMap<NodeName, Heard> {
        &self.heard
    }

    /// Why agents were not heard at the last try.
    pub fn silent(&self) -> &BTreeMap<NodeName, String> {
        &self.silent
    }

    /// When the first of these Reports will say nothing about now any more, unless it is confirmed before.
    pub fn fresh_until(&self) -> Option<Millis> {
        self.heard.values().map(|heard| heard.at.after(FRESH_FOR)).min()
    }

    /// Listens to exactly these members from now on.
    pub fn watch(&mut self, members: &[MachineMember]) {
        let wanted: BTreeMap<&NodeName, &MachineMember> = members.iter().map(|m| (&m.member.name, m)).collect();
        self.heard.retain(|name, _| wanted.contains_key(name));
        self.silent.retain(|name, _| wanted.contains_key(name));
        self.watched.retain(|name, watched| {
            let stays = wanted.get(name).is_some_and(|m| m.member == watched.member && m.address == watched.address);
            if !stays {
                watched.task.abort();
            }
            stays
        });
        for (name, machine) in wanted {
            if self.watched.contains_key(name) {
                continue;
            }
            let watcher = Watcher {
                client: self.client.clone(),
                cluster: self.cluster.clone(),
                member: machine.member.clone(),
                agent: machine.address.agent(),
            };
            let task = self.watchers.spawn(watcher.listen(self.tell.clone()));
            let watched = Watched { member: machine.member.clone(), address: machine.address.clone(), task };
            self.watched.insert(name.clone(), watched);
        }
    }

    /// Comes back when a Report has changed. May be dropped at any time without losing one.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                Some((member, said)) = self.said.recv() => {
                    if self.take(&member, said) {
                        return;
                    }
                }
                Some(ended) = self.watchers.join_next() => {
                    if let Err(error) = ended && !error.is_cancelled() {
                        tracing::error!(%error, "a watcher of an agent broke off");
                    }
                }
            }
        }
    }

    /// Takes what has been said already.
    pub fn catch_up(&mut self) {
        while let Ok((member, said)) = self.said.try_recv() {
            self.take(&member, said);
        }
    }

    /// True when there is something to decide anew.
    fn take(&mut self, member: &Member, said: Said) -> bool {
        let name = &member.name;
        if self.watched.get(name).is_none_or(|watched| watched.member != *member) {
            return false;
        }
        let at = self.clock.now();
        match said {
            Said::Report(report) => {
                let was_silent = self.silent.remove(name).is_some();
                // Counters alone are nothing to decide anew for; the next decision sees them.
                let news = self.heard.get_mut(name).is_none_or(|heard| {
                    heard.report.count_as(&report);
                    heard.report != *report
                });
                self.heard.insert(name.clone(), Heard { report: *report, at });
                was_silent || news
            }
            Said::Unchanged => {
                if let Some(heard) = self.heard.get_mut(name) {
                    heard.at = at;
                }
                self.silent.remove(name).is_some()
            }
            Said::Nothing(why) => self.silent.insert(name.clone(), why.clone()) != Some(why),
        }
    }
}
