//! Two replicas of the controllers and one lease: the leader is stopped, cut off, or frozen beyond its lease. The rollout
//! goes on, and nothing is created or deleted twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use steersman::Cluster;
use steersman_framework::leader_election::{Election, LeadError, lead};
use steersman_framework::runtime::{Context, Shutdown, ShutdownTrigger};
use steersman_machinery::random::Random;
use steersman_tests::manifests::{deployment_with, image_patch};
use steersman_tests::wait::until_rolled_out;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::BoxError;

/// What can be done to a replica: its connection can be cut, and its process be frozen.
#[derive(Clone, Default)]
struct Control {
    cut: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Control {
    fn client(&self, client: Client) -> Client {
        let cut = self.cut.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (client, cut) = (client.clone(), cut.clone());
            async move {
                if cut.load(Ordering::Relaxed) {
                    return Err(BoxError::from("no route to host"));
                }
                client.send(request).await.map_err(BoxError::from)
            }
        });
        Client::new(service, "default")
    }

    fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    /// Polls `future` only while it is not frozen: like a process between SIGSTOP and SIGCONT.
    async fn freezable<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            if self.frozen.load(Ordering::Relaxed) {
                *self.waker.lock() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Pin::as_mut(&mut future).poll(context)
        })
        .await
    }
}

/// A replica of the controllers.
struct Replica {
    control: Control,
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), LeadError>>,
}

fn election(identity: &str) -> Election {
    Election::new("kube-system", "controllers", identity)
}

fn context(cluster: &Cluster, client: Client, seed: u64) -> (ShutdownTrigger, Context) {
    let (trigger, shutdown) = Shutdown::new();
    (trigger, Context::new(client, cluster.clock(), Random::seeded(seed), shutdown))
}

fn replica(cluster: &Cluster, identity: &'static str) -> Replica {
    let control = Control::default();
    let client = control.client(cluster.client_of(identity));
    let (trigger, context) = context(cluster, client, u64::from(identity.as_bytes()[0]));
    let work = |context| async move {
        let options = steersman_controllers::Options {
            controllers: "deployment,replicaset".parse().unwrap(),
            ..steersman_controllers::Options::default()
        };
        steersman_controllers::run(context, options).await.unwrap();
    };
    let task = tokio::spawn(control.clone().freezable(lead(context, election(identity), work)));
    Replica { control, trigger, task }
}

async fn holder(cluster: &Cluster) -> String {
    let leases: Api<Lease> = Api::namespaced(cluster.client(), "kube-system");
    let lease = leases.get("controllers").await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}

/// A cluster whose controllers are elsewhere, apart from the one for service accounts.
async fn cluster() -> Cluster {
    let controllers = "serviceaccount".parse().unwrap();
    Cluster::builder().virtual_time().nodes(2).controllers(controllers).record_writes().start().await.unwrap()
}

/// How many pods and sets were created and how many pods deleted, by whomever.
fn counts(cluster: &Cluster) -> (usize, usize) {
    let writes = cluster.writes();
    let count = |method: &str, path: &str| {
        let of = |write: &&steersman::Write| write.method == method && write.path.contains(path) && write.status < 300;
        writes.iter().filter(of).count()
    };
    let created = |plural: &str| {
        let of = |write: &&steersman::Write| {
            write.method == "POST" && write.path.split('?').next().unwrap().ends_with(plural) && write.status < 300
        };
        writes.iter().filter(of).count()
    };
    (created("/pods") + created("/replicasets"), count("DELETE", "/pods/"))
}

