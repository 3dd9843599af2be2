//! A world for the tests of the workload controllers: an API server, the controllers that a test chooses, and the test in
//! the place of everything else. Upstream's integration tests are built in the same way
//! (`k8s.io/kubernetes/test/integration/{deployment,replicaset}`).
//!
//! Under `#[tokio::test(start_paused = true)]` the clock stands still while there is work, so [`World::settle`] returns
//! when nobody has anything left to do.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http::Request;
use kube::Client;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use steersman::{Cluster, ClusterBuilder};
use steersman_controllers::{Features, Options};
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use tokio::task::JoinHandle;

/// How long [`World::until`] waits, in tokio's time.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it looks.
const PERIOD: Duration = Duration::from_millis(100);

/// What the Deployments and ReplicaSets of a test are called, and the label value of their pods.
pub const NAME: &str = "test";

/// A cluster and who acts in it.
pub struct World {
    /// The API server, and whatever the test has chosen besides.
    pub cluster: Cluster,
    client: Client,
    group: &'static str,
    controllers: Vec<(ShutdownTrigger, JoinHandle<()>)>,
}

/// A refusal: its code and its message.
pub type Refusal = (u16, String);

impl World {
    /// An API server and nothing else; service accounts are not needed.
    pub async fn idle() -> Self {
        Self::of(bare()).await
    }

    /// The same with the Deployment and the ReplicaSet controller.
    pub async fn start() -> Self {
        Self::with(options("deployment,replicaset")).await
    }

    /// The same with other options.
    pub async fn with(options: Options) -> Self {
        let mut world = Self::idle().await;
        world.run(options);
        world
    }

    /// Three nodes, the scheduler and all controllers: what upstream's end-to-end tests ask for.
    pub async fn whole() -> Self {
        Self::of(Cluster::builder().nodes(3).virtual_time().record_writes()).await
    }

    /// Such a cluster.
    pub async fn of(builder: ClusterBuilder) -> Self {
        let cluster = builder.start().await.expect("the cluster starts");
        Self { client: cluster.client(), cluster, group: "apps", controllers: Vec::new() }
    }

    /// Means another group by `deployments` and `replicasets`.
    pub fn in_group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// Runs controllers.
    pub fn run(&mut self, options: Options) {
        self.run_with(self.cluster.client_of("controllers"), options);
    }

    /// Runs controllers that use this client; several calls run several processes side by side.
    pub fn run_with(&mut self, client: Client, options: Options) {
        let (trigger, shutdown) = Shutdown::new();
        let context = Context::new(client, self.cluster.clock(), Random::seeded(3), shutdown);
        let task = tokio::spawn(async move {
            steersman_controllers::run(context, options).await.expect("the options are in order");
        });
        self.controllers.push((trigger, task));
    }

    /// Stops the controllers that were run last.
    pub async fn halt(&mut self) {
        if let Some((trigger, task)) = self.controllers.pop() {
            trigger.trigger();
            task.await.expect("they end in an orderly way");
        }
    }

    /// Starts them anew with `DeploymentReplicaSetTerminatingReplicas` on or off.
    pub async fn terminating_replicas(&mut self, on: bool) {
        self.halt().await;
        let features = Features { terminating_replicas: on, ..Features::default() };
        self.run(Options { features, ..options("deployment,replicaset") });
    }

    /// Starts them anew, so that they look at everything, and waits for an hour.
    ///
    /// # Panics
    /// If they write anything.
    pub async fn assert_at_rest(&mut self, options: Options) {
        self.settle().await;
        let before = self.writes();
        self.halt().await;
        self.run(options);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let after = self.writes();
        assert_eq!(after, before, "{:#?}", self.cluster.writes().split_off(before));
    }

    /// Waits until nobody has anything left to do but to wait for times to come.
    pub async fn settle(&self) {
        tokio::time::sleep(PERIOD).await;
    }

