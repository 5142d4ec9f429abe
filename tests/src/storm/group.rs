//! Keys of one slot that only one client writes, what is done with them in turn, and what the answers must be. Pure.
//!
//! Two of the keys are always written together and hold the number of the try that wrote them; a third one counts what was
//! done. A try that was refused is followed by a look, so that one that was done in part is found.

use super::answer::Answer;
use crate::measure::fill::write_command;
use crate::view::slot_of;

/// Bytes of a value.
const VALUE: usize = 100;
/// What [`Act::Script`] runs.
const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) return redis.call('INCR', KEYS[3])";
/// In this order, again and again.
const ACTS: [Act; 5] = [Act::Transaction, Act::Script, Act::Pair, Act::Look, Act::Count];
/// Refusals after which nothing was done, and the request is right to come again.
const AGAIN: [&str; 3] = ["TRYAGAIN", "EXECABORT", "CLUSTERDOWN"];

/// What one request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// `MULTI`: writes the pair and counts.
    Transaction,
    /// `EVAL`: the same.
    Script,
    /// `MSET`: writes the pair.
    Pair,
    /// `MGET`: reads all three.
    Look,
    /// `INCR`: counts.
    Count,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// Nothing was done, the server says why in one word; where to go with it, if the server says that, and whether that one
    /// has to be told that it was sent there.
    Refused { word: String, to: Option<(u16, bool)> },
    /// This must not be.
    Wrong(String),
}

/// The keys, and what must be there.
#[derive(Clone, Debug)]
pub(super) struct Group {
    tag: String,
    turn: usize,
    /// The number of the newest try.
    tried: u64,
    /// The number of the try that the pair holds; 0: none was written yet.
    pair: u64,
    count: i64,
    /// The last request was refused.
    in_doubt: bool,
}

impl Group {
    /// Keys that begin with a tag in braces. There must be none yet.
    pub(super) fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned(), turn: 0, tried: 0, pair: 0, count: 0, in_doubt: false }
    }

    pub(super) fn slot(&self) -> u16 {
        slot_of(self.tag.as_bytes())
    }

    /// What the next request does.
    pub(super) fn act(&self) -> Act {
        if self.in_doubt { Act::Look } else { ACTS[self.turn % ACTS.len()] }
    }

    /// Appends the next request as the wire has it; says how many answers it has. A transaction cannot be sent on by ASK:
    /// its commands are refused one by one where the slot is only arriving.
    pub(super) fn write_to(&mut self, wire: &mut Vec<u8>, asking: bool) -> usize {
        self.tried += 1;
        let (value, [one, two, count]) = (value(self.tried), self.keys());
        let mut answers = 0;
        let mut send = |words: &[&str]| {
            write_command(wire, &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
            answers += 1;
        };
        if asking {
            send(&["ASKING"]);
        }
        match self.act() {
            Act::Transaction => {
                send(&["MULTI"]);
                send(&["SET", &one, &value]);
                send(&["SET", &two, &value]);
                send(&["INCR", &count]);
                send(&["EXEC"]);
            }
            Act::Script => send(&["EVAL", SCRIPT, "3", &one, &two, &count, &value]),
            Act::Pair => send(&["MSET", &one, &value, &two, &value]),
            Act::Look => send(&["MGET", &one, &two, &count]),
            Act::Count => send(&["INCR", &count]),
        }
        answers
    }

    /// What the answers to the last request mean.
    pub(super) fn judge(&mut self, answers: &[Answer]) -> Outcome {
        let act = self.act();
        let Some(last) = answers.last() else { return Outcome::Wrong("no answer".to_owned()) };
        if let Answer::Error(_) = last {
            let outcome = refusal(answers, act == Act::Transaction);
            self.in_doubt = true;
            return outcome;
        }
        if *last != self.right(act) {
            return Outcome::Wrong(format!("{act:?} of {self:?} answered {last:?}"));
        }
        if matches!(act, Act::Transaction | Act::Script | Act::Pair) {
            self.pair = self.tried;
        }
        if matches!(act, Act::Transaction | Act::Script | Act::Count) {
            self.count += 1;
        }
        if !std::mem::take(&mut self.in_doubt) || act == ACTS[self.turn % ACTS.len()] {
            self.turn += 1;
        }
        Outcome::Done
    }

    /// What the last answer must be, if it was done.
    fn right(&self, act: Act) -> Answer {
        let ok = || Answer::Status("OK".to_owned());
        let text = |text: Option<String>| Answer::Text(text.map(String::into_bytes));
        match act {
            Act::Transaction => Answer::List(vec![ok(), ok(), Answer::Number(self.count + 1)]),
            Act::Script | Act::Count => Answer::Number(self.count + 1),
            Act::Pair => ok(),
            Act::Look => Answer::List(self.wanted().into_iter().map(text).collect()),
        }
    }

    /// The command that reads all keys.
    pub(super) fn read(&self) -> Vec<String> {
        std::iter::once("MGET".to_owned()).chain(self.keys()).collect()
    }

    /// What it must answer.
    pub(super) fn wanted(&self) -> Vec<Option<String>> {
        let pair = (self.pair > 0).then(|| value(self.pair));
        vec![pair.clone(), pair, (self.count > 0).then(|| self.count.to_string())]
    }

    fn keys(&self) -> [String; 3] {
        ["one", "two", "count"].map(|name| format!("{}storm:{name}", self.tag))
    }
}

