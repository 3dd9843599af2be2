//! What the server counts, with upstream's names and buckets.
//! Source: `k8s.io/apiserver/pkg/endpoints/metrics`, `k8s.io/apiserver/pkg/util/flowcontrol/metrics`,
//! `k8s.io/component-base/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use steersman_machinery::metrics::{Buckets, Counter, Family, Gauge, Histogram, Metrics as Registry};

use crate::features::Features;
use crate::flowcontrol::dump::Past;
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;
use crate::version;

static BUILD: Family = Family::gauge("kubernetes_build_info", "Which version of Kubernetes is served.");
static FEATURES: Family = Family::gauge("kubernetes_feature_enabled", "Whether a feature is on.");
static DURATIONS: Family = Family::histogram(
    "apiserver_request_duration_seconds",
    "How long answers took, in seconds.",
    Buckets::Exact(&[
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
        30.0, 45.0, 60.0,
    ]),
);
static REQUESTS: Family = Family::counter("apiserver_request_total", "Requests that were answered.");
static LONG_RUNNING: Family =
    Family::gauge("apiserver_longrunning_requests", "The requests that last as long as clients want.");
static DISPATCHED: Family = Family::counter(
    "apiserver_flowcontrol_dispatched_requests_total",
    "Number of requests that were let in by priority and fairness.",
);
static REJECTED: Family = Family::counter(
    "apiserver_flowcontrol_rejected_requests_total",
    "Number of requests that were refused by priority and fairness.",
);
static SEATS: Family = Family::gauge(
    "apiserver_flowcontrol_nominal_limit_seats",
    "The seats that a priority level has before it lends or borrows some.",
);
static OBJECTS: Family =
    Family::gauge("apiserver_resource_objects", "The number of objects that are stored, by resource.");
static STORED: Family =
    Family::gauge("apiserver_storage_objects", "The number of objects that are stored, by resource.");

/// What it is that a request asks for. What tells most kinds apart stands first: each request is looked up by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    resource: String,
    verb: &'static str,
    subresource: String,
    group: String,
    scope: &'static str,
    version: String,
    dry_run: &'static str,
    component: &'static str,
}

/// What counts the requests of a kind.
#[derive(Debug)]
struct Answered {
    codes: BTreeMap<u16, Counter>,
    durations: Histogram,
}

/// What counts the requests of a flow schema at a priority level.
#[derive(Debug)]
struct Flow {
    dispatched: Counter,
    rejected: BTreeMap<&'static str, Counter>,
}

/// The metrics of one server. Instruments are kept by what a request is known by: nothing is spelled out to count one.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Mutex<BTreeMap<Kind, Answered>>,
    long_running: Mutex<BTreeMap<Kind, Gauge>>,
    /// By the priority level, then by the flow schema.
    flows: Mutex<BTreeMap<String, BTreeMap<String, Flow>>>,
}

/// A request that is counted as long as it lasts.
#[derive(Debug)]
pub(crate) struct LongRunning(Gauge);

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Kind {
    /// That of a request; `None` for one that is not counted: a document that the server makes itself, but for its health.
    pub(crate) fn of(info: &RequestInfo, query: &Query, applies: bool) -> Option<Self> {
        if !info.is_resource {
            let healthy = ["/healthz", "/livez", "/readyz"].contains(&info.path.as_str());
            let kind = || Self { subresource: info.path.clone(), verb: "GET", ..Self::default() };
            return healthy.then(kind);
        }
        let scope = match (info.name_in_path || info.verb == "create", info.namespace.is_empty()) {
            (true, _) => "resource",
            (false, false) => "namespace",
            (false, true) => "cluster",
        };
        let connects = ["exec", "attach", "portforward", "proxy"].contains(&info.subresource.as_str());
        let verb = match info.verb.as_str() {
            _ if connects => "CONNECT",
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" => "POST",
            "update" => "PUT",
            "patch" if applies => "APPLY",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            _ => "other",
        };
        let dry_run = match query.text("dryRun") {
            "" => "",
            "All" => "All",
            _ => "invalid",
        };
        Some(Self {
            component: "apiserver",
            dry_run,
            group: info.group.clone(),
            resource: info.resource.clone(),
            scope,
            subresource: info.subresource.clone(),
            verb,
            version: info.version.clone(),
        })
    }
}

impl Metrics {
    /// Those of a server with these features.
    pub(crate) fn new(features: &Features) -> Self {
        let registry = Registry::recording();
        build(&registry);
        for (name, on) in features.gates() {
            registry.gauge(&FEATURES, &[("name", name), ("stage", "ALPHA")]).set(i64::from(on));
        }
        Self { registry, requests: Mutex::default(), long_running: Mutex::default(), flows: Mutex::default() }
    }

