//! Keeps one process of a member alive: adopts the one that runs already, starts it when none does, and starts it
//! again when it ends.
//!
//! A process that is not our child is known by its lock, which it holds as long as it lives. Processes are in groups
//! of their own, so the terminal's Ctrl-C does not reach them, and they outlive the coordinator.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redisnode_proto::NodeName;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use crate::files::{LockState, is_free, look};

/// How often the lock of an adopted process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much of a log is read for its last line.
const TAIL: u64 = 4096;

/// What to run, and where it shows that it lives.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// `agent` or `launcher`.
    pub(super) what: &'static str,
    pub(super) name: NodeName,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// The member's folder: when it is gone, the member is lost and nothing is started.
    pub(super) folder: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) log: PathBuf,
}

/// Something that the machine should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A process came or went.
    Changed,
    /// A member's folder is gone, and a process of it would have to be started.
    FolderLost(NodeName),
}

/// A process that is kept alive. Clones are about the same one.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    job: Arc<Job>,
    life: Arc<Mutex<Life>>,
    stop: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Life {
    pid: Option<u32>,
    in_a_row: u32,
    last_end: Option<String>,
}

impl Keeper {
    pub(super) fn new(job: Job) -> Self {
        Self { job: Arc::new(job), life: Arc::default(), stop: watch::Sender::new(false) }
    }

    /// The process number, while the process lives.
    pub(super) fn pid(&self) -> Option<u32> {
        self.life().pid
    }

    /// Nothing of it lives: not our child, and nobody holds its lock.
    pub(super) fn is_down(&self) -> bool {
        self.pid().is_none() && is_free(&self.job.lock)
    }

    /// Do not start it again. Its end is still waited for.
    pub(super) fn let_go(&self) {
        self.stop.send_replace(true);
    }

    /// Why it keeps ending, once it has ended three times in a row.
    pub(super) fn trouble(&self) -> Option<String> {
        let life = self.life();
        let end = life.last_end.as_deref().filter(|_| life.in_a_row >= 3)?;
        let Job { what, name, log, .. } = self.job.as_ref();
        Some(format!("the {what} of {name} keeps ending: {end}; see {}", log.display()))
    }

    /// Works until [`Self::let_go`].
    pub(super) async fn keep(self, news: mpsc::UnboundedSender<News>) {
        let mut stop = self.stop.subscribe();
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            let begun = Instant::now();
            let end = match look(&self.job.lock) {
                Ok(LockState::Held(_)) => self.adopt(&news, &mut stop).await,
                Ok(LockState::Free) if !self.job.folder.exists() => {
                    return tell(&news, News::FolderLost(self.job.name.clone()));
                }
                Ok(LockState::Free) => self.run(&news).await,
                Err(error) => error.into(),
            };
            let wait = backoff.after(begun.elapsed());
            *self.life() = Life { pid: None, in_a_row: backoff.in_a_row(), last_end: Some(end) };
            tell(&news, News::Changed);
            // Either end of this wait is wanted: the time, or the order to stop.
            drop(tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await);
        }
    }

    /// Watches a process that somebody else started until it has ended.
    async fn adopt(&self, news: &mpsc::UnboundedSender<News>, stop: &mut watch::Receiver<bool>) -> String {
        while let Ok(LockState::Held(pid)) = look(&self.job.lock) {
            if pid.is_some() && self.pid() != pid {
                self.life().pid = pid;
                tell(news, News::Changed);
            }
            if *stop.borrow() {
                tokio::time::sleep(LOOK_EVERY).await;
            } else {
                // Either end of this wait is wanted: the time, or the order to stop.
                drop(tokio::time::timeout(LOOK_EVERY, stop.wait_for(|stop| *stop)).await);
            }
        }
        "it ended".to_owned()
    }

    async fn run(&self, news: &mpsc::UnboundedSender<News>) -> String {
        match self.spawn() {
            Ok(mut child) => {
                self.life().pid = child.id();
                tell(news, News::Changed);
                self.ended(child.wait().await)
            }
            Err(error) => format!("{} cannot be started: {error}", self.job.program.display()),
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.job.log)?;
        Command::new(&self.job.program)
            .args(&self.job.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
    }

    fn ended(&self, end: std::io::Result<ExitStatus>) -> String {
        let how = match end {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("its end cannot be seen: {error}"),
        };
        match last_line(&self.job.log) {
            Some(line) => format!("{how}: {line}"),
            None => how,
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(news: &mpsc::UnboundedSender<News>, what: News) {
    if news.send(what).is_err() {
        tracing::debug!("nobody listens to the news of processes any more");
    }
}

/// The last line of a log that has something in it.
fn last_line(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn job(folder: &Folder, script: &str) -> Job {
        Job {
            what: "agent",
            name: "my-0".parse().unwrap(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            folder: folder.path().to_owned(),
            lock: folder.path().join("agent.lock"),
            log: folder.path().join("agent.log"),
        }
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    #[tokio::test]
    async fn a_process_that_keeps_ending_is_started_again_and_its_last_words_are_told() {
        let folder = Folder::new("keeper-ends");
        let keeper = Keeper::new(job(&folder, "echo the disk is on fire >&2; exit 3"));
        let (news, _told) = mpsc::unbounded_channel();
        let kept = tokio::spawn(keeper.clone().keep(news));
        until("three ends", || keeper.trouble().is_some()).await;
        let trouble = keeper.trouble().unwrap();
        assert!(trouble.contains("exit status: 3: the disk is on fire"), "{trouble}");
        keeper.let_go();
        kept.await.unwrap();
    }

    #[tokio::test]
    async fn a_killed_process_comes_back_and_one_that_was_let_go_does_not() {
        let folder = Folder::new("keeper-killed");
        let keeper = Keeper::new(job(&folder, "exec sleep 60"));
        let (news, _told) = mpsc::unbounded_channel();
        let kept = tokio::spawn(keeper.clone().keep(news));
        until("a start", || keeper.pid().is_some()).await;
        let first = keeper.pid().unwrap();
        super::super::stop::kill(first);
        until("a second start", || keeper.pid().is_some_and(|pid| pid != first)).await;
        keeper.let_go();
        super::super::stop::kill(keeper.pid().unwrap());
        kept.await.unwrap();
        assert!(keeper.is_down());
    }

    #[tokio::test]
    async fn a_process_that_lives_already_is_adopted_and_not_started_twice() {
        let folder = Folder::new("keeper-adopts");
        let job = job(&folder, "exec sleep 60");
        let held = crate::files::Lock::take(&job.lock).unwrap().unwrap();
        let keeper = Keeper::new(job);
        let (news, _told) = mpsc::unbounded_channel();
        let kept = tokio::spawn(keeper.clone().keep(news));
        until("adoption", || keeper.pid() == Some(std::process::id())).await;
        assert!(!keeper.is_down());
        drop(held);
        until("a start of our own", || keeper.pid().is_some_and(|pid| pid != std::process::id())).await;
        keeper.let_go();
        super::super::stop::kill(keeper.pid().unwrap());
        kept.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_started_in_a_folder_that_is_gone() {
        let folder = Folder::new("keeper-gone");
        let mut job = job(&folder, "exit 0");
        job.folder = folder.path().join("gone");
        job.lock = job.folder.join("agent.lock");
        let keeper = Keeper::new(job);
        let (news, mut told) = mpsc::unbounded_channel();
        keeper.keep(news).await;
        assert_eq!(told.recv().await, Some(News::FolderLost("my-0".parse().unwrap())));
    }
}
