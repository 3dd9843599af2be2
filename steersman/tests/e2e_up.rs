//! The command as a person runs it: what it prints, what it refuses, how it ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A start or an end that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steersman"));
    command.current_dir(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts the command and waits until it says that the cluster is ready.
async fn up(folder: &TempDir, arguments: &[&str]) -> Child {
    let arguments = [&["up", "--port", "0"], arguments].concat();
    let mut child = command(folder.path(), &arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("The cluster is ready at https://127.0.0.1:") {
                return;
            }
        }
        panic!("it ended without being ready");
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it is ready soon");
    child
}

/// Runs the command, which has to fail at once; returns what it complains.
async fn refused(folder: &TempDir, arguments: &[&str]) -> String {
    let ended = tokio::time::timeout(PATIENCE, command(folder.path(), arguments).output());
    let Output { status, stderr, .. } = ended.await.expect("it ends by itself").unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

async fn client(kubeconfig: Kubeconfig) -> Client {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn get(kubeconfig: Kubeconfig, path: &str) -> kube::Result<String> {
    client(kubeconfig).await.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
}

async fn post(kubeconfig: &Kubeconfig, path: &str, object: &Value) {
    let request = http::Request::post(path).header("Content-Type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client(kubeconfig.clone()).await.request_text(request).await.unwrap();
}

async fn patch(kubeconfig: &Kubeconfig, path: &str, object: &Value) {
    let request = http::Request::patch(path).header("Content-Type", "application/merge-patch+json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client(kubeconfig.clone()).await.request_text(request).await.unwrap();
}

#[tokio::test]
async fn it_serves_writes_a_private_kubeconfig_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = up(&folder, &["--nodes", "2"]).await;
    let path = folder.path().join("steersman.kubeconfig");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kubeconfig = Kubeconfig::read_from(&path).unwrap();
    assert_eq!(get(kubeconfig.clone(), "/readyz").await.unwrap(), "ok");
    let nodes: Value = serde_json::from_str(&get(kubeconfig, "/api/v1/nodes").await.unwrap()).unwrap();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2);

    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends soon").unwrap();
    assert!(status.success(), "{status}");
}

/// The pods of the namespace `default`, by name: uid and phase.
async fn pods(kubeconfig: &Kubeconfig) -> BTreeMap<String, (String, String)> {
    let list = get(kubeconfig.clone(), "/api/v1/namespaces/default/pods").await.unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let text = |pod: &Value, pointer: &str| pod.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let of = |pod: &Value| (text(pod, "/metadata/name"), (text(pod, "/metadata/uid"), text(pod, "/status/phase")));
    list["items"].as_array().unwrap().iter().map(of).collect()
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it comes soon")
}

#[tokio::test]
async fn a_cluster_that_was_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--nodes", "1", "--data-dir", "data", "--kubeconfig", "k"];
    let mut child = up(&folder, &arguments).await;
    let first = Kubeconfig::read_from(folder.path().join("k")).unwrap();
    let template = json!({
        "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    post(&first, "/apis/apps/v1/namespaces/default/deployments", &deployment).await;
    let running = |pods: &BTreeMap<_, (String, String)>| pods.len() == 3 && pods.values().all(|pod| pod.1 == "Running");
    let before = until(async || Some(pods(&first).await).filter(running)).await;
    let busy = refused(&folder, &["up", "--port", "0", "--data-dir", "data"]).await;
    assert!(busy.contains("data") && busy.contains("another process uses it"), "{busy}");

    child.start_kill().unwrap();
    child.wait().await.unwrap();
    let _again = up(&folder, &arguments).await;
    // The port is another one; who the client is and whom it trusts is as before.
    let mut kubeconfig = first.clone();
    let server = Kubeconfig::read_from(folder.path().join("k")).unwrap().clusters[0].cluster.clone().unwrap().server;
    kubeconfig.clusters[0].cluster.as_mut().unwrap().server = server;
    assert_eq!(pods(&kubeconfig).await, before);
    let scale = json!({"spec": {"replicas": 4}});
    patch(&kubeconfig, "/apis/apps/v1/namespaces/default/deployments/web/scale", &scale).await;
    let running = |pods: &BTreeMap<_, (String, String)>| pods.len() == 4 && pods.values().all(|pod| pod.1 == "Running");
    let after = until(async || Some(pods(&kubeconfig).await).filter(running)).await;
    assert!(before.iter().all(|(name, pod)| after.get(name) == Some(pod)), "{before:?} {after:?}");
}

#[tokio::test]
async fn it_knows_people_by_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokens.csv"), "secret,jane,u1,\"system:masters\"\n").unwrap();
    let _child = up(&folder, &["--nodes", "0", "--token-auth-file", "tokens.csv", "--kubeconfig", "k"]).await;
    let with_token = |token: &str| {
        let mut kubeconfig = Kubeconfig::read_from(folder.path().join("k")).unwrap();
        let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
        (user.client_certificate_data, user.client_key_data) = (None, None);
        user.token = Some(token.to_owned().into());
        kubeconfig
    };
    get(with_token("secret"), "/api/v1/nodes").await.unwrap();
    let error = get(with_token("wrong"), "/api/v1/nodes").await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 401), "{error}");
}

