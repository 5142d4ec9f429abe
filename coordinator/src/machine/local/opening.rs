//! Opening a local cluster's folder: everything that can be wrong is looked at before anything is made or started.

use std::fs;
use std::path::Path;

use redisnode_proto::NodeName;

use super::dir::{ClusterFile, Dir, Found, MemberFile};
use super::{folders, ports, random};
use crate::failure::Failure;
use crate::files::{FileError, Lock, LockState, Readable, is_free, look, read_json, write_durably, write_json};

/// The first port when none is given.
pub const DEFAULT_PORT: u16 = 7000;

/// A local cluster's folder that this process has for itself.
#[derive(Debug)]
pub struct Opened {
    /// Its paths, absolute.
    pub dir: Dir,
    /// Whose it is.
    pub cluster: ClusterFile,
    /// Held until this is dropped.
    _lock: Lock,
}

impl Opened {
    /// Everything that may stand in the way of [`Self::open`], without changing anything. Returns whose the folder is,
    /// or will be.
    pub fn check(root: &Path, name: &str, port: Option<u16>, members: u32) -> Result<ClusterFile, Failure> {
        let dir = Dir::at(root);
        let known = known_cluster(&dir, name)?;
        refuse_if_locked(&dir, look(&dir.lock())?)?;
        let cluster = match known {
            Some(known) => ClusterFile { port: port.unwrap_or(known.port), ..known },
            None => new_cluster(name, port.unwrap_or(DEFAULT_PORT))?,
        };
        check_ports(&dir, &cluster, members)?;
        Ok(cluster)
    }

    /// Opens the folder `root` for the cluster `name`, or makes it. `members` is how many the spec asks for.
    pub fn open(root: &Path, name: &str, port: Option<u16>, members: u32) -> Result<Self, Failure> {
        let cluster = Self::check(root, name, port, members)?;
        let dir = Dir::at(root);
        let nodes = dir.nodes();
        fs::create_dir_all(&nodes).map_err(|source| FileError::io("make the folder", &nodes, source))?;
        let root = fs::canonicalize(root).map_err(|source| FileError::io("find", root, source))?;
        let dir = Dir::at(root);
        let lock = match Lock::take(&dir.lock())? {
            Ok(lock) => lock,
            Err(pid) => return Err(in_use(&dir, pid)),
        };
        // The cluster's own file comes last: it says that everything else is there.
        if !dir.token().exists() {
            let token = random::hex(32).map_err(Failure::Runtime)?;
            write_durably(&dir.token(), format!("{token}\n").as_bytes(), Readable::ByOwner)?;
        }
        write_json(&dir.cluster(), &cluster)?;
        Ok(Self { dir, cluster, _lock: lock })
    }
}

fn known_cluster(dir: &Dir, name: &str) -> Result<Option<ClusterFile>, Failure> {
    let place = dir.root().display();
    match dir.found()? {
        Found::Nothing => Ok(None),
        Found::Cluster(known) if known.name == name => Ok(Some(known)),
        Found::Cluster(known) => Err(Failure::Input(format!(
            "{place} keeps the cluster {}, and the file is about {name}: choose another folder with --dir",
            known.name
        ))),
        Found::Other(entry) => Err(Failure::Input(format!(
            "{place} keeps no cluster and is not empty (it has {entry}): choose another folder with --dir"
        ))),
    }
}

fn refuse_if_locked(dir: &Dir, lock: LockState) -> Result<(), Failure> {
    match lock {
        LockState::Free => Ok(()),
        LockState::Held(pid) => Err(in_use(dir, pid)),
    }
}

fn in_use(dir: &Dir, pid: Option<u32>) -> Failure {
    let who = pid.map_or_else(|| "another coordinator".to_owned(), |pid| format!("the coordinator with pid {pid}"));
    let place = dir.root().display();
    Failure::Runtime(format!("{place} is in use by {who}: stop that one first, or choose another folder with --dir"))
}

