//! How moves in one piece go in a history: what servers do that no fault explains.

/// A habit of all servers of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// They end as they should, unless something dies.
    Even,
    /// Of so many, one never comes to its pause, as under writes that do not stop.
    Hangs(u32),
    /// None succeeds: the target has no room.
    Fails,
    /// A child is always at work: none begins.
    Saves,
}
