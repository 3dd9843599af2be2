//! Events about objects, correlated as upstream does: the same event again raises a count, many similar ones become
//! one, and a flood is cut off. Source: `k8s.io/client-go/tools/record`.
//!
//! ```no_run
//! use steersman_framework::api::{Api, Resource};
//! use steersman_framework::events::{EventType, Involved, broadcaster};
//! use steersman_framework::meta::Meta;
//! use steersman_framework::runtime::Context;
//!
//! static WIDGETS: Resource = Resource::namespaced("example.com", "v1", "Widget", "widgets");
//!
//! async fn run(context: Context, widget: Meta) {
//!     let api = Api::new(context.client.clone(), "widget-controller");
//!     let (recorder, broadcaster) = broadcaster(api, "widget-controller", context.clock.clone(), context.random.fork());
//!     // Recording never waits; the broadcaster writes, until all recorders are gone.
//!     recorder.record(&Involved::new(&WIDGETS, &widget), EventType::Normal, "Polished", "it shines");
//!     drop(recorder);
//!     broadcaster.run().await;
//! }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Error;
use kube::api::Patch;
use serde_json::{Value, json};
use steersman_machinery::clock::{SharedClock, format_time};
use steersman_machinery::names;
use steersman_machinery::random::Random;
use tokio::sync::mpsc;

use crate::api::{Api, Resource, Written, is_not_found};
use crate::meta::{Meta, ObjectKey};

/// Where events are written.
pub static EVENTS: Resource = Resource::namespaced("", "v1", "Event", "events");

/// Events that wait to be written; more are dropped, since nobody may wait for an event.
const WAITING_MAX: usize = 1000;
/// Different messages for one object, type and reason within [`SIMILAR_INTERVAL`] that are written one by one.
const SIMILAR_MAX: usize = 10;
const SIMILAR_INTERVAL: SignedDuration = SignedDuration::from_secs(600);
const SIMILAR_PREFIX: &str = "(combined from similar events): ";
/// Events about one object from one source at once, and how fast the allowance grows again.
const BURST: f64 = 25.0;
const REFILL_PER_SECOND: f64 = 1.0 / 300.0;
/// Objects and events that are remembered for correlation; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 4096;
/// Attempts to deliver one event while the server does not answer, and the pause between them.
const ATTEMPTS: usize = 12;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(10);

/// Whether an event is business as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Something was done.
    Normal,
    /// Something is wrong.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug)]
pub struct Involved {
    api_version: String,
    kind: String,
    key: ObjectKey,
    uid: String,
    resource_version: String,
}

impl Involved {
    /// The object with this metadata.
    pub fn new(resource: &Resource, meta: &Meta) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            key: meta.key(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        }
    }
}

struct Event {
    component: &'static str,
    involved: Involved,
    kind: EventType,
    reason: &'static str,
    message: String,
    time: Timestamp,
}

/// Records events without ever waiting. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    component: &'static str,
    clock: SharedClock,
    sender: mpsc::Sender<Event>,
}

impl Recorder {
    /// The same recorder under the name of another component.
    #[must_use]
    pub fn of(&self, component: &'static str) -> Self {
        Self { component, ..self.clone() }
    }

    /// Records an event about `involved`. If too many wait already it is dropped.
    pub fn record(&self, involved: &Involved, kind: EventType, reason: &'static str, message: impl Into<String>) {
        let event = Event {
            component: self.component,
            involved: involved.clone(),
            kind,
            reason,
            message: message.into(),
            time: self.clock.now(),
        };
        if self.sender.try_send(event).is_err() {
            tracing::debug!(reason, "an event was dropped");
        }
    }
}

/// Writes what recorders record. Make it with [`broadcaster`] and let it [`run`](Self::run).
pub struct Broadcaster {
    api: Api,
    random: Random,
    receiver: mpsc::Receiver<Event>,
    correlator: Correlator,
    last_name: i128,
}

