//! The folder that keeps a local cluster: who it belongs to, its token, its members. Read by the command line too.
//!
//! ```text
//! DIR/lock              held by the running coordinator
//! DIR/cluster.json      the cluster's identity, name and ports
//! DIR/members.json      the incarnation that each member's folder must have
//! DIR/token             shown by every caller of /v1
//! DIR/term              the term of the newest coordinator's life
//! DIR/coordinator.json  where the running coordinator listens
//! DIR/spec.yaml         the last valid spec
//! DIR/nodes/NAME/       one member
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use redisnode_proto::{Address, ClusterId, Member, NodeName, Uid};
use serde::{Deserialize, Serialize};

use crate::files::{FileError, LockState, look, read_json, write_json};

/// Added to a member's port: its bus.
pub const BUS_OFFSET: u16 = 10_000;
/// Added to a member's port: its agent's HTTP.
pub const HTTP_OFFSET: u16 = 1_000;

/// The paths of a local cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    root: PathBuf,
}

/// `cluster.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    /// The cluster's identity, random.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// The port of the member with ordinal 0; the others follow.
    pub port: u16,
}

/// `coordinator.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorFile {
    /// Its process number.
    pub pid: u32,
    /// Where it serves HTTP.
    pub listen: SocketAddr,
}

/// `members.json`: which incarnation each member's folder must have. A folder that says otherwise is another one.
pub type Index = BTreeMap<NodeName, Uid>;

/// `nodes/NAME/member.json`: whose folder it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFile {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member's name.
    pub name: NodeName,
    /// Its incarnation.
    pub uid: Uid,
    /// Its server's port.
    pub port: u16,
    /// Its server's bus port.
    pub bus_port: u16,
    /// Its agent's HTTP port.
    pub http_port: u16,
}

/// The paths of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDir {
    root: PathBuf,
}

/// What a folder that is to keep a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is there, or an empty folder.
    Nothing,
    /// It keeps this cluster.
    Cluster(ClusterFile),
    /// It has other things in it; one of them.
    Other(String),
}

impl Dir {
    /// The cluster in `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file `name` in it.
    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Held by the running coordinator.
    pub fn lock(&self) -> PathBuf {
        self.file("lock")
    }

    /// The cluster's identity.
    pub fn cluster(&self) -> PathBuf {
        self.file("cluster.json")
    }

    /// The members' incarnations.
    pub fn index(&self) -> PathBuf {
        self.file("members.json")
    }

    /// The token.
    pub fn token(&self) -> PathBuf {
        self.file("token")
    }

    /// The term.
    pub fn term(&self) -> PathBuf {
        self.file("term")
    }

    /// Where the running coordinator listens.
    pub fn coordinator(&self) -> PathBuf {
        self.file("coordinator.json")
    }

    /// The last valid spec.
    pub fn spec(&self) -> PathBuf {
        self.file("spec.yaml")
    }

    /// The folder of all members.
    pub fn nodes(&self) -> PathBuf {
        self.file("nodes")
    }

    /// Whether no member has ever obeyed a Layout: only then may a server start before it is known who the node was. What
    /// cannot be read counts as a Layout.
    pub fn was_never_founded(&self) -> bool {
        let Ok(entries) = std::fs::read_dir(self.nodes()) else { return true };
        entries.flatten().all(|entry| {
            let ledger = entry.path().join("ledger.json");
            let Ok(text) = std::fs::read(&ledger) else { return !ledger.exists() };
            serde_json::from_slice::<serde_json::Value>(&text)
                .is_ok_and(|value| value.get("layout").is_none_or(serde_json::Value::is_null))
        })
    }

    /// The folder of one member.
    pub fn node(&self, name: &NodeName) -> NodeDir {
        NodeDir { root: self.nodes().join(name.as_str()) }
    }

    /// What is there, without changing anything.
    pub fn found(&self) -> Result<Found, FileError> {
        if let Some(cluster) = read_json(&self.cluster())? {
            return Ok(Found::Cluster(cluster));
        }
        let listed = match fs::read_dir(&self.root) {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(source) => return Err(FileError::io("read the folder", &self.root, source)),
        };
        // The lock and a token without a cluster are what an interrupted first start leaves.
        let names = listed.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let other =
            names.into_iter().find(|name| !["lock", "token", "token.new", "cluster.json.new"].contains(&name.as_str()));
        Ok(other.map_or(Found::Nothing, Found::Other))
    }

    /// The members' incarnations; none if there are no members yet.
    pub fn read_index(&self) -> Result<Index, FileError> {
        Ok(read_json(&self.index())?.unwrap_or_default())
    }

    /// Writes the members' incarnations down.
    pub fn write_index(&self, index: &Index) -> Result<(), FileError> {
        write_json(&self.index(), index)
    }

    /// The running coordinator, if one runs.
    pub fn running_coordinator(&self) -> Result<Option<CoordinatorFile>, FileError> {
        match look(&self.lock())? {
            LockState::Free => Ok(None),
            LockState::Held(_) => read_json(&self.coordinator()),
        }
    }
}

impl ClusterFile {
    /// Where the member with this ordinal is reached; `None` beyond the last port.
    pub fn address(&self, ordinal: u32) -> Option<Address> {
        let port = self.port.checked_add(u16::try_from(ordinal).ok()?)?;
        Some(Address {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            bus_port: port.checked_add(BUS_OFFSET)?,
            http_port: port.checked_add(HTTP_OFFSET)?,
        })
    }

    /// Whose folder that of `member` is, and where it is reached.
    pub fn member_file(&self, member: &Member, address: &Address) -> MemberFile {
        MemberFile {
            cluster: self.cluster.clone(),
            name: member.name.clone(),
            uid: member.uid.clone(),
            port: address.port,
            bus_port: address.bus_port,
            http_port: address.http_port,
        }
    }
}

impl NodeDir {
    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whose folder it is.
    pub fn member(&self) -> PathBuf {
        self.root.join("member.json")
    }

    /// Held by the agent as long as it lives.
    pub fn agent_lock(&self) -> PathBuf {
        self.root.join("agent.lock")
    }

    /// Held by the launcher as long as it lives.
    pub fn launcher_lock(&self) -> PathBuf {
        self.root.join("launcher.lock")
    }

    /// Held by the server and its children as long as one of them lives.
    pub fn server_lock(&self) -> PathBuf {
        self.root.join("server.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn cluster() -> ClusterFile {
        ClusterFile { cluster: "c1".parse().unwrap(), name: "my".to_owned(), port: 7000 }
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_told_from_an_empty_one_and_from_ours() {
        let folder = Folder::new("dir-found");
        let dir = Dir::at(folder.path().join("run"));
        assert_eq!(dir.found().unwrap(), Found::Nothing);
        fs::create_dir(dir.root()).unwrap();
        fs::write(dir.lock(), "").unwrap();
        assert_eq!(dir.found().unwrap(), Found::Nothing);
        fs::write(dir.root().join("thesis.tex"), "").unwrap();
        assert_eq!(dir.found().unwrap(), Found::Other("thesis.tex".to_owned()));
        write_json(&dir.cluster(), &cluster()).unwrap();
        assert_eq!(dir.found().unwrap(), Found::Cluster(cluster()));
    }

    #[test]
    fn ports_end_where_the_last_bus_port_would_be_too_high() {
        let address = cluster().address(3).unwrap();
        assert_eq!((address.port, address.bus_port, address.http_port), (7003, 17003, 8003));
        assert!(cluster().address(48_535).is_some());
        assert!(cluster().address(48_536).is_none());
    }
}
