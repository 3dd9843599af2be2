//! The controllers and the scheduler as processes of their own, with nothing but a kubeconfig.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use steersman::Cluster;
use steersman_tests::manifests::deployment_with;
use steersman_tests::processes::Process;
use steersman_tests::site::{Site, texts};
use steersman_tests::wait::until_rolled_out;

const CONTROLLERS: &str = env!("CARGO_BIN_EXE_controllers_process");
const SCHEDULER: &str = env!("CARGO_BIN_EXE_scheduler_process");

async fn site() -> Site {
    Site::of(Cluster::builder().nodes(2).without_controllers().without_scheduler()).await
}

async fn holder(site: &Site, lease: &str) -> String {
    let leases: Api<Lease> = Api::namespaced(site.cluster.client(), "kube-system");
    leases.get(lease).await.unwrap().spec.unwrap().holder_identity.unwrap_or_default()
}

#[tokio::test]
async fn a_rollout_by_processes_of_their_own() {
    let site = site().await;
    let mut controllers = Process::start(&site, CONTROLLERS, "");
    let mut scheduler = Process::start(&site, SCHEDULER, "");
    let deployments: Api<Deployment> = Api::namespaced(site.cluster.client(), "default");
    deployments.create(&PostParams::default(), &deployment_with("web", 4, serde_json::json!({}))).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    for (process, lease) in [(&mut controllers, "steersman-controllers"), (&mut scheduler, "steersman-scheduler")] {
        assert_eq!(process.get("/readyz").await, (200, "ok".to_owned()));
        let (_, metrics) = process.get("/metrics").await;
        let status = format!("leader_election_master_status{{name=\"{lease}\"}} 1\n");
        let requests = format!("rest_client_requests_total{{code=\"201\",host=\"{}\",method=\"POST\"}}", site.host());
        assert!(metrics.contains(&status) && metrics.contains(&requests), "{metrics}");
        assert_ne!(holder(&site, lease).await, "");
        process.signal("TERM").await;
        assert_eq!(process.end().await.code(), Some(0), "{}", process.log());
        assert_eq!(holder(&site, lease).await, "", "the lease was given back");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once() {
    let site = site().await;
    let check = async |program: &str, arguments: &str, code: i32, expect: &str| {
        let output = site.run(site.command(program).args(arguments.split_whitespace()), "").await;
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
        assert!(stdout.contains(expect) || stderr.contains(expect), "{stdout}{stderr}");
    };
    check(CONTROLLERS, "--version", 0, "steersman-controllers 0.1.0").await;
    check(SCHEDULER, "--version", 0, "steersman-scheduler 0.1.0").await;
    check(CONTROLLERS, "", 1, "no --kubeconfig was given").await;
    check(CONTROLLERS, "--kubeconfig absent", 1, "absent").await;
    check(CONTROLLERS, "--kubeconfig config --controllers job", 1, "there is no controller \"job\"").await;
    check(CONTROLLERS, "--leader-elect-retry-period 20s", 1, "retry_period").await;
    check(SCHEDULER, "--config absent", 1, "cannot read absent").await;
    check(SCHEDULER, "--frobnicate", 2, "--frobnicate").await;
}