/// A recorder for `component`, and the broadcaster that delivers its events.
pub fn broadcaster(api: Api, component: &'static str, clock: SharedClock, random: Random) -> (Recorder, Broadcaster) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let recorder = Recorder { component, clock, sender };
    let broadcaster = Broadcaster { api, random, receiver, correlator: Correlator::default(), last_name: 0 };
    (recorder, broadcaster)
}

impl Broadcaster {
    /// Delivers events until all recorders are gone and everything was delivered.
    pub async fn run(mut self) {
        while let Some(event) = self.receiver.recv().await {
            if let Some(correlated) = self.correlator.correlate(event) {
                self.deliver(correlated).await;
            }
        }
    }

    async fn deliver(&mut self, correlated: Correlated) {
        let mut correlated = correlated;
        for _ in 0..ATTEMPTS {
            let result = match &correlated.written {
                Some(key) => self.patch(key, &correlated).await,
                None => self.create(&correlated).await,
            };
            match result {
                Ok(key) => return self.correlator.written(&correlated, key),
                // The event has expired: write it anew.
                Err(error) if is_not_found(&error) && correlated.written.is_some() => correlated.written = None,
                // The server has answered; it would not change its mind.
                Err(Error::Api(status)) => {
                    tracing::debug!(reason = correlated.event.reason, message = %status.message, "event refused");
                    return;
                }
                // Everybody has ended, and nobody waits for events: neither for those that are left.
                Err(_) if self.receiver.is_closed() => {
                    while self.receiver.try_recv().is_ok() {}
                    return;
                }
                Err(_) => tokio::time::sleep(ATTEMPT_PAUSE).await,
            }
        }
    }

    async fn patch(&self, key: &ObjectKey, correlated: &Correlated) -> Result<ObjectKey, Error> {
        let body = json!({
            "count": correlated.count,
            "lastTimestamp": format_time(correlated.event.time),
            "message": correlated.message,
        });
        self.api.patch::<Written>(&EVENTS, key, &Patch::Strategic(body)).await?;
        Ok(key.clone())
    }

    async fn create(&mut self, correlated: &Correlated) -> Result<ObjectKey, Error> {
        let namespace = match correlated.event.involved.key.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        };
        let key = ObjectKey::new(namespace, self.name(&correlated.event));
        let body = body(correlated, &key);
        self.api.create::<Written>(&EVENTS, namespace, &body).await?;
        Ok(key)
    }

    /// `<object>.<hex nanoseconds>`, made unique even if the clock stands still.
    fn name(&mut self, event: &Event) -> String {
        self.last_name = event.time.as_nanosecond().max(self.last_name + 1);
        let name = format!("{}.{:x}", event.involved.key.name, self.last_name);
        if names::dns1123_subdomain(&name).is_empty() { name } else { self.random.uuid() }
    }
}

fn body(correlated: &Correlated, key: &ObjectKey) -> Value {
    let event = &correlated.event;
    let involved = &event.involved;
    let time = format_time(event.time);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": involved.api_version,
            "kind": involved.kind,
            "namespace": involved.key.namespace,
            "name": involved.key.name,
            "uid": involved.uid,
            "resourceVersion": involved.resource_version,
        },
        "reason": event.reason,
        "message": correlated.message,
        "source": {"component": event.component},
        "firstTimestamp": format_time(correlated.first),
        "lastTimestamp": time,
        "count": correlated.count,
        "type": event.kind.as_str(),
        "reportingComponent": event.component,
        "reportingInstance": "",
    })
}

/// What makes events the same but for their message: component, uid, type, reason.
type Similar = (&'static str, String, EventType, &'static str);

/// An event, ready to be written.
struct Correlated {
    event: Event,
    message: String,
    count: u32,
    /// When it happened first.
    first: Timestamp,
    /// The event that is to be raised instead of writing a new one.
    written: Option<ObjectKey>,
    identity: (Similar, String),
}