fn new_cluster(name: &str, port: u16) -> Result<ClusterFile, Failure> {
    let cluster = random::hex(16).map_err(Failure::Runtime)?.parse().map_err(Failure::runtime)?;
    Ok(ClusterFile { cluster, name: name.to_owned(), port })
}

/// Members that run keep their ports; those of all others must be free.
fn check_ports(dir: &Dir, cluster: &ClusterFile, members: u32) -> Result<(), Failure> {
    let existing = folders::names(dir)?;
    let ordinals = existing.iter().filter_map(|name| ordinal(cluster, name));
    let ordinals: std::collections::BTreeSet<u32> = ordinals.chain(0..members).collect();
    let all = ordinals.last().map_or(members, |last| last.saturating_add(1));
    ports::check_fit(cluster, all).map_err(Failure::Input)?;
    for ordinal in ordinals {
        let name = NodeName::of(&cluster.name, ordinal).map_err(Failure::input)?;
        let Some(address) = cluster.address(ordinal) else { continue };
        let node = dir.node(&name);
        let runs = [node.agent_lock(), node.server_lock()].iter().any(|lock| !is_free(lock));
        if !runs {
            ports::check_free(name.as_str(), &address).map_err(Failure::Runtime)?;
            continue;
        }
        let written = read_json::<MemberFile>(&node.member()).ok().flatten();
        if let Some(file) = written.filter(|file| file.name == name && file.port != address.port) {
            let first = u32::from(file.port).saturating_sub(ordinal);
            return Err(Failure::Input(format!(
                "{name} runs on port {}: give --port {first}, or leave --port out",
                file.port
            )));
        }
    }
    Ok(())
}

/// The ordinal of `name`, if it is a member's name of this cluster.
pub(super) fn ordinal(cluster: &ClusterFile, name: &NodeName) -> Option<u32> {
    let ordinal = name.ordinal()?;
    (NodeName::of(&cluster.name, ordinal).ok().as_ref() == Some(name)).then_some(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    /// Far from the ports of anything else that is tested.
    const PORT: Option<u16> = Some(14_100);

    fn open(folder: &Folder, name: &str) -> Result<Opened, Failure> {
        Opened::open(&folder.path().join("run"), name, PORT, 1)
    }

    #[test]
    fn the_same_folder_continues_the_same_cluster() {
        let folder = Folder::new("opening-same");
        let first = open(&folder, "my").unwrap().cluster;
        let token = fs::read(folder.path().join("run/token")).unwrap();
        let again = Opened::open(&folder.path().join("run"), "my", None, 1).unwrap();
        assert_eq!(again.cluster, first, "the port too");
        assert_eq!(fs::read(again.dir.token()).unwrap(), token);
    }

    #[test]
    fn a_second_coordinator_is_told_who_was_first() {
        let folder = Folder::new("opening-second");
        let _first = open(&folder, "my").unwrap();
        let error = open(&folder, "my").unwrap_err();
        let pid = format!("in use by the coordinator with pid {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
        assert_eq!(error.code(), 1);
    }

    #[test]
    fn a_folder_of_another_cluster_or_of_anything_else_is_refused_and_left_alone() {
        let folder = Folder::new("opening-other");
        drop(open(&folder, "my").unwrap());
        let error = open(&folder, "your").unwrap_err();
        assert!(error.to_string().contains("keeps the cluster my, and the file is about your"), "{error}");
        assert_eq!(error.code(), 2);
        let other = Folder::new("opening-thesis");
        fs::write(other.path().join("thesis.tex"), "x").unwrap();
        let error = Opened::open(other.path(), "my", PORT, 1).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_port_in_use_leaves_nothing_behind() {
        let folder = Folder::new("opening-port");
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port().min(55_000);
        let held = if port == held.local_addr().unwrap().port() {
            held
        } else {
            std::net::TcpListener::bind(("127.0.0.1", port)).unwrap()
        };
        let error = Opened::open(&folder.path().join("run"), "my", Some(port), 1).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port}")), "{error}");
        assert!(!folder.path().join("run").exists());
        drop(held);
    }
}
