//! Looking at objects: tables, YAML, JSON, JSONPath, watches, descriptions.

use std::time::Duration;

use serde_json::Value;
use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;
use tokio::io::{AsyncBufReadExt, BufReader};

async fn with_nginx() -> Kubectl {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    kubectl
}

/// The cells of each line of a table.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn the_tables_have_kubectls_columns() {
    let kubectl = with_nginx().await;
    let table = kubectl.ok("get deployments").await;
    let rows = cells(&table);
    assert_eq!(rows[0], ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(rows[1][..4], ["nginx", "1/1", "1", "1"]);
    assert_eq!(rows.len(), 2);

    let table = kubectl.ok("get deployments -o wide").await;
    let rows = cells(&table);
    assert_eq!(rows[0][5..], ["CONTAINERS", "IMAGES", "SELECTOR"]);
    assert_eq!(rows[1][5..], ["nginx", "nginx:stable", "app=nginx"]);

    let table = kubectl.ok("get pods").await;
    let rows = cells(&table);
    assert_eq!(rows[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert!(rows[1][0].starts_with("nginx-"), "{table}");
    assert_eq!(rows[1][1..4], ["1/1", "Running", "0"]);

    let table = kubectl.ok("get nodes").await;
    let rows = cells(&table);
    assert_eq!(rows[0], ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]);
    assert_eq!(rows.len(), 4);
    assert!(rows[1..].iter().all(|row| row[1] == "Ready"), "{table}");

    let table = kubectl.ok("get replicasets").await;
    assert_eq!(cells(&table)[0], ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]);
    let all = kubectl.ok("get all").await;
    for kind in ["pod/nginx-", "deployment.apps/nginx", "replicaset.apps/nginx-", "service/kubernetes"] {
        assert!(all.contains(kind), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn the_converged_status_is_that_of_kubernetes() {
    let kubectl = with_nginx().await;
    let yaml = kubectl.ok("get deployment nginx -o yaml").await;
    let hash = kubectl.ok("get pods -l app=nginx -o jsonpath={.items[0].metadata.labels.pod-template-hash}").await;
    for line in [
        "    deployment.kubernetes.io/revision: \"1\"\n",
        "  availableReplicas: 1\n",
        "  observedGeneration: 1\n",
        "  readyReplicas: 1\n",
        "  replicas: 1\n",
        "  updatedReplicas: 1\n",
        "    message: Deployment has minimum availability.\n    reason: MinimumReplicasAvailable\n    status: \"True\"\n    type: Available\n",
        "    reason: NewReplicaSetAvailable\n    status: \"True\"\n    type: Progressing\n",
        &format!("    message: ReplicaSet \"nginx-{hash}\" has successfully progressed.\n"),
    ] {
        assert!(yaml.contains(line), "{line}is not in\n{yaml}");
    }
    let json: Value = serde_json::from_str(&kubectl.ok("get deployment nginx -o json").await).unwrap();
    assert_eq!(json["status"]["availableReplicas"], 1);
    assert_eq!(json["kind"], "Deployment");
    let list: Value = serde_json::from_str(&kubectl.ok("get deployments -o json").await).unwrap();
    assert_eq!(list["items"][0]["apiVersion"], "apps/v1");
    assert_eq!(kubectl.ok("get deployments -o name").await, "deployment.apps/nginx\n");
    assert_eq!(kubectl.ok("get deploy nginx -o jsonpath={.spec.strategy.rollingUpdate.maxSurge}").await, "25%");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn selectors_namespaces_and_sorting_work() {
    let kubectl = with_nginx().await;
    for name in ["b", "a"] {
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        kubectl.ok_with("create -f -", &map).await;
    }
    kubectl.ok("label configmap a tier=one").await;
    assert_eq!(kubectl.ok("get configmaps -l tier=one -o name").await, "configmap/a\n");
    let sorted = kubectl.ok("get configmaps --sort-by=.metadata.name --no-headers").await;
    let names: Vec<_> = cells(&sorted).iter().map(|row| row[0].to_owned()).collect();
    assert!(names.is_sorted() && names.contains(&"b".to_owned()), "{names:?}");
    let running = kubectl.ok("get pods --field-selector=status.phase=Running -o name").await;
    assert_eq!(running.lines().count(), 1, "{running}");
    let everywhere = kubectl.ok("get deployments -A").await;
    assert_eq!(cells(&everywhere)[1][..2], ["default", "nginx"]);
    let nothing = kubectl.ok("get pods -n kube-public").await;
    assert_eq!(nothing, "");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_watch_prints_every_change() {
    let kubectl = with_nginx().await;
    let mut child = kubectl.command().args(["get", "deployment", "nginx", "-w", "--no-headers"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        line.expect("the watch prints a line").unwrap().expect("the watch goes on")
    };
    assert_eq!(cells(&next().await)[0][..4], ["nginx", "1/1", "1", "1"]);
    kubectl.ok("scale deployment nginx --replicas=2").await;
    let first = next().await;
    assert_eq!(cells(&first)[0][1], "1/2", "{first}");
    loop {
        let line = next().await;
        if cells(&line)[0][1..4] == ["2/2", "2", "2"] {
            break;
        }
    }
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn describe_tells_the_whole_story() {
    let kubectl = with_nginx().await;
    let text = kubectl.ok("describe deployment nginx").await;
    for part in [
        "Selector:               app=nginx\n",
        "Replicas:               1 desired | 1 updated | 1 total | 1 available | 0 unavailable\n",
        "RollingUpdateStrategy:  25% max unavailable, 25% max surge\n",
        "OldReplicaSets:  <none>\n",
        "(1/1 replicas created)\n",
        "ScalingReplicaSet",
        "Scaled up replica set nginx-",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let pods = kubectl.ok("describe pods -l app=nginx").await;
    for part in ["Controlled By:  ReplicaSet/nginx-", "Scheduled", "Successfully assigned default/nginx-", "Ready "] {
        assert!(pods.contains(part), "{part} is not in\n{pods}");
    }
    let node = kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}").await;
    let node = kubectl.ok(&format!("describe node {node}")).await;
    for part in ["Capacity:", "Allocatable:", "KubeletReady"] {
        assert!(node.contains(part), "{part} is not in\n{node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn wait_returns_when_the_condition_holds() {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    let met = "deployment.apps/nginx condition met\n";
    assert_eq!(kubectl.ok("wait --for=condition=Available deployment/nginx --timeout=30s").await, met);
    let path = "wait --for=jsonpath={.status.readyReplicas}=1 deployment/nginx --timeout=30s";
    assert_eq!(kubectl.ok(path).await, met);
    kubectl.ok("delete deployment nginx --wait=false").await;
    kubectl.ok("wait --for=delete deployment/nginx --timeout=30s").await;
    kubectl.ok("wait --for=delete pods -l app=nginx --timeout=30s").await;
    let late = kubectl.err("wait --for=condition=Ready node --all --timeout=0s -l nosuch=label").await;
    assert!(late.contains("no matching resources found"), "{late}");
}
