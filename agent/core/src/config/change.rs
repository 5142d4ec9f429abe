//! What brings a running server from the settings that it has to others.

use std::collections::BTreeMap;

use redisnode_proto::layout::Settings;

use super::{RENAME, ServerPlace, canonical, directives};

/// The servers' own defaults of directives that are changed while a server runs, also when they are taken back.
const TAKEN_BACK: [(&str, &str); 2] = [("maxmemory", "0"), ("maxmemory-policy", "noeviction")];

/// What brings a running server to other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Directives to set while it runs, with their values.
    pub set: Vec<(String, String)>,
    /// What only a restart brings about, by name.
    pub restart: Vec<String>,
    /// Commands that the server must know, or it would not start again: they get another name.
    pub must_know: Vec<String>,
    /// Names that the server must have no command of, or it would not start again: they become names of others.
    pub must_not_know: Vec<String>,
}

/// What brings a server that has `has` to `wanted`. Where it is not `sure` that it has all of that, everything of the user's
/// is set again. What the user has taken back gets our default or the server's own; where neither is known here, a restart
/// brings it.
pub fn change(has: Option<&Settings>, sure: bool, wanted: &Settings, place: &ServerPlace) -> Change {
    let before = has.filter(|_| sure).map(|has| directives(Some(has), place)).unwrap_or_default();
    let after = directives(Some(wanted), place);
    let had: Vec<&str> = has.iter().flat_map(|has| has.redis_config.keys()).map(|name| canonical(name)).collect();
    let is_users = |name: &str| had.contains(&name) || is_from_the_spec(name, wanted);
    let changed = after.iter().filter(|pair| !before.contains(pair) && is_users(&pair.0));
    let mut change = Change { set: changed.cloned().collect(), ..Change::default() };
    rename(has, wanted, &mut change);
    for name in had.into_iter().filter(|name| after.iter().all(|(there, _)| there != name)) {
        match TAKEN_BACK.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => change.set.push((name.to_owned(), (*value).to_owned())),
            None => change.restart.push(name.to_owned()),
        }
    }
    change
}

/// Names of commands are read at the start only.
fn rename(has: Option<&Settings>, wanted: &Settings, change: &mut Change) {
    let none = BTreeMap::new();
    let has = has.map_or(&none, |has| &has.rename_commands);
    if *has == wanted.rename_commands {
        return;
    }
    change.restart.push(RENAME.to_owned());
    change.must_know = wanted.rename_commands.keys().filter(|old| !has.contains_key(*old)).cloned().collect();
    let taken = |new: &&String| new.is_empty() || has.values().any(|other| other.eq_ignore_ascii_case(new));
    change.must_not_know = wanted.rename_commands.values().filter(|new| !taken(new)).cloned().collect();
}

/// What a server has that was to be brought from `has` to `wanted`, when `not_done` could not be.
pub fn result(has: Option<&Settings>, wanted: &Settings, not_done: &[String]) -> Settings {
    let mut result = wanted.clone();
    result.rename_commands = has.map(|has| has.rename_commands.clone()).unwrap_or_default();
    result.redis_config.retain(|name, _| !not_done.iter().any(|other| other == canonical(name)));
    let old = has.iter().flat_map(|has| &has.redis_config);
    let kept = old.filter(|(name, _)| not_done.iter().any(|other| other == canonical(name)));
    result.redis_config.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    result
}

/// Directives that follow from the spec; the rest is fixed at the start or set by duties.
fn is_from_the_spec(name: &str, wanted: &Settings) -> bool {
    let given = wanted.redis_config.keys().any(|given| canonical(given) == name);
    given || matches!(name, "appendonly" | "save" | "masterauth")
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::super::tests::{place, settings};
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn what_changed_is_set_and_what_was_taken_back_waits_for_a_restart() {
        let before = settings(false, &[("maxmemory", "1gb"), ("loglevel", "debug"), ("timeout", "5")]);
        let after = settings(false, &[("maxmemory", "2gb"), ("loglevel", "debug"), ("primaryauth", "x")]);
        let found = change(Some(&before), true, &after, &place());
        assert_eq!(found.set, pairs(&[("masterauth", "x"), ("maxmemory", "2gb")]));
        assert_eq!(found.restart, ["timeout"]);
        assert_eq!(change(Some(&after), true, &after, &place()), Change::default());
    }

    #[test]
    fn what_is_taken_back_to_a_default_that_is_known_here_needs_no_restart() {
        let config = [("maxmemory", "1gb"), ("maxmemory-policy", "allkeys-lru"), ("repl-backlog-size", "1mb")];
        let found = change(Some(&settings(true, &config)), true, &settings(false, &[]), &place());
        let ours = [("appendonly", "no"), ("repl-backlog-size", "32mb"), ("save", "")];
        let servers = [("maxmemory", "0"), ("maxmemory-policy", "noeviction")];
        assert_eq!(found, Change { set: pairs(&[&ours[..], &servers].concat()), ..Change::default() });
    }

    #[test]
    fn commands_get_their_names_at_the_start_and_are_looked_for_before() {
        let named = |pairs: &[(&str, &str)]| Settings {
            rename_commands: pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect(),
            ..settings(true, &[])
        };
        let (before, after) =
            (named(&[("CONFIG", "tune")]), named(&[("CONFIG", "set"), ("DEBUG", ""), ("KEYS", "Tune")]));
        assert!(
            file(Some(&after), &place())
                .ends_with("rename-command CONFIG set\nrename-command DEBUG \"\"\nrename-command KEYS Tune\n")
        );
        let found = change(Some(&before), true, &after, &place());
        assert_eq!((found.set.len(), found.restart), (0, vec![RENAME.to_owned()]));
        assert_eq!((found.must_know, found.must_not_know), (strings(&["DEBUG", "KEYS"]), strings(&["set"])));
        assert_eq!(result(Some(&before), &after, &[RENAME.to_owned()]), before, "until it restarts");
        assert_eq!(change(Some(&after), true, &after, &place()), Change::default());
        assert_eq!(change(Some(&before), false, &named(&[]), &place()).restart, [RENAME]);
    }

    #[test]
    fn what_a_server_has_that_was_adopted_is_set_again() {
        let has = settings(false, &[("maxmemory", "1gb"), ("timeout", "5")]);
        let found = change(Some(&has), false, &settings(false, &[("maxmemory", "1gb")]), &place());
        assert_eq!(found.set, pairs(&[("appendonly", "no"), ("maxmemory", "1gb"), ("save", "")]));
        assert_eq!(found.restart, ["timeout"]);
    }

    #[test]
    fn what_could_not_be_done_is_still_to_be_done_after_the_next_change() {
        let before = settings(false, &[("io-threads", "1"), ("timeout", "5")]);
        let after = settings(false, &[("io-threads", "2"), ("appendfsync", "always"), ("maxmemory", "1gb")]);
        let not_done = ["io-threads", "timeout", "appendfsync"].map(str::to_owned);
        let has = result(Some(&before), &after, &not_done);
        assert_eq!(has, settings(false, &[("io-threads", "1"), ("timeout", "5"), ("maxmemory", "1gb")]));
        let again = change(Some(&has), true, &after, &place());
        assert_eq!(again.set, pairs(&[("appendfsync", "always"), ("io-threads", "2")]));
        assert_eq!(again.restart, ["timeout"]);
    }
}
