//! The server's configuration: our defaults, then the user's directives, then what must hold whatever the user says.

mod change;

use std::collections::BTreeMap;
use std::net::IpAddr;

use redisnode_proto::Millis;
use redisnode_proto::layout::Settings;

pub use change::{Change, change, result};

/// What the configuration depends on besides the user's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlace {
    /// Addresses to listen on.
    pub bind: Vec<IpAddr>,
    /// The address that peers and clients are told.
    pub announce_ip: IpAddr,
    /// Client port.
    pub port: u16,
    /// Bus port.
    pub bus_port: u16,
}

/// How clients and replicas prove themselves to the server, taken from the user's directives.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// `requirepass`.
    pub password: Option<String>,
}

/// Directives of our own that the user may override.
const DEFAULTS: [(&str, &str); 4] = [
    ("cluster-require-full-coverage", "no"),
    ("repl-diskless-sync", "yes"),
    // The first replicas would wait up to five seconds otherwise (measured).
    ("repl-diskless-sync-delay", "0"),
    // Long enough for a replica that restarts under load to go on where it was.
    ("repl-backlog-size", "32mb"),
];

/// The directive that gives a command another name.
pub const RENAME: &str = "rename-command";

/// The node time-out before any Layout has said one.
pub const UNTOLD_TIMEOUT: Millis = Millis(15_000);

/// Every directive with its value, in the order in which they stand in the file.
pub fn directives(settings: Option<&Settings>, place: &ServerPlace) -> Vec<(String, String)> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    for (name, value) in DEFAULTS {
        set(name, value);
    }
    if settings.is_some_and(|settings| settings.storage) {
        set("appendonly", "yes");
    } else {
        set("appendonly", "no");
        set("save", "");
    }
    let user = settings.map(|settings| settings.redis_config.clone()).unwrap_or_default();
    if let Some(password) = user.get("requirepass").filter(|password| !password.is_empty()) {
        set("masterauth", password);
    }
    for (name, value) in &user {
        set(canonical(name), value);
    }
    for (name, value) in musts(settings, place) {
        set(name, &value);
    }
    all.into_iter().collect()
}

/// Whether a server with these settings writes no data to its disk by itself: neither an append-only file nor dumps. What is
/// there then is from a sync.
pub fn keeps_nothing(settings: &Settings) -> bool {
    let told = |name: &str| settings.redis_config.get(name).map(|value| value.trim());
    let by_default = !settings.storage;
    told("appendonly").map_or(by_default, |value| value.eq_ignore_ascii_case("no"))
        && told("save").map_or(by_default, str::is_empty)
}

/// Valkey's names of directives that Redis has too: both servers take the older one.
fn canonical(name: &str) -> &str {
    match name {
        "primaryauth" => "masterauth",
        "primaryuser" => "masteruser",
        other => other,
    }
}

fn musts(settings: Option<&Settings>, place: &ServerPlace) -> Vec<(&'static str, String)> {
    let timeout = settings.map_or(UNTOLD_TIMEOUT, |settings| settings.node_timeout);
    let bind = place.bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    vec![
        ("appenddirname", "appendonlydir".into()),
        ("bind", bind),
        ("cluster-allow-replica-migration", "no".into()),
        ("cluster-announce-ip", place.announce_ip.to_string()),
        ("cluster-config-file", "nodes.conf".into()),
        ("cluster-enabled", "yes".into()),
        ("cluster-node-timeout", timeout.0.to_string()),
        ("cluster-port", place.bus_port.to_string()),
        ("daemonize", "no".into()),
        ("dbfilename", "dump.rdb".into()),
        ("logfile", String::new()),
        ("port", place.port.to_string()),
        ("protected-mode", "no".into()),
    ]
}

/// The whole file for a start.
pub fn file(settings: Option<&Settings>, place: &ServerPlace) -> String {
    let renamed = settings.into_iter().flat_map(|settings| &settings.rename_commands);
    let renamed =
        renamed.map(|(old, new)| format!("rename-command {old} {}\n", if new.is_empty() { "\"\"" } else { new }));
    renamed.fold(render(&directives(settings, place)), |file, line| file + &line)
}

/// One directive a line, values quoted so that blanks, quotes and secrets come through as they are.
fn render(directives: &[(String, String)]) -> String {
    let mut file =
        String::from("# Written by the redisnode agent at each start of the server; changes here are lost.\n");
    for (name, value) in directives {
        // `save` and `bind` take several words; everything that could need quotes gets them.
        for value in lines_of(name, value) {
            file.push_str(name);
            file.push(' ');
            file.push_str(&value);
            file.push('\n');
        }
    }
    file
}

fn lines_of(name: &str, value: &str) -> Vec<String> {
    let plain = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:*/,@+".contains(&b));
    if value.is_empty() {
        return vec!["\"\"".to_owned()];
    }
    if is_multi_word(name) && value.split(' ').all(plain) {
        return vec![value.to_owned()];
    }
    vec![if plain(value) { value.to_owned() } else { quote(value) }]
}

/// Directives whose value is several words, not one text with blanks in it.
fn is_multi_word(name: &str) -> bool {
    matches!(
        name,
        "save"
            | "bind"
            | "client-output-buffer-limit"
            | "oom-score-adj-values"
            | "shutdown-on-sigterm"
            | "shutdown-on-sigint"
            | "loadmodule"
            | "user"
    )
}

