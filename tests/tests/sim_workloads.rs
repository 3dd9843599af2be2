//! Random lives of two Deployments that want the same pods, with slow networks between everybody: whatever happens in
//! whatever order, what must never be never is, and in the end all is well and at rest.

#![allow(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_machinery::random::Random;
use steersman_tests::workloads::*;
use tokio::time::Instant;
use tower::BoxError;

const NAMES: [&str; 2] = ["one", "two"];
/// The longest that a request or its answer is under way.
const DELAY_MS: u64 = 40;
/// How long after a change of size a controller may still act on the former one: a sync has some writes, one after another.
const MEMORY: Duration = Duration::from_secs(1);
/// How many statuses of a ReplicaSet a controller may be late.
const LATE: usize = 4;
/// `maxSurge` and `maxUnavailable`, of which each life has one pair.
const STRATEGIES: [(i64, i64); 4] = [(2, 1), (1, 0), (0, 2), (3, 3)];

/// What the controllers must not do is looked for at every write that they send.
struct Watchman {
    client: Client,
    random: Random,
    strategy: (i64, i64),
    /// The sizes that the Deployments had, and since when.
    wanted: Mutex<BTreeMap<String, Vec<(Instant, i64)>>>,
    /// How many pods of each ReplicaSet were available according to its last statuses.
    available: Mutex<BTreeMap<String, VecDeque<i64>>>,
    /// The uids of all ReplicaSets that ever were.
    sets: Mutex<BTreeSet<String>>,
    /// What was done that must not be: a panic in a controller would only be an error to it, and be retried.
    wrong: Mutex<Vec<String>>,
}