    /// Looks again and again until `look` has an answer.
    ///
    /// # Panics
    /// If it has none in a minute and a half of tokio's time; the message has the state of the world.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begin = tokio::time::Instant::now();
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            if begin.elapsed() > PATIENCE {
                panic!("never: {what}\n{}", self.describe().await);
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn describe(&self) -> String {
        let mut text = String::new();
        for resource in ["deployments", "replicasets"] {
            for mut object in self.list(resource, "").await {
                object["metadata"]["managedFields"].take();
                object["spec"]["template"].take();
                let _ = writeln!(text, "{resource}: {object}");
            }
        }
        let pods = self.pods().await;
        let _ =
            writeln!(text, "{} pods, {} of them active", pods.len(), pods.iter().filter(|pod| is_active(pod)).count());
        for event in self.list("events", "").await {
            let _ = writeln!(text, "event: {} {}", event["reason"], event["message"]);
        }
        text
    }

    fn path(&self, resource: &str, name: &str) -> String {
        let root = match resource {
            "deployments" | "replicasets" => format!("/apis/{}/v1", self.group),
            _ => "/api/v1".to_owned(),
        };
        let path = format!("{root}/namespaces/default/{resource}");
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }

    /// Sends a request; `content` is what follows `application/` in its content type.
    pub async fn send(&self, method: &str, path: &str, content: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(path).header("Content-Type", format!("application/{content}"));
        let request = request.body(body).expect("the parts are in order");
        match self.client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err((status.code, status.message)),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Creates an object.
    pub async fn create(&self, resource: &str, mut body: Value) -> Value {
        let (version, kind) = match resource {
            "deployments" => (format!("{}/v1", self.group), "Deployment"),
            "replicasets" => (format!("{}/v1", self.group), "ReplicaSet"),
            "resourcequotas" => ("v1".to_owned(), "ResourceQuota"),
            _ => ("v1".to_owned(), "Pod"),
        };
        body["apiVersion"] = json!(version);
        body["kind"] = json!(kind);
        self.send("POST", &self.path(resource, ""), "json", Some(&body)).await.expect("it is accepted")
    }

    /// The object, if it is there; `name` may have a subresource: `test/scale`.
    pub async fn find(&self, resource: &str, name: &str) -> Option<Value> {
        self.send("GET", &self.path(resource, name), "json", None).await.ok()
    }

    /// The object, which has to be there.
    pub async fn get(&self, resource: &str, name: &str) -> Value {
        self.find(resource, name).await.unwrap_or_else(|| panic!("there is no {resource}/{name}"))
    }

    /// All objects that a label selector selects.
    pub async fn list(&self, resource: &str, selector: &str) -> Vec<Value> {
        let path = format!("{}?labelSelector={}", self.path(resource, ""), selector.replace('=', "%3D"));
        let list = self.send("GET", &path, "json", None).await.expect("lists are answered");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Patches by JSON merge patch; `name` may have a subresource.
    pub async fn merge(&self, resource: &str, name: &str, patch: Value) -> Value {
        self.patch(resource, name, "merge-patch+json", patch).await.expect("it is accepted")
    }

    /// Patches in another way.
    pub async fn patch(&self, resource: &str, name: &str, content: &str, patch: Value) -> Result<Value, Refusal> {
        self.send("PATCH", &self.path(resource, name), content, Some(&patch)).await
    }

    /// Replaces an object.
    pub async fn put(&self, resource: &str, name: &str, body: &Value) -> Result<Value, Refusal> {
        self.send("PUT", &self.path(resource, name), "json", Some(body)).await
    }

    /// Asks for a deletion, with these options.
    pub async fn delete(&self, resource: &str, name: &str, options: Value) {
        self.send("DELETE", &self.path(resource, name), "json", Some(&options)).await.expect("it is accepted");
    }

    /// The Deployment under test.
    pub async fn deployment(&self) -> Value {
        self.get("deployments", NAME).await
    }

    /// Changes the spec of the Deployment under test; returns it.
    pub async fn change(&self, spec: Value) -> Value {
        self.merge("deployments", NAME, json!({"spec": spec})).await
    }

    /// Gives the Deployment's container another image.
    pub async fn set_image(&self, image: &str) -> Value {
        let containers = json!([{"name": "fake-name", "image": image}]);
        self.change(json!({"template": {"spec": {"containers": containers}}})).await
    }

    /// All ReplicaSets, oldest revision first.
    pub async fn sets(&self) -> Vec<Value> {
        let mut sets = self.list("replicasets", "").await;
        sets.sort_by_key(|set| revision(set).parse::<i64>().unwrap_or_default());
        sets
    }

    /// The wanted sizes of all ReplicaSets, oldest revision first.
    pub async fn sizes(&self) -> Vec<i64> {
        self.sets().await.iter().map(|set| int(set, "/spec/replicas")).collect()
    }

    /// The ReplicaSet whose container has this image.
    pub async fn set_of(&self, image: &str) -> Option<Value> {
        self.sets().await.into_iter().find(|set| self::image(set) == image)
    }

    /// All pods.
    pub async fn pods(&self) -> Vec<Value> {
        self.list("pods", "").await
    }

    /// Plays kubelet: every active pod runs and has been ready from now on.
    pub async fn make_all_ready(&self) {
        for pod in self.pods().await.iter().filter(|pod| is_active(pod) && !is_ready(pod)) {
            self.make_ready(name(pod)).await;
        }
    }

    /// Plays kubelet for one pod.
    pub async fn make_ready(&self, pod: &str) {
        let now = self.cluster.clock().now();
        self.report(pod, json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
        ]}))
        .await;
    }

