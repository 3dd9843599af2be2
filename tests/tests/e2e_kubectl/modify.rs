//! Changing objects: labels, annotations, three kinds of patch, an editor, replace, set, scale.

use std::os::unix::fs::PermissionsExt;

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

async fn with_nginx() -> Kubectl {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    kubectl
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn labels_and_annotations_are_put_replaced_and_removed() {
    let kubectl = with_nginx().await;
    assert_eq!(kubectl.ok("label deployment nginx tier=web").await, "deployment.apps/nginx labeled\n");
    let refused = kubectl.err("label deployment nginx tier=api").await;
    assert!(refused.contains("'tier' already has a value (web), and --overwrite is false"), "{refused}");
    kubectl.ok("label deployment nginx tier=api --overwrite").await;
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.metadata.labels.tier}").await, "api");
    assert_eq!(kubectl.ok("label deployment nginx tier-").await, "deployment.apps/nginx unlabeled\n");
    assert_eq!(kubectl.ok("annotate deployment nginx note=x").await, "deployment.apps/nginx annotated\n");
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.metadata.annotations.note}").await, "x");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn three_kinds_of_patch_do_what_they_say() {
    let kubectl = with_nginx().await;
    let patched = "deployment.apps/nginx patched\n";
    let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}"#;
    assert_eq!(kubectl.ok_args(&["patch", "deployment", "nginx", "-p", strategic]).await, patched);
    let images = "get deployment nginx -o jsonpath={.spec.template.spec.containers[*].image}";
    assert_eq!(kubectl.ok(images).await, "side:1 nginx:stable");
    let merge = r#"{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"only:1"}]}}}}"#;
    assert_eq!(kubectl.ok_args(&["patch", "deployment", "nginx", "--type=merge", "-p", merge]).await, patched);
    assert_eq!(kubectl.ok(images).await, "only:1");
    let json =
        r#"[{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":4}]"#;
    assert_eq!(kubectl.ok_args(&["patch", "deployment", "nginx", "--type=json", "-p", json]).await, patched);
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.spec.replicas}").await, "4");
    let nothing = kubectl.ok_args(&["patch", "deployment", "nginx", "-p", r#"{"spec":{"replicas":4}}"#]).await;
    assert_eq!(nothing, "deployment.apps/nginx patched (no change)\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn an_editor_changes_the_live_object() {
    let kubectl = with_nginx().await;
    let editor = kubectl.file("editor.sh", "#!/bin/sh\nsed -i 's/replicas: 1$/replicas: 3/' \"$1\"\n");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output =
        kubectl.command().args(["edit", "deployment", "nginx"]).env("KUBE_EDITOR", &editor).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "deployment.apps/nginx edited\n");
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.status.availableReplicas}").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn scale_checks_what_it_is_told_to_check() {
    let kubectl = with_nginx().await;
    assert_eq!(kubectl.ok("scale deployment nginx --replicas=3").await, "deployment.apps/nginx scaled\n");
    let refused = kubectl.err("scale deployment nginx --current-replicas=7 --replicas=1").await;
    assert!(refused.contains("Expected replicas to be 7, was 3"), "{refused}");
    assert_eq!(
        kubectl.ok("scale deployment nginx --current-replicas=3 --replicas=2").await,
        "deployment.apps/nginx scaled\n"
    );
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    kubectl.ok("wait --for=jsonpath={.status.replicas}=2 deployment/nginx --timeout=30s").await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn objects_can_be_made_without_a_manifest() {
    let kubectl = Kubectl::start().await;
    assert_eq!(kubectl.ok("run one --image=one:1 --port=80").await, "pod/one created\n");
    assert_eq!(kubectl.ok("expose pod one").await, "service/one exposed\n");
    assert_ne!(kubectl.ok("get service one -o jsonpath={.spec.clusterIP}").await, "");
    kubectl.ok("wait --for=condition=Ready pod/one --timeout=30s").await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_node_can_be_cordoned_drained_and_tainted() {
    let kubectl = Kubectl::start().await;
    kubectl.ok("run one --image=one:1").await;
    kubectl.ok("wait --for=condition=Ready pod/one --timeout=30s").await;
    let node = kubectl.ok("get pod one -o jsonpath={.spec.nodeName}").await;
    assert_eq!(kubectl.ok(&format!("cordon {node}")).await, format!("node/{node} cordoned\n"));
    let drained = kubectl.ok(&format!("drain {node} --force")).await;
    assert!(drained.ends_with(&format!("pod/one evicted\nnode/{node} drained\n")), "{drained}");
    assert_eq!(kubectl.ok(&format!("uncordon {node}")).await, format!("node/{node} uncordoned\n"));
    assert_eq!(kubectl.ok(&format!("taint node {node} a=b:NoSchedule")).await, format!("node/{node} tainted\n"));
}
