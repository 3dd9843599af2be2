//! What the server says about itself.

use serde_json::Value;
use steersman_tests::kubectl::Kubectl;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn api_resources_lists_names_short_names_and_kinds() {
    let kubectl = Kubectl::start().await;
    let table = kubectl.ok("api-resources").await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for expect in [
        vec!["pods", "po", "v1", "true", "Pod"],
        vec!["deployments", "deploy", "apps/v1", "true", "Deployment"],
        vec!["replicasets", "rs", "apps/v1", "true", "ReplicaSet"],
        vec!["nodes", "no", "v1", "false", "Node"],
        vec!["customresourcedefinitions", "crd,crds", "apiextensions.k8s.io/v1", "false", "CustomResourceDefinition"],
    ] {
        assert!(rows.contains(&expect), "{expect:?} is not in\n{table}");
    }
    let scalable = kubectl.ok("api-resources --api-group=apps -o name").await;
    assert!(scalable.contains("deployments.apps\n"), "{scalable}");
    let versions = kubectl.ok("api-versions").await;
    assert!(versions.lines().any(|line| line == "apps/v1"), "{versions}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn explain_describes_fields() {
    let kubectl = Kubectl::start().await;
    let text = kubectl.ok("explain deployment.spec.replicas").await;
    for part in ["GROUP:      apps\n", "KIND:       Deployment\n", "VERSION:    v1\n", "FIELD: replicas <integer>\n"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let tree = kubectl.ok("explain deployment --recursive").await;
    assert!(tree.contains("containers"), "{tree}");
    let pod = kubectl.ok("explain pod.spec.containers").await;
    assert!(pod.contains("FIELD: containers <[]Container>"), "{pod}");
    let unknown = kubectl.err("explain deployment.spec.replica").await;
    assert_eq!(unknown, "error: field \"replica\" does not exist\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn the_version_is_that_of_kubernetes_1_36() {
    let kubectl = Kubectl::start().await;
    let version: Value = serde_json::from_str(&kubectl.ok("version -o json").await).unwrap();
    assert_eq!(version["serverVersion"]["major"], "1");
    assert_eq!(version["serverVersion"]["minor"], "36");
    assert_eq!(kubectl.ok("get --raw /readyz").await, "ok");
    assert_eq!(kubectl.ok("get --raw /healthz").await, "ok");
    let metrics = kubectl.ok("get --raw /metrics").await;
    assert!(metrics.contains("apiserver_request_total"), "{metrics}");
}
