//! Two replicas of the controllers as processes of their own, and one lease. The leader is killed, paused beyond its lease, or
//! cut off in the middle of a rollout. The rollout goes on, and nothing is created or deleted twice: the server's own record
//! tells.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use steersman::Cluster;
use steersman::audit::Record;
use steersman_tests::manifests::{deployment_with, image_patch};
use steersman_tests::processes::Process;
use steersman_tests::proxy::Proxy;
use steersman_tests::site::Site;
use steersman_tests::wait::{until, until_rolled_out};

const CONTROLLERS: &str = env!("CARGO_BIN_EXE_controllers_process");
/// The shortest lease there is: whole seconds, and longer than the deadline for its renewal.
const ARGUMENTS: &str = "--controllers deployment,replicaset --leader-elect-lease-duration 2s \
     --leader-elect-renew-deadline 1s --leader-elect-retry-period 200ms";
const REPLICAS: i32 = 6;

/// A replica whose connections go through a proxy of its own.
struct Replica {
    process: Process,
    proxy: Proxy,
}

impl Replica {
    async fn start(site: &Site) -> Self {
        Self::with(site, ARGUMENTS).await
    }

    async fn with(site: &Site, arguments: &str) -> Self {
        let proxy = Proxy::start(site.host().parse().unwrap()).await;
        let arguments = format!("--master https://{} {arguments}", proxy.address());
        Self { process: Process::start(site, CONTROLLERS, &arguments), proxy }
    }
}

/// Whether `holder` is another than `former`, and somebody.
async fn holder_after(site: &Site, former: &str) -> String {
    let leases: Api<Lease> = Api::namespaced(site.cluster.client(), "kube-system");
    let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
    let other = |lease: Option<&Lease>| lease.is_some_and(|lease| !holder(lease).is_empty() && holder(lease) != former);
    holder(&until(&leases, "steersman-controllers", "held by another", other).await.unwrap())
}

/// The pods and ReplicaSets that were created, and the pods that were deleted, by the replicas.
fn done(site: &Site) -> (usize, Vec<String>) {
    let audit = site.cluster.audit();
    let ours = |record: &Record| record.user_agent.starts_with("steersman-controllers/") && record.code < 300;
    let of = |record: &Record, verb: &str, resources: &[&str]| {
        ours(record) && record.info.verb == verb && resources.contains(&record.info.resource.as_str())
    };
    assert_eq!(audit.dropped(), 0);
    let created = audit.matching(|record| of(record, "create", &["pods", "replicasets"]));
    let deleted = audit.matching(|record| of(record, "delete", &["pods"]));
    (created.len(), deleted.into_iter().map(|record| record.info.name).collect())
}

/// Two replicas roll a Deployment out and over; something is done to the leader in the middle of the second rollout, and
/// taken back at its end.
async fn roll(trouble: impl AsyncFn(&mut Replica), end: impl AsyncFnOnce(&mut Replica)) {
    let builder = Cluster::builder().nodes(3).controllers("serviceaccount".parse().unwrap()).record_requests();
    let site = Site::of(builder).await;
    let mut leader = Replica::start(&site).await;
    let first = holder_after(&site, "").await;
    let mut second = Replica::start(&site).await;
    assert_eq!(second.process.get("/readyz").await.0, 200, "who stands by is ready");
    let api: Api<Deployment> = Api::namespaced(site.cluster.client(), "default");
    let slow = serde_json::json!({"template": {"metadata": {"annotations": {"steersman.dev/ready-delay": "300ms"}}}});
    api.create(&PostParams::default(), &deployment_with("web", REPLICAS, slow)).await.unwrap();
    until_rolled_out(&api, "web").await;
    api.patch("web", &PatchParams::default(), &Patch::Strategic(image_patch("app:2"))).await.unwrap();
    let begun = |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.updated_replicas).is_some_and(|updated| updated > 0)
    };
    until(&api, "web", "under way", begun).await;
    trouble(&mut leader).await;
    holder_after(&site, &first).await;
    until_rolled_out(&api, "web").await;
    end(&mut leader).await;
    // What a late writer would do it would do now.
    until_rolled_out(&api, "web").await;
    let (created, deleted) = done(&site);
    let replicas = usize::try_from(REPLICAS).unwrap();
    assert_eq!(created, 2 + 2 * replicas, "nothing was created twice");
    assert_eq!(deleted.len(), replicas, "nothing was deleted twice: {deleted:?}");
    assert_eq!(BTreeSet::from_iter(&deleted).len(), replicas, "{deleted:?}");
    second.process.signal("TERM").await;
    assert!(second.process.end().await.success(), "{}", second.process.log());
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced() {
    let kill = async |leader: &mut Replica| {
        leader.process.signal("KILL").await;
        leader.process.end().await;
    };
    roll(kill, async |_: &mut Replica| {}).await;
}

#[tokio::test]
async fn a_leader_that_was_paused_beyond_its_lease_ends_without_a_write() {
    let pause = async |leader: &mut Replica| leader.process.signal("STOP").await;
    let resume = async |leader: &mut Replica| {
        leader.process.signal("CONT").await;
        assert_eq!(leader.process.end().await.code(), Some(1), "{}", leader.process.log());
        assert!(leader.process.log().contains("leader election lost"), "{}", leader.process.log());
    };
    roll(pause, resume).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_ends_by_itself() {
    let cut = async |leader: &mut Replica| {
        leader.proxy.cut();
        let ended = tokio::time::timeout(Duration::from_secs(30), leader.process.end()).await;
        assert_eq!(ended.unwrap().code(), Some(1), "{}", leader.process.log());
    };
    roll(cut, async |_: &mut Replica| {}).await;
}

/// Pings would find out after 45 seconds that nobody is there; the lease has to be renewed within five.
#[tokio::test]
async fn a_leader_whose_connections_hang_renews_its_lease_over_others() {
    let site = Site::of(Cluster::builder().nodes(1).controllers("serviceaccount".parse().unwrap())).await;
    let longer = "--controllers deployment,replicaset --leader-elect-lease-duration 8s --leader-elect-renew-deadline 5s \
                  --leader-elect-retry-period 500ms";
    let leader = Replica::with(&site, longer).await;
    let first = holder_after(&site, "").await;
    let leases: Api<Lease> = Api::namespaced(site.cluster.client(), "kube-system");
    let renewed =
        |lease: Option<&Lease>| lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone()).map(|at| at.0);
    for _ in 0..2 {
        leader.proxy.hang();
        let before = renewed(Some(&leases.get("steersman-controllers").await.unwrap())).unwrap();
        let later = |lease: Option<&Lease>| renewed(lease).is_some_and(|at| at.duration_since(before).as_secs() >= 6);
        let lease = until(&leases, "steersman-controllers", "renewed", later).await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.unwrap(), first, "{}", leader.process.log());
    }
    assert!(!leader.process.log().contains("leader election lost"), "{}", leader.process.log());
    assert_eq!(leader.process.get("/livez").await.0, 200);
}
