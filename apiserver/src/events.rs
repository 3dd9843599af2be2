//! Events (the resource) vanish an hour after their last write.
//! Source: kube-apiserver's `--event-ttl`.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use steersman_store::{Expect, Key, Revision, Snapshot, Write};

use crate::server::Server;

/// How long an event is kept.
const TTL: SignedDuration = SignedDuration::from_hours(1);

/// The events in the order in which they expire. An event that was written again since has a newer line further back.
#[derive(Default)]
pub(crate) struct Expiry(Mutex<VecDeque<(Timestamp, Key, Revision)>>);

impl Expiry {
    /// Notes that an event was written.
    pub(crate) fn written(&self, now: Timestamp, key: Key, revision: Revision) {
        let expires = now.saturating_add(TTL).unwrap_or(Timestamp::MAX);
        self.0.lock().push_back((expires, key, revision));
    }

    /// Notes the events that were there when the server started: when each was written is not known any more.
    pub(crate) fn restore(&self, now: Timestamp, events: &Snapshot) {
        events.range(None, None).for_each(|event| self.written(now, event.key.clone(), event.revision));
    }

    fn pop_expired(&self, now: Timestamp) -> Option<(Key, Revision)> {
        let mut queue = self.0.lock();
        queue.front().is_some_and(|(expires, ..)| *expires <= now).then(|| queue.pop_front())?.map(|(_, k, r)| (k, r))
    }
}

/// Deletes the events whose time has come. Called with each request for events, so that no timer is needed and nobody
/// ever sees one that has expired.
pub(crate) async fn expire(server: &Server) {
    while let Some((key, revision)) = server.events.pop_expired(server.clock.now()) {
        // A conflict means that the event was written again or deleted: nothing to do.
        let _ = server.store.commit(Write::Delete { key, expect: Expect::Revision(revision) }).await;
    }
}
