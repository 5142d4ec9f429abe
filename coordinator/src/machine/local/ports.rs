//! Whether a member's ports are free, and whether all ports of a cluster fit.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use redisnode_proto::Address;

use super::dir::{BUS_OFFSET, ClusterFile, HTTP_OFFSET};

/// The first of the member's ports that somebody else uses, as a sentence.
pub(super) fn check_free(name: &str, address: &Address) -> Result<(), String> {
    let uses = [(address.port, "its server"), (address.bus_port, "its server's bus"), (address.http_port, "its agent")];
    for (port, whose) in uses {
        match TcpListener::bind(SocketAddr::new(address.ip, port)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(format!(
                    "port {port}, which {name} needs for {whose}, is in use: stop what uses it, or choose others with \
                     --port"
                ));
            }
            Err(error) => return Err(format!("port {port}, which {name} needs for {whose}, cannot be used: {error}")),
        }
    }
    Ok(())
}

/// Whether `members` members fit between the first port and the last.
pub(super) fn check_fit(cluster: &ClusterFile, members: u32) -> Result<(), String> {
    let last = members.saturating_sub(1);
    if cluster.port == 0 || cluster.address(last).is_none() {
        return Err(format!(
            "{members} members from port {} on do not fit: each has its bus at its port + {BUS_OFFSET}; choose a port \
             from 1 to {} with --port",
            cluster.port,
            u32::from(u16::MAX - BUS_OFFSET).saturating_sub(last),
        ));
    }
    if last >= u32::from(HTTP_OFFSET) {
        return Err(format!("at most {HTTP_OFFSET} members run on one machine, and the spec asks for {members}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(port: u16) -> ClusterFile {
        ClusterFile { cluster: "c1".parse().unwrap(), name: "my".to_owned(), port }
    }

    #[test]
    fn a_port_in_use_is_named_with_who_needs_it() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address {
            ip: "127.0.0.1".parse().unwrap(),
            port: held.local_addr().unwrap().port(),
            bus_port: 0,
            http_port: 0,
        };
        let error = check_free("my-0", &address).unwrap_err();
        assert!(error.contains("which my-0 needs for its server, is in use"), "{error}");
        drop(held);
        check_free("my-0", &address).unwrap();
    }

    #[test]
    fn members_that_do_not_fit_are_refused_with_what_to_choose() {
        check_fit(&cluster(7000), 6).unwrap();
        assert!(check_fit(&cluster(55_535), 2).unwrap_err().contains("from 1 to 55534"));
        check_fit(&cluster(55_535), 1).unwrap();
        assert!(check_fit(&cluster(7000), 1001).unwrap_err().contains("at most 1000"));
        check_fit(&cluster(7000), 1000).unwrap();
    }
}
