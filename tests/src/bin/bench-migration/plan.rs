//! Which slots go where when a script does it: the last ones of each source to the fourth node, and back to whose slots
//! they continue. The same as the product's planner does with whole thirds.

use redisnode_tests::view::{SLOTS, View};

/// From how many primaries to how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// 3 to 4.
    Grow,
    /// 4 to 3.
    Shrink,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::Grow, Self::Shrink];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grow => "3-4",
            Self::Shrink => "4-3",
        }
    }

    /// Slots of the fourth node afterwards.
    pub(crate) fn slots_of_fourth(self) -> usize {
        match self {
            Self::Grow => SLOTS / 4,
            Self::Shrink => 0,
        }
    }
}

/// Slots that go from one node to another.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) source: u16,
    pub(crate) source_id: String,
    pub(crate) target: u16,
    pub(crate) target_id: String,
    pub(crate) slots: Vec<u16>,
}

impl Pair {
    /// Its slots as ranges.
    pub(crate) fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in self.slots.iter().copied() {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == slot => *to = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }
}

/// The pairs of a move, the fourth node being the one on `fourth`.
pub(crate) fn pairs(view: &View, fourth: u16, direction: Direction) -> Vec<Pair> {
    let fourth = view.on_port(fourth).expect("the fourth node is known");
    let mut others: Vec<_> = view.owners().into_iter().filter(|node| node.id != fourth.id).collect();
    others.sort_by_key(|node| node.slots.first().copied());
    let pair = |source: &redisnode_tests::view::Node, target: &redisnode_tests::view::Node, slots: Vec<u16>| Pair {
        source: source.port,
        source_id: source.id.clone(),
        target: target.port,
        target_id: target.id.clone(),
        slots,
    };
    match direction {
        Direction::Grow => {
            let mut left = SLOTS / 4 - fourth.slots.len();
            let mut pairs = Vec::new();
            for (index, source) in others.iter().enumerate() {
                let share = left.div_ceil(others.len() - index);
                left -= share;
                pairs.push(pair(source, fourth, source.slots[source.slots.len() - share..].to_vec()));
            }
            pairs
        }
        Direction::Shrink => {
            let mut gets: Vec<Vec<u16>> = vec![Vec::new(); others.len()];
            let owners = view.owner_of_slots();
            for slot in fourth.slots.iter().copied() {
                let before = (0..slot).rev().find_map(|slot| {
                    let owner = &view.nodes[owners[usize::from(slot)]?];
                    others.iter().position(|node| node.id == owner.id)
                });
                let has_room = |index: usize| others[index].slots.len() + gets[index].len() < SLOTS.div_ceil(3);
                let most_room =
                    || (0..others.len()).min_by_key(|index| others[*index].slots.len() + gets[*index].len());
                let to = before.filter(|index| has_room(*index)).or_else(most_room).expect("there are others");
                gets[to].push(slot);
            }
            others.iter().zip(gets).map(|(target, slots)| pair(fourth, target, slots)).collect()
        }
    }
}
