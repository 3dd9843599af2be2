//! So that one client cannot starve the others: priority and fairness or, without it, a limit on requests in flight.
//! Source: Kubernetes doc "API Priority and Fairness"; `k8s.io/apiserver/pkg/server/filters`.

pub(crate) mod bodies;
pub(crate) mod bootstrap;
mod classify;
pub(crate) mod dump;
mod fair;
mod maintain;
mod queues;
mod seats;
pub(crate) mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::Value;
use tokio::sync::oneshot;

use self::fair::{Classified, Fair, Place};
use crate::authentication::SYSTEM_MASTERS;
use crate::http::body::Body;
use crate::http::request_info::RequestInfo;
use crate::http::respond;
use crate::http::timeout::REQUEST_TIMEOUT;
use crate::object;
use crate::server::Server;
use crate::service::Call;

pub(crate) use fair::Classified as Flow;
pub(crate) use maintain::{maintain, start};

/// The group of the objects that configure it.
pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Objects that a list goes through for one seat. Source: `k8s.io/apiserver/pkg/util/flowcontrol/request` (`objectsPerSeat`).
const OBJECTS_PER_SEAT: usize = 100;
/// The most seats that a request takes. Source: there, `maximumSeatsLimit`.
const MAX_SEATS: usize = 10;

/// How requests are kept from each other's throats.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether requests are seated by priority and fairness rather than counted.
    pub priority_and_fairness: bool,
    /// The most requests at a time that change nothing; 0 for any number.
    pub max_requests_inflight: usize,
    /// The most requests at a time that change something; 0 for any number. Priority and fairness adds both up.
    pub max_mutating_requests_inflight: usize,
}

impl Default for Options {
    /// Upstream's limits, without priority and fairness: a test does not flood itself.
    fn default() -> Self {
        Self { priority_and_fairness: false, max_requests_inflight: 400, max_mutating_requests_inflight: 200 }
    }
}

/// Lets requests in.
#[derive(Debug)]
pub struct FlowControl {
    options: Options,
    fair: Option<Arc<Fair>>,
    reading: Arc<AtomicUsize>,
    writing: Arc<AtomicUsize>,
    /// How often the objects were written.
    written: AtomicUsize,
}

/// A request that was let in; it makes room for others when this is dropped.
#[derive(Debug)]
pub(crate) enum Entered {
    /// Nobody counts it.
    Free,
    /// It is one of those in flight.
    Counted(Arc<AtomicUsize>),
    /// It has a seat.
    Seated { _place: Place },
}

/// A request that was not let in.
#[derive(Debug)]
pub(crate) struct TooMany;

