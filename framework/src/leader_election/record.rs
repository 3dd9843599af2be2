//! The Lease, as the election reads and writes it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use steersman_machinery::clock::format_micro_time;

/// `coordination.k8s.io/v1` `Lease`. What the election does not know is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lease {
    api_version: String,
    kind: String,
    metadata: Map<String, Value>,
    pub(super) spec: LeaseSpec,
}

impl Lease {
    pub(super) fn new(name: &str, spec: LeaseSpec) -> Self {
        let metadata = Map::from_iter([("name".to_owned(), Value::from(name))]);
        Self { api_version: "coordination.k8s.io/v1".to_owned(), kind: "Lease".to_owned(), metadata, spec }
    }

    /// The same lease with another record; its version is what the write expects to find.
    pub(super) fn with(&self, spec: LeaseSpec) -> Self {
        let mut metadata = self.metadata.clone();
        metadata.remove("managedFields");
        Self { metadata, spec, ..Self::new("", LeaseSpec::default()) }
    }
}

/// Who holds the lease, and since when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LeaseSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<u64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl LeaseSpec {
    /// The holder; empty if nobody is.
    pub(super) fn holder(&self) -> &str {
        self.holder_identity.as_deref().unwrap_or_default()
    }

    /// How long the holder may be silent.
    pub(super) fn duration(&self, otherwise: Duration) -> Duration {
        self.lease_duration_seconds.map_or(otherwise, Duration::from_secs)
    }

    /// The record of a holder. It keeps the time at which it became the holder; a new one counts a transition.
    pub(super) fn held_by(identity: &str, duration: Duration, now: Timestamp, before: Option<&Self>) -> Self {
        let now = format_micro_time(now);
        let held = before.filter(|before| before.holder() == identity);
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        Self {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(duration.as_secs()),
            acquire_time: held.and_then(|held| held.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + u64::from(before.is_some() && held.is_none())),
            rest: before.map(|before| before.rest.clone()).unwrap_or_default(),
        }
    }

    /// The record of a lease that nobody holds and that nobody need wait for.
    pub(super) fn released(&self, now: Timestamp) -> Self {
        let now = format_micro_time(now);
        Self {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_keeps_its_time_and_a_new_one_counts_a_transition() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let duration = Duration::from_secs(15);
        let first = LeaseSpec::held_by("a", duration, at(1), None);
        assert_eq!(
            (first.lease_transitions, first.acquire_time.as_deref()),
            (Some(0), Some("1970-01-01T00:00:01.000000Z"))
        );
        let renewed = LeaseSpec::held_by("a", duration, at(3), Some(&first));
        assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(0), &first.acquire_time));
        assert_ne!(renewed.renew_time, first.renew_time);
        let taken = LeaseSpec::held_by("b", duration, at(20), Some(&renewed));
        assert_eq!((taken.lease_transitions, taken.holder()), (Some(1), "b"));
        let released = taken.released(at(21));
        assert_eq!((released.holder(), released.lease_duration_seconds), ("", Some(1)));
    }
}
