//! Connections that wait for the next call to the same place, so that not every call costs a handshake.
//! Source: Go's `http.Transport`; `k8s.io/client-go/transport` (`idleConnsPerHost`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::target::{Target, Trust};

/// The most connections that wait for calls to one place. Source: there.
const MAX_IDLE: usize = 25;
/// How long one waits. Source: `http.DefaultTransport`.
const IDLE: Duration = Duration::from_secs(90);

/// A place, and whom one trusts to be there: who trusts others opens connections of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    authority: String,
    trust: Trust,
    as_front_proxy: bool,
    certificate: Option<String>,
}

impl Place {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            authority: target.authority.clone(),
            trust: target.trust.clone(),
            as_front_proxy: target.as_front_proxy,
            certificate: target.identity.as_ref().map(|own| own.certificate.clone()),
        }
    }
}

/// A connection over which nothing is under way. It ends when this is dropped.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// It counts as long as it is open.
    pub(super) _slot: OwnedSemaphorePermit,
}

/// The connections that wait, with the time since when.
#[derive(Default)]
pub(crate) struct Pool(Mutex<BTreeMap<Place, Vec<(Instant, Connection)>>>);

impl Pool {
    /// The connection that has waited least.
    pub(super) fn take(&self, place: &Place) -> Option<Connection> {
        let mut idle = self.0.lock();
        let waiting = idle.get_mut(place)?;
        waiting.retain(|(since, connection)| since.elapsed() < IDLE && !connection.sender.is_closed());
        let taken = waiting.pop().map(|(_, connection)| connection);
        if waiting.is_empty() {
            idle.remove(place);
        }
        taken
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(&self, place: Place, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.0.lock();
        idle.retain(|_, waiting| {
            waiting.retain(|(since, _)| since.elapsed() < IDLE);
            !waiting.is_empty()
        });
        let waiting = idle.entry(place).or_default();
        if waiting.len() < MAX_IDLE {
            waiting.push((Instant::now(), connection));
        }
    }

    /// Ends all connections over which nothing is under way: what they were opened for may have changed, or somebody
    /// else needs the room.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