impl TooMany {
    /// What its client is told.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = respond::text(429, "Too many requests, please try again later.\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

impl Entered {
    /// Keeps the place until a long answer was sent, as upstream does, but no longer than a request may take: its client need
    /// not read. What is not made while it is sent costs nothing any more.
    pub(crate) fn until_sent(self, response: Response<Body>, server: &Server) -> Response<Body> {
        if matches!(self, Self::Free) || !response.body().is_made() {
            return response;
        }
        let (unsent, sent) = oneshot::channel::<()>();
        server.spawn(async move {
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, sent).await;
            drop(self);
        });
        response.map(|body| body.guarded(unsent))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Self::Counted(count) = self {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl FlowControl {
    pub(crate) fn new(options: Options) -> Self {
        let total = options.max_requests_inflight.saturating_add(options.max_mutating_requests_inflight).max(1);
        let fair = options.priority_and_fairness.then(|| Arc::new(Fair::new(total as u64)));
        Self { options, fair, reading: Arc::default(), writing: Arc::default(), written: AtomicUsize::default() }
    }

    /// The number of a write to the objects.
    fn next_turn(&self) -> usize {
        self.written.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether it is that of the last one.
    fn is_turn(&self, turn: usize) -> bool {
        self.written.load(Ordering::Relaxed) == turn
    }

    /// Works with these objects from now on.
    fn configure(&self, schemas: &[Value], levels: &[Value]) {
        if let Some(fair) = &self.fair {
            fair.configure(schemas, levels);
        }
    }

    fn is_fair(&self) -> bool {
        self.fair.is_some()
    }

    /// Lets a request in, perhaps after a while. Where it belongs is noted in the call.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) async fn enter(&self, call: &mut Call) -> Result<Entered, TooMany> {
        let watches = call.info.verb == "watch";
        if is_long_running(&call.info) && !(watches && self.is_fair()) {
            return Ok(Entered::Free);
        }
        let Some(fair) = &self.fair else {
            let free = call.user.groups.iter().any(|group| group == SYSTEM_MASTERS);
            return if free { Ok(Entered::Free) } else { self.count(&call.info) };
        };
        let classified = fair.classify(&call.user, &call.info);
        let seats = width(call).await.min(fair.max_seats(&classified));
        let seat = fair.seat(&classified, seats).await;
        call.server.metrics.entered(&classified.schema, &classified.level, seat.as_ref().err().copied());
        call.flow = Some(classified);
        match seat {
            Ok(Some(place)) => Ok(Entered::Seated { _place: place }),
            Ok(None) => Ok(Entered::Free),
            Err(reason) => {
                tracing::debug!(reason, user = %call.user.name, "too many requests");
                Err(TooMany)
            }
        }
    }

    /// The seats that each priority level has before it lends or borrows some.
    pub(crate) fn nominal_seats(&self) -> Vec<(String, u64)> {
        self.fair.as_ref().map(|fair| fair.nominal()).unwrap_or_default()
    }

    /// What a debug endpoint shows; `None` if there is none of that name. `past` says what became of requests so far.
    pub(crate) fn dump(&self, endpoint: &str, past: impl Fn(&str) -> dump::Past) -> Option<String> {
        let levels = self.fair.as_ref()?.dump();
        match endpoint {
            "dump_priority_levels" => Some(dump::levels(&levels, past)),
            "dump_queues" => Some(dump::queues(&levels)),
            _ => None,
        }
    }

    fn count(&self, info: &RequestInfo) -> Result<Entered, TooMany> {
        let mutates = matches!(info.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
            || (!info.is_resource && !matches!(info.verb.as_str(), "get" | "head"));
        let (count, limit) = match mutates {
            true => (&self.writing, self.options.max_mutating_requests_inflight),
            false => (&self.reading, self.options.max_requests_inflight),
        };
        let before = count.fetch_add(1, Ordering::Relaxed);
        let entered = Entered::Counted(count.clone());
        if limit > 0 && before >= limit { Err(TooMany) } else { Ok(entered) }
    }
}

/// Says with every answer where the request belonged.
pub(crate) fn stamp(headers: &mut HeaderMap, flow: Option<&Classified>) {
    let Some(flow) = flow else { return };
    for (name, uid) in
        [("X-Kubernetes-PF-FlowSchema-UID", &flow.schema_uid), ("X-Kubernetes-PF-PriorityLevel-UID", &flow.level_uid)]
    {
        if let Ok(uid) = HeaderValue::from_str(uid) {
            headers.insert(name, uid);
        }
    }
}

/// Whether a request lasts as long as its client wants.
fn is_long_running(info: &RequestInfo) -> bool {
    matches!(info.verb.as_str(), "watch" | "proxy")
        || (info.is_resource
            && matches!(info.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward"))
}

/// How many seats a request takes: a list one for each hundred objects that it goes through.
async fn width(call: &Call) -> u64 {
    let info = &call.info;
    let lists = info.is_resource && matches!(info.verb.as_str(), "list" | "watch") && !info.name_in_path;
    // A watch that goes on where a list ended has nothing to send at first.
    let resumes = info.verb == "watch" && !matches!(call.query.text("resourceVersion"), "" | "0");
    if !lists || resumes || !info.name.is_empty() {
        return 1;
    }
    let catalog = call.server.catalog();
    let Some(resource) = catalog.find(&info.group, &info.version, &info.resource) else { return 1 };
    let Ok(snapshot) = call.server.snapshot(&object::storage_name(resource)).await else { return 1 };
    let limit = call.query.text("limit").parse().ok().filter(|limit| *limit > 0);
    let objects = limit.map_or(snapshot.len(), |limit: usize| limit.min(snapshot.len()));
    objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, MAX_SEATS) as u64
}
