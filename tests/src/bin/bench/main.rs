//! `make bench`: what the product does, beside redis-cli and beside the servers alone, on the same servers in the same
//! run. It prints a table and judges nothing.
//!
//! Arguments: names of sections (create move scale takeover handoff footprint fleet) and of families (system redis-8.6 …); without
//! them, all sections on the families of the README.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench fails by panicking")]

mod create;
mod fleet;
mod footprint;
mod gaps;
mod moves;
mod scale;
mod table;

use redisnode_tests::servers::{self, FAMILIES, Server};

use table::Table;

/// A section: its name, and what measures it on one server.
type Section = (&'static str, fn(&Server, &mut Table));

const SECTIONS: [Section; 7] = [
    ("create", create::measure),
    ("move", moves::measure),
    ("scale", scale::measure),
    ("takeover", gaps::takeover),
    ("handoff", gaps::handoff),
    ("footprint", footprint::measure),
    ("fleet", fleet::measure),
];

/// The families that are measured unless others are named.
const USUAL: [&str; 3] = ["system", "redis-8.6", "valkey-9.1"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(word) = words.iter().find(|word| !is_section(word) && !FAMILIES.contains(&word.as_str())) {
        eprintln!(
            "{word}: there are the sections create, move, scale, takeover, handoff, footprint, fleet and the families {FAMILIES:?}"
        );
        std::process::exit(2);
    }
    let mut families: Vec<&str> = words.iter().map(String::as_str).filter(|word| !is_section(word)).collect();
    if families.is_empty() {
        families.extend(USUAL);
    }
    let mut table = Table::default();
    let wanted = |name: &str| words.iter().all(|word| !is_section(word)) || words.iter().any(|word| word == name);
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| wanted(name)) {
        for server in families.iter().filter_map(|family| servers::family(family)) {
            eprintln!("measuring: {name} on {}", server.version);
            measure(&server, &mut table);
        }
    }
    println!("{table}");
}

fn is_section(word: &str) -> bool {
    SECTIONS.iter().any(|(name, _)| *name == word)
}
