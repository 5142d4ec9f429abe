//! The agent's command line. Every option can come from an environment variable: on Kubernetes all of them do.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use redisnode_proto::{Address, ClusterId, Member, NodeName, Uid};

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

impl AgentArgs {
    /// Name and incarnation.
    pub(super) fn member(&self) -> Member {
        Member { name: self.name.clone(), uid: self.uid.clone() }
    }

    /// Where the node is reached.
    pub(super) fn address(&self) -> Address {
        Address { ip: self.ip, port: self.port, bus_port: self.bus_port, http_port: self.http_port }
    }

    /// Where the agent listens.
    pub(super) fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.http_port)
    }
}
