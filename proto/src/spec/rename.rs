//! Other names for commands, so that clients cannot use what they should not. Refuses every name that somebody else than
//! the server's own clients and its own agent sends: [`super::commands`] says who.

use std::collections::BTreeMap;

use super::Invalid;
use super::commands::{KEPT, NEEDED, RENAMEABLE, WHY_WRITES, WRITES, known};
use super::suggest::nearest;

/// The longest new name.
pub const MAX_RENAMED: usize = 64;

/// What is wrong with `renameCommands`.
pub(super) fn validate(renamed: &BTreeMap<String, String>) -> Vec<Invalid> {
    let mut found = Vec::new();
    let mut old_names: BTreeMap<String, &str> = BTreeMap::new();
    let mut new_names: BTreeMap<String, &str> = BTreeMap::new();
    for (old, new) in renamed {
        let name = old.to_ascii_uppercase();
        let twice = old_names.insert(name.clone(), old).map(|first| format!("it is {first} again; write it once"));
        let taken = new_names.insert(new.to_ascii_uppercase(), old).filter(|_| !new.is_empty());
        let taken = taken.map(|first| format!("{first} is called {new} already; write another name"));
        let wrong = wrong_old(&name).or(twice).or_else(|| wrong_new(&name, new)).or(taken);
        found.extend(wrong.map(|message| Invalid::new(format!("spec.renameCommands.{old}"), message)));
    }
    found
}

/// Old names in capitals.
pub(super) fn normalized(renamed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    renamed.iter().map(|(old, new)| (old.to_ascii_uppercase(), new.clone())).collect()
}

fn wrong_old(name: &str) -> Option<String> {
    if RENAMEABLE.contains(&name) {
        return None;
    }
    if WRITES.contains(&name) {
        return Some(WHY_WRITES.to_owned());
    }
    if let Some((_, why)) = KEPT.iter().find(|(names, _)| names.contains(&name)) {
        return Some((*why).to_owned());
    }
    let what = nearest(name, &RENAMEABLE).filter(|_| !name.contains('.')).map_or_else(
        || "those of modules cannot be renamed; correct it, or leave it out".to_owned(),
        |meant| format!("did you mean {meant}?"),
    );
    Some(format!("no command of Redis or Valkey that is known here has this name; {what}"))
}

fn wrong_new(name: &str, new: &str) -> Option<String> {
    if new.is_empty() {
        let message = "the agents need this command; write a name that clients do not know in place of none";
        return NEEDED.contains(&name).then(|| message.to_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if new.len() > MAX_RENAMED || !new.chars().all(fits) {
        return Some(format!(
            "{new:?} cannot name a command; write 1 to {MAX_RENAMED} letters, digits, '_', '-', '.' and ':', or \"\" to \
             disable it"
        ));
    }
    let is_command = known().any(|known| known.eq_ignore_ascii_case(new));
    is_command.then(|| format!("{new} is a command; write a name that no command has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Vec<String> {
        let renamed = pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        validate(&renamed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commands_that_only_clients_and_the_own_agent_send_are_renamed_or_disabled() {
        let good = [("KEYS", ""), ("CONFIG", "tune-1a2b"), ("monitor", "see:all"), ("DEBUG", ""), ("EVAL", "")];
        assert_eq!(found(&good), [""; 0]);
        let renamed = normalized(&good.map(|(old, new)| (old.to_owned(), new.to_owned())).into());
        assert_eq!(renamed.get("MONITOR").map(String::as_str), Some("see:all"));
    }

    #[test]
    fn what_others_send_is_refused_with_who_does() {
        for name in ["CLUSTER", "ASKING", "PSYNC", "REPLCONF", "AUTH", "SELECT", "PING", "MULTI", "exec", "SYNC"] {
            assert!(found(&[(name, "x")])[0].contains("under its own name; leave it out"), "{name}");
        }
        for name in ["SET", "flushall", "RESTORE", "RESTORE-ASKING", "MIGRATE", "FUNCTION", "PFCOUNT", "TRIMSLOTS"] {
            assert!(found(&[(name, "")])[0].contains("would lose what they cannot read"), "{name}");
        }
        for name in ["CLIENT", "EXISTS"] {
            assert!(found(&[(name, "x")])[0].contains("which may not have restarted yet"), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (pairs, said) in [
            (
                &[("KEYZ", "")][..],
                "spec.renameCommands.KEYZ: no command of Redis or Valkey that is known here has this",
            ),
            (&[("KEYZ", "")], "did you mean KEYS?"),
            (&[("FT.SEARCH", "")], "those of modules cannot be renamed"),
            (&[("config", "")], "the agents need this command; write a name"),
            (&[("KEYS", "a b")], "cannot name a command; write 1 to 64"),
            (&[("KEYS", "x\nport")], "cannot name a command"),
            (&[("KEYS", "get")], "get is a command; write a name that no command has"),
            (&[("KEYS", "a"), ("SCAN", "A")], "spec.renameCommands.SCAN: KEYS is called A already"),
            (&[("KEYS", "a"), ("keys", "b")], "spec.renameCommands.keys: it is KEYS again"),
        ] {
            let found = found(pairs);
            assert!(found.len() == 1 && found[0].contains(said), "{pairs:?}: {found:?}");
        }
        assert_eq!(found(&[("KEYS", &"k".repeat(65))]).len(), 1);
    }
}
