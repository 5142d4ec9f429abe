//! Small numbers that stand for ids and addresses inside the model, and their translation to the vocabulary's types.

use std::net::{IpAddr, Ipv4Addr};

use redisnode_proto::{Address, NodeId};

/// A server's id on the bus. Orders as the 40 digits do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64);

impl Id {
    /// The id as the servers write it.
    pub(crate) fn node_id(self) -> NodeId {
        format!("{:016x}{:024x}", self.0, 0).parse().unwrap()
    }

    /// The number behind an id of this model.
    pub(crate) fn of(id: &NodeId) -> Self {
        Self(u64::from_str_radix(&id.as_str()[..16], 16).unwrap())
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0 >> 32)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// An IP address of the model's network. One node has it at a time; it may be dealt to another one later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Addr(pub(crate) u16);

impl Addr {
    /// As the vocabulary writes it.
    pub(crate) fn ip(self) -> IpAddr {
        let [high, low] = self.0.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
    }

    /// Server, bus and agent at this address.
    pub(crate) fn address(self) -> Address {
        Address { ip: self.ip(), port: 6379, bus_port: 16379, http_port: 8080 }
    }

    /// The number behind an address of this model.
    pub(crate) fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => {
                let [_, _, high, low] = ip.octets();
                Some(Self(u16::from_be_bytes([high, low])))
            }
            IpAddr::V6(_) => None,
        }
    }
}
