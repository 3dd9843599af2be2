//! What becomes of an object, given its owners: a pure decision.
//! Source: `attemptToDeleteItem` in `k8s.io/kubernetes/pkg/controller/garbagecollector`.

use steersman_framework::meta::{Meta, OwnerReference};
use steersman_machinery::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};

/// How an owner stands, as the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not there.
    Dangling,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is there.
    Solid,
}

/// How an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Its dependents go after it.
    Background,
    /// Its dependents go before it.
    Foreground,
    /// Its dependents stay.
    Orphan,
}

/// What to do with an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Keep it, and take these owners (by uid) off it.
    Disown(Vec<String>),
    /// Delete it. `unblock`: first make its own references block nobody, which breaks circles.
    Delete {
        /// How.
        policy: Policy,
        /// Whether its references are to be unblocked first.
        unblock: bool,
    },
}

/// The dependents of the object in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependents {
    /// Whether there are any.
    pub any: bool,
    /// Whether one of them is itself waiting for its dependents.
    pub any_waiting: bool,
}

/// Decides about an object by its live metadata and the standing of each of its owners, in their order.
pub fn judge(object: &Meta, owners: &[(OwnerReference, Standing)], dependents: Dependents) -> Verdict {
    let uids =
        |standing: Standing| owners.iter().filter(move |(_, s)| *s == standing).map(|(owner, _)| owner.uid.clone());
    let any = |standing: Standing| owners.iter().any(|(_, s)| *s == standing);
    if owners.is_empty() {
        return Verdict::Keep;
    }
    if any(Standing::Solid) {
        let gone: Vec<String> = uids(Standing::Dangling).chain(uids(Standing::Waiting)).collect();
        return if gone.is_empty() { Verdict::Keep } else { Verdict::Disown(gone) };
    }
    if any(Standing::Waiting) && dependents.any {
        return Verdict::Delete { policy: Policy::Foreground, unblock: dependents.any_waiting };
    }
    let policy = if object.has_finalizer(FINALIZER_ORPHAN) {
        Policy::Orphan
    } else if object.has_finalizer(FINALIZER_FOREGROUND) {
        Policy::Foreground
    } else {
        Policy::Background
    };
    Verdict::Delete { policy, unblock: false }
}

#[cfg(test)]
mod tests {
    use Standing::{Dangling, Solid, Waiting};

    use super::*;

    fn check(finalizers: &[&str], owners: &[Standing], dependents: (bool, bool), expect: Verdict) {
        let object = Meta {
            finalizers: finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(),
            ..Meta::default()
        };
        let reference = |(n, standing): (usize, &Standing)| {
            let reference = OwnerReference { uid: n.to_string(), ..OwnerReference::default() };
            (reference, *standing)
        };
        let references: Vec<_> = owners.iter().enumerate().map(reference).collect();
        let (any, any_waiting) = dependents;
        let got = judge(&object, &references, Dependents { any, any_waiting });
        assert_eq!(got, expect, "{finalizers:?} {owners:?} {dependents:?}");
    }

    fn delete(policy: Policy) -> Verdict {
        Verdict::Delete { policy, unblock: false }
    }

    #[test]
    fn the_decision_table() {
        let none = (false, false);
        check(&[], &[], none, Verdict::Keep);
        check(&[], &[Solid], none, Verdict::Keep);
        check(&[], &[Dangling, Solid, Waiting], none, Verdict::Disown(vec!["0".into(), "2".into()]));
        check(&[], &[Dangling], none, delete(Policy::Background));
        check(&[], &[Dangling], (true, false), delete(Policy::Background));
        check(&[FINALIZER_ORPHAN], &[Dangling], none, delete(Policy::Orphan));
        check(&[FINALIZER_FOREGROUND], &[Dangling], none, delete(Policy::Foreground));
        check(&[], &[Waiting], none, delete(Policy::Background));
        check(&[], &[Waiting, Dangling], (true, false), delete(Policy::Foreground));
        let unblock = Verdict::Delete { policy: Policy::Foreground, unblock: true };
        check(&[], &[Waiting], (true, true), unblock);
    }
}
