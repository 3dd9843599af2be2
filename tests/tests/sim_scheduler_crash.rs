//! The scheduler is killed at every point of its work, and every single write of it is lost once: its request, its
//! answer, or the scheduler with it. Whatever happened, every pod is bound exactly once, no node and no device is given
//! away twice, and all ends as if nothing had been.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman::kubelet::NodeTemplate;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::random::Random;
use steersman_scheduler_plugin::cycle_state::CycleState;
use steersman_scheduler_plugin::plugin::{
    Binding, PermitPlugin, Plugin, PostBindPlugin, PreBindPlugin, PreFilterPlugin, PreFilterResult, ReservePlugin,
};
use steersman_scheduler_plugin::pod::Pod as ScheduledPod;
use steersman_scheduler_plugin::snapshot::Snapshot;
use steersman_scheduler_plugin::{Configuration, Options, Status};
use steersman_tests::wait::{until, until_within};
use tokio::sync::Notify;
use tower::BoxError;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A request is lost: nothing was written.
    Request,
    /// An answer is lost: it was written, but nobody knows.
    Answer,
    /// The scheduler is killed before a write.
    Before,
    /// It is killed after a write.
    After,
    /// It is killed while it runs the plugins of an extension point.
    Point(&'static str),
}

/// Before a pod is assumed, after it was, when it was reserved, when it may go, before and after it is bound.
const POINTS: [&str; 6] = ["PreFilter", "Reserve", "Permit", "PreBind", "PostBind", "Unreserve"];

/// Lets the fault happen the time with the number `at`.
struct Faults {
    fault: Fault,
    at: usize,
    seen: AtomicUsize,
    /// What is dead writes nothing any more.
    dead: AtomicBool,
    killed: Notify,
    /// The nodes to which each pod was bound.
    bindings: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Faults {
    fn strikes(&self) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed) == self.at
    }

    fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.killed.notify_one();
    }

    fn at_point(&self, point: &'static str) {
        if self.fault == Fault::Point(point) && self.strikes() {
            self.kill();
        }
    }

    /// Sends a request of the scheduler, unless the fault is in the way.
    async fn send(&self, client: &Client, request: Request<Body>) -> Result<http::Response<Body>, BoxError> {
        if self.dead.load(Ordering::Relaxed) {
            pending::<Infallible>().await;
        }
        let path = request.uri().path().to_owned();
        let counts = request.method() != Method::GET && !path.contains("/events");
        let strikes = counts && !matches!(self.fault, Fault::Point(_)) && self.strikes();
        if strikes && self.fault == Fault::Before {
            self.kill();
            pending::<Infallible>().await;
        }
        if strikes && self.fault == Fault::Request {
            return Err(BoxError::from("connection reset"));
        }
        let response = client.send(request).await?;
        if response.status().is_success() && path.ends_with("/binding") {
            self.bound(client, path.rsplit('/').nth(1).unwrap()).await;
        }
        match self.fault {
            Fault::Answer if strikes => Err(BoxError::from("connection reset")),
            Fault::After if strikes => {
                self.kill();
                pending().await
            }
            _ => Ok(response),
        }
    }

    /// A pod was bound: whatever was lost, now is the time to see whether too much was given away.
    async fn bound(&self, client: &Client, name: &str) {
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let all = pods.list(&ListParams::default()).await.unwrap().items;
        let mut used: BTreeMap<String, i32> = BTreeMap::new();
        for pod in &all {
            let spec = pod.spec.as_ref().unwrap();
            let Some(node) = spec.node_name.clone() else { continue };
            if pod.name_any() == name {
                self.bindings.lock().entry(pod.uid().unwrap()).or_default().push(node.clone());
            }
            let requests = spec.containers[0].resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let cpu = requests.and_then(|requests| requests.get("cpu")).map_or(0, |cpu| cpu.0.parse().unwrap());
            *used.entry(node).or_default() += cpu;
        }
        assert!(used.values().all(|cpu| *cpu <= 2), "{used:?}");
        let claims: Api<ResourceClaim> = Api::default_namespaced(client.clone());
        let claims = claims.list(&ListParams::default()).await.unwrap().items;
        let allocated = claims.iter().filter(|claim| claim.status.as_ref().is_some_and(|it| it.allocation.is_some()));
        assert!(allocated.count() <= 1, "{claims:?}");
    }
}