    /// Plays kubelet: this is the pod's status.
    pub async fn report(&self, pod: &str, status: Value) {
        // A pod may go at any time.
        let _ = self.patch("pods", &format!("{pod}/status"), "merge-patch+json", json!({"status": status})).await;
    }

    /// Plays kubelet: pods that are being deleted have stopped.
    pub async fn finish_terminating(&self) {
        for pod in self.pods().await.iter().filter(|pod| is_deleting(pod)) {
            self.delete("pods", name(pod), json!({"gracePeriodSeconds": 0})).await;
        }
    }

    /// Makes pods ready until the Deployment under test is complete, and returns it.
    pub async fn complete(&self) -> Value {
        self.complete_if(|_, _| ()).await
    }

    /// The same; the surge and the unavailability have to stay within their bounds at every look.
    pub async fn complete_within_bounds(&self) -> Value {
        self.complete_if(assert_within_bounds).await
    }

    async fn complete_if(&self, check: impl Fn(&Value, &[Value])) -> Value {
        self.until("complete", async || {
            self.make_all_ready().await;
            let deployment = self.deployment().await;
            check(&deployment, &self.sets().await);
            is_complete(&deployment).then_some(deployment)
        })
        .await
    }

    /// Waits until Deployment and new ReplicaSet have this revision and this image.
    pub async fn until_revision(&self, wanted: &str, image: &str) -> Value {
        self.until(&format!("revision {wanted} of {image}"), async || {
            let (deployment, set) = (self.deployment().await, self.set_of(image).await?);
            let hash = set.pointer("/spec/selector/matchLabels/pod-template-hash").is_some();
            let right = revision(&deployment) == wanted && revision(&set) == wanted;
            (right && hash && self::image(&deployment) == image).then_some(set)
        })
        .await
    }

    /// Waits until the controller has seen the Deployment's present generation.
    pub async fn until_observed(&self) -> Value {
        self.until("observed", async || {
            let deployment = self.deployment().await;
            is_observed(&deployment).then_some(deployment)
        })
        .await
    }

    /// Waits until the status of the Deployment is `replicas, updated, ready, available, unavailable`, and terminating.
    pub async fn until_status(&self, figures: [i64; 5], terminating: Option<i64>) {
        self.until(&format!("status {figures:?} {terminating:?}"), async || {
            let deployment = self.deployment().await;
            let found = self::figures(&deployment) == (figures, terminating);
            (found && is_observed(&deployment)).then_some(())
        })
        .await;
    }

    /// Waits until a ReplicaSet has as many pods as it wants, and has seen its present generation.
    pub async fn until_stable(&self, set: &str) -> Value {
        self.until(&format!("{set} stable"), async || {
            let set = self.get("replicasets", set).await;
            let right = int(&set, "/status/replicas") == int(&set, "/spec/replicas");
            (right && is_observed(&set)).then_some(set)
        })
        .await
    }

    /// Follows the objects of a kind from now on.
    pub async fn watch(&self, kind: &str) -> Watched {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, "v1", kind));
        let objects: Api<DynamicObject> = Api::default_namespaced_with(self.client.clone(), &resource);
        let events = objects.watch(&WatchParams::default(), "0").await.expect("watches are answered");
        let watched = Watched::default();
        let seen = watched.clone();
        tokio::spawn(async move {
            let mut events = events.boxed();
            while let Some(Ok(event)) = events.next().await {
                let (what, object) = match event {
                    WatchEvent::Added(object) => ("ADDED", object),
                    WatchEvent::Modified(object) => ("MODIFIED", object),
                    WatchEvent::Deleted(object) => ("DELETED", object),
                    WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
                };
                seen.0.lock().expect("nobody panics in between").push((what, json!(object)));
            }
        });
        watched
    }

    /// Waits until a watch has shown such an object in such an event.
    pub async fn until_seen(&self, watched: &Watched, what: &str, is_it: impl Fn(&Value) -> bool) {
        self.until(&format!("seen in an event of {what}"), async || {
            let seen = watched.0.lock().expect("nobody panics in between");
            seen.iter().any(|(event, object)| *event == what && is_it(object)).then_some(())
        })
        .await;
    }

    /// The messages of the events of a reason.
    pub async fn messages(&self, reason: &str) -> Vec<String> {
        let events = self.list("events", "").await;
        let events = events.iter().filter(|event| event["reason"] == reason);
        events.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How many writes there were so far, but for those of events and leases.
    pub fn writes(&self) -> usize {
        let writes = self.cluster.writes();
        let counts = |path: &str| !path.contains("/events") && !path.contains("/leases");
        writes.iter().filter(|write| counts(&write.path)).count()
    }
}

