//! What keeps a server from beginning a move in one piece: its one child process is at work, or will be.

use redisnode_proto::topology::{BadReply, Info};

/// Why no such move should begin at the server of this INFO (sections persistence and replication) now; `None` if nothing
/// is in the way. Servers have one child at a time: it would wait for its turn without limit, and they for it.
///
/// # Errors
/// If the answer lacks what is needed.
pub fn in_the_way(info: &Info) -> Result<Option<String>, BadReply> {
    if info.saving()? {
        return Ok(Some("it writes a dump or rewrites its append-only file".to_owned()));
    }
    let syncing = info.replication()?.replicas.into_iter().find(|replica| !replica.online);
    Ok(syncing.map(|replica| format!("its replica at {}:{} is in its first sync", replica.ip, replica.port)))
}
