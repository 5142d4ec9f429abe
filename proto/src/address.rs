//! Where a node is reached: the server's client port, its bus port, and the agent's HTTP port.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The address of a node. Only a hint until the agent there has proved the cluster's token, its name and its node id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// IP address of the server and its agent.
    pub ip: IpAddr,
    /// The server's client port.
    pub port: u16,
    /// The server's cluster bus port.
    pub bus_port: u16,
    /// The agent's HTTP port.
    pub http_port: u16,
}

impl Address {
    /// Where clients reach the server.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// Where the agent serves HTTP.
    pub fn agent(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.http_port)
    }
}