/// What a watch has shown: the types of the events, and the objects.
#[derive(Clone, Default)]
pub struct Watched(Arc<Mutex<Vec<(&'static str, Value)>>>);

/// An API server that makes no demands on pods.
pub fn bare() -> ClusterBuilder {
    let builder = Cluster::builder().without_controllers().without_scheduler().virtual_time().record_writes();
    builder.disable_admission(["ServiceAccount"])
}

/// The usual options, with these controllers.
pub fn options(controllers: &str) -> Options {
    Options { controllers: controllers.parse().expect("there are such controllers"), ..Options::default() }
}

/// Upstream's Deployment for tests, with further members of `spec`.
pub fn deployment(replicas: i64, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"name": NAME}},
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": {"name": NAME}},
                "spec": {"containers": [{"name": "fake-name", "image": "fakeimage"}]},
            },
        },
    });
    crate::manifests::merge(&mut object["spec"], spec);
    object
}

/// Upstream's ReplicaSet for tests, with further members of `spec`.
pub fn replica_set(replicas: i64, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"foo": "bar"}},
            "template": {
                "metadata": {"labels": {"foo": "bar"}},
                "spec": {"containers": [{"name": "fake-name", "image": "fakeimage"}]},
            },
        },
    });
    crate::manifests::merge(&mut object["spec"], spec);
    object
}

/// A pod that matches the selector of [`replica_set`].
pub fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"foo": "bar"}},
        "spec": {"containers": [{"name": "fake-name", "image": "fakeimage"}]},
    })
}

/// A number at a JSON pointer; 0 if there is none.
pub fn int(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// A text at a JSON pointer; the empty one if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// An annotation of `deployment.kubernetes.io`.
pub fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, &format!("/metadata/annotations/deployment.kubernetes.io~1{name}"))
}

/// The revision.
pub fn revision(object: &Value) -> &str {
    annotation(object, "revision")
}

/// The image of the first container of the template.
pub fn image(object: &Value) -> &str {
    text(object, "/spec/template/spec/containers/0/image")
}

/// The owner references.
pub fn owners(object: &Value) -> Vec<Value> {
    object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default()
}

/// The uid of the controller; the empty one if there is none.
pub fn controller(object: &Value) -> String {
    let controller = owners(object).into_iter().find(|owner| owner["controller"] == true);
    controller.map(|owner| text(&owner, "/uid").to_owned()).unwrap_or_default()
}

/// Whether it is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// Whether a pod counts as a replica.
pub fn is_active(pod: &Value) -> bool {
    !is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

/// A condition of the status.
pub fn condition(object: &Value, kind: &str) -> Option<Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind).cloned()
}

/// The reason of a condition; the empty one if it is not there.
pub fn reason(object: &Value, kind: &str) -> String {
    condition(object, kind).map(|condition| text(&condition, "/reason").to_owned()).unwrap_or_default()
}

/// Whether the controller has seen the present generation.
pub fn is_observed(object: &Value) -> bool {
    int(object, "/status/observedGeneration") >= int(object, "/metadata/generation")
}

/// Whether a Deployment is complete as upstream understands it.
pub fn is_complete(deployment: &Value) -> bool {
    let wanted = int(deployment, "/spec/replicas");
    let fields = ["replicas", "updatedReplicas", "availableReplicas"];
    is_observed(deployment) && fields.iter().all(|field| int(deployment, &format!("/status/{field}")) == wanted)
}

/// The figures of a Deployment's status: replicas, updated, ready, available, unavailable; and terminating.
pub fn figures(deployment: &Value) -> ([i64; 5], Option<i64>) {
    let fields = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];
    let terminating = deployment.pointer("/status/terminatingReplicas").and_then(Value::as_i64);
    (fields.map(|field| int(deployment, &format!("/status/{field}"))), terminating)
}

/// Fails if the ReplicaSets together are larger than the surge allows, or too few pods are available.
pub fn assert_within_bounds(deployment: &Value, sets: &[Value]) {
    let wanted = int(deployment, "/spec/replicas");
    let limit = |field: &str, up: bool| {
        let value = &deployment["spec"]["strategy"]["rollingUpdate"][field];
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
        let whole = percent.map(|percent| (percent * wanted + if up { 99 } else { 0 }) / 100);
        whole.or(value.as_i64()).unwrap_or_default()
    };
    let (surge, unavailable) = (limit("maxSurge", true), limit("maxUnavailable", false));
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    let total: i64 = sets.iter().map(|set| int(set, "/spec/replicas")).sum();
    assert!(total <= wanted + surge, "{total} replicas are more than {wanted} + {surge}");
    let available = int(deployment, "/status/availableReplicas");
    assert!(available >= wanted - unavailable, "{available} available are fewer than {wanted} - {unavailable}");
}
