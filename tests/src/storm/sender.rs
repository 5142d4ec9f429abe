//! One client of the storm: sends a request of each of its groups, reads all answers, and again.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Tally;
use super::group::{Group, Outcome};
use super::line::Line;

/// A client before it runs.
#[derive(Debug, Default)]
pub(super) struct Sender {
    places: Vec<Place>,
    lines: BTreeMap<u16, Line>,
    tally: Tally,
}

/// A group, and where its slot is.
#[derive(Debug)]
struct Place {
    group: Group,
    owner: u16,
    /// The next request goes here, and says that it was sent there.
    ask: Option<u16>,
    /// Something was wrong: its next answers say nothing.
    is_lost: bool,
}

impl Sender {
    pub(super) fn add(&mut self, group: Group, owner: u16) {
        self.places.push(Place { group, owner, ask: None, is_lost: false });
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> Tally {
        while !stop.load(Ordering::Relaxed) && self.places.iter().any(|place| !place.is_lost) {
            let before = self.tally.acknowledged;
            if let Err(error) = self.round() {
                self.tally.note(format!("a connection broke, and nobody knows what was done: {error}"));
                break;
            }
            acknowledged.fetch_add(self.tally.acknowledged - before, Ordering::Relaxed);
        }
        let Self { places, mut tally, .. } = self;
        tally.groups = places.into_iter().map(|place| place.group).collect();
        tally
    }

    fn round(&mut self) -> io::Result<()> {
        let Self { places, lines, tally } = self;
        for (whose, place) in places.iter_mut().enumerate().filter(|(_, place)| !place.is_lost) {
            let ask = place.ask.take();
            let port = ask.unwrap_or(place.owner);
            let line = match lines.entry(port) {
                std::collections::btree_map::Entry::Occupied(line) => line.into_mut(),
                std::collections::btree_map::Entry::Vacant(none) => none.insert(Line::open(port)?),
            };
            line.add(whose, |wire| place.group.write_to(wire, ask.is_some()));
        }
        lines.values_mut().try_for_each(Line::send)?;
        for line in lines.values_mut() {
            while let Some((whose, answers)) = line.receive()? {
                let place = &mut places[whose];
                match place.group.judge(&answers) {
                    Outcome::Done => tally.acknowledged += 1,
                    Outcome::Refused { word, to } => {
                        *tally.refused.entry(word).or_default() += 1;
                        match to {
                            Some((port, true)) => place.ask = Some(port),
                            Some((port, false)) => place.owner = port,
                            None => {}
                        }
                    }
                    Outcome::Wrong(what) => {
                        place.is_lost = true;
                        tally.note(what);
                    }
                }
            }
        }
        Ok(())
    }
}
