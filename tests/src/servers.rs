//! The real servers that tests run on. They are named by family; what a version can do is asked of the server itself.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Families that the tests know, oldest first. `system` is the installed redis-server.
pub const FAMILIES: [&str; 6] = ["system", "redis-7.0", "redis-8.0", "redis-8.6", "valkey-8.1", "valkey-9.1"];

/// A server program that runs here.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its family, as in [`FAMILIES`].
    pub family: String,
    /// `redis` or `valkey`, and the exact version.
    pub version: String,
    /// The family's folder: its programs are in `bin`.
    pub folder: PathBuf,
    /// The server.
    pub server: PathBuf,
    /// Its command line client.
    pub cli: PathBuf,
}

impl Server {
    /// `redis` or `valkey`.
    pub fn kind(&self) -> &str {
        self.version.split_whitespace().next().unwrap_or_default()
    }
}

/// The installed redis-server. Tests cannot do without.
pub fn system() -> Server {
    family("system").unwrap_or_else(|| panic!("redis-server is not installed: run `make servers`"))
}

/// The server of a family, or `None` after a line that says that it is skipped.
pub fn family(name: &str) -> Option<Server> {
    let server = find(name);
    if server.is_none() {
        println!("skipped: {name} is not here (`make servers` fetches what Debian has)");
    }
    server
}

/// Every server that is here, oldest family first. The installed one stands for its own family.
pub fn all() -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for server in FAMILIES.iter().filter_map(|name| family(name)) {
        if !servers.iter().any(|other| other.version == server.version) {
            servers.push(server);
        }
    }
    servers
}

fn find(name: &str) -> Option<Server> {
    let kind = if name.starts_with("valkey") { "valkey" } else { "redis" };
    let bin = folders().into_iter().map(|folder| folder.join(name).join("bin"));
    let installed = (name == "system").then(|| PathBuf::from("/usr/bin"));
    bin.chain(installed).find_map(|bin| probe(name, kind, &bin))
}

fn folders() -> Vec<PathBuf> {
    let named = ["REDISNODE_SERVERS_DIR", "REDISNODE_SERVERS"].iter().filter_map(std::env::var_os).map(PathBuf::from);
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
    named.chain([target]).collect()
}

/// `Redis server v=7.0.15 sha=…`: the version is what follows `v=`.
fn probe(family: &str, kind: &str, bin: &Path) -> Option<Server> {
    // The folder is resolved, not the program: Debian's redis-server is a link whose name decides what it does.
    let folder = bin.parent()?.to_owned();
    let bin = bin.canonicalize().ok()?;
    let server = bin.join(format!("{kind}-server"));
    let output = Command::new(&server).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(Server {
        family: family.to_owned(),
        version: format!("{kind} {version}"),
        folder,
        server,
        cli: bin.join(format!("{kind}-cli")),
    })
}

/// What a running server can do, asked of it by name (`COMMAND INFO cluster|x`), never guessed from its version.
pub fn has_command(port: u16, name: &str) -> bool {
    let answer = crate::view::call(port, &["COMMAND", "INFO", name]);
    matches!(answer, Ok(redis::Value::Array(entries)) if entries.iter().any(|entry| !matches!(entry, redis::Value::Nil)))
}
