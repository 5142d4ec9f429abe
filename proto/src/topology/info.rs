//! Reading of INFO and CLUSTER INFO: lines of `name:value` under section headers.
//!
//! Fields that nobody asks for are kept, not judged. A field that is asked for and is missing or unreadable is an
//! error that names it, never a zero.

mod cluster;
mod replication;

use std::collections::{BTreeMap, BTreeSet};

use super::{BadReply, Product, ServerVersion};

pub use cluster::ClusterInfo;

/// Memory that a server takes beside its data, as far as the server counts it: at its start, for clients, replicas, links
/// and what waits to be written.
const BESIDE_DATA: [&str; 6] = [
    "used_memory_startup",
    "mem_clients_normal",
    "mem_clients_slaves",
    "mem_cluster_links",
    "mem_replication_backlog",
    "mem_aof_buffer",
];

/// The reply of INFO, with whichever sections were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    reply: &'static str,
    sections: BTreeSet<String>,
    fields: BTreeMap<String, String>,
}

impl Info {
    /// Reads the reply of INFO. A name that comes more than once (`module`) keeps its last value.
    pub fn parse(text: &str) -> Result<Self, BadReply> {
        Self::parse_as("INFO", text)
    }

    fn parse_as(reply: &'static str, text: &str) -> Result<Self, BadReply> {
        let mut info = Self { reply, sections: BTreeSet::new(), fields: BTreeMap::new() };
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some(section) = line.strip_prefix('#') {
                info.sections.insert(section.trim().to_ascii_lowercase());
            } else if let Some((name, value)) = line.split_once(':') {
                info.fields.insert(name.to_owned(), value.to_owned());
            } else {
                return Err(BadReply::new(reply, line, "neither a section nor name:value"));
            }
        }
        if info.sections.is_empty() && info.fields.is_empty() {
            return Err(BadReply::new(reply, text, "nothing"));
        }
        Ok(info)
    }

    /// The value of the field called `name`, if the reply has it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Product and version. Valkey says `valkey_version`; the `redis_version` it says too is always 7.2.4.
    pub fn version(&self) -> Result<ServerVersion, BadReply> {
        let is_valkey = self.field("server_name") == Some("valkey") || self.field("valkey_version").is_some();
        let (product, name) =
            if is_valkey { (Product::Valkey, "valkey_version") } else { (Product::Redis, "redis_version") };
        ServerVersion::parse(product, self.text(name)?).ok_or_else(|| self.unreadable(name, "no version number"))
    }

    /// The random id of this life of the server.
    pub fn run_id(&self) -> Result<&str, BadReply> {
        match self.text("run_id")? {
            "" => Err(self.unreadable("run_id", "nothing")),
            id => Ok(id),
        }
    }

    /// The server's process id, as its own namespace counts.
    pub fn process_id(&self) -> Result<u32, BadReply> {
        self.number("process_id")
    }

    /// Whether it is loading its data set, and so does not serve yet.
    pub fn loading(&self) -> Result<bool, BadReply> {
        self.flag("loading")
    }

    /// Whether a child writes a dump or rewrites the append-only file.
    pub fn saving(&self) -> Result<bool, BadReply> {
        Ok(self.flag("rdb_bgsave_in_progress")? || self.flag("aof_rewrite_in_progress")?)
    }

    /// How many keys it holds in all its databases. Zero only if the section is there and lists no database.
    pub fn keys(&self) -> Result<u64, BadReply> {
        self.keyspace("keys")
    }

    /// How many of its keys have an expiry.
    pub fn expires(&self) -> Result<u64, BadReply> {
        self.keyspace("expires")
    }

    /// Memory in use, bytes.
    pub fn used_memory(&self) -> Result<u64, BadReply> {
        self.number("used_memory")
    }

    /// Memory limit, bytes; 0 = none.
    pub fn max_memory(&self) -> Result<u64, BadReply> {
        self.number("maxmemory")
    }

    /// Memory that its keys take, bytes: what is in use less what the server counts as something else. No less than that,
    /// since some servers count less than others.
    pub fn data_memory(&self) -> Result<u64, BadReply> {
        let beside = |name: &&str| self.field(name).is_some();
        let beside: u64 =
            BESIDE_DATA.into_iter().filter(beside).map(|name| self.number::<u64>(name)).sum::<Result<_, _>>()?;
        Ok(self.used_memory()?.saturating_sub(beside))
    }

    /// By how much its replication backlog may still grow, bytes; 0 as long as there never was a replica.
    pub fn backlog_growth(&self) -> Result<u64, BadReply> {
        if !self.flag("repl_backlog_active")? {
            return Ok(0);
        }
        let now =
            if self.field("mem_replication_backlog").is_some() { self.number("mem_replication_backlog")? } else { 0 };
        Ok(self.number::<u64>("repl_backlog_size")?.saturating_sub(now))
    }

    fn keyspace(&self, what: &str) -> Result<u64, BadReply> {
        if !self.sections.contains("keyspace") {
            return Err(self.missing("section Keyspace"));
        }
        let databases = self.fields.iter().filter(|(name, _)| has_index(name, "db"));
        databases.map(|(name, value)| part::<u64>(value, what).ok_or_else(|| self.unreadable(name, what))).sum()
    }

    fn text(&self, name: &str) -> Result<&str, BadReply> {
        self.field(name).ok_or_else(|| self.missing(&format!("field {name}")))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, BadReply> {
        self.text(name)?.parse().map_err(|_| self.unreadable(name, "no whole number, or one that is too large,"))
    }

    fn flag(&self, name: &str) -> Result<bool, BadReply> {
        match self.text(name)? {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(self.unreadable(name, "neither 0 nor 1")),
        }
    }

    fn missing(&self, what: &str) -> BadReply {
        let seen: Vec<&str> = self.sections.iter().map(String::as_str).collect();
        BadReply::new(self.reply, &seen.join(", "), format!("no {what}"))
    }

    fn unreadable(&self, name: &str, why: &str) -> BadReply {
        let line = format!("{name}:{}", self.field(name).unwrap_or_default());
        BadReply::new(self.reply, &line, why)
    }
}

