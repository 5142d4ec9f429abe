//! The agent's command line. Every option can come from an environment variable: on Kubernetes all of them do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use redisnode_proto::{Address, ClusterId, Member, NodeName, Uid};

use super::places::Place;

/// Who the node is and where it lives.
#[derive(Clone, Debug, clap::Args)]
pub struct AgentArgs {
    /// The node's name: its pod's name.
    #[arg(long, env = "REDISNODE_NAME")]
    pub name: NodeName,
    /// The identity of the cluster it belongs to.
    #[arg(long, env = "REDISNODE_CLUSTER")]
    pub cluster: ClusterId,
    /// This incarnation of the node: its pod's uid.
    #[arg(long, env = "REDISNODE_UID")]
    pub uid: Uid,
    /// The member's folder, shared with its launcher.
    #[arg(long, env = "REDISNODE_DIR")]
    pub dir: PathBuf,
    /// File with the cluster's token.
    #[arg(long, env = "REDISNODE_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// The cluster has never been founded: a node without identity may start before it knows a Layout.
    #[arg(long, env = "REDISNODE_MAY_FOUND", value_parser = FalseyValueParser::new())]
    pub may_found: bool,
    /// The server's program, as its launcher finds it; `auto`: redis-server or valkey-server, whichever is there.
    #[arg(long, default_value = "redis-server", env = "REDISNODE_SERVER")]
    pub server: PathBuf,
    /// The address that peers and clients are told.
    #[arg(long, default_value = "127.0.0.1", env = "REDISNODE_IP")]
    pub ip: IpAddr,
    /// Where server and agent listen: `all`, or an address; the node's own address if it is not given.
    #[arg(long, env = "REDISNODE_LISTEN")]
    pub listen: Option<Listen>,
    /// Where the other members are looked for when their addresses have changed: a domain under whose names they are
    /// found (`<member>.<domain>`), or agents by host and port; several are separated by commas.
    #[arg(long, env = "REDISNODE_PEERS", value_delimiter = ',')]
    pub peers: Vec<Place>,
    /// The server's client port.
    #[arg(long, default_value_t = 6379, env = "REDISNODE_PORT")]
    pub port: u16,
    /// The server's bus port.
    #[arg(long, default_value_t = 16379, env = "REDISNODE_BUS_PORT")]
    pub bus_port: u16,
    /// The agent's HTTP port.
    #[arg(long, default_value_t = 8080, env = "REDISNODE_HTTP_PORT")]
    pub http_port: u16,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On every interface.
    All,
    /// On the one with this address.
    On(IpAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::On).map_err(|_| format!("{text}: give `all`, or an IP address of this machine"))
    }
}

impl AgentArgs {
    /// Name and incarnation.
    pub(super) fn member(&self) -> Member {
        Member { name: self.name.clone(), uid: self.uid.clone() }
    }

    /// Where the node is reached.
    pub(super) fn address(&self) -> Address {
        Address { ip: self.ip, port: self.port, bus_port: self.bus_port, http_port: self.http_port }
    }

    /// The interface that server and agent listen on.
    pub(super) fn interface(&self) -> IpAddr {
        match self.listen {
            None => self.ip,
            Some(Listen::On(ip)) => ip,
            Some(Listen::All) if self.ip.is_ipv6() => Ipv6Addr::UNSPECIFIED.into(),
            Some(Listen::All) => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// Where the agent listens.
    pub(super) fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.interface(), self.http_port)
    }
}