async fn list(client: &Client, path: &str) -> Vec<Value> {
    let request = Request::builder().uri(path).body(Vec::new()).unwrap();
    let list: Value = client.request(request).await.unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

impl Watchman {
    fn expect(&self, is_right: bool, otherwise: impl FnOnce() -> String) {
        if !is_right {
            self.wrong.lock().push(otherwise());
        }
    }

    async fn dawdle(&self) {
        tokio::time::sleep(Duration::from_millis(self.random.next_u64() % DELAY_MS)).await;
    }

    /// The ReplicaSets of each Deployment.
    async fn look(&self) -> BTreeMap<String, Vec<Value>> {
        let mut owned: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for set in list(&self.client, SETS).await {
            self.sets.lock().insert(uid(&set).to_owned());
            owned.entry(controller(&set)).or_default().push(set);
        }
        owned
    }

    /// Takes note of a status that is about to be written.
    fn note_status(&self, set: &Value) {
        let mut available = self.available.lock();
        let last = available.entry(uid(set).to_owned()).or_default();
        last.push_back(int(set, "/status/availableReplicas"));
        if last.len() > LATE {
            last.pop_front();
        }
    }

    /// The available pods that these sets keep, by the status of each that `seen` chooses from those that a controller may
    /// have seen last.
    fn kept(&self, sets: &[Value], seen: fn(&VecDeque<i64>) -> Option<i64>) -> i64 {
        let available = self.available.lock();
        let known = |set: &Value| available.get(uid(set)).and_then(seen).unwrap_or_default();
        sets.iter().map(|set| known(set).min(int(set, "/spec/replicas"))).sum()
    }

    /// A pod may be deleted if a ReplicaSet controls it.
    async fn check_deletion(&self, path: &str) {
        let request = Request::builder().uri(path).body(Vec::new()).unwrap();
        let Ok(pod) = self.client.request::<Value>(request).await else { return };
        let owner = controller(&pod);
        self.expect(self.sets.lock().contains(&owner), || format!("{path} of {owner:?} is not ours to delete"));
    }

    fn check_sizes(&self, before: &BTreeMap<String, Vec<Value>>, after: &BTreeMap<String, Vec<Value>>) {
        let (wanted, (surge, unavailable)) = (self.wanted.lock(), self.strategy);
        let total = |sets: &[Value]| sets.iter().map(|set| int(set, "/spec/replicas")).sum::<i64>();
        for (owner, sets) in after {
            let Some(sizes) = wanted.get(owner) else { continue };
            let ended = sizes.iter().skip(1).map(|(since, _)| Some(*since)).chain([None]);
            let is_late = |end: Option<Instant>| end.is_none_or(|end| end.elapsed() < MEMORY);
            let lately =
                || sizes.iter().zip(ended.clone()).filter(|(_, end)| is_late(*end)).map(|((_, size), _)| *size);
            let (least, most) = (lately().min().unwrap_or_default(), lately().max().unwrap_or_default());
            let former = before.get(owner).map(Vec::as_slice).unwrap_or_default();
            let allowed = (most + surge).max(total(former));
            self.expect(total(sets) <= allowed, || {
                format!("{} replicas are wanted and {allowed} allowed", total(sets))
            });
            // Sizes that follow the Deployment's own keep their proportion, whatever that does to what is available.
            let rescaled = |set: &Value| {
                let was = former.iter().find(|was| uid(was) == uid(set));
                was.is_some_and(|was| annotation(was, "desired-replicas") != annotation(set, "desired-replicas"))
            };
            if least == most && !sets.iter().any(rescaled) {
                // Who saw fewer may take those for gone; who saw more may count on them.
                let needed = (least - unavailable).min(self.kept(former, |last| last.iter().min().copied()));
                let kept = self.kept(sets, |last| last.iter().max().copied());
                self.expect(kept >= needed, || format!("{kept} pods stay that are available, {needed} have to"));
            }
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
            let writes = request.method() != Method::GET && path.starts_with(SETS);
            let resizes = writes && !path.ends_with("/status");
            if request.method() == Method::DELETE && path.contains("/pods/") {
                watchman.check_deletion(&path).await;
            }
            let before = if resizes { watchman.look().await } else { BTreeMap::new() };
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(BoxError::from)?.to_bytes();
            if writes && !resizes {
                watchman.note_status(&serde_json::from_slice(&body).map_err(BoxError::from)?);
            }
            let request = Request::from_parts(parts, Body::from(body.to_vec()));
            let answer = client.send(request).await.map_err(BoxError::from)?;
            if resizes {
                watchman.check_sizes(&before, &watchman.look().await);
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
            watchman.wanted.lock().entry(uid(&deployment).to_owned()).or_default().push((Instant::now(), size));
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
    let strategy = STRATEGIES[usize::try_from(seed).unwrap() % STRATEGIES.len()];
    let watchman = Arc::new(Watchman {
        client: world.cluster.client(),
        random: random.fork(),
        strategy,
        wanted: Mutex::default(),
        available: Mutex::default(),
        sets: Mutex::default(),
        wrong: Mutex::default(),
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
    let (surge, unavailable) = strategy;
    let limits = json!({"maxSurge": surge, "maxUnavailable": unavailable});
    let limits = json!({"strategy": {"rollingUpdate": limits}, "minReadySeconds": 1});
    for name in NAMES {
        let mut body = deployment(3, limits.clone());
        body["metadata"]["name"] = json!(name);
        let created = world.create("deployments", body).await;
        watchman.wanted.lock().insert(uid(&created).to_owned(), vec![(Instant::now(), 3)]);
    }
    let mut revisions = BTreeMap::new();
    for step in 0..40 {
        disturb(&world, &watchman, &random, step).await;
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 400)).await;
        check_revisions(&world, &mut revisions).await;
        assert_eq!(*watchman.wrong.lock(), [""; 0], "seed {seed}");
        for object in world.pods().await.iter().chain(&world.sets().await) {
            let controllers = owners(object).iter().filter(|owner| owner["controller"] == true).count();
            assert!(controllers < 2, "{object}");
        }
    }
    rest(&mut world, &mut revisions).await;
    assert_eq!(*watchman.wrong.lock(), [""; 0], "seed {seed}");
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