fn value(tried: u64) -> String {
    format!("{tried:0>VALUE$}")
}

/// What a refusal says. Of those of a transaction the first one that knows where the slot is.
fn refusal(answers: &[Answer], is_transaction: bool) -> Outcome {
    let errors =
        || answers.iter().filter_map(|answer| if let Answer::Error(text) = answer { Some(text) } else { None });
    let redirect = errors().find_map(|text| {
        let mut words = text.split(' ');
        let word = words.next().filter(|word| ["MOVED", "ASK"].contains(word))?;
        let port = words.nth(1)?.rsplit_once(':')?.1.parse().ok()?;
        Some((word, port))
    });
    match redirect {
        Some(("ASK", _)) if is_transaction => Outcome::Refused { word: "ASK".to_owned(), to: None },
        Some((word, port)) => Outcome::Refused { word: word.to_owned(), to: Some((port, word == "ASK")) },
        None => {
            let words = || errors().filter_map(|text| text.split(' ').next());
            match words().next() {
                Some(word) if words().all(|word| AGAIN.contains(&word)) => {
                    Outcome::Refused { word: word.to_owned(), to: None }
                }
                _ => Outcome::Wrong(format!("{:?}", errors().collect::<Vec<_>>())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok() -> Answer {
        Answer::Status("OK".to_owned())
    }

    fn error(text: &str) -> Answer {
        Answer::Error(text.to_owned())
    }

    fn sent(group: &mut Group) -> String {
        let mut wire = Vec::new();
        group.write_to(&mut wire, false);
        String::from_utf8(wire).unwrap()
    }

    /// A group whose transaction was done.
    fn begun() -> Group {
        let mut group = Group::new("{a}");
        assert!(sent(&mut group).contains("MULTI"));
        let done = Answer::List(vec![ok(), ok(), Answer::Number(1)]);
        assert_eq!(group.judge(&[ok(), ok(), ok(), ok(), done]), Outcome::Done);
        group
    }

    #[test]
    fn what_was_acknowledged_is_wanted() {
        let mut group = begun();
        assert_eq!(group.wanted(), [Some(value(1)), Some(value(1)), Some("1".to_owned())]);
        assert!(sent(&mut group).contains("EVAL"));
        assert_eq!(group.judge(&[Answer::Number(2)]), Outcome::Done);
        assert_eq!(group.wanted(), [Some(value(2)), Some(value(2)), Some("2".to_owned())]);
    }

    #[test]
    fn a_count_that_was_lost_or_done_twice_is_wrong() {
        for count in [1, 3] {
            let mut group = begun();
            sent(&mut group);
            assert!(matches!(group.judge(&[Answer::Number(count)]), Outcome::Wrong(_)));
        }
    }

    #[test]
    fn a_refused_request_is_looked_for_and_a_part_of_it_that_was_done_is_wrong() {
        let mut group = begun();
        sent(&mut group);
        let moved = Outcome::Refused { word: "MOVED".to_owned(), to: Some((7002, false)) };
        assert_eq!(group.judge(&[error("MOVED 15495 127.0.0.1:7002")]), moved);
        assert!(sent(&mut group).contains("MGET"));
        let mut half_done = group.clone();
        let [one, two, count] = <[Option<String>; 3]>::try_from(group.wanted()).unwrap();
        let text = |text: Option<String>| Answer::Text(text.map(String::into_bytes));
        let half = [Answer::List(vec![text(Some(value(2))), text(two.clone()), text(count.clone())])];
        assert!(matches!(half_done.judge(&half), Outcome::Wrong(_)));
        assert_eq!(group.judge(&[Answer::List(vec![text(one), text(two), text(count)])]), Outcome::Done);
        assert!(sent(&mut group).contains("EVAL"), "it comes again");
    }

    #[test]
    fn a_transaction_goes_where_the_slot_is_and_waits_while_it_is_on_its_way() {
        let refused = |answers: &[Answer]| Group::new("{a}").judge(answers);
        let queued = [ok(), error("MOVED 1 127.0.0.1:7002"), error("EXECABORT x")];
        assert_eq!(refused(&queued), Outcome::Refused { word: "MOVED".to_owned(), to: Some((7002, false)) });
        let open = [ok(), error("ASK 1 127.0.0.1:7002"), error("EXECABORT x")];
        assert_eq!(refused(&open), Outcome::Refused { word: "ASK".to_owned(), to: None });
        let half = [ok(), error("TRYAGAIN x"), error("EXECABORT x")];
        assert_eq!(refused(&half), Outcome::Refused { word: "TRYAGAIN".to_owned(), to: None });
        assert!(matches!(refused(&[ok(), error("ERR no"), error("EXECABORT x")]), Outcome::Wrong(_)));
    }
}
