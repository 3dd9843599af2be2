//! Random lives of two Deployments that want the same pods, with slow networks between everybody: whatever happens in
//! whatever order, what must never be never is, and in the end all is well and at rest.

#![allow(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_machinery::random::Random;
use steersman_tests::workloads::*;
use tower::BoxError;

const NAMES: [&str; 2] = ["one", "two"];
/// The longest that a request or its answer is under way.
const DELAY_MS: u64 = 40;
/// How long after a change of size a controller may still act on the former one.
const MEMORY: usize = 3;

/// What the controllers must not do is looked for at every write that they send.
struct Watchman {
    client: Client,
    random: Random,
    /// The sizes that the Deployments had lately, with their surge.
    limits: Mutex<BTreeMap<String, Vec<i64>>>,
    /// The uids of all ReplicaSets that ever were.
    sets: Mutex<BTreeSet<String>>,
}

async fn list(client: &Client, path: &str) -> Vec<Value> {
    let request = Request::builder().uri(path).body(Vec::new()).unwrap();
    let list: Value = client.request(request).await.unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

impl Watchman {
    async fn dawdle(&self) {
        tokio::time::sleep(Duration::from_millis(self.random.next_u64() % DELAY_MS)).await;
    }

    /// The wanted sizes of the ReplicaSets of each Deployment together.
    async fn totals(&self) -> BTreeMap<String, i64> {
        let mut totals = BTreeMap::new();
        for set in list(&self.client, SETS).await {
            self.sets.lock().insert(uid(&set).to_owned());
            *totals.entry(controller(&set)).or_default() += int(&set, "/spec/replicas");
        }
        totals
    }

    /// A pod may be deleted if a ReplicaSet controls it.
    async fn check_deletion(&self, path: &str) {
        let request = Request::builder().uri(path).body(Vec::new()).unwrap();
        let Ok(pod) = self.client.request::<Value>(request).await else { return };
        let owner = controller(&pod);
        assert!(self.sets.lock().contains(&owner), "{path} of {owner:?} is not ours to delete");
    }

    fn check_totals(&self, before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) {
        let limits = self.limits.lock();
        for (owner, total) in after {
            let allowed = limits.get(owner).and_then(|limits| limits.iter().rev().take(MEMORY).max().copied());
            let Some(allowed) = allowed else { continue };
            let allowed = allowed.max(before.get(owner).copied().unwrap_or_default());
            assert!(*total <= allowed, "{total} replicas are wanted and {allowed} allowed");
        }
    }
}

/// A client of the controllers behind a slow network.
fn slow(client: Client, watchman: Arc<Watchman>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, watchman) = (client.clone(), Arc::clone(&watchman));
        async move {
            let path = request.uri().path().to_owned();
            watchman.dawdle().await;
            let resizes = request.method() != Method::GET && path.starts_with(SETS) && !path.ends_with("/status");
            if request.method() == Method::DELETE && path.contains("/pods/") {
                watchman.check_deletion(&path).await;
            }
            let before = if resizes { watchman.totals().await } else { BTreeMap::new() };
            let answer = client.send(request).await.map_err(BoxError::from)?;
            if resizes {
                watchman.check_totals(&before, &watchman.totals().await);
            }
            watchman.dawdle().await;
            Ok::<_, BoxError>(answer)
        }
    });
    Client::new(service, "default")
}

