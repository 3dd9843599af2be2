//! kubectl rollout: status, history, undo, pause, resume, restart.

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

async fn with_nginx() -> Kubectl {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    rolled_out(&kubectl).await;
    kubectl
}

async fn rolled_out(kubectl: &Kubectl) {
    let status = kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    assert!(status.ends_with("deployment \"nginx\" successfully rolled out\n"), "{status}");
}

async fn image(kubectl: &Kubectl) -> String {
    kubectl.ok("get deployment nginx -o jsonpath={.spec.template.spec.containers[0].image}").await
}

/// The name of the ReplicaSet whose pods run `image`.
async fn replica_set_of(kubectl: &Kubectl, image: &str) -> String {
    let path = format!("jsonpath={{.items[?(@.spec.template.spec.containers[0].image==\"{image}\")].metadata.name}}");
    kubectl.ok_args(&["get", "replicasets", "-o", &path]).await
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_new_image_can_be_rolled_out_and_back() {
    let kubectl = with_nginx().await;
    let updated = kubectl.ok("set image deployment/nginx nginx=nginx:mainline").await;
    assert_eq!(updated, "deployment.apps/nginx image updated\n");
    rolled_out(&kubectl).await;
    assert_eq!(kubectl.ok("rollout undo deployment/nginx").await, "deployment.apps/nginx rolled back\n");
    rolled_out(&kubectl).await;
    assert_eq!(image(&kubectl).await, "nginx:stable");
    kubectl.ok("rollout undo deployment/nginx --to-revision=2").await;
    rolled_out(&kubectl).await;
    assert_eq!(image(&kubectl).await, "nginx:mainline");
    let unknown = kubectl.err("rollout undo deployment/nginx --to-revision=9").await;
    assert!(unknown.ends_with("error: unable to find specified revision 9 in history\n"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn the_history_tells_revisions_and_causes() {
    let kubectl = with_nginx().await;
    kubectl.ok("set image deployment/nginx nginx=nginx:mainline").await;
    rolled_out(&kubectl).await;
    kubectl.ok("annotate deployment nginx kubernetes.io/change-cause=mainline").await;
    let newest = replica_set_of(&kubectl, "nginx:mainline").await;
    let copied = r"--for=jsonpath={.metadata.annotations.kubernetes\.io/change-cause}=mainline";
    kubectl.ok(&format!("wait {copied} replicaset/{newest} --timeout=30s")).await;
    assert_eq!(
        kubectl.ok("rollout history deployment/nginx").await,
        "deployment.apps/nginx \nREVISION  CHANGE-CAUSE\n1         <none>\n2         mainline\n\n"
    );
    let second = kubectl.ok("rollout history deployment/nginx --revision=2").await;
    assert!(second.starts_with("deployment.apps/nginx with revision #2\nPod Template:\n"), "{second}");
    assert!(second.contains("nginx:mainline"), "{second}");
    let unknown = kubectl.err("rollout history deployment/nginx --revision=7").await;
    assert_eq!(unknown, "error: unable to find the specified revision\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_paused_deployment_waits_until_it_is_resumed() {
    let kubectl = with_nginx().await;
    kubectl.ok("set image deployment/nginx nginx=nginx:alpine").await;
    rolled_out(&kubectl).await;
    assert_eq!(kubectl.ok("rollout pause deployment/nginx").await, "deployment.apps/nginx paused\n");
    let again = kubectl.err("rollout pause deployment/nginx").await;
    assert_eq!(again, "error: deployments.apps \"nginx\" is already paused\n");
    kubectl.ok("set image deployment/nginx nginx=nginx:mainline").await;
    kubectl.ok("wait --for=jsonpath={.status.observedGeneration}=4 deployment/nginx --timeout=30s").await;
    assert_eq!(replica_set_of(&kubectl, "nginx:mainline").await, "");
    let undo = kubectl.err("rollout undo deployment/nginx").await;
    assert!(undo.contains("you cannot rollback a paused deployment"), "{undo}");
    assert_eq!(kubectl.ok("rollout resume deployment/nginx").await, "deployment.apps/nginx resumed\n");
    rolled_out(&kubectl).await;
    assert_ne!(replica_set_of(&kubectl, "nginx:mainline").await, "");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_restart_replaces_every_pod() {
    let kubectl = with_nginx().await;
    let pods = "get pods -l app=nginx -o jsonpath={.items[*].metadata.uid}";
    let before = kubectl.ok(pods).await;
    assert_eq!(kubectl.ok("rollout restart deployment/nginx").await, "deployment.apps/nginx restarted\n");
    rolled_out(&kubectl).await;
    let path = r"jsonpath={.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}";
    assert_ne!(kubectl.ok(&format!("get deployment nginx -o {path}")).await, "");
    let after =
        kubectl.ok("get pods -l app=nginx -o jsonpath={.items[?(@.status.phase==\"Running\")].metadata.uid}").await;
    assert!(!after.split(' ').all(|uid| uid == before), "{before} is still the only pod");
}
