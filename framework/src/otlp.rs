//! Traces over OTLP: what a process did, span by span, for a collector such as Jaeger's, Tempo's or the OpenTelemetry
//! Collector. Needs the feature `otlp`, which brings in no crate that `component` does not.
//!
//! [`Spans`] is a layer for a [`tracing_subscriber::Registry`]: each [`tracing`] span becomes an OTLP span, each event in
//! it an event of that span. [`Exporter::run`] sends them, batch by batch, as JSON over HTTP. [`propagate`] tells the server
//! behind a request which span it belongs to. Programs made with [`crate::component`] have all of that by
//! `--otlp-endpoint`; by hand it is
//!
//! ```
//! use steersman_framework::otlp::{self, Options};
//! use steersman_framework::runtime::Shutdown;
//! use steersman_machinery::clock::SharedClock;
//! use steersman_machinery::random::Random;
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! async fn traced(collector: kube::Client, clock: SharedClock, shutdown: Shutdown) {
//!     let options = Options { service: "motd-controller".to_owned(), ..Options::default() };
//!     let (spans, exporter) = otlp::exporter(options, collector, clock, Random::seeded(1));
//!     // Everything that has a level has a filter; here all spans count.
//!     let subscriber = tracing_subscriber::registry().with(spans);
//!     let _ = tracing::subscriber::set_global_default(subscriber);
//!     exporter.run(shutdown).await;
//! }
//! ```
//!
//! Source: OTLP specification 1.x (OTLP/HTTP, JSON encoding), W3C Trace Context.

mod json;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::runtime::Shutdown;

/// Where collectors take traces. Source: OTLP specification.
const PATH: &str = "/v1/traces";
/// The most spans in a request; the most that wait, after which new ones are dropped; how long spans are gathered. Source:
/// OpenTelemetry specification, defaults of the batch span processor.
const BATCH: usize = 512;
const WAITING_MAX: usize = 2048;
const PERIOD: Duration = Duration::from_secs(5);
/// More events in one span are dropped. Source: OpenTelemetry specification, span limits.
const EVENTS_MAX: usize = 128;
const MILLION: u64 = 1_000_000;

/// How traces are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The name of this program (`service.name`).
    pub service: String,
    /// Its version (`service.version`); may be empty.
    pub version: String,
    /// How many of a million traces are kept (upstream's `samplingRatePerMillion`). A trace is kept whole or not at all.
    pub sampling_per_million: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { service: "unknown_service".to_owned(), version: String::new(), sampling_per_million: MILLION }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
enum Attribute {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
}

type Attributed = Vec<(&'static str, Attribute)>;

/// Which span of which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    trace: u128,
    span: u64,
    is_kept: bool,
}

/// A span.
#[derive(Debug)]
struct Span {
    place: Place,
    parent: Option<u64>,
    name: &'static str,
    begun: Timestamp,
    ended: Timestamp,
    attributes: Attributed,
    events: Vec<Moment>,
}

/// Something that happened in a span.
#[derive(Debug)]
struct Moment {
    at: Timestamp,
    attributes: Attributed,
}

struct Shared {
    options: Options,
    clock: SharedClock,
    random: Random,
    /// By the ids that `tracing` gives.
    open: Mutex<BTreeMap<u64, Span>>,
    ended: Mutex<Ended>,
    /// A batch is full.
    full: Notify,
}

#[derive(Default)]
struct Ended {
    waiting: VecDeque<Span>,
    dropped: u64,
}

/// A layer that turns spans into OTLP spans. Clones share everything.
#[derive(Clone)]
pub struct Spans(Arc<Shared>);

/// Sends what the layer of the same call of [`exporter`] has gathered.
pub struct Exporter {
    shared: Arc<Shared>,
    collector: Client,
}

/// A layer, and what sends its spans to a collector: a client whose server is that (`http://localhost:4318`, say).
pub fn exporter(options: Options, collector: Client, clock: SharedClock, random: Random) -> (Spans, Exporter) {
    let (open, ended, full) = Default::default();
    let shared = Arc::new(Shared { options, clock, random, open, ended, full });
    (Spans(Arc::clone(&shared)), Exporter { shared, collector })
}

/// Says in a request in which span it is made, if there is a layer [`Spans`] and a current span. Source: W3C Trace Context.
pub fn propagate(headers: &mut HeaderMap) {
    let Some(id) = tracing::Span::current().id() else { return };
    let place = tracing::dispatcher::get_default(|dispatch| {
        let spans = dispatch.downcast_ref::<Spans>()?;
        spans.0.open.lock().get(&id.into_u64()).map(|span| span.place)
    });
    let value = place.map(|place| {
        let flags = u8::from(place.is_kept);
        format!("00-{:032x}-{:016x}-{flags:02x}", place.trace, place.span)
    });
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        headers.insert("traceparent", value);
    }
}