/// Something happens to one of the Deployments, to its pods or to its ReplicaSets.
async fn disturb(world: &World, watchman: &Watchman, random: &Random, step: u64) {
    let name = NAMES[usize::try_from(random.next_u64() % 2).unwrap()];
    let pick = |mut all: Vec<Value>| {
        let at = usize::try_from(random.next_u64()).unwrap_or_default() % all.len().max(1);
        (!all.is_empty()).then(|| all.swap_remove(at))
    };
    // What another controls is another's to disturb.
    let pods = async || {
        let mut pods = world.pods().await;
        pods.retain(|pod| self::name(pod) != "foreign");
        pods
    };
    let change = async |spec: Value| drop(world.merge("deployments", name, json!({"spec": spec})).await);
    match random.next_u64() % 8 {
        0 | 1 => {
            let containers = json!([{"name": "fake-name", "image": format!("image-{}", step % 5)}]);
            change(json!({"template": {"spec": {"containers": containers}}})).await;
        }
        2 => {
            let size = i64::try_from(random.next_u64() % 7).unwrap();
            let deployment = world.get("deployments", name).await;
            watchman.limits.lock().entry(uid(&deployment).to_owned()).or_default().push(size + 2);
            change(json!({"replicas": size})).await;
        }
        3 => change(json!({"paused": random.next_u64().is_multiple_of(2)})).await,
        4 => {
            if let Some(pod) = pick(pods().await) {
                let path = format!("/api/v1/namespaces/default/pods/{}", self::name(&pod));
                let _ = world.send("DELETE", &path, "json", None).await;
            }
        }
        5 => {
            if let Some(pod) = pick(pods().await) {
                let labels =
                    json!({"metadata": {"labels": {"name": if step.is_multiple_of(2) { "stray" } else { NAME }}}});
                let _ = world.patch("pods", self::name(&pod), "merge-patch+json", labels).await;
            }
        }
        6 => {
            if let Some(pod) = pick(pods().await) {
                world.report(self::name(&pod), json!({"phase": "Failed"})).await;
            }
        }
        _ => world.make_all_ready().await,
    }
}

async fn live(seed: u64) {
    let random = Random::seeded(seed);
    let mut world = World::of(bare().seed(seed)).await;
    let watchman = Arc::new(Watchman {
        client: world.cluster.client(),
        random: random.fork(),
        limits: Mutex::default(),
        sets: Mutex::default(),
    });
    world.run_with(
        slow(world.cluster.client_of("controllers"), Arc::clone(&watchman)),
        options("deployment,replicaset"),
    );
    let mut foreign = pod("foreign");
    foreign["metadata"]["labels"] = json!({"name": NAME});
    foreign["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "uid": "x", "controller": true}]);
    world.create("pods", foreign).await;
    let limits = json!({"strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}, "minReadySeconds": 1});
    for name in NAMES {
        let mut body = deployment(3, limits.clone());
        body["metadata"]["name"] = json!(name);
        let created = world.create("deployments", body).await;
        watchman.limits.lock().insert(uid(&created).to_owned(), vec![5]);
    }
    let mut revisions = BTreeMap::new();
    for step in 0..40 {
        disturb(&world, &watchman, &random, step).await;
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 400)).await;
        check_revisions(&world, &mut revisions).await;
        for object in world.pods().await.iter().chain(&world.sets().await) {
            let controllers = owners(object).iter().filter(|owner| owner["controller"] == true).count();
            assert!(controllers < 2, "{object}");
        }
    }
    rest(&mut world, &mut revisions).await;
}

async fn check_revisions(world: &World, revisions: &mut BTreeMap<String, i64>) {
    for deployment in world.list("deployments", "").await {
        let now = revision(&deployment).parse().unwrap_or_default();
        let before = revisions.insert(name(&deployment).to_owned(), now).unwrap_or_default();
        assert!(before <= now, "revision {before} became {now}");
    }
}

/// Left alone, everything comes to rest, and a further look at everything writes nothing.
async fn rest(world: &mut World, revisions: &mut BTreeMap<String, i64>) {
    for name in NAMES {
        world.merge("deployments", name, json!({"spec": {"paused": false}})).await;
    }
    world
        .until("both complete", async || {
            world.make_all_ready().await;
            world.list("deployments", "").await.iter().all(is_complete).then_some(())
        })
        .await;
    check_revisions(world, revisions).await;
    for deployment in world.list("deployments", "").await {
        let sets = world.sets().await;
        let own: Vec<&Value> = sets.iter().filter(|set| controller(set) == uid(&deployment)).collect();
        let pods = world.pods().await;
        let counted =
            pods.iter().filter(|pod| is_active(pod) && own.iter().any(|set| uid(set) == controller(pod))).count();
        assert_eq!(i64::try_from(counted).unwrap(), int(&deployment, "/spec/replicas"));
    }
    assert!(world.find("pods", "foreign").await.is_some(), "another's pod was deleted");
    world.assert_at_rest(options("deployment,replicaset")).await;
}

#[test]
fn whatever_happens_ends_well() {
    // Each life takes more than a second of a processor: it has some thousand requests, and a look at every one.
    for seed in 0..4 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(live(seed));
    }
}
