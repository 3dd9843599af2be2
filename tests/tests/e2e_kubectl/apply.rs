//! Applying manifests, on the client's side and on the server's.

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn apply_creates_then_finds_nothing_to_do_then_configures() {
    let kubectl = Kubectl::start().await;
    let nginx = sample("nginx.yaml");
    let apply = format!("apply -f {nginx}");
    assert_eq!(kubectl.ok(&apply).await, "deployment.apps/nginx created\n");
    assert_eq!(kubectl.ok(&apply).await, "deployment.apps/nginx unchanged\n");
    let scaled = std::fs::read_to_string(&nginx).unwrap().replace("replicas: 1", "replicas: 2");
    assert_eq!(kubectl.ok_with("apply -f -", &scaled).await, "deployment.apps/nginx configured\n");
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    let replicas = kubectl.ok("get deployment nginx -o jsonpath={.spec.replicas}/{.status.availableReplicas}").await;
    assert_eq!(replicas, "2/2");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn what_is_left_out_of_the_manifest_is_taken_away() {
    let kubectl = Kubectl::start().await;
    let with = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1', b: '2'}\n";
    let without = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n";
    kubectl.ok_with("apply -f -", with).await;
    assert_eq!(kubectl.ok_with("apply -f -", without).await, "configmap/c configured\n");
    assert_eq!(kubectl.ok("get configmap c -o jsonpath={.data}").await, r#"{"a":"1"}"#);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn server_side_apply_owns_fields_and_reports_conflicts() {
    let kubectl = Kubectl::start().await;
    let nginx = sample("nginx.yaml");
    let applied = "deployment.apps/nginx serverside-applied\n";
    assert_eq!(kubectl.ok(&format!("apply --server-side -f {nginx}")).await, applied);
    assert_eq!(kubectl.ok(&format!("apply --server-side -f {nginx}")).await, applied);
    let changed = std::fs::read_to_string(&nginx).unwrap().replace("replicas: 1", "replicas: 3");
    let other = "apply --server-side --field-manager=other -f -";
    let conflict = kubectl.err_with(other, &changed).await;
    let expect = r#"Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas"#;
    assert!(conflict.contains(expect), "{conflict}");
    assert_eq!(kubectl.ok_with(&format!("{other} --force-conflicts"), &changed).await, applied);
    kubectl.ok("rollout status deployment/nginx --timeout=30s").await;
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.status.availableReplicas}").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_client_side_manifest_can_move_to_the_server_side() {
    let kubectl = Kubectl::start().await;
    let nginx = sample("nginx.yaml");
    kubectl.ok(&format!("apply -f {nginx}")).await;
    let moved = kubectl.ok(&format!("apply --server-side -f {nginx}")).await;
    assert_eq!(moved, "deployment.apps/nginx serverside-applied\n");
    let managers = "get deployment nginx --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}";
    let managers = kubectl.ok(managers).await;
    assert!(!managers.contains("kubectl-client-side-apply"), "{managers}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn dry_runs_and_diffs_store_nothing() {
    let kubectl = Kubectl::start().await;
    let nginx = sample("nginx.yaml");
    let dry = kubectl.ok(&format!("apply --dry-run=server -f {nginx}")).await;
    assert_eq!(dry, "deployment.apps/nginx created (server dry run)\n");
    let missing = kubectl.err("get deployment nginx").await;
    assert_eq!(missing, "Error from server (NotFound): deployments.apps \"nginx\" not found\n");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn every_sample_is_accepted_and_converges() {
    let kubectl = Kubectl::start().await;
    for name in ["nginx.yaml", "web.yaml", "namespace-quota.yaml", "crontab-crd.yaml"] {
        kubectl.ok(&format!("apply -f {}", sample(name))).await;
    }
    kubectl.ok("wait --for=condition=Established crd/crontabs.samples.steersman.dev --timeout=30s").await;
    kubectl.ok(&format!("apply -f {}", sample("crontab.yaml"))).await;
    for name in ["nginx", "web"] {
        let status = kubectl.ok(&format!("rollout status deployment/{name} --timeout=30s")).await;
        assert!(status.ends_with(&format!("deployment \"{name}\" successfully rolled out\n")), "{status}");
    }
}