impl Shared {
    /// The place of a new span below `parent`.
    fn place(&self, parent: Option<Place>) -> Place {
        let id = || self.random.next_u64().max(1);
        let (trace, is_kept) = match parent {
            Some(parent) => (parent.trace, parent.is_kept),
            None => {
                let is_kept = self.random.below(MILLION) < self.options.sampling_per_million;
                (u128::from(id()) << 64 | u128::from(id()), is_kept)
            }
        };
        Place { trace, span: id(), is_kept }
    }

    fn end(&self, mut span: Span) {
        if !span.place.is_kept {
            return;
        }
        span.ended = self.clock.now();
        let mut ended = self.ended.lock();
        if ended.waiting.len() >= WAITING_MAX {
            ended.dropped += 1;
            return;
        }
        ended.waiting.push_back(span);
        if ended.waiting.len() >= BATCH {
            self.full.notify_one();
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let current = || context.lookup_current().filter(|_| attributes.is_contextual()).map(|span| span.id());
        let above = attributes.parent().cloned().or_else(current);
        let mut open = self.0.open.lock();
        let above = above.and_then(|above| open.get(&above.into_u64())).map(|above| above.place);
        let now = self.0.clock.now();
        let mut span = Span {
            place: self.0.place(above),
            parent: above.map(|above| above.span),
            name: attributes.metadata().name(),
            begun: now,
            ended: now,
            attributes: Vec::new(),
            events: Vec::new(),
        };
        attributes.record(&mut Gather(&mut span.attributes));
        open.insert(id.into_u64(), span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(span) = self.0.open.lock().get_mut(&id.into_u64()) {
            values.record(&mut Gather(&mut span.attributes));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(id) = context.event_span(event).map(|span| span.id()) else { return };
        let mut open = self.0.open.lock();
        let Some(span) = open.get_mut(&id.into_u64()).filter(|span| span.events.len() < EVENTS_MAX) else { return };
        let mut moment = Moment { at: self.0.clock.now(), attributes: Vec::new() };
        moment.attributes.push(("level", Attribute::Text(event.metadata().level().to_string())));
        event.record(&mut Gather(&mut moment.attributes));
        span.events.push(moment);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let span = self.0.open.lock().remove(&id.into_u64());
        if let Some(span) = span {
            self.0.end(span);
        }
    }
}

/// Takes fields in; a field that is set again has the new value.
struct Gather<'a>(&'a mut Attributed);

impl Gather<'_> {
    fn add(&mut self, field: &Field, value: Attribute) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, known)) => *known = value,
            None => self.0.push((field.name(), value)),
        }
    }
}

impl Visit for Gather<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Attribute::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Attribute::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Attribute::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, i64::try_from(value).map_or_else(|_| Attribute::Text(value.to_string()), Attribute::Integer));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Attribute::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Attribute::Truth(value));
    }
}

/// How the collector took a batch.
enum Taken {
    /// It has it, or will never take it.
    Done,
    /// It may take it later.
    Later(String),
}

impl Exporter {
    /// Sends spans until shutdown, and then those that are left, once.
    pub async fn run(self, shutdown: Shutdown) {
        let mut is_last = false;
        while !is_last {
            tokio::select! {
                biased;
                () = shutdown.requested() => is_last = true,
                () = self.shared.full.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
            self.flush().await;
        }
    }

    /// Sends what waits. What the collector does not take now stays for the next time, as far as there is room.
    async fn flush(&self) {
        loop {
            let batch: Vec<Span> = {
                let waiting = &mut self.shared.ended.lock().waiting;
                let count = waiting.len().min(BATCH);
                waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            if let Taken::Later(why) = self.send(&batch).await {
                let mut ended = self.shared.ended.lock();
                let room = WAITING_MAX.saturating_sub(ended.waiting.len()).min(batch.len());
                ended.dropped += u64::try_from(batch.len() - room).unwrap_or_default();
                let dropped = ended.dropped;
                batch.into_iter().take(room).rev().for_each(|span| ended.waiting.push_front(span));
                drop(ended);
                tracing::debug!(why, dropped, "traces could not be sent, shall try again");
                return;
            }
        }
    }

    async fn send(&self, batch: &[Span]) -> Taken {
        let body = json::request(&self.shared.options, batch).to_string();
        let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/json");
        let Ok(request) = request.body(Body::from(body.into_bytes())) else { return Taken::Done };
        // Else each batch would be a span of the next.
        let answer = self.collector.send(request).with_subscriber(NoSubscriber::default()).await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Taken::Done,
            Ok(
                status @ (StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT),
            ) => Taken::Later(status.to_string()),
            Ok(status) => {
                tracing::warn!(%status, spans = batch.len(), "the collector refuses these traces");
                Taken::Done
            }
            Err(error) => Taken::Later(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
