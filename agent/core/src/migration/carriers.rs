//! Connections that may still carry keys of a `MIGRATE` that nobody waits for any more.
//!
//! A source that gives up closes its connection, but what it had sent may reach the target long after, and is read all the
//! same. A key that was moved by a later try, and written by a client at the target since, would be overwritten by the old
//! one (seen: a target that was frozen for three seconds lost an acknowledged write). So nothing is tried again before
//! all such connections are gone.

/// Last commands of a connection that brings keys: none yet, what comes before the first key, and the key itself.
const BRINGS: [&str; 6] = ["NULL", "auth", "select", "asking", "restore", "restore-asking"];

/// A client of the target that may bring keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its id (`CLIENT ID`).
    pub id: u64,
    /// It has said nothing for a second or more: a connection in use is never so long without a key.
    pub idle: bool,
}

/// The clients in an answer to `CLIENT LIST` that may bring keys and are older than the client `asker`. A server accepts
/// connections in the order in which they came, so nothing older than the asker is missing. A line that cannot be read
/// is no client.
pub fn carriers(list: &str, asker: u64) -> Vec<Carrier> {
    let found = list.lines().filter_map(|line| {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let id: u64 = field("id")?.parse().ok()?;
        let idle = field("idle")?.parse::<u64>().ok()? >= 1;
        (id < asker && BRINGS.contains(&field("cmd")?)).then_some(Carrier { id, idle })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
id=3 addr=127.0.0.1:5001 laddr=127.0.0.1:7000 fd=8 name= age=9 idle=0 flags=N db=0 cmd=restore-asking user=default resp=2\n\
id=4 addr=127.0.0.1:5002 laddr=127.0.0.1:7000 fd=9 name= age=9 idle=0 flags=N db=0 cmd=get user=default resp=2\n\
id=5 addr=127.0.0.1:5003 laddr=127.0.0.1:7000 fd=10 name= age=1 idle=1 flags=N db=0 cmd=NULL user=default resp=2\n\
id=6 addr=127.0.0.1:5004 laddr=127.0.0.1:7000 fd=11 name=cmd=select age=1 idle=1 flags=N db=0 cmd=client|list user=default resp=2\n\
id=7 addr=127.0.0.1:5005 laddr=127.0.0.1:7000 fd=12 name= age=0 idle=0 flags=N db=0 cmd=restore-asking user=default resp=2\n";

    #[test]
    fn who_brings_or_may_bring_keys_and_was_there_before_is_waited_for() {
        assert_eq!(carriers(LIST, 6), [Carrier { id: 3, idle: false }, Carrier { id: 5, idle: true }]);
        assert_eq!(carriers("", 6), []);
        assert_eq!(carriers("no client\n", 6), []);
    }
}