    /// Counts an answer. Kinds that `is_served` denies are not counted: clients could invent any number of them.
    pub(crate) fn answered(&self, kind: &Kind, (code, took): (u16, Duration), is_served: impl FnOnce(&Kind) -> bool) {
        let mut requests = self.requests.lock();
        if let Some(answered) = requests.get_mut(kind) {
            answered.count(&self.registry, kind, (code, took));
        } else if is_served(kind) {
            let durations = self.registry.histogram(&DURATIONS, &kind.labels());
            let answered = requests.entry(kind.clone()).or_insert(Answered { codes: BTreeMap::new(), durations });
            answered.count(&self.registry, kind, (code, took));
        }
    }

    /// Counts a request until what is returned is dropped.
    pub(crate) fn runs(&self, mut kind: Kind) -> LongRunning {
        // Nothing that lasts is told apart by it.
        kind.dry_run = "";
        let mut long_running = self.long_running.lock();
        let gauge = long_running.entry(kind).or_insert_with_key(|kind| {
            let labels = kind.labels();
            let [component, _, rest @ ..] = &labels;
            self.registry.gauge(&LONG_RUNNING, &[&[*component], rest.as_slice()].concat())
        });
        gauge.add(1);
        LongRunning(gauge.clone())
    }

    /// Counts a request that was let in, or why it was not.
    pub(crate) fn entered(&self, schema: &str, level: &str, refused: Option<&'static str>) {
        let mut flows = self.flows.lock();
        if let Some(flow) = flows.get_mut(level).and_then(|flows| flows.get_mut(schema)) {
            return flow.count(&self.registry, (schema, level), refused);
        }
        let dispatched = self.registry.counter(&DISPATCHED, &[("flow_schema", schema), ("priority_level", level)]);
        let mut flow = Flow { dispatched, rejected: BTreeMap::new() };
        flow.count(&self.registry, (schema, level), refused);
        flows.entry(level.to_owned()).or_default().insert(schema.to_owned(), flow);
    }

    /// What became of the requests of a priority level so far.
    pub(crate) fn past(&self, level: &str) -> Past {
        let flows = self.flows.lock();
        let mut past = Past::default();
        for flow in flows.get(level).into_iter().flat_map(BTreeMap::values) {
            past.dispatched += flow.dispatched.value();
            for (reason, count) in &flow.rejected {
                *(if *reason == "time-out" { &mut past.timed_out } else { &mut past.rejected }) += count.value();
            }
        }
        past
    }

    /// All metrics as text; `limits` are the seats of the priority levels, `objects` the numbers of what is stored.
    pub(crate) fn render(&self, limits: &[(String, u64)], objects: &[(String, String, usize)]) -> String {
        // What is gone shows no more: these are of this text only.
        let now = Registry::recording();
        for (level, seats) in limits {
            now.gauge(&SEATS, &[("priority_level", level)]).set(i64::try_from(*seats).unwrap_or(i64::MAX));
        }
        for (group, resource, count) in objects {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            now.gauge(&OBJECTS, &[("group", group), ("resource", resource)]).set(count);
            let resource = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
            now.gauge(&STORED, &[("resource", &resource)]).set(count);
        }
        self.registry.render_with(&now)
    }
}

impl Answered {
    fn count(&mut self, registry: &Registry, kind: &Kind, (code, took): (u16, Duration)) {
        let new = || {
            let code = code.to_string();
            registry.counter(&REQUESTS, &[&[("code", code.as_str())], kind.labels().as_slice()].concat())
        };
        self.codes.entry(code).or_insert_with(new).increment();
        self.durations.observe_duration(took);
    }
}

impl Flow {
    fn count(&mut self, registry: &Registry, (schema, level): (&str, &str), refused: Option<&'static str>) {
        let Some(reason) = refused else { return self.dispatched.increment() };
        let new = || {
            let labels = [("flow_schema", schema), ("priority_level", level), ("reason", reason)];
            registry.counter(&REJECTED, &labels)
        };
        self.rejected.entry(reason).or_insert_with(new).increment();
    }
}

impl Kind {
    /// The labels, by their names.
    fn labels(&self) -> [(&'static str, &str); 8] {
        [
            ("component", self.component),
            ("dry_run", self.dry_run),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", self.verb),
            ("version", &self.version),
        ]
    }

    /// Where it is served: the group, the version, the resource and the subresource.
    pub(crate) fn place(&self) -> [&str; 4] {
        [&self.group, &self.version, &self.resource, &self.subresource]
    }
}

/// Which Kubernetes is served.
fn build(registry: &Registry) {
    let info = version::info();
    let of = |field: &str| info[field].as_str().unwrap_or_default().to_owned();
    let names = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ];
    let values = names.map(|(_, field)| of(field));
    let labels: Vec<_> = names.iter().zip(&values).map(|((name, _), value)| (*name, value.as_str())).collect();
    registry.gauge(&BUILD, &labels).set(1);
}

#[cfg(test)]
mod tests;