fn quote(value: &str) -> String {
    let mut out = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(byte)),
            other => {
                out.push_str("\\x");
                for nibble in [other >> 4, other & 0xf] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
        }
    }
    out.push('"');
    out
}

/// The secrets that the agent itself needs.
pub fn secrets(settings: Option<&Settings>) -> Secrets {
    let password = settings.and_then(|s| s.redis_config.get("requirepass")).filter(|p| !p.is_empty()).cloned();
    Secrets { password }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.password.is_some() { "Secrets(set)" } else { "Secrets(none)" })
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::layout::MigrationSettings;
    use redisnode_proto::spec::Balance;

    use super::*;

    pub(super) fn place() -> ServerPlace {
        let ip = "127.0.0.1".parse().unwrap();
        ServerPlace { bind: vec![ip], announce_ip: ip, port: 7000, bus_port: 17000 }
    }

    pub(super) fn settings(storage: bool, config: &[(&str, &str)]) -> Settings {
        let redis_config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings {
            node_timeout: Millis(15_000),
            storage,
            redis_config,
            rename_commands: BTreeMap::new(),
            migration: MigrationSettings::default(),
            balance: Balance::default(),
        }
    }

    fn value(all: &[(String, String)], name: &str) -> Option<String> {
        all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    #[test]
    fn without_storage_nothing_is_kept_unless_the_user_says_so() {
        assert!(keeps_nothing(&settings(false, &[])) && !keeps_nothing(&settings(true, &[])));
        assert!(!keeps_nothing(&settings(false, &[("appendonly", "yes")])));
        assert!(!keeps_nothing(&settings(false, &[("save", "60 1")])));
        assert!(!keeps_nothing(&settings(true, &[("appendonly", "no")])), "it has dumps by default");
        assert!(keeps_nothing(&settings(true, &[("appendonly", "no"), ("save", "")])));
    }

    #[test]
    fn what_must_hold_wins_over_the_user() {
        let all = directives(Some(&settings(false, &[("port", "1"), ("cluster-enabled", "no")])), &place());
        assert_eq!(value(&all, "port").as_deref(), Some("7000"));
        assert_eq!(value(&all, "cluster-enabled").as_deref(), Some("yes"));
    }

    #[test]
    fn the_user_wins_over_our_defaults() {
        let all = directives(
            Some(&settings(true, &[("cluster-require-full-coverage", "yes"), ("appendonly", "no")])),
            &place(),
        );
        assert_eq!(value(&all, "cluster-require-full-coverage").as_deref(), Some("yes"));
        assert_eq!(value(&all, "appendonly").as_deref(), Some("no"));
    }

    #[test]
    fn without_storage_nothing_is_saved() {
        let all = directives(Some(&settings(false, &[])), &place());
        assert_eq!(value(&all, "save").as_deref(), Some(""));
        assert_eq!(value(&all, "appendonly").as_deref(), Some("no"));
    }

    #[test]
    fn a_password_serves_replication_too_unless_another_is_given() {
        let all = directives(Some(&settings(false, &[("requirepass", "a b\"c")])), &place());
        assert_eq!(value(&all, "masterauth").as_deref(), Some("a b\"c"));
        assert!(render(&all).contains("masterauth \"a b\\\"c\""));
        let all = directives(Some(&settings(false, &[("requirepass", "x"), ("primaryauth", "y")])), &place());
        assert_eq!(value(&all, "masterauth").as_deref(), Some("y"));
    }

    #[test]
    fn every_directive_stands_once_and_the_cluster_never_places_replicas_by_itself() {
        let all =
            directives(Some(&settings(true, &[("primaryauth", "x"), ("masterauth", "y"), ("save", "1 2")])), &place());
        let mut names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().all(|name| !name.starts_with("primary")), "both products know the older name");
        assert_eq!(value(&all, "cluster-allow-replica-migration").as_deref(), Some("no"));
        assert_eq!(value(&all, "cluster-require-full-coverage").as_deref(), Some("no"));
    }

    #[test]
    fn before_any_layout_the_server_keeps_nothing_and_has_a_long_node_time_out() {
        let all = directives(None, &place());
        assert_eq!(value(&all, "cluster-node-timeout").as_deref(), Some("15000"));
        assert_eq!(value(&all, "appendonly").as_deref(), Some("no"));
    }

    #[test]
    fn a_value_is_one_word_of_the_file_whatever_is_in_it() {
        let line = |name: &str, value: &str| {
            let file = render(&[(name.to_owned(), value.to_owned())]);
            file.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(line("requirepass", "a\nport 1"), "requirepass \"a\\x0aport 1\"", "no second directive");
        assert_eq!(line("requirepass", "\\\"#é"), "requirepass \"\\\\\\\"#\\xc3\\xa9\"");
        assert_eq!(line("save", ""), "save \"\"");
        assert_eq!(line("save", "3600 1 300 100"), "save 3600 1 300 100");
        assert_eq!(line("proc-title-template", "a b"), "proc-title-template \"a b\"");
    }

    #[test]
    fn a_secret_is_never_shown_and_an_empty_one_is_none() {
        let with = |password: &str| secrets(Some(&settings(false, &[("requirepass", password)])));
        assert_eq!(format!("{:?}", with("hunter2")), "Secrets(set)");
        assert!(with("").password.is_none() && secrets(None).password.is_none());
    }
}
