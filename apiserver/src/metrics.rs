//! What the server counts, in Prometheus' text format and with upstream's names.
//! Source: `k8s.io/apiserver/pkg/endpoints/metrics`, `k8s.io/apiserver/pkg/util/flowcontrol/metrics`,
//! `k8s.io/component-base/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::features::Features;
use crate::flowcontrol::dump::Past;
use crate::http::query::Query;
use crate::http::request_info::RequestInfo;
use crate::version;

mod text;

use text::Text;

/// What it is that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    component: &'static str,
    dry_run: &'static str,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
    version: String,
}

/// What became of the requests of a kind.
#[derive(Clone, Debug, Default)]
struct Answered {
    codes: BTreeMap<u16, u64>,
    /// How many took no longer than each of [`text::SECONDS`], but longer than the one before.
    durations: [u64; text::SECONDS.len()],
    seconds: f64,
}

/// What became of the requests of a flow schema at a priority level.
#[derive(Clone, Debug, Default)]
struct Flow {
    dispatched: u64,
    rejected: BTreeMap<&'static str, u64>,
}

/// The metrics of one server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    features: Features,
    requests: Mutex<BTreeMap<Kind, Answered>>,
    long_running: Arc<Mutex<BTreeMap<Kind, u64>>>,
    flows: Mutex<BTreeMap<(String, String), Flow>>,
}

/// A request that is counted as long as it lasts.
#[derive(Debug)]
pub(crate) struct LongRunning {
    kind: Kind,
    all: Arc<Mutex<BTreeMap<Kind, u64>>>,
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        if let Some(count) = self.all.lock().get_mut(&self.kind) {
            *count -= 1;
        }
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
    pub(crate) fn new(features: Features) -> Self {
        Self { features, ..Self::default() }
    }

    /// Counts an answer. Kinds that `is_served` denies are not counted: clients could invent any number of them.
    pub(crate) fn answered(&self, kind: &Kind, (code, took): (u16, Duration), is_served: impl FnOnce(&Kind) -> bool) {
        let mut requests = self.requests.lock();
        if !requests.contains_key(kind) {
            if !is_served(kind) {
                return;
            }
            requests.insert(kind.clone(), Answered::default());
        }
        let Some(answered) = requests.get_mut(kind) else { return };
        *answered.codes.entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        if let Some(bucket) = text::SECONDS.iter().position(|bound| seconds <= *bound) {
            answered.durations[bucket] += 1;
        }
        answered.seconds += seconds;
    }

    /// Counts a request until what is returned is dropped.
    pub(crate) fn runs(&self, kind: Kind) -> LongRunning {
        *self.long_running.lock().entry(kind.clone()).or_default() += 1;
        LongRunning { kind, all: self.long_running.clone() }
    }

    /// Counts a request that was let in, or why it was not.
    pub(crate) fn entered(&self, schema: &str, level: &str, refused: Option<&'static str>) {
        let mut flows = self.flows.lock();
        let flow = flows.entry((schema.to_owned(), level.to_owned())).or_default();
        match refused {
            None => flow.dispatched += 1,
            Some(reason) => *flow.rejected.entry(reason).or_default() += 1,
        }
    }

    /// What became of the requests of a priority level so far.
    pub(crate) fn past(&self, level: &str) -> Past {
        let flows = self.flows.lock();
        let mut past = Past::default();
        for (_, flow) in flows.iter().filter(|((_, at), _)| at == level) {
            past.dispatched += flow.dispatched;
            for (reason, count) in &flow.rejected {
                *(if *reason == "time-out" { &mut past.timed_out } else { &mut past.rejected }) += count;
            }
        }
        past
    }

    /// All metrics as text; `limits` are the seats of the priority levels, `objects` the numbers of what is stored.
    pub(crate) fn render(&self, limits: &[(String, u64)], objects: &[(String, String, usize)]) -> String {
        let mut text = Text::default();
        self.flow_control(&mut text, limits);
        self.of_requests(&mut text);
        text.family("apiserver_resource_objects", "gauge", "The number of objects that are stored, by resource.");
        for (group, resource, count) in objects {
            text.sample("", &[("group", group), ("resource", resource)], count);
        }
        text.family("apiserver_storage_objects", "gauge", "The number of objects that are stored, by resource.");
        for (group, resource, count) in objects {
            let resource = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
            text.sample("", &[("resource", &resource)], count);
        }
        build(&mut text);
        text.family("kubernetes_feature_enabled", "gauge", "Whether a feature is on.");
        for (name, on) in self.features.gates() {
            text.sample("", &[("name", name), ("stage", "ALPHA")], u8::from(on));
        }
        text.into()
    }

    fn flow_control(&self, text: &mut Text, limits: &[(String, u64)]) {
        let flows = self.flows.lock();
        let name = "apiserver_flowcontrol_dispatched_requests_total";
        text.family(name, "counter", "Number of requests that were let in by priority and fairness.");
        for ((schema, level), flow) in flows.iter() {
            text.sample("", &[("flow_schema", schema), ("priority_level", level)], flow.dispatched);
        }
        let name = "apiserver_flowcontrol_nominal_limit_seats";
        text.family(name, "gauge", "The seats that a priority level has before it lends or borrows some.");
        for (level, seats) in limits {
            text.sample("", &[("priority_level", level)], seats);
        }
        let name = "apiserver_flowcontrol_rejected_requests_total";
        text.family(name, "counter", "Number of requests that were refused by priority and fairness.");
        for ((schema, level), flow) in flows.iter() {
            for (reason, count) in &flow.rejected {
                let labels = [("flow_schema", schema.as_str()), ("priority_level", level), ("reason", reason)];
                text.sample("", &labels, count);
            }
        }
    }

    fn of_requests(&self, text: &mut Text) {
        text.family("apiserver_longrunning_requests", "gauge", "The requests that last as long as clients want.");
        for (kind, count) in self.long_running.lock().iter() {
            text.sample("", &kind.labels().filter(|(name, _)| *name != "dry_run").collect::<Vec<_>>(), count);
        }
        let requests = self.requests.lock().clone();
        text.family("apiserver_request_duration_seconds", "histogram", "How long answers took, in seconds.");
        for (kind, answered) in &requests {
            let count = answered.codes.values().sum();
            text.histogram(&kind.labels().collect::<Vec<_>>(), &answered.durations, (answered.seconds, count));
        }
        text.family("apiserver_request_total", "counter", "Requests that were answered.");
        for (kind, answered) in &requests {
            for (code, count) in &answered.codes {
                let code = code.to_string();
                let labels: Vec<_> = [("code", code.as_str())].into_iter().chain(kind.labels()).collect();
                text.sample("", &labels, count);
            }
        }
    }
}

impl Kind {
    /// The labels, by their names.
    fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let labels: [(&str, &str); 8] = [
            ("component", self.component),
            ("dry_run", self.dry_run),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", self.verb),
            ("version", &self.version),
        ];
        labels.into_iter()
    }

    /// Where it is served: the group, the version, the resource and the subresource.
    pub(crate) fn place(&self) -> [&str; 4] {
        [&self.group, &self.version, &self.resource, &self.subresource]
    }
}

/// Which Kubernetes is served.
fn build(text: &mut Text) {
    text.family("kubernetes_build_info", "gauge", "Which version of Kubernetes is served.");
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
    text.sample("", &labels, 1);
}

#[cfg(test)]
mod tests;