/// Rolls a Deployment of six pods out and over, with something done to the leader in the middle of both.
async fn roll(cluster: &Cluster, trouble: impl AsyncFn(usize)) {
    let api: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    let slow = serde_json::json!({"template": {"metadata": {"annotations": {"steersman.dev/ready-delay": "3s"}}}});
    api.create(&PostParams::default(), &deployment_with("web", 6, slow)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    trouble(0).await;
    until_rolled_out(&api, "web").await;
    api.patch("web", &PatchParams::default(), &Patch::Strategic(image_patch("app:2"))).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    trouble(1).await;
    until_rolled_out(&api, "web").await;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    // Pods that were told to go take their time.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 6);
}

/// What a rollout costs that nothing disturbs.
async fn undisturbed() -> (usize, usize) {
    let cluster = cluster().await;
    let _only = replica(&cluster, "a");
    roll(&cluster, async |_| {}).await;
    counts(&cluster)
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_stopped_gives_the_lease_back() {
    let expected = undisturbed().await;
    let cluster = cluster().await;
    let first = replica(&cluster, "a");
    sleep(Duration::from_secs(3)).await;
    let _second = replica(&cluster, "b");
    roll(&cluster, async |turn| {
        if turn == 0 {
            first.trigger.trigger();
            sleep(Duration::from_secs(3)).await;
            assert_eq!(holder(&cluster).await, "b", "nobody waits for a lease that was given back");
        }
    })
    .await;
    first.task.await.unwrap().unwrap();
    assert_eq!(counts(&cluster), expected);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_is_replaced_when_its_lease_has_ended() {
    let expected = undisturbed().await;
    let cluster = cluster().await;
    let first = replica(&cluster, "a");
    sleep(Duration::from_secs(3)).await;
    let _second = replica(&cluster, "b");
    roll(&cluster, async |turn| {
        if turn == 1 {
            first.task.abort();
            sleep(Duration::from_secs(5)).await;
            assert_eq!(holder(&cluster).await, "a", "others wait until the lease has ended");
            sleep(Duration::from_secs(15)).await;
            assert_eq!(holder(&cluster).await, "b");
        }
    })
    .await;
    assert_eq!(counts(&cluster), expected);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let expected = undisturbed().await;
    let cluster = cluster().await;
    let first = replica(&cluster, "a");
    sleep(Duration::from_secs(3)).await;
    let _second = replica(&cluster, "b");
    roll(&cluster, async |turn| {
        if turn == 1 {
            first.control.cut.store(true, Ordering::Relaxed);
            sleep(Duration::from_millis(10_500)).await;
            assert!(first.task.is_finished(), "it stops after the renew deadline");
            assert_eq!(holder(&cluster).await, "a", "and the others still wait");
        }
    })
    .await;
    assert_eq!(first.task.await.unwrap(), Err(LeadError::Lost("kube-system/controllers".to_owned())));
    assert_eq!(holder(&cluster).await, "b");
    assert_eq!(counts(&cluster), expected);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_frozen_writes_nothing_when_it_comes_back() {
    let expected = undisturbed().await;
    let cluster = cluster().await;
    let first = replica(&cluster, "a");
    sleep(Duration::from_secs(3)).await;
    let _second = replica(&cluster, "b");
    roll(&cluster, async |turn| {
        if turn == 1 {
            first.control.freeze();
            sleep(Duration::from_secs(20)).await;
            assert_eq!(holder(&cluster).await, "b");
            first.control.thaw();
            sleep(Duration::from_secs(5)).await;
            assert!(first.task.is_finished());
        }
    })
    .await;
    assert!(first.task.await.unwrap().is_err());
    assert_eq!(counts(&cluster), expected);
}

/// The fence itself: work that does not listen and goes on writing is refused.
#[tokio::test(start_paused = true)]
async fn late_writes_are_kept_back() {
    let cluster = cluster().await;
    let control = Control::default();
    let (_trigger, context) = context(&cluster, control.client(cluster.client_of("a")), 1);
    let results = Arc::new(Mutex::new(Vec::new()));
    let told = results.clone();
    let work = |context: Context| async move {
        let api: Api<ConfigMap> = Api::namespaced(context.client, "default");
        for number in 0.. {
            let body: ConfigMap =
                serde_json::from_value(serde_json::json!({"metadata": {"name": format!("n{number}")}})).unwrap();
            let made = api.create(&PostParams::default(), &body).await.is_ok();
            told.lock().push(made);
            assert!(api.list(&ListParams::default()).await.is_ok(), "reading is free");
            if context.shutdown.is_requested() {
                return;
            }
            sleep(Duration::from_secs(4)).await;
        }
    };
    let leading = tokio::spawn(control.clone().freezable(lead(context, election("a"), work)));
    sleep(Duration::from_secs(6)).await;
    control.freeze();
    sleep(Duration::from_secs(20)).await;
    control.thaw();
    assert!(leading.await.unwrap().is_err());
    let results = results.lock().clone();
    assert_eq!(results, [true, true, false], "the third write came after the lease had ended");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let made: Vec<_> = maps.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert!(!made.contains(&"n2".to_owned()), "{made:?}");
}