/// Whether `name` is `prefix` and a number, as in `db0` or `slave12`.
fn has_index(name: &str, prefix: &str) -> bool {
    let digits = name.strip_prefix(prefix).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The value of `name` in `a=1,b=2`.
fn part<T: std::str::FromStr>(list: &str, name: &str) -> Option<T> {
    let mut pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALKEY_9_1: &str = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n\
        server_mode:cluster\r\nprocess_id:15992\r\nrun_id:e20c7e29caf2a264b5d2ba937ef736bb750f331a\r\n\
        executable:/opt/valkey:9/valkey-server\r\n\r\n# Memory\r\nused_memory:2869104\r\nused_memory_human:2.74M\r\n\
        maxmemory:0\r\n\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\nrdb_bgsave_in_progress:0\r\n\
        aof_rewrite_in_progress:1\r\n\r\n# Modules\r\nmodule:name=lua,ver=1,api=1\r\n\r\n\
        # Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=998123\r\ndb1:keys=2,expires=0,avg_ttl=0,subexpiry=0\r\n";

    #[test]
    fn reads_every_field_that_is_asked_for() {
        let info = Info::parse(VALKEY_9_1).unwrap();
        assert_eq!(info.version().unwrap().to_string(), "Valkey 9.1.2");
        assert_eq!(info.run_id().unwrap(), "e20c7e29caf2a264b5d2ba937ef736bb750f331a");
        assert_eq!(info.process_id().unwrap(), 15992);
        assert!(!info.loading().unwrap());
        assert!(info.saving().unwrap());
        assert_eq!((info.keys().unwrap(), info.expires().unwrap()), (14, 3));
        assert_eq!((info.used_memory().unwrap(), info.max_memory().unwrap()), (2_869_104, 0));
        assert_eq!(info.field("executable"), Some("/opt/valkey:9/valkey-server"));
        assert_eq!(info.field("nothing"), None);
    }

    #[test]
    fn what_is_beside_the_data_is_taken_off_as_far_as_the_server_counts_it() {
        let info = |more: &str| Info::parse(&format!("# Memory\r\nused_memory:5000\r\n{more}")).unwrap();
        assert_eq!(info("").data_memory().unwrap(), 5000);
        let counted = info("used_memory_startup:900\r\nmem_clients_normal:50\r\nmem_replication_backlog:1000\r\n");
        assert_eq!(counted.data_memory().unwrap(), 3050);
        assert_eq!(info("used_memory_startup:6000\r\n").data_memory().unwrap(), 0, "other allocators give back more");
        assert!(info("mem_aof_buffer:many\r\n").data_memory().is_err());
    }

    #[test]
    fn a_backlog_grows_up_to_its_size_once_there_is_one() {
        let info = |active: u8| {
            let text = format!("# Replication\r\nrepl_backlog_active:{active}\r\nrepl_backlog_size:4096\r\n");
            Info::parse(&format!("{text}# Memory\r\nmem_replication_backlog:1096\r\n")).unwrap()
        };
        assert_eq!((info(0).backlog_growth().unwrap(), info(1).backlog_growth().unwrap()), (0, 3000));
    }

    #[test]
    fn without_a_valkey_version_it_is_redis() {
        let info = Info::parse("# Server\r\nredis_version:8.6.3\r\nredis_mode:cluster\r\n").unwrap();
        assert_eq!(info.version().unwrap().to_string(), "Redis 8.6.3");
    }

    #[test]
    fn a_valkey_that_hides_its_version_is_not_taken_for_redis() {
        let info = Info::parse("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n").unwrap();
        assert!(info.version().unwrap_err().to_string().contains("no field valkey_version"));
    }

    #[test]
    fn no_keys_are_zero_only_when_the_section_is_there() {
        // Redis 8.6 writes the header twice, and a section after it.
        let empty = "# Keyspace\r\n# Keyspace\r\n\r\n\r\n# Keysizes\r\n# Keysizes\r\n";
        assert_eq!(Info::parse(empty).unwrap().keys().unwrap(), 0);
        let unasked = Info::parse("# Memory\r\nused_memory:5\r\n").unwrap();
        assert!(unasked.keys().unwrap_err().to_string().contains("no section Keyspace"));
    }

    #[test]
    fn a_missing_field_is_an_error_that_names_it_and_the_sections_seen() {
        let error = Info::parse("# Memory\r\nmaxmemory:many\r\n").unwrap();
        assert_eq!(
            error.run_id().unwrap_err().to_string(),
            "cannot read the server's INFO: no field run_id in \"memory\""
        );
        assert!(error.max_memory().unwrap_err().to_string().contains("maxmemory:many"));
        assert!(error.used_memory().is_err());
        assert!(error.loading().is_err());
        assert!(error.saving().is_err());
    }

    #[test]
    fn what_is_no_info_is_refused() {
        for text in ["", "\r\n", "LOADING", "# Server\r\nhello\r\n"] {
            assert!(Info::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_database_without_a_count_is_refused() {
        let info = Info::parse("# Keyspace\r\ndb0:expires=1\r\n").unwrap();
        assert!(info.keys().unwrap_err().to_string().contains("db0:expires=1"));
    }
}
