//! What was not tested, and why. A passing test's output is not shown, so it is also said past it, and again at the end
//! of `make test`, which names a file for it in REDISNODE_SKIPPED.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;

/// Says, once for each, that something was skipped.
pub fn skip(what: &str, why: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("skipped: {what}: {why}");
    println!("{line}");
    if !SAID.lock().expect("nobody panics with it").insert(line.clone()) {
        return;
    }
    // Written to the stream itself, which the test runner does not keep back.
    let shown = writeln!(std::io::stderr(), "{line}");
    let kept = std::env::var_os("REDISNODE_SKIPPED").map(|path| {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}"))
    });
    assert!(shown.is_ok() && kept.is_none_or(|kept| kept.is_ok()), "{line}: this cannot be written down");
}