fn faulty(client: Client, faults: Arc<Faults>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, faults) = (client.clone(), Arc::clone(&faults));
        async move { faults.send(&client, request).await }
    });
    Client::new(service, "default")
}

/// A plugin at all extension points that kills the scheduler.
struct Killer(Arc<Faults>);

impl Plugin for Killer {
    fn name(&self) -> &'static str {
        "Killer"
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }
    fn as_reserve(&self) -> Option<&dyn ReservePlugin> {
        Some(self)
    }
    fn as_permit(&self) -> Option<&dyn PermitPlugin> {
        Some(self)
    }
    fn as_pre_bind(&self) -> Option<&dyn PreBindPlugin> {
        Some(self)
    }
    fn as_post_bind(&self) -> Option<&dyn PostBindPlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for Killer {
    fn pre_filter(&self, _: &mut CycleState, _: &ScheduledPod, _: &Snapshot) -> Result<PreFilterResult, Status> {
        self.0.at_point("PreFilter");
        Err(Status::skip())
    }
}

impl ReservePlugin for Killer {
    fn reserve(&self, _: &mut CycleState, _: &ScheduledPod, _: &str) -> Status {
        self.0.at_point("Reserve");
        Status::success()
    }
    fn unreserve(&self, _: &mut CycleState, _: &ScheduledPod, _: &str) {
        self.0.at_point("Unreserve");
    }
}

impl PermitPlugin for Killer {
    fn permit(&self, _: &mut CycleState, _: &ScheduledPod, _: &str) -> (Status, Duration) {
        self.0.at_point("Permit");
        (Status::success(), Duration::ZERO)
    }
}

impl PreBindPlugin for Killer {
    fn pre_bind<'a>(&'a self, _: &'a Binding) -> BoxFuture<'a, Status> {
        self.0.at_point("PreBind");
        async { Status::success() }.boxed()
    }
}

impl PostBindPlugin for Killer {
    fn post_bind<'a>(&'a self, _: &'a Binding) -> BoxFuture<'a, ()> {
        self.0.at_point("PostBind");
        async {}.boxed()
    }
}

/// Runs the scheduler, and runs it again when it is killed.
async fn run_scheduler(cluster: &Cluster, faults: &Arc<Faults>) -> Infallible {
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"plugins": {"multiPoint": {"enabled": [{"name": "Killer"}]}}}],
    });
    let mut options =
        Options { configuration: Configuration::from_yaml(&configuration.to_string()).unwrap(), ..Options::default() };
    options.plugins.add(Killer(Arc::clone(faults)));
    loop {
        let (_trigger, shutdown) = Shutdown::new();
        let client = faulty(cluster.client(), Arc::clone(faults));
        let context = Context::new(client, cluster.clock(), Random::seeded(1), shutdown);
        tokio::select! {
            biased;
            () = faults.killed.notified() => {}
            ended = steersman_scheduler_plugin::run(context, options.clone()) => panic!("the scheduler ended: {ended:?}"),
        }
        faults.dead.store(false, Ordering::Relaxed);
    }
}

async fn create(client: &Client, object: Value) {
    let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), object["apiVersion"].as_str().unwrap().to_owned()),
    };
    let kind = object["kind"].as_str().unwrap().to_owned();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, &version, &kind));
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let cluster_wide = ["Node", "PriorityClass", "DeviceClass", "ResourceSlice"].contains(&kind.as_str());
    let api: Api<DynamicObject> = if cluster_wide {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::default_namespaced_with(client.clone(), &resource)
    };
    api.create(&PostParams::default(), &object).await.unwrap();
}

fn pod(name: &str, cpu: &str, more: Value) -> Value {
    let resources = json!({"requests": {"cpu": cpu}, "claims": more["resourceClaims"].as_array().map(|_| json!([{"name": "gpu"}]))});
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "app:1", "resources": resources}], "terminationGracePeriodSeconds": 1},
    });
    for (field, value) in more.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// Two nodes with two cores; a device on one of them; small pods, one that needs the device, and an important one that