/// An event that happened before.
#[derive(Clone, Default)]
struct Known {
    written: Option<ObjectKey>,
    first: Timestamp,
    count: u32,
}

#[derive(Default)]
struct Correlator {
    /// Messages seen lately of similar events.
    similar: Bounded<Similar, (Timestamp, Vec<String>)>,
    /// What happened how often, with what was written of it.
    known: Bounded<(Similar, String), Known>,
    /// The allowance of each component and object.
    allowance: Bounded<(&'static str, String), (f64, Timestamp)>,
}

impl Correlator {
    /// Decides how to write an event; `None` drops it.
    fn correlate(&mut self, event: Event) -> Option<Correlated> {
        let similar = (event.component, event.involved.uid.clone(), event.kind, event.reason);
        let combined = self.is_combined(&similar, &event);
        let message = if combined { format!("{SIMILAR_PREFIX}{}", event.message) } else { event.message.clone() };
        // All combined events share one entry, whatever their message.
        let identity = (similar, if combined { String::new() } else { message.clone() });
        let known = self.known.get(&identity).cloned();
        let mut known = known.unwrap_or(Known { first: event.time, ..Known::default() });
        // What is dropped is counted as well: the next one that is written tells it.
        known.count += 1;
        self.known.insert(identity.clone(), known.clone());
        let Known { written, first, count } = known;
        self.is_allowed(&event).then_some(Correlated { event, message, count, first, written, identity })
    }

    fn written(&mut self, correlated: &Correlated, key: ObjectKey) {
        let (first, count) = (correlated.first, correlated.count);
        self.known.insert(correlated.identity.clone(), Known { written: Some(key), first, count });
    }

    fn is_combined(&mut self, similar: &Similar, event: &Event) -> bool {
        let (last, mut messages) = self.similar.get(similar).cloned().unwrap_or((event.time, Vec::new()));
        if event.time.duration_since(last) > SIMILAR_INTERVAL {
            messages.clear();
        }
        // The messages that came first stay on their own; those that would make too many are combined.
        let is_new = !messages.contains(&event.message);
        let combined = is_new && messages.len() + 1 >= SIMILAR_MAX;
        if is_new && !combined {
            messages.push(event.message.clone());
        }
        self.similar.insert(similar.clone(), (event.time, messages));
        combined
    }

