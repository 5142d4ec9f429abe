//! The rules that the API server checks a resource by, each with a sentence that says what to write instead. They say
//! the same as `RedisCluster::validate`, which reads local files, and share its lists.
//!
//! Rules cost time that the API server limits before it takes the definition; [`bounds`] keeps it in sight.

use redisnode_proto::spec::commands::{KEPT, NEEDED, WHY_WRITES, WRITES, known};
use redisnode_proto::spec::{
    ALLOWED_CLUSTER, LABEL_DOMAIN, MAX_NAME, MAX_PERCENT, MAX_PRIMARIES, MAX_RENAMED, MAX_REPLICATION_FACTOR,
    MEMORY_DIRECTIVES, OWN_LABELS, RESERVED, RESERVED_PREFIXES,
};
use serde_json::{Value, json};

use super::structural::set;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where: names of fields from the resource down.
    pub at: Vec<&'static str>,
    /// What must hold, in CEL.
    pub rule: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

fn rule(at: &[&'static str], rule: impl Into<String>, message: impl Into<String>) -> Rule {
    Rule { at: at.to_vec(), rule: rule.into(), message: message.into() }
}

/// Limits of length, without which a rule could cost anything.
pub(super) fn bounds(schema: &mut Value) {
    for (path, key, most) in [
        (&["spec", "nodeTimeout"][..], "maxLength", 32),
        (&["spec", "migration", "maxLatency"], "maxLength", 32),
        (&["spec", "migration", "maxBytesPerSecond"], "maxLength", 32),
        (&["spec", "serviceName"], "maxLength", 63),
        (&["spec", "redisConfig"], "maxProperties", 256),
        (&["spec", "additionalLabels"], "maxProperties", 64),
        (&["spec", "renameCommands"], "maxProperties", 32),
        (&["spec", "maxMemory", "size"], "maxLength", 32),
        (&["spec", "storage", "size"], "maxLength", 32),
        (&["spec", "storage", "storageClassName"], "maxLength", 253),
    ] {
        set(schema, path, key, json!(most));
    }
    let label = json!({ "type": "string", "maxLength": 63 });
    set(schema, &["spec", "additionalLabels"], "additionalProperties", label);
    let name = json!({ "type": "string", "maxLength": MAX_RENAMED });
    set(schema, &["spec", "renameCommands"], "additionalProperties", name);
    let directive = json!({ "x-kubernetes-int-or-string": true, "maxLength": 4096 });
    set(schema, &["spec", "redisConfig"], "additionalProperties", directive);
}

/// All of them.
pub fn rules() -> Vec<Rule> {
    [names(), sizes(), directives(), passwords(), renames(), memory(), migration(), storage(), labels()].concat()
}

fn names() -> Vec<Rule> {
    let label = "matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')";
    vec![
        rule(
            &[],
            format!("size(self.metadata.name) <= {MAX_NAME} && self.metadata.name.{label}"),
            "this cannot name a cluster; write a metadata.name of 1 to 52 characters of a-z, 0-9 and '-', a letter \
             first, no '-' at the end",
        ),
        rule(
            &["spec", "serviceName"],
            format!("self.{label}"),
            "this cannot name a Service; write 1 to 63 characters of a-z, 0-9 and '-', a letter first, no '-' at the \
             end, or leave it out",
        ),
        rule(
            &[],
            "!has(self.spec.serviceName) || self.spec.serviceName != self.metadata.name + '-nodes'",
            "spec.serviceName is that of the Service that the nodes find each other by; write another name, or leave \
             it out",
        ),
    ]
}

fn sizes() -> Vec<Rule> {
    vec![
        rule(
            &["spec", "rollout", "maxUnavailable"],
            format!("self >= 1 && self <= {MAX_PRIMARIES}"),
            format!("write a number of nodes that may be away from 1 to {MAX_PRIMARIES}"),
        ),
        rule(
            &["spec", "numberOfMaster"],
            format!("self >= 1 && self <= {MAX_PRIMARIES}"),
            format!("write a number of primaries from 1 to {MAX_PRIMARIES}"),
        ),
        rule(
            &["spec", "replicationFactor"],
            format!("self >= 0 && self <= {MAX_REPLICATION_FACTOR}"),
            format!("write a number of replicas from 0 to {MAX_REPLICATION_FACTOR}"),
        ),
        rule(
            &["spec"],
            format!("self.numberOfMaster * (self.replicationFactor + 1) <= {MAX_PRIMARIES}"),
            format!(
                "numberOfMaster times (replicationFactor + 1) is more than {MAX_PRIMARIES} nodes; write a smaller \
                 numberOfMaster or replicationFactor"
            ),
        ),
        rule(
            &["spec", "nodeTimeout"],
            "self.matches('^[0-9]{1,6}(ms|s|m)$') && duration(self) >= duration('3s') && duration(self) <= \
             duration('300s')",
            "write a whole number with ms, s or m from 3s to 300s, for instance 15s",
        ),
    ]
}

const CONFIG: [&str; 2] = ["spec", "redisConfig"];

fn directives() -> Vec<Rule> {
    let mut rules = vec![
        rule(
            &CONFIG,
            "self.all(name, name.matches('^[a-zA-Z][a-zA-Z0-9._-]{0,63}$'))",
            "no directive has such a name; write one as in redis.conf, its values behind the colon",
        ),
        rule(
            &CONFIG,
            "self.all(name, !string(self[name]).matches('[\\\\n\\\\r\\\\x00]'))",
            "a directive's value has a line break or a zero byte; write it on one line",
        ),
        rule(
            &CONFIG,
            "self.all(name, name.lowerAscii() == name || !(name.lowerAscii() in self))",
            "a directive is there twice, in other letters; write it once",
        ),
    ];
    for (names, why) in RESERVED {
        let message = format!("{} cannot be set here: {why}", names.join(", "));
        rules.push(rule(&CONFIG, format!("self.all(name, !(name.lowerAscii() in {}))", list(names)), message));
    }
    for (prefixes, why) in RESERVED_PREFIXES {
        let starts = prefixes.iter().map(|prefix| format!("name.lowerAscii().startsWith('{prefix}')"));
        let starts = starts.collect::<Vec<_>>().join(" || ");
        let excused: Vec<&str> = ALLOWED_CLUSTER
            .into_iter()
            .chain(RESERVED.iter().flat_map(|(names, _)| names.iter().copied()))
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        let unless =
            if excused.is_empty() { String::new() } else { format!(" || name.lowerAscii() in {}", list(&excused)) };
        let message = format!("a directive that begins with {} cannot be set here: {why}", prefixes.join(", "));
        rules.push(rule(&CONFIG, format!("self.all(name, !({starts}){unless})"), message));
    }
    rules
}

/// Every node is a client of every other one: they must all know one password, by the same spelling.
fn passwords() -> Vec<Rule> {
    let names = "['requirepass', 'masterauth', 'primaryauth']";
    vec![
        rule(
            &CONFIG,
            format!("self.all(name, !(name.lowerAscii() in {names}) || self[name] == string(self[name]))"),
            "a password must keep its spelling; put it in quotes",
        ),
        rule(
            &CONFIG,
            "self.all(name, !(name.lowerAscii() in ['masterauth', 'primaryauth']) || ('requirepass' in \
             self && self['requirepass'] == self[name]))",
            "masterauth and primaryauth must be the same as requirepass (in small letters), which every node has; \
             write the same, or leave them out",
        ),
    ]
}

fn renames() -> Vec<Rule> {
    let at = ["spec", "renameCommands"];
    let none_of = |names: &[&str]| format!("self.all(name, !(name.upperAscii() in {}))", list(names));
    let mut rules: Vec<Rule> = KEPT
        .iter()
        .map(|(names, why)| rule(&at, none_of(names), format!("{} cannot be renamed: {why}", names.join(", "))))
        .collect();
    let all: Vec<&str> = known().collect();
    rules.extend([
        rule(&at, none_of(&WRITES), format!("commands like SET, FLUSHALL and RESTORE cannot be renamed: {WHY_WRITES}")),
        rule(
            &at,
            format!("self.all(name, name.upperAscii() in {})", list(&all)),
            "no command of Redis or Valkey that is known here has this name, and those of modules cannot be renamed; \
             write one of the servers' own, for instance KEYS",
        ),
        rule(
            &at,
            format!("self.all(name, self[name] != '' || !(name.upperAscii() in {}))", list(&NEEDED)),
            format!("{} cannot be disabled: the agents need them; write a new name", NEEDED.join(", ")),
        ),
        rule(
            &at,
            "self.all(name, self[name].matches('^[a-zA-Z0-9_.:-]*$'))",
            "this cannot name a command; write letters, digits, '_', '-', '.' and ':', or \"\" to disable it",
        ),
        rule(
            &at,
            format!("self.all(name, !(self[name].upperAscii() in {}))", list(&all)),
            "a new name is that of another command; write one that no command has",
        ),
        rule(
            &at,
            "self.all(a, self[a] == '' || self.all(b, a == b || self[a].lowerAscii() != self[b].lowerAscii()))",
            "two commands cannot have one new name; write another one for one of them",
        ),
        rule(
            &at,
            "self.all(name, name.upperAscii() == name || !(name.upperAscii() in self))",
            "this command stands here already, in other letters; keep one of the two",
        ),
    ]);
    rules
}

fn memory() -> Vec<Rule> {
    let at = ["spec", "maxMemory"];
    vec![
        rule(
            &["spec", "maxMemory", "percent"],
            format!("self >= 1 && self <= {MAX_PERCENT}"),
            format!(
                "write a share of the memory limit from 1 to {MAX_PERCENT} percent; the rest is for what is not data"
            ),
        ),
        rule(
            &["spec", "maxMemory", "size"],
            "isQuantity(self) && !quantity(self).isLessThan(quantity('1Mi'))",
            "no server can work with this; write 1Mi or more, for instance 3Gi",
        ),
        rule(
            &at,
            "!has(self.percent) || !has(self.size)",
            "percent and size are two words for the same; keep one of them",
        ),
        rule(
            &["spec"],
            "!has(self.maxMemory) || has(self.maxMemory.size) || has(self.podTemplate)",
            "maxMemory takes its share of a memory limit, and there is none; write resources.limits.memory into the \
             container redis of podTemplate, or an amount as maxMemory.size",
        ),
        rule(
            &["spec"],
            format!(
                "!has(self.maxMemory) || !has(self.redisConfig) || self.redisConfig.all(name, !(name.lowerAscii() in {}))",
                list(&MEMORY_DIRECTIVES)
            ),
            format!(
                "maxMemory sets {}; leave them out of redisConfig, or leave out maxMemory",
                MEMORY_DIRECTIVES.join(" and ")
            ),
        ),
    ]
}

fn migration() -> Vec<Rule> {
    vec![
        rule(
            &["spec", "migration", "maxLatency"],
            "self.matches('^[0-9]{1,6}(ms|s|m)$') && duration(self) <= duration('1s')",
            "write a latency in ms or s up to 1s, for instance 5ms, or 0ms for no bound",
        ),
        rule(
            &["spec", "migration", "maxBytesPerSecond"],
            "isQuantity(self) && !quantity(self).isLessThan(quantity('64Ki'))",
            "a move would not end with this; write 64Ki or more, for instance 50Mi, or leave it out for no bound",
        ),
    ]
}

fn storage() -> Vec<Rule> {
    let mut rules = vec![
        rule(
            &["spec", "storage", "size"],
            "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
            "this is no size; write a number and a unit, for instance 10Gi or 500M",
        ),
        rule(
            &["spec", "storage"],
            "!has(self.size) || !has(self.volumeClaimTemplate)",
            "volumeClaimTemplate has a size already; keep one of size and volumeClaimTemplate",
        ),
        rule(
            &["spec", "storage"],
            "!has(self.storageClassName) || has(self.size)",
            "without a size there is no claim that could have a storageClassName; write size too, for instance 10Gi \
             (of a volumeClaimTemplate the class is in its spec)",
        ),
    ];
    for field in ["size", "storageClassName"] {
        let value = |whose: &str| {
            format!("(has({whose}.storage) && has({whose}.storage.{field}) ? {whose}.storage.{field} : '')")
        };
        rules.push(unchanged(field, format!("{} == {}", value("self"), value("oldSelf"))));
    }
    let has = |whose: &str| format!("(has({whose}.storage) && has({whose}.storage.volumeClaimTemplate))");
    let template = |whose: &str| format!("{whose}.storage.volumeClaimTemplate");
    rules.push(unchanged(
        "volumeClaimTemplate",
        format!(
            "{0} == {1} && (!{0} || {2} == {3})",
            has("self"),
            has("oldSelf"),
            template("self"),
            template("oldSelf")
        ),
    ));
    rules
}

/// A volume claim is made once, from what the StatefulSet said when it was made.
fn unchanged(field: &str, holds: String) -> Rule {
    rule(
        &["spec"],
        holds,
        format!("storage.{field} cannot be changed; put the old value back, or make a new cluster with the new one"),
    )
}

fn labels() -> Vec<Rule> {
    let at = ["spec", "additionalLabels"];
    let word = "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?";
    let domain = "([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?";
    vec![
        rule(
            &at,
            format!("self.all(name, !name.startsWith('{LABEL_DOMAIN}') && !(name in {}))", list(&OWN_LABELS)),
            format!(
                "{LABEL_DOMAIN}… and {} are the labels that the coordinator finds its objects by; leave them out",
                OWN_LABELS.join(", ")
            ),
        ),
        rule(
            &at,
            format!("self.all(name, name.matches('^{domain}{word}$'))"),
            "no label has such a name; write one like team or example.com/team",
        ),
        rule(
            &at,
            format!("self.all(name, self[name].matches('^({word})?$'))"),
            "a label's value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or \
             digit",
        ),
    ]
}

/// A list of words in CEL.
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", quoted.join(", "))
}
