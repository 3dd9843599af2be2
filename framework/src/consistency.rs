//! Read your own writes: after a controller wrote something for an owner it does not look at that owner again until
//! its caches have passed those writes. Source: KEP-5647 (stale controller mitigation).
//!
//! ```
//! use steersman_framework::consistency::Consistency;
//!
//! let guard = Consistency::default();
//! // A pod was created for the owner; the server answered with version 7.
//! guard.wrote("uid of the owner", "pods", "7");
//! // The next sync of the owner asks before it looks at its cache, which has seen only version 5, and comes back later
//! // (`Outcome::Soon`): it would create the pod once more.
//! assert!(!guard.is_current("uid of the owner", |_resource| 5));
//! assert!(guard.is_current("uid of the owner", |_resource| 7));
//! ```

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Remembers, for each owner's uid, the newest version that was written of each resource.
#[derive(Debug, Default)]
pub struct Consistency(Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>);

impl Consistency {
    /// Remembers a write of `resource` for `owner`; a version that is not a number is not remembered, so never blocks.
    pub fn wrote(&self, owner: &str, resource: &'static str, resource_version: &str) {
        let Ok(version) = resource_version.parse::<u64>() else {
            return;
        };
        let mut owners = self.0.lock();
        let newest = owners.entry(owner.to_owned()).or_default().entry(resource).or_default();
        *newest = version.max(*newest);
    }

    /// Whether the caches have passed all writes for `owner`; `seen` gives the version that the cache of a resource has
    /// reached. Once they have, the owner is forgotten.
    pub fn is_current(&self, owner: &str, seen: impl Fn(&'static str) -> u64) -> bool {
        let mut owners = self.0.lock();
        let Some(writes) = owners.get(owner) else { return true };
        let current = writes.iter().all(|(resource, version)| seen(resource) >= *version);
        if current {
            owners.remove(owner);
        }
        current
    }

    /// Forgets an owner that is gone.
    pub fn forget(&self, owner: &str) {
        self.0.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_current_once_every_cache_has_passed_its_writes() {
        let guard = Consistency::default();
        assert!(guard.is_current("u", |_| 0));
        guard.wrote("u", "pods", "7");
        guard.wrote("u", "pods", "5");
        guard.wrote("u", "replicasets", "9");
        assert!(!guard.is_current("u", |_| 8));
        assert!(guard.is_current("u", |_| 9));
        assert!(guard.is_current("u", |_| 0), "the record is gone");
    }

    #[test]
    fn what_cannot_be_compared_never_blocks() {
        let guard = Consistency::default();
        guard.wrote("u", "pods", "abc");
        assert!(guard.is_current("u", |_| 0));
        guard.wrote("u", "pods", "3");
        guard.forget("u");
        assert!(guard.is_current("u", |_| 0));
    }
}
