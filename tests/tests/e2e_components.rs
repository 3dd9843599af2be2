//! The controllers and the scheduler as processes of their own, with nothing but a kubeconfig.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::{deployment_with, image_patch};
use steersman_tests::processes::Process;
use steersman_tests::proxy::Tunnels;
use steersman_tests::site::{Site, texts};
use steersman_tests::wait::{until, until_rolled_out};

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
    deployments.create(&PostParams::default(), &deployment_with("web", 4, json!({}))).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    for (process, lease) in [(&mut controllers, "steersman-controllers"), (&mut scheduler, "steersman-scheduler")] {
        assert_eq!(process.get("/readyz").await, (200, "ok".to_owned()));
        let (_, metrics) = process.get("/metrics").await;
        let status = format!("leader_election_master_status{{name=\"{lease}\"}} 1\n");
        let requests = format!("rest_client_requests_total{{code=\"201\",host=\"{}\",method=\"POST\"}}", site.host());
        assert!(metrics.contains(&status) && metrics.contains(&requests), "{metrics}");
        let own = if lease == "steersman-scheduler" {
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 4\n"
        } else {
            "workqueue_depth{name=\"replicaset\"} 0\n"
        };
        assert!(metrics.contains(own), "{metrics}");
        assert_ne!(holder(&site, lease).await, "");
        process.signal("TERM").await;
        assert_eq!(process.end().await.code(), Some(0), "{}", process.log());
        assert_eq!(holder(&site, lease).await, "", "the lease was given back");
    }
}

#[tokio::test]
async fn components_outlive_an_api_server_that_restarts() {
    let site = site().await;
    let mut controllers = Process::start(&site, CONTROLLERS, "");
    let mut scheduler = Process::start(&site, SCHEDULER, "");
    let deployments: Api<Deployment> = Api::namespaced(site.cluster.client(), "default");
    deployments.create(&PostParams::default(), &deployment_with("web", 2, json!({}))).await.unwrap();
    until_rolled_out(&deployments, "web").await;
    let change = async {
        // While nobody can reach the server, something changes.
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image_patch("app:2"))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let site = site.restart(change).await;
    until_rolled_out(&deployments, "web").await;
    for (process, lease) in [(&mut controllers, "steersman-controllers"), (&mut scheduler, "steersman-scheduler")] {
        assert_ne!(holder(&site, lease).await, "", "the lease was kept");
        process.signal("TERM").await;
        assert_eq!(process.end().await.code(), Some(0), "{}", process.log());
    }
}

#[tokio::test]
async fn a_scheduler_reads_its_configuration_again() {
    let site = Site::of(Cluster::builder().nodes(2).without_scheduler()).await;
    let configuration = |name: &str| {
        format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             leaderElection: {{leaderElect: false}}\nprofiles: [{{schedulerName: {name}}}]\n"
        )
    };
    site.file("scheduler.yaml", &configuration("first"));
    let mut scheduler = Process::start(&site, SCHEDULER, "--config scheduler.yaml");
    let pods: Api<Pod> = Api::namespaced(site.cluster.client(), "default");
    let bound = |pod: Option<&Pod>| pod.and_then(|pod| pod.spec.as_ref()?.node_name.as_ref()).is_some();
    let schedule = async |name: &str| {
        let spec = json!({"schedulerName": name, "containers": [{"name": "main", "image": "app:1"}]});
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        until(&pods, name, "bound", bound).await;
    };
    schedule("first").await;
    // A pod is bound for others a moment before the scheduler knows.
    let attempts = "scheduler_schedule_attempts_total{profile=\"first\",result=\"scheduled\"} 1\n";
    let counted = async {
        while !scheduler.get("/metrics").await.1.contains(attempts) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("the attempt is counted");
    site.file("scheduler.yaml", "profiles: nonsense");
    scheduler.signal("HUP").await;
    scheduler.until_said("the configuration stays as it is").await;
    site.file("scheduler.yaml", &configuration("second"));
    scheduler.signal("HUP").await;
    schedule("second").await;
    scheduler.signal("INT").await;
    assert_eq!(scheduler.end().await.code(), Some(0), "{}", scheduler.log());
}

