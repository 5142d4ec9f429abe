//! What this agent saw of the server's life, and what it says of its end. Nothing is done about the end here.
//!
//! It is kept apart from the state that is shown: the sockets of a server that dies close a moment before its lock is
//! free, and in that moment nothing is known of it.

use super::liveness::describe;
use crate::launcher::Ended;

/// How far the present life has come, as far as this agent has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// No server was seen alive since the last end that was told, or since this agent began.
    #[default]
    Unseen,
    /// It was alive, but has not answered a look with all that is asked.
    Alive,
    /// It has answered: it was well.
    Answered,
    /// This agent has stopped it in order.
    Stopped,
}

impl Life {
    /// Its process was seen alive.
    pub(super) fn seen_alive(&mut self) {
        if matches!(self, Self::Unseen | Self::Stopped) {
            *self = Self::Alive;
        }
    }
}

/// What is said where nobody has seen the end.
const UNSEEN: &str = "the server ended together with its launcher: their container was killed, perhaps because it reached its memory limit";

/// What is to be said of an end, for people; none if it was in order, or if there was no life that this agent knows of.
pub(super) fn account(life: Life, ended: Option<&Ended>, start_failed: Option<&str>) -> Option<String> {
    match (start_failed, ended) {
        (Some(reason), _) => Some(reason.to_owned()),
        (None, Some(ended)) => (life != Life::Stopped || ended.code != Some(0)).then(|| describe(ended)),
        (None, None) => matches!(life, Life::Alive | Life::Answered).then(|| UNSEEN.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> Ended {
        Ended { code: Some(code), ..Ended::default() }
    }

    #[test]
    fn an_end_that_nobody_saw_is_told_of_a_server_that_was_seen_alive() {
        for life in [Life::Alive, Life::Answered] {
            assert_eq!(account(life, None, None).as_deref(), Some(UNSEEN));
        }
        for life in [Life::Unseen, Life::Stopped] {
            assert_eq!(account(life, None, None), None);
        }
    }

    #[test]
    fn a_stop_in_order_is_no_death_unless_the_server_failed_at_it() {
        assert_eq!(account(Life::Stopped, Some(&exit(0)), None), None);
        assert!(account(Life::Stopped, Some(&exit(1)), None).unwrap().contains("code 1"));
        let killed = Ended { signal: Some("SIGKILL".into()), ..Ended::default() };
        assert!(account(Life::Stopped, Some(&killed), None).unwrap().contains("SIGKILL"));
        assert!(account(Life::Answered, Some(&exit(0)), None).unwrap().contains("code 0"));
    }

    #[test]
    fn an_agent_that_comes_later_tells_what_the_launcher_saw() {
        assert!(account(Life::Unseen, Some(&exit(1)), None).unwrap().contains("code 1"));
        assert_eq!(account(Life::Unseen, None, Some("no program")).as_deref(), Some("no program"));
    }

    #[test]
    fn being_alive_takes_nothing_back_and_ends_a_stop() {
        let mut life = Life::Answered;
        life.seen_alive();
        assert_eq!(life, Life::Answered);
        for before in [Life::Unseen, Life::Stopped] {
            life = before;
            life.seen_alive();
            assert_eq!(life, Life::Alive);
        }
    }
}
