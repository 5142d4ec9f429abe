//! The replication section of INFO, in our words.

use super::{Info, has_index, part};
use crate::Offset;
use crate::report::{AttachedReplica, Replication};
use crate::topology::{BadReply, Role};

impl Info {
    /// The replication state. A replica's offset is how far it has applied its primary's stream.
    pub fn replication(&self) -> Result<Replication, BadReply> {
        match self.text("role")? {
            "master" => self.as_primary(),
            "slave" => self.as_replica(),
            _ => Err(self.unreadable("role", "neither master nor slave")),
        }
    }

    fn as_primary(&self) -> Result<Replication, BadReply> {
        Ok(Replication {
            role: Role::Primary,
            offset: Offset(self.number("master_repl_offset")?),
            replication_id: self.text("master_replid")?.to_owned(),
            replication_id2: self.former_history()?,
            shared_until: self.shared_until()?,
            link_up: false,
            syncing: false,
            catching_up: false,
            silent_for_s: None,
            replicas: self.attached()?,
        })
    }

    fn as_replica(&self) -> Result<Replication, BadReply> {
        let syncing = self.flag("master_sync_in_progress")?;
        let linked = match self.text("master_link_status")? {
            "up" => true,
            "down" => false,
            _ => return Err(self.unreadable("master_link_status", "neither up nor down")),
        };
        Ok(Replication {
            role: Role::Replica,
            offset: Offset(self.number("slave_repl_offset")?),
            replication_id: self.text("master_replid")?.to_owned(),
            replication_id2: self.former_history()?,
            shared_until: self.shared_until()?,
            link_up: linked && !syncing,
            syncing,
            catching_up: false,
            silent_for_s: if linked { None } else { self.down_for()? },
            replicas: self.attached()?,
        })
    }

    /// Zeros stand for no former history.
    fn former_history(&self) -> Result<Option<String>, BadReply> {
        let id = self.text("master_replid2")?;
        Ok(id.bytes().any(|b| b != b'0').then(|| id.to_owned()))
    }

    /// The server tells the first offset that is not shared; -1 stands for no former history.
    fn shared_until(&self) -> Result<Option<Offset>, BadReply> {
        let first_other: i64 = self.number("second_repl_offset")?;
        Ok(u64::try_from(first_other).ok().map(|offset| Offset(offset.saturating_sub(1))))
    }

    /// -1 stands for never linked: unknown.
    fn down_for(&self) -> Result<Option<u64>, BadReply> {
        let seconds: i64 = self.number("master_link_down_since_seconds")?;
        Ok(u64::try_from(seconds).ok())
    }

    /// A sync over two connections lists the second one (`rdb-channel`) beside the replica itself: not a replica.
    fn attached(&self) -> Result<Vec<AttachedReplica>, BadReply> {
        let lines = self.fields.iter().filter(|(name, _)| has_index(name, "slave"));
        let replicas = lines.filter(|(_, line)| part::<String>(line, "type").as_deref() != Some("rdb-channel"));
        replicas
            .map(|(name, line)| attached(line).ok_or_else(|| self.unreadable(name, "no ip, port, state and offset")))
            .collect()
    }
}

fn attached(line: &str) -> Option<AttachedReplica> {
    Some(AttachedReplica {
        port: part(line, "port")?,
        ip: part(line, "ip")?,
        online: part::<String>(line, "state")? == "online",
        offset: Offset(part(line, "offset")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str = "master_failover_state:no-failover\r\n\
        master_replid:512b3468bf58ff6de6c547f4880bd82d7bdb4cb8\r\n\
        master_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:452\r\n\
        second_repl_offset:-1\r\nrepl_backlog_active:1\r\n";

    fn read(role: &str) -> Result<Replication, BadReply> {
        Info::parse(&format!("# Replication\r\n{role}{HISTORY}")).unwrap().replication()
    }

    #[test]
    fn a_primary_shows_its_replicas() {
        let seen = read(
            "role:master\r\nconnected_slaves:2\r\n\
             slave0:ip=127.0.0.1,port=23014,state=online,offset=452,lag=1,type=replica\r\n\
             slave1:ip=fd00::7,port=23015,state=wait_bgsave,offset=0,lag=0\r\n\
             slave2:ip=fd00::7,port=0,state=bg_transfer,offset=0,lag=0,type=rdb-channel\r\n",
        )
        .unwrap();
        assert_eq!((seen.role, seen.offset), (Role::Primary, Offset(452)));
        assert_eq!((seen.replication_id2, seen.shared_until), (None, None));
        let wanted = [
            AttachedReplica { port: 23014, ip: "127.0.0.1".to_owned(), online: true, offset: Offset(452) },
            AttachedReplica { port: 23015, ip: "fd00::7".to_owned(), online: false, offset: Offset(0) },
        ];
        assert_eq!(seen.replicas, wanted);
    }

    fn replica(link: &str) -> String {
        format!(
            "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:23012\r\n{link}slave_read_repl_offset:460\r\n\
             slave_repl_offset:440\r\nslave_priority:100\r\nslave_read_only:1\r\nconnected_slaves:0\r\n"
        )
    }

    #[test]
    fn a_linked_replica_shows_what_it_has_applied() {
        let seen = read(&replica("master_link_status:up\r\nmaster_sync_in_progress:0\r\n")).unwrap();
        assert_eq!((seen.role, seen.offset, seen.link_up), (Role::Replica, Offset(440), true));
        assert_eq!(seen.silent_for_s, None);
    }

    #[test]
    fn a_replica_in_the_middle_of_a_full_sync_is_not_linked() {
        let link = "master_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_sync_total_bytes:-1\r\n\
             master_link_down_since_seconds:-1\r\n";
        let seen = read(&replica(link)).unwrap();
        assert_eq!((seen.link_up, seen.syncing, seen.silent_for_s), (false, true, None));
    }

    #[test]
    fn a_cut_off_replica_says_for_how_long() {
        let link = "master_link_status:down\r\nmaster_sync_in_progress:0\r\nmaster_link_down_since_seconds:12\r\n";
        assert_eq!(read(&replica(link)).unwrap().silent_for_s, Some(12));
    }

    #[test]
    fn a_former_history_is_kept() {
        let id = "26aa9ca44be7c3e075eb5b58859f1f82dea68f73";
        let text = format!("# Replication\r\nrole:master\r\n{HISTORY}").replace(&"0".repeat(40), id);
        let text = text.replace("second_repl_offset:-1", "second_repl_offset:136883");
        let seen = Info::parse(&text).unwrap().replication().unwrap();
        assert_eq!(seen.replication_id2.as_deref(), Some(id));
        assert_eq!(seen.shared_until, Some(Offset(136_882)));
    }

    #[test]
    fn what_is_missing_is_named() {
        let unlinked = read(&replica("master_sync_in_progress:0\r\n")).unwrap_err();
        assert!(unlinked.to_string().contains("no field master_link_status"), "{unlinked}");
        let odd = read("role:sentinel\r\n").unwrap_err();
        assert!(odd.to_string().contains("role:sentinel"), "{odd}");
        let cut = read("role:master\r\nslave0:ip=127.0.0.1,port=1,state=online\r\n").unwrap_err();
        assert!(cut.to_string().contains("slave0"), "{cut}");
    }
}
