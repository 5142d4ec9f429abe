//! A trial of the user's directives: a server that listens to nobody is started with them, for a moment. A wrong one is
//! told from the server's own words before any member gets it.
//!
//! Refuses to judge what it cannot: directives whose value could be quoted in more than one way are left out, and a
//! server that neither ends nor listens in time counts as good.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redisnode_proto::spec::{ClusterSpec, settings};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The user's directives, as the servers would get them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    config: BTreeMap<String, String>,
    renamed: BTreeMap<String, String>,
}

impl Directives {
    /// Those of a valid spec.
    pub fn of(spec: &ClusterSpec) -> Self {
        let settings = settings(spec, []);
        Self { config: settings.redis_config, renamed: settings.rename_commands }
    }
}

const WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What holds for the trial, whatever the user says: nothing is read, written or listened to but in its own folder.
const OURS: &str = "port 0\nunixsocket trial.sock\ndaemonize no\nlogfile \"\"\nsave \"\"\nappendonly no\n";
/// Directives that take several words as they are.
const OF_WORDS: [&str; 5] = ["save", "client-output-buffer-limit", "oom-score-adj-values", "loadmodule", "user"];

/// Whether `server` starts with these directives. The error is a sentence with the server's own words.
pub async fn trial(server: &Path, directives: &Directives) -> Result<(), String> {
    let lines = lines(directives);
    match attempt(server, &lines).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(words)) if !lines.is_empty() && attempt(server, "").await?.is_ok() => {
            Err(format!("{} does not start with what the spec says: {words}", server.display()))
        }
        Ok(Err(words)) => Err(format!(
            "{} is no server that starts ({words}); give the path of a redis-server or valkey-server",
            server.display()
        )),
        Err(error) => Err(error),
    }
}

/// Starts the server once. The outer error says that it could not be tried, the inner one is what it said as it ended.
async fn attempt(server: &Path, lines: &str) -> Result<Result<(), String>, String> {
    let folder = Folder::new().map_err(|error| format!("cannot make a folder to try the server in: {error}"))?;
    let config = format!("{lines}{OURS}");
    let mut child =
        start(server, &folder.0, &config).await.map_err(|error| format!("cannot run {}: {error}", server.display()))?;
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            let output = std::fs::read_to_string(folder.0.join("output")).unwrap_or_default();
            return Ok(Err(words(&output).unwrap_or_else(|| format!("it ends with {status}"))));
        }
        if UnixStream::connect(folder.0.join("trial.sock")).await.is_ok() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // It listens, or its time is over. The folder goes when nothing writes into it any more.
    child.kill().await.map_err(|error| format!("cannot end the trial of {}: {error}", server.display())).map(Ok)
}

async fn start(server: &Path, folder: &Path, config: &str) -> std::io::Result<Child> {
    let output = std::fs::File::create(folder.join("output"))?;
    let mut child = Command::new(server)
        .arg("-")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .process_group(0)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is no server; its end tells.
        drop(input.write_all(config.as_bytes()).await);
    }
    Ok(child)
}

fn lines(directives: &Directives) -> String {
    let is_plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:*/,@+%".contains(&byte));
    let fits = |name: &str, value: &str| {
        let words = value.split(' ').count();
        !value.is_empty() && value.split(' ').all(is_plain) && (words == 1 || OF_WORDS.contains(&name))
    };
    let fitting = directives.config.iter().filter(|(name, value)| fits(name, value));
    let renamed = directives.renamed.iter().map(|(old, new)| format!("rename-command {old} \"{new}\"\n"));
    fitting.map(|(name, value)| format!("{name} {value}\n")).chain(renamed).collect()
}

/// The server's own words for why it ended: the line that it shows, and what it says of it; or the last thing it said.
fn words(output: &str) -> Option<String> {
    let said: Vec<&str> = output.lines().map(message).filter(|line| !line.is_empty()).collect();
    let shown = said.iter().rposition(|line| line.starts_with(">>> "));
    let Some((line, reason)) = shown.and_then(|at| Some((said.get(at)?, said.get(at.checked_add(1)?)))) else {
        return said.last().map(|last| (*last).to_owned());
    };
    let directive = line.trim_start_matches(">>> ").trim_matches('\'');
    Some(match reason {
        Some(reason) if !reason.contains("loadmodule directive") => format!("{directive}: {reason}"),
        _ => format!("{directive}: there is no such directive"),
    })
}

/// A line without process number, date and level.
fn message(line: &str) -> &str {
    let has_head =
        line.split_once(':').is_some_and(|(pid, _)| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
    let head = [" # ", " * "].into_iter().filter_map(|level| line.split_once(level)).min_by_key(|(head, _)| head.len());
    match head {
        Some((_, message)) if has_head => message.trim(),
        _ => line.trim(),
    }
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (pid, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("redis-coordinator-trial-{pid}-{number}"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::spec::MaxMemory;

    use super::*;

    #[test]
    fn the_line_that_the_server_shows_and_its_reason_are_its_words() {
        let redis = "1:C 22 Nov 2026 18:56:47.431 * Reading config from stdin\n\n*** FATAL CONFIG FILE ERROR (Redis 8.6.3) ***\n\
                     Reading the configuration file, at line 1\n>>> 'maxmemory-policy nonsense'\nargument(s) must be one of";
        assert_eq!(words(redis).unwrap(), "maxmemory-policy nonsense: argument(s) must be one of");
        let late = "1:M 22 Nov 2026 18:56:47.433 # >>> 'no-such 1'\n\
                    1:M 22 Nov 2026 18:56:47.433 # Module Configuration detected without loadmodule directive or no \
                    ApplyConfig call: aborting\n";
        assert_eq!(words(late).unwrap(), "no-such 1: there is no such directive");
    }

    #[test]
    fn without_such_a_line_the_last_thing_said_counts() {
        let module = "1:M 22 Nov 2026 18:56:47.510 # Module /nope.so failed to load\n\
                      1:M 22 Nov 2026 18:56:47.510 # Can't load module from /nope.so: server aborting\n\n";
        assert_eq!(words(module).unwrap(), "Can't load module from /nope.so: server aborting");
        assert_eq!(words(" \n"), None);
    }

    #[test]
    fn what_could_be_quoted_in_two_ways_is_not_tried() {
        let config = [
            ("save".to_owned(), "900 1".into()),
            ("requirepass".to_owned(), "two words".into()),
            ("masterauth".to_owned(), "\"quoted\"".into()),
        ];
        let max_memory = Some(MaxMemory { size: Some("2Mi".to_owned()), ..MaxMemory::default() });
        let rename_commands = [("keys".to_owned(), String::new())].into();
        let spec = ClusterSpec { redis_config: config.into(), max_memory, rename_commands, ..ClusterSpec::default() };
        let wanted = "maxmemory 2097152\nmaxmemory-policy noeviction\nsave 900 1\nrename-command KEYS \"\"\n";
        assert_eq!(lines(&Directives::of(&spec)), wanted);
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_told_with_its_last_words() {
        let error = trial(Path::new("/bin/cat"), &Directives::default()).await.unwrap_err();
        assert!(error.starts_with("/bin/cat is no server that starts (appendonly no)"), "{error}");
        let error = trial(Path::new("/nonexistent"), &Directives::default()).await.unwrap_err();
        assert!(error.starts_with("cannot run /nonexistent"), "{error}");
    }
}
