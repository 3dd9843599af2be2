//! Deletions that were asked for and are not yet visible in the cache.
//!
//! Creations need no record: [`Consistency`](crate::consistency::Consistency) holds an owner back until the cache shows them.
//! A deletion has no version to wait for, so the objects themselves are looked at: each has to be gone, or to be marked for
//! deletion. Source: `k8s.io/kubernetes/pkg/controller` (`UIDTrackingControllerExpectations`).
//!
//! ```
//! use std::collections::BTreeMap;
//! use steersman_framework::expectations::Expectations;
//! # use steersman_framework::informer::Informer;
//! # use steersman_framework::meta::{ObjectKey, Partial};
//! # fn example(children: &Informer<Partial>, now: jiff::Timestamp) {
//! let expectations = Expectations::default();
//! // Before the deletion is asked for: the answer may come after the event.
//! let going = BTreeMap::from([(ObjectKey::new("default", "child-1"), "uid of child-1".to_owned())]);
//! expectations.expect_deletions("uid of the owner", now, going);
//! // In the next sync: whether the cache shows them going, so that they are not deleted again, nor others in their place.
//! let may_act = expectations.are_met("uid of the owner", now, children);
//! # }
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::informer::{Cached, Informer};
use crate::meta::ObjectKey;

/// After this time what was expected is not expected any more.
const TTL: SignedDuration = SignedDuration::from_mins(5);

/// What is expected, for each owner's uid.
#[derive(Debug, Default)]
pub struct Expectations(Mutex<BTreeMap<String, Expectation>>);

#[derive(Debug)]
struct Expectation {
    since: Timestamp,
    /// Objects that are to go, with their uids.
    deletions: BTreeMap<ObjectKey, String>,
    /// Creating is pointless for now.
    blocked: bool,
}

impl Expectations {
    /// Expects objects, with their uids, to go.
    pub fn expect_deletions(&self, owner: &str, now: Timestamp, deletions: BTreeMap<ObjectKey, String>) {
        let expectation = Expectation { since: now, deletions, blocked: false };
        self.0.lock().insert(owner.to_owned(), expectation);
    }

    /// Does not expect `object` to go any more: it could not be deleted.
    pub fn deletion_failed(&self, owner: &str, object: &ObjectKey) {
        if let Some(expectation) = self.0.lock().get_mut(owner) {
            expectation.deletions.remove(object);
        }
    }

    /// Holds the owner back until the time is over: its namespace is going away, and every attempt would be refused.
    pub fn block(&self, owner: &str, now: Timestamp) {
        let expectation = Expectation { since: now, deletions: BTreeMap::new(), blocked: true };
        self.0.lock().insert(owner.to_owned(), expectation);
    }

    /// Whether everything that was expected has come, or did not come in time.
    pub fn are_met<T: Cached>(&self, owner: &str, now: Timestamp, objects: &Informer<T>) -> bool {
        let mut expectations = self.0.lock();
        let Some(expectation) = expectations.get_mut(owner) else { return true };
        expectation.deletions.retain(|key, uid| {
            let object = objects.get(key);
            object.is_some_and(|object| object.meta().uid == *uid && !object.meta().is_deleting())
        });
        let open = expectation.blocked || !expectation.deletions.is_empty();
        let met = !open || now.duration_since(expectation.since) > TTL;
        if met {
            expectations.remove(owner);
        }
        met
    }

    /// Forgets an owner that is gone.
    pub fn forget(&self, owner: &str) {
        self.0.lock().remove(owner);
    }
}