#[tokio::test]
async fn bad_options_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let complaint = refused(&folder, &["up", "--port", &port]).await;
    let expect =
        format!("port {port} of 127.0.0.1 is taken: stop what listens there, or choose another port with --port");
    assert_eq!(complaint, format!("error: {expect}\n"));
    assert!(!folder.path().join("steersman.kubeconfig").exists());

    let complaint = refused(&folder, &["up", "--controllers", "job"]).await;
    assert!(complaint.contains("there is no controller \"job\"; there are: "), "{complaint}");
    let complaint = refused(&folder, &["up", "--disable-admission-plugins", "NoSuchPlugin"]).await;
    assert!(complaint.contains("NoSuchPlugin"), "{complaint}");
    let complaint = refused(&folder, &["up", "--token-auth-file", "nowhere.csv"]).await;
    assert!(complaint.starts_with("error: cannot read nowhere.csv: "), "{complaint}");
    std::fs::write(folder.path().join("bad.csv"), "secret\n").unwrap();
    let complaint = refused(&folder, &["up", "--token-auth-file", "bad.csv"]).await;
    assert_eq!(complaint, "error: bad.csv: line 1: expected at least 3 columns (token,user,uid), found 1\n");
    std::fs::write(folder.path().join("bad.yaml"), "apiVersion: kubescheduler.config.k8s.io/v1\nkind: Nonsense\n")
        .unwrap();
    let complaint = refused(&folder, &["up", "--scheduler-config", "bad.yaml"]).await;
    assert!(complaint.starts_with("error: bad.yaml: "), "{complaint}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let complaint = refused(&folder, &["demo", "--manifest", "nowhere.yaml"]).await;
    assert!(complaint.starts_with("error: cannot read nowhere.yaml: "), "{complaint}");
    std::fs::write(folder.path().join("bad.yaml"), "kind: [Deployment\n").unwrap();
    let complaint = refused(&folder, &["demo", "--manifest", "bad.yaml"]).await;
    assert!(complaint.starts_with("error: bad.yaml is not the manifest of a Deployment: "), "{complaint}");
}

#[tokio::test]
async fn the_demonstration_converges_at_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/nginx.yaml");
    let demo = command(folder.path(), &["demo", "--manifest", manifest]).output();
    let output = tokio::time::timeout(PATIENCE, demo).await.expect("it ends by itself").unwrap();
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}");
    assert!(!story.contains('\x1b'), "colours without a terminal");
    let converged: Vec<&str> =
        story.lines().filter_map(|line| line.split_once(" ms: ").map(|(_, result)| result)).collect();
    let expect = [
        "1/1 available, image nginx:stable, revision 1",
        "1/1 available, image nginx:mainline, revision 2",
        "5/5 available, image nginx:mainline, revision 2",
        "5/5 available, image nginx:stable, revision 3",
        "nothing is left",
    ];
    assert_eq!(converged, expect);
    for part in ["creates ReplicaSet", "binds Pod", "Running, ready", "says ScalingReplicaSet"] {
        assert!(story.contains(part), "{part} is not in\n{story}");
    }
}
