//! How often an open slot that still shows keys is looked at again: as long as they become fewer, and a few times more.

/// Looks without progress that end the patience.
const LOOKS: u32 = 8;

/// What to do after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left.
    Empty,
    /// Move what was found.
    GoOn,
    /// Give up for now.
    GiveUp {
        /// What happened and what to do, a sentence.
        reason: String,
    },
}

/// The memory of the looks at some open slots. An open slot gets no new keys, so they become fewer or something is
/// wrong; the number of looks is bounded either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    least: Option<u64>,
    idle: u32,
}

impl Patience {
    /// A look has found so many keys in all of the slots.
    pub fn look(&mut self, keys: u64) -> Verdict {
        if keys == 0 {
            return Verdict::Empty;
        }
        let fewer = self.least.is_none_or(|least| keys < least);
        if fewer {
            *self = Self { least: Some(keys), idle: 0 };
            return Verdict::GoOn;
        }
        self.idle += 1;
        if self.idle < LOOKS {
            return Verdict::GoOn;
        }
        let reason = format!(
            "{keys} keys of open slots do not become fewer although the servers say that they moved; the slots stay open, see both servers' logs"
        );
        Verdict::GiveUp { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_many_keys_is_looked_at_as_long_as_they_become_fewer() {
        let mut patience = Patience::default();
        for keys in (1..100u64).rev() {
            assert_eq!(patience.look(keys), Verdict::GoOn);
        }
        assert_eq!(patience.look(0), Verdict::Empty);
    }

    #[test]
    fn keys_that_stay_end_the_patience_with_a_reason() {
        let mut patience = Patience::default();
        let looks = (0..100).take_while(|_| patience.look(7) == Verdict::GoOn).count();
        assert!((2..20).contains(&looks), "{looks}");
        let Verdict::GiveUp { reason } = patience.look(7) else { panic!() };
        assert!(reason.contains('7'), "{reason}");
    }

    #[test]
    fn keys_that_come_and_go_are_not_progress() {
        let mut patience = Patience::default();
        let looks = (0..100u64).take_while(|n| patience.look(5 + n % 2) == Verdict::GoOn).count();
        assert!(looks < 20, "{looks}");
    }
}
