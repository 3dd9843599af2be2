//! Deleting: what goes along, and what stays.

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

async fn with_nginx() -> Kubectl {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    kubectl
}

const DELETED: &str = "deployment.apps \"nginx\" deleted from default namespace\n";

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn in_the_background_the_dependents_follow() {
    let kubectl = with_nginx().await;
    assert_eq!(kubectl.ok("delete deployment nginx").await, DELETED);
    kubectl.ok("wait --for=delete replicasets,pods -l app=nginx --timeout=30s").await;
    assert_eq!(kubectl.ok("get replicasets,pods -o name").await, "");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn in_the_foreground_the_dependents_go_first() {
    let kubectl = with_nginx().await;
    // kubectl waits until the Deployment is gone, and by then everything is.
    assert_eq!(kubectl.ok("delete deployment nginx --cascade=foreground").await, DELETED);
    assert_eq!(kubectl.ok("get replicasets,pods -o name").await, "");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn orphans_stay_and_lose_their_owner() {
    let kubectl = with_nginx().await;
    assert_eq!(kubectl.ok("delete deployment nginx --cascade=orphan").await, DELETED);
    let set = kubectl.ok("get replicasets -o name").await;
    assert!(set.starts_with("replicaset.apps/nginx-"), "{set}");
    assert_eq!(kubectl.ok("get replicasets -o jsonpath={.items[0].metadata.ownerReferences}").await, "");
    assert_eq!(kubectl.ok("get pods -o name").await.lines().count(), 1);
    // A Deployment of the same name takes the orphan over.
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    assert_eq!(kubectl.ok("get replicasets -o name").await, set);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_namespace_takes_everything_with_it() {
    let kubectl = Kubectl::start().await;
    kubectl.ok_with("create -f -", "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n").await;
    kubectl.ok(&format!("apply -n team -f {}", sample("nginx.yaml"))).await;
    kubectl.ok("rollout status -n team deployment/nginx --timeout=30s").await;
    assert_eq!(kubectl.ok("delete namespace team").await, "namespace \"team\" deleted\n");
    assert_eq!(kubectl.ok("get pods,replicasets,deployments -n team -o name").await, "");
    let gone = kubectl.err("get namespace team").await;
    assert_eq!(gone, "Error from server (NotFound): namespaces \"team\" not found\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn many_can_be_deleted_at_once() {
    let kubectl = Kubectl::start().await;
    for name in ["a", "b", "c"] {
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        kubectl.ok_with("create -f -", &map).await;
    }
    kubectl.ok("label configmap a b with=label").await;
    kubectl.ok("delete configmaps -l with=label").await;
    assert_eq!(kubectl.err("get configmap a").await, "Error from server (NotFound): configmaps \"a\" not found\n");
    assert_eq!(kubectl.ok("get configmap c -o name").await, "configmap/c\n");
    let ignored = kubectl.ok("delete configmap a --ignore-not-found").await;
    assert_eq!(ignored, "");
}