/// The site's kubeconfig, with another user and with something more about the cluster.
fn kubeconfig(site: &Site, user: &Value, cluster: &Value) -> PathBuf {
    let text = std::fs::read_to_string(site.home().join("config")).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    config["users"][0]["user"] = user.clone();
    let fields = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    fields.extend(cluster.as_object().unwrap().clone());
    site.file("other.config", &config.to_string())
}

#[tokio::test]
async fn credentials_and_proxies_of_a_kubeconfig_are_used() {
    let builder = Cluster::builder().without_controllers().without_scheduler();
    let site = Site::of(builder.token_file("secret,me,1,\"system:masters\"").unwrap().record_requests()).await;
    let file = site.file("token", "secret\n");
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "secret"}});
    let program = site.file("credential.json", &credential.to_string());
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [program],
        "interactiveMode": "Never"}});
    let proxy = Tunnels::start().await;
    for (user, cluster) in [
        (json!({"token": "secret"}), json!({})),
        (json!({"tokenFile": file}), json!({})),
        (exec, json!({})),
        (json!({"token": "secret"}), json!({"proxy-url": proxy.url()})),
    ] {
        let path = kubeconfig(&site, &user, &cluster);
        site.cluster.audit().clear();
        let mut command = site.command(SCHEDULER);
        command.arg("--kubeconfig").arg(path).args(["--port", "0", "--leader-elect=false"]);
        let mut process = Process::spawn(&mut command);
        while process.get("/readyz").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!site.cluster.audit().by("me").is_empty(), "{user}");
        process.signal("TERM").await;
        assert!(process.end().await.success(), "{}", process.log());
    }
    let asked = proxy.asked();
    assert!(asked.contains(&format!("CONNECT {} HTTP/1.1", site.host())), "{asked:?}");
}

/// What a kubeconfig says of its user, as bytes.
fn admin(site: &Site, field: &str) -> String {
    let text = std::fs::read_to_string(site.home().join("config")).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let data = config["users"][0]["user"][field].as_str().unwrap_or_else(|| panic!("{text}")).to_owned();
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

/// A certificate that no authority of the cluster has signed, and its key.
fn stranger() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["me".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn credentials_that_were_renewed_are_used_without_a_restart() {
    let builder = Cluster::builder().without_controllers().without_scheduler();
    let site = Site::of(builder.token_file("secret,me,1,\"system:masters\"").unwrap()).await;
    let credential = |token: &str| {
        json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}})
            .to_string()
    };
    let (certificate, key) = stranger();
    // Each user with what is renewed: a file, what is in it at first, and later.
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat",
        "args": [site.home().join("credential.json")], "interactiveMode": "Never"}});
    let files = json!({"client-certificate": site.home().join("me.crt"), "client-key": site.home().join("me.key")});
    let cases = [
        (json!({"tokenFile": site.home().join("token")}), vec![("token", "old".to_owned(), "secret".to_owned())]),
        (exec, vec![("credential.json", credential("old"), credential("secret"))]),
        (
            files,
            vec![
                ("me.crt", certificate, admin(&site, "client-certificate-data")),
                ("me.key", key, admin(&site, "client-key-data")),
            ],
        ),
    ];
    for (user, renewed) in cases {
        for (name, before, _) in &renewed {
            site.file(name, before);
        }
        let path = kubeconfig(&site, &user, &json!({}));
        let mut command = site.command(SCHEDULER);
        command.arg("--kubeconfig").arg(path).args(["--port", "0", "--leader-elect=false", "--v=4"]);
        let mut process = Process::spawn(&mut command);
        // Nobody knows these credentials, and the process goes on.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_ne!(process.get("/readyz").await.0, 200, "{user}");
        for (name, _, after) in &renewed {
            site.file(name, after);
        }
        let ready = async {
            while process.get("/readyz").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let ready = tokio::time::timeout(Duration::from_secs(45), ready).await;
        assert!(ready.is_ok(), "{user} is not used:\n{}", process.log());
        process.signal("TERM").await;
        assert!(process.end().await.success(), "{}", process.log());
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
