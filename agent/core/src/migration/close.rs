//! Closing a slot that is empty at its source: the target takes it first, under the greater epoch.
//!
//! If the source let go first and the target died before it took the slot, nobody would claim it: Redis does not heal
//! that (measured; clients bounce for ever). The same happens when the source lets go under the greater epoch: a claim of
//! it that is still on its way takes the slot from the target, and nobody claims it again (simulated).

/// How far a slot is closed, as both servers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The source holds no key of the slot any more: counted, not assumed.
    pub empty_at_source: bool,
    /// The target calls itself the owner.
    pub owned_by_target: bool,
    /// The target's epoch is greater than the source's.
    pub target_outranks: bool,
    /// The source calls the target the owner.
    pub released_by_source: bool,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseStep {
    /// Keys are left: move them first.
    MoveKeys,
    /// `BUMPEPOCH` at the target, as soon as it knows the source's epoch.
    RaiseTarget,
    /// `SETSLOT NODE` at the target.
    AssignAtTarget,
    /// `SETSLOT NODE` at the source.
    AssignAtSource,
    /// Both agree.
    Done,
}

/// What to do next about a slot that is being closed.
pub fn next_step(closing: Closing) -> CloseStep {
    match closing {
        Closing { empty_at_source: false, .. } => CloseStep::MoveKeys,
        Closing { owned_by_target: true, released_by_source: true, .. } => CloseStep::Done,
        Closing { target_outranks: false, .. } => CloseStep::RaiseTarget,
        Closing { owned_by_target: false, .. } => CloseStep::AssignAtTarget,
        Closing { .. } => CloseStep::AssignAtSource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Closing {
        Closing { empty_at_source: true, owned_by_target: false, target_outranks: true, released_by_source: false }
    }

    #[test]
    fn the_target_takes_a_slot_before_the_source_lets_go() {
        let fresh = fresh();
        assert_eq!(next_step(fresh), CloseStep::AssignAtTarget);
        assert_eq!(next_step(Closing { owned_by_target: true, ..fresh }), CloseStep::AssignAtSource);
        assert_eq!(next_step(Closing { owned_by_target: true, released_by_source: true, ..fresh }), CloseStep::Done);
    }

    #[test]
    fn a_slot_with_keys_is_never_closed() {
        assert_eq!(next_step(Closing { empty_at_source: false, ..fresh() }), CloseStep::MoveKeys);
    }

    #[test]
    fn the_source_keeps_claiming_until_the_target_claims_under_a_greater_epoch() {
        let equal = Closing { target_outranks: false, ..fresh() };
        assert_eq!(next_step(equal), CloseStep::RaiseTarget);
        assert_eq!(next_step(Closing { owned_by_target: true, ..equal }), CloseStep::RaiseTarget);
        let over = Closing { owned_by_target: true, released_by_source: true, ..equal };
        assert_eq!(next_step(over), CloseStep::Done, "it cannot be helped any more");
    }

    #[test]
    fn in_no_state_does_the_source_let_go_before_the_target_owns_an_emptied_slot() {
        for bits in 0u8..16 {
            let closing = Closing {
                empty_at_source: bits & 1 != 0,
                owned_by_target: bits & 2 != 0,
                released_by_source: bits & 4 != 0,
                target_outranks: bits & 8 != 0,
            };
            let step = next_step(closing);
            let lets_go = matches!(step, CloseStep::AssignAtSource | CloseStep::Done);
            assert!(!lets_go || (closing.empty_at_source && closing.owned_by_target), "{closing:?}: {step:?}");
            assert_eq!(step == CloseStep::Done, bits & 7 == 7, "{closing:?}");
        }
    }
}
