//! One long poll after the other to one agent.

use std::net::SocketAddr;
use std::time::Duration;

use redisnode_http::{CallError, Client, Listen, ReportQuery};
use redisnode_proto::{ClusterId, Member, Report};
use tokio::sync::mpsc;

/// How long an agent holds a poll back while it has nothing new. With the deadline no longer than a Report is fresh.
const WAIT: Duration = Duration::from_secs(2);
/// How long its answer may take beyond that.
const DEADLINE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What came of a poll.
#[derive(Debug)]
pub(super) enum Said {
    /// A new Report.
    Report(Box<Report>),
    /// The agent lives, and its Report is the same as before.
    Unchanged,
    /// No answer that counts, and why.
    Nothing(String),
}

/// Listens to one agent.
pub(super) struct Watcher {
    pub(super) client: Client,
    pub(super) cluster: ClusterId,
    pub(super) member: Member,
    pub(super) agent: SocketAddr,
}

impl Watcher {
    /// Works until it is aborted, or nobody wants to hear it any more.
    pub(super) async fn listen(self, tell: mpsc::Sender<(Member, Said)>) {
        let mut after = None;
        let mut failures = 0;
        loop {
            let said = self.ask(&mut after).await;
            failures = if matches!(said, Said::Nothing(_)) { failures + 1 } else { 0 };
            if tell.send((self.member.clone(), said)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause(failures)).await;
        }
    }

    async fn ask(&self, after: &mut Option<Listen>) -> Said {
        let query = ReportQuery { after: *after, wait: WAIT };
        match self.client.report(self.agent, query, DEADLINE).await {
            Ok(None) => Said::Unchanged,
            Ok(Some(report)) => {
                if let Some(why) = self.stranger(&report) {
                    return Said::Nothing(why);
                }
                *after = Some(Listen::of(&report));
                Said::Report(Box::new(report))
            }
            Err(error) => {
                // A new life may begin before the next poll: its first Report must not be missed.
                *after = None;
                Said::Nothing(sentence(&error))
            }
        }
    }

    /// Why the answer is not from the member that is watched.
    fn stranger(&self, report: &Report) -> Option<String> {
        if report.cluster != self.cluster {
            return Some(format!("the agent at {} belongs to another cluster", self.agent));
        }
        let Member { name, uid } = &report.member;
        (report.member != self.member).then(|| format!("the agent at {} is {name} of another life ({uid})", self.agent))
    }
}

fn sentence(error: &CallError) -> String {
    if error.is_refused() { "its agent does not run".to_owned() } else { error.whole() }
}

/// Polls follow each other at once while they are answered.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(before) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_followed_at_once_and_silence_by_longer_and_longer_pauses() {
        let pauses: Vec<u128> = (0..7).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [0, 20, 40, 80, 160, 250, 250]);
    }
}
