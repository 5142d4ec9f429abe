//! Where members are looked for whose address is not known: by the names of a headless Service, or at agents that the
//! user names. What is found there counts only after the agent has said who it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use redisnode_proto::NodeName;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Most names that are asked for at once: each holds a thread as long as the system's resolver takes.
const MOST_AT_ONCE: usize = 8;
/// How long a round waits for names. A lookup that takes longer goes on, and serves a later round.
const ROUND_WAITS: Duration = Duration::from_millis(500);

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A domain: member `x` is looked for at `x.<domain>`, and all of them at the domain itself.
    Domain(String),
    /// One agent: its host (a name or an address) and HTTP port. Whose it is, it says itself.
    Agent(String, u16),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text}: give a domain, or the host and port of an agent (r-1.example:8080, [fd00::1]:8080)");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Agent(address.ip().to_string(), address.port()));
        }
        let is_name = |name: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && name.len() <= 253 && name.bytes().all(legal)
        };
        match text.split_once(':') {
            None if is_name(text) => Ok(Self::Domain(text.to_owned())),
            Some((host, port)) if is_name(host) => Ok(Self::Agent(host.to_owned(), port.parse().map_err(|_| wrong())?)),
            None | Some(_) => Err(wrong()),
        }
    }
}

/// Asks for names, off the main loop, and keeps what was answered last: a name that does not resolve now, or whose old
/// answer is still cached somewhere, says nothing about where its owner is.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    known: BTreeMap<String, Vec<IpAddr>>,
    under_way: BTreeSet<String>,
    lookups: JoinSet<(String, std::io::Result<Vec<IpAddr>>)>,
}

impl Resolver {
    /// Where these members' agents may be. `http_port` is the one that members of a domain have in common.
    pub(super) async fn agents(&mut self, places: &[Place], missing: &[NodeName], http_port: u16) -> Vec<SocketAddr> {
        let wanted = names(places, missing, http_port);
        self.look_up(wanted.iter().map(|(host, _)| host)).await;
        let found = wanted.iter().flat_map(|(host, port)| {
            let known = self.known.get(host).into_iter().flatten();
            known.map(|ip| SocketAddr::new(*ip, *port))
        });
        found.collect()
    }

    async fn look_up(&mut self, hosts: impl Iterator<Item = &String>) {
        let until = Instant::now() + ROUND_WAITS;
        for host in hosts {
            if let Ok(ip) = host.parse() {
                self.known.insert(host.clone(), vec![ip]);
                continue;
            }
            while self.under_way.len() >= MOST_AT_ONCE && self.take_one(until).await {}
            if self.under_way.len() < MOST_AT_ONCE && self.under_way.insert(host.clone()) {
                self.lookups.spawn(resolve(host.clone()));
            }
        }
        while self.take_one(until).await {}
    }

    /// Takes in one answer; false when there is none to wait for, or no time.
    async fn take_one(&mut self, until: Instant) -> bool {
        let Ok(Some(Ok((host, answer)))) = timeout_at(until, self.lookups.join_next()).await else { return false };
        self.under_way.remove(&host);
        match answer {
            Ok(addresses) => drop(self.known.insert(host, addresses)),
            Err(error) => tracing::debug!(host, %error, "the name does not resolve"),
        }
        true
    }
}

async fn resolve(host: String) -> (String, std::io::Result<Vec<IpAddr>>) {
    let answer = tokio::net::lookup_host((host.as_str(), 0)).await;
    let answer = answer.map(|addresses| addresses.map(|address| address.ip()).collect());
    (host, answer)
}

/// Hosts and ports to look at. Without names to look for, everybody behind a domain.
fn names(places: &[Place], missing: &[NodeName], http_port: u16) -> Vec<(String, u16)> {
    let mut all = Vec::new();
    for place in places {
        match place {
            Place::Agent(host, port) => all.push((host.clone(), *port)),
            Place::Domain(domain) if missing.is_empty() => all.push((domain.clone(), http_port)),
            Place::Domain(domain) => all.extend(missing.iter().map(|name| (format!("{name}.{domain}"), http_port))),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse().unwrap()
    }

    #[test]
    fn a_domain_and_an_agent_are_told_apart() {
        assert_eq!(place("c-nodes.ns.svc"), Place::Domain("c-nodes.ns.svc".into()));
        assert_eq!(place("localhost:8080"), Place::Agent("localhost".into(), 8080));
        assert_eq!(place("127.1.0.1:8080"), Place::Agent("127.1.0.1".into(), 8080));
        assert_eq!(place("[fd00::1]:8080"), Place::Agent("fd00::1".into(), 8080));
        for wrong in ["", "a b", "host:port", ":8080", "fd00::1"] {
            assert!(wrong.parse::<Place>().unwrap_err().contains("give a domain"), "{wrong}");
        }
    }

    #[test]
    fn members_are_looked_for_by_name_and_everybody_where_no_name_is_known() {
        let places = [place("c-nodes.ns.svc"), place("127.1.0.1:9000")];
        let one = ("127.1.0.1".to_owned(), 9000);
        let by_name = names(&places, &["c-3".parse().unwrap()], 8080);
        assert_eq!(by_name, [("c-3.c-nodes.ns.svc".to_owned(), 8080), one.clone()]);
        assert_eq!(names(&places, &[], 8080), [("c-nodes.ns.svc".to_owned(), 8080), one]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_any_more_keeps_its_last_answer() {
        let mut resolver = Resolver::default();
        let gone = "c-1.gone.invalid".to_owned();
        resolver.known.insert(gone, vec!["10.0.0.9".parse().unwrap()]);
        let places = [place("gone.invalid"), place("localhost:9"), place("127.1.0.1:9")];
        let missing = ["c-1", "c-2"].map(|name| name.parse().unwrap());
        let found = resolver.agents(&places, &missing, 8080).await;
        assert!(found.contains(&"10.0.0.9:8080".parse().unwrap()), "{found:?}");
        assert!(found.contains(&"127.1.0.1:9".parse().unwrap()), "{found:?}");
        assert!(found.contains(&"127.0.0.1:9".parse().unwrap()), "{found:?}");
    }
}
