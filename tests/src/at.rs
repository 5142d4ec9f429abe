//! Where a server listens. Most tests run all servers on this machine and name them by port alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address of a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(SocketAddr);

impl At {
    /// Its IP address, as a client is given it.
    pub fn host(self) -> String {
        self.0.ip().to_string()
    }

    /// Its port.
    pub fn port(self) -> u16 {
        self.0.port()
    }
}

/// A port of this machine.
impl From<u16> for At {
    fn from(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl From<SocketAddr> for At {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl From<At> for SocketAddr {
    fn from(at: At) -> Self {
        at.0
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