    fn is_allowed(&mut self, event: &Event) -> bool {
        let source = (event.component, event.involved.uid.clone());
        let (left, since) = self.allowance.get(&source).copied().unwrap_or((BURST, event.time));
        let seconds = event.time.duration_since(since).as_secs_f64().max(0.0);
        let left = (left + seconds * REFILL_PER_SECOND).min(BURST);
        let allowed = left >= 1.0;
        self.allowance.insert(source, (if allowed { left - 1.0 } else { left }, event.time));
        allowed
    }
}

/// A map that forgets the entries written longest ago.
struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    ages: BTreeMap<u64, K>,
    next: u64,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), ages: BTreeMap::new(), next: 0 }
    }
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    fn insert(&mut self, key: K, value: V) {
        self.next += 1;
        self.ages.insert(self.next, key.clone());
        if let Some((age, _)) = self.entries.insert(key, (self.next, value)) {
            self.ages.remove(&age);
        }
        while self.entries.len() > REMEMBERED_MAX {
            let Some((_, oldest)) = self.ages.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use steersman_machinery::clock::FixedClock;
    use tokio::time::Instant;

    use super::*;

    /// A recorder, and its broadcaster with a server that does not answer the first `silent` requests; and the number of
    /// requests.
    fn unreliable(silent: usize) -> (Recorder, Broadcaster, Arc<AtomicUsize>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let service = tower::service_fn(move |_: Request<Body>| {
            let answers = counted.fetch_add(1, Ordering::Relaxed) >= silent;
            let created = r#"{"metadata": {"name": "e", "namespace": "default"}}"#;
            let answer = Response::builder().status(201).body(Body::from(created.as_bytes().to_vec())).unwrap();
            std::future::ready(if answers { Ok(answer) } else { Err(std::io::Error::other("no answer")) })
        });
        let api = Api::new(Client::new(service, "default"), "test");
        let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
        let (recorder, broadcaster) = broadcaster(api, "test", clock, Random::seeded(1));
        (recorder, broadcaster, requests)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_tried_again_but_does_not_hold_up_the_end() {
        let involved = Involved::new(&EVENTS, &Meta::default());
        let (recorder, broadcaster, requests) = unreliable(2);
        recorder.record(&involved, EventType::Normal, "Tested", "one");
        let begun = Instant::now();
        let end = async {
            tokio::time::sleep(ATTEMPT_PAUSE * 3).await;
            drop(recorder);
        };
        tokio::join!(broadcaster.run(), end);
        assert_eq!((requests.load(Ordering::Relaxed), begun.elapsed()), (3, ATTEMPT_PAUSE * 3));

        let (recorder, broadcaster, requests) = unreliable(usize::MAX);
        for message in ["one", "two", "three"] {
            recorder.record(&involved, EventType::Normal, "Tested", message);
        }
        drop(recorder);
        let begun = Instant::now();
        broadcaster.run().await;
        assert_eq!((requests.load(Ordering::Relaxed), begun.elapsed()), (1, Duration::ZERO));
    }

    fn event(message: &str, second: i64) -> Event {
        Event {
            component: "test",
            involved: Involved::new(&EVENTS, &Meta::default()),
            kind: EventType::Normal,
            reason: "Tested",
            message: message.to_owned(),
            time: Timestamp::from_second(second).unwrap(),
        }
    }

    fn write(correlator: &mut Correlator, message: &str, second: i64) -> Option<(String, u32, bool)> {
        let correlated = correlator.correlate(event(message, second))?;
        correlator.written(&correlated, ObjectKey::new("ns", "written"));
        Some((correlated.message.clone(), correlated.count, correlated.written.is_some()))
    }

    #[test]
    fn the_same_event_raises_a_count() {
        let mut correlator = Correlator::default();
        assert_eq!(write(&mut correlator, "a", 1), Some(("a".into(), 1, false)));
        assert_eq!(write(&mut correlator, "b", 2), Some(("b".into(), 1, false)));
        assert_eq!(write(&mut correlator, "a", 3), Some(("a".into(), 2, true)));
    }

    #[test]
    fn many_different_messages_are_combined() {
        let mut correlator = Correlator::default();
        for n in 0..9 {
            assert_eq!(write(&mut correlator, &n.to_string(), n), Some((n.to_string(), 1, false)));
        }
        let combined = |n: &str| format!("{SIMILAR_PREFIX}{n}");
        assert_eq!(write(&mut correlator, "9", 9), Some((combined("9"), 1, false)));
        assert_eq!(write(&mut correlator, "10", 10), Some((combined("10"), 2, true)));
        assert_eq!(write(&mut correlator, "3", 10), Some(("3".into(), 2, true)), "what was written alone stays alone");
        assert_eq!(write(&mut correlator, "11", 1000), Some(("11".into(), 1, false)), "after a pause they count anew");
    }

    #[test]
    fn a_flood_is_cut_off_and_the_allowance_grows_again() {
        let mut correlator = Correlator::default();
        let written = (0..40).filter_map(|_| write(&mut correlator, "a", 0)).count();
        assert_eq!(written, 25);
        assert!(write(&mut correlator, "a", 299).is_none());
        let next = write(&mut correlator, "a", 601);
        assert_eq!(next, Some(("a".into(), 42, true)), "those that were dropped are counted");
        let first = correlator.known.ages.values().next().and_then(|identity| correlator.known.get(identity));
        assert_eq!(first.map(|known| known.first.as_second()), Some(0));
    }
}
