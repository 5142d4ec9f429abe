//! The member's folder: whose it is, what its server would start with, and moving data aside. Nothing here deletes data
//! but [`empty`], which a member that has left calls.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use redisnode_proto::report::{Disk, DiskIdentity};
use redisnode_proto::topology::BadReply;
use redisnode_proto::topology::nodes::{
    align_shard_ids, clear_failures, edit_addresses, forget_addresses, identity_of,
};
use redisnode_proto::{ClusterId, Ledger, Member, NodeId, NodeName};
use serde::Deserialize;

use crate::files::{FileError, read_json, write_durably};

pub(super) const NODES_CONF: &str = "nodes.conf";
const DUMP: &str = "dump.rdb";
const APPEND_DIR: &str = "appendonlydir";
/// An append-only file with no command in it is smaller than this: a header, or nothing. A base file in RDB form
/// without keys has 88 to 120 bytes on the servers that were looked at.
const EMPTY_BASE: u64 = 160;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else could not be read or moved.
    #[error("cannot use {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// nodes.conf is damaged.
    #[error("nodes.conf cannot be read; restore it, or remove the folder's data if a replica has a copy")]
    NodesConf(#[from] BadReply),
    /// It is not this node's.
    #[error("{0}")]
    Foreign(String),
}

#[derive(Deserialize)]
struct MemberFile {
    cluster: ClusterId,
    name: NodeName,
}

/// The ledger of this folder, after it was checked that the folder is this node's.
pub(super) fn open(dir: &Path, cluster: &ClusterId, me: &Member) -> Result<Ledger, FolderError> {
    if let Some(file) = read_json::<MemberFile>(&dir.join("member.json"))? {
        check(dir, cluster, me, &file.cluster, &file.name)?;
    }
    let Some(mut ledger) = read_json::<Ledger>(&dir.join("ledger.json"))? else {
        return Ok(Ledger::new(cluster.clone(), me.clone()));
    };
    check(dir, cluster, me, &ledger.cluster, &ledger.member.name)?;
    ledger.member = me.clone();
    Ok(ledger)
}

fn check(dir: &Path, cluster: &ClusterId, me: &Member, found: &ClusterId, name: &NodeName) -> Result<(), FolderError> {
    let whose = if found != cluster {
        format!("the folder {} belongs to another cluster ({found}, not {cluster})", dir.display())
    } else if *name != me.name {
        format!("the folder {} belongs to node {name}, not to {}", dir.display(), me.name)
    } else {
        return Ok(());
    };
    Err(FolderError::Foreign(format!(
        "{whose}; nothing in it was changed: put the right folder back, or remove this one to start the node empty"
    )))
}

/// What the server would start with.
pub(super) fn look(dir: &Path) -> Result<Disk, FolderError> {
    let identity = match read_text(&dir.join(NODES_CONF))? {
        Some(text) => identity_of(&text)?.map(|stored| DiskIdentity {
            id: stored.id,
            role: stored.role,
            primary: stored.primary,
            epoch: stored.epoch,
            slots: stored.slots,
            open: stored.open,
        }),
        None => None,
    };
    Ok(Disk { identity, has_data: has_data(dir)? })
}

fn has_data(dir: &Path) -> Result<bool, FolderError> {
    if size(&dir.join(DUMP))?.is_some_and(|bytes| bytes > EMPTY_BASE) {
        return Ok(true);
    }
    let append = dir.join(APPEND_DIR);
    let io = |source| FolderError::Io { path: append.clone(), source };
    let entries = match fs::read_dir(&append) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(io(source)),
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let bytes = entry.metadata().map_err(io)?.len();
        let is_base = name.to_string_lossy().contains(".base.");
        let is_incr = name.to_string_lossy().contains(".incr.");
        if (is_base && bytes > EMPTY_BASE) || (is_incr && bytes > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn size(path: &Path) -> Result<Option<u64>, FolderError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::Io { path: path.to_owned(), source }),
    }
}

fn read_text(path: &Path) -> Result<Option<String>, FolderError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::Io { path: path.to_owned(), source }),
    }
}

/// What is known of addresses before a start.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// IP, client port and bus port of servers whose agents have proved who they are.
    pub(super) proved: BTreeMap<NodeId, (IpAddr, u16, u16)>,
    /// Addresses are dealt anew here: what is not proved may be another's by now, and who did not answer at its old one
    /// has not failed.
    pub(super) dealt_anew: bool,
}

/// Makes nodes.conf fit for a start: addresses of known peers are brought up to date, those that are another's now are
/// forgotten, as are failures of the last life, and shard ids that the server would not start with are aligned; nothing else of a line is ever changed.
pub(super) fn mend_nodes_conf(dir: &Path, known: &Known) -> Result<(), FolderError> {
    let path = dir.join(NODES_CONF);
    let Some(text) = read_text(&path)? else { return Ok(()) };
    let mut mended = edit_addresses(&text, &known.proved)?.unwrap_or_else(|| text.clone());
    if known.dealt_anew {
        let primary = identity_of(&mended)?.and_then(|own| own.primary);
        mended = forget_addresses(&mended, &known.proved, primary.as_ref())?.unwrap_or(mended);
        mended = clear_failures(&mended)?.unwrap_or(mended);
    }
    mended = align_shard_ids(&mended)?.unwrap_or(mended);
    if mended != text {
        write_durably(&path, mended.as_bytes())?;
    }
    Ok(())
}

/// Moves the data (not nodes.conf) into a folder of its own, and says which.
pub(super) fn set_aside(dir: &Path) -> Result<PathBuf, FolderError> {
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let aside = dir.join(format!("aside-{stamp}"));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Io { path, source }
    };
    fs::create_dir(&aside).map_err(io(&aside))?;
    for name in [DUMP, APPEND_DIR] {
        let from = dir.join(name);
        match fs::rename(&from, aside.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FolderError::Io { path: from, source }),
        }
    }
    Ok(aside)
}

/// Deletes data and identity: a kept volume must not bring the old id back. Only for a member that has left.
pub(super) fn empty(dir: &Path) -> Result<(), FolderError> {
    for name in [DUMP, NODES_CONF] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FolderError::Io { path, source }),
        }
    }
    let append = dir.join(APPEND_DIR);
    match fs::remove_dir_all(&append) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FolderError::Io { path: append, source }),
    }
}