/// takes the place of another.
async fn scenario(client: Client) {
    for (name, value) in [("low", 1), ("high", 100)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
        create(&client, class).await;
    }
    let device = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let mut class = device("DeviceClass", "gpu", json!({}));
    class["metadata"].as_object_mut().unwrap().remove("namespace");
    create(&client, class).await;
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    let spec = json!({"driver": "gpu.example.com", "pool": pool, "nodeName": "node-0", "devices": [{"name": "d"}]});
    let mut slice = device("ResourceSlice", "slice", spec);
    slice["metadata"].as_object_mut().unwrap().remove("namespace");
    create(&client, slice).await;
    for name in ["gpu-1", "gpu-2"] {
        let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu"}});
        create(&client, device("ResourceClaim", name, json!({"devices": {"requests": [request]}}))).await;
    }

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let bound = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.spec.as_ref().unwrap().node_name.is_some());
    let gpu = json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu-1"}], "priorityClassName": "high"});
    create(&client, pod("first", "1", gpu)).await;
    let gpu = until(&pods, "first", "bound", bound).await.unwrap();
    assert_eq!(gpu.spec.unwrap().node_name.as_deref(), Some("node-0"));
    let gpu = json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu-2"}], "priorityClassName": "high"});
    create(&client, pod("second", "1", gpu)).await;
    for name in ["a", "b", "c"] {
        create(&client, pod(name, "1", json!({"priorityClassName": "low"}))).await;
    }
    for name in ["a", "b", "c"] {
        until(&pods, name, "bound", bound).await;
    }
    create(&client, pod("important", "2", json!({"priorityClassName": "high"}))).await;
    let important = until(&pods, "important", "bound", bound).await.unwrap();
    assert_eq!(important.spec.unwrap().node_name.as_deref(), Some("node-1"));
    let refused = |pod: Option<&Pod>| {
        let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|one| one.type_ == "PodScheduled" && one.status == "False")
    };
    // If what was lost said that it has no place, it is told the next time: after the five minutes that it is left alone.
    until_within(Duration::from_secs(600), &pods, "second", "refused", refused).await;
    let left = pods.list(&ListParams::default()).await.unwrap().items;
    let low = left.iter().filter(|pod| ["a", "b", "c"].contains(&&*pod.name_any()));
    let low: Vec<_> = low.filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    assert_eq!(low.len(), 1, "{low:?}");
}

/// Runs the scenario with one fault; how many occasions for it there were.
async fn with(fault: Fault, at: usize) -> usize {
    let faults = Arc::new(Faults {
        fault,
        at,
        seen: AtomicUsize::new(0),
        dead: AtomicBool::new(false),
        killed: Notify::new(),
        bindings: Mutex::default(),
    });
    let capacity = [("cpu", "2"), ("memory", "8Gi"), ("pods", "10")];
    let capacity = capacity.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into();
    let nodes = vec![NodeTemplate { count: 2, capacity, ..NodeTemplate::default() }];
    let kubelet = steersman::kubelet::Options { nodes, ..steersman::kubelet::Options::default() };
    let builder = Cluster::builder().kubelet(kubelet).virtual_time().without_controllers().without_scheduler();
    let cluster = builder.disable_admission(["ServiceAccount"]).start().await.unwrap();
    tokio::select! {
        biased;
        _ = run_scheduler(&cluster, &faults) => {}
        () = scenario(cluster.client()) => {}
    }
    let bindings = faults.bindings.lock();
    assert!(bindings.values().all(|nodes| nodes.len() == 1), "bound more than once: {bindings:?}");
    faults.seen.load(Ordering::Relaxed)
}

/// How many occasions there were; every one was taken once.
fn every_time(fault: Fault) -> usize {
    let mut at = 0;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        println!("{fault:?} number {at}");
        if runtime.block_on(with(fault, at)) <= at {
            return at;
        }
        at += 1;
    }
}

#[test]
fn the_request_of_every_write_of_the_scheduler_may_be_lost() {
    assert!(every_time(Fault::Request) >= 10);
}

#[test]
fn the_answer_to_every_write_of_the_scheduler_may_be_lost() {
    assert!(every_time(Fault::Answer) >= 10);
}

#[test]
fn the_scheduler_may_be_killed_before_every_write() {
    assert!(every_time(Fault::Before) >= 10);
}

#[test]
fn the_scheduler_may_be_killed_after_every_write() {
    assert!(every_time(Fault::After) >= 10);
}

#[test]
fn the_scheduler_may_be_killed_at_every_extension_point() {
    for point in POINTS {
        let times = every_time(Fault::Point(point));
        // Nothing is taken back if nothing fails.
        assert!(times >= 5 || point == "Unreserve", "{point}: {times}");
    }
}
