//! What a person is told about a bad manifest: the same words as from Kubernetes.

use steersman_tests::kubectl::Kubectl;
use steersman_tests::site::sample;

fn nginx() -> String {
    std::fs::read_to_string(sample("nginx.yaml")).unwrap()
}

/// Creates `manifest` and compares the complaint.
async fn check(kubectl: &Kubectl, manifest: &str, expect: &str) {
    assert_eq!(kubectl.err_with("create -f -", manifest).await, expect);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn an_unknown_field() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        &nginx().replace("  replicas: 1", "  replica: 1"),
        "Error from server (BadRequest): error when creating \"STDIN\": Deployment in version \"v1\" cannot be handled \
         as a Deployment: strict decoding error: unknown field \"spec.replica\"\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_wrong_type() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        &nginx().replace("replicas: 1", "replicas: three"),
        "Error from server (BadRequest): error when creating \"STDIN\": Deployment in version \"v1\" cannot be handled \
         as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_missing_selector() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        &nginx().replace("  selector:\n    matchLabels:\n      app: nginx\n", ""),
        "The Deployment \"nginx\" is invalid: \n* spec.selector: Required value\n* spec.template.metadata.labels: \
         Invalid value: {\"app\":\"nginx\"}: `selector` does not match template `labels`\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_selector_that_is_changed() {
    let kubectl = Kubectl::start().await;
    kubectl.ok(&format!("apply -f {}", sample("nginx.yaml"))).await;
    let changed = nginx().replace("      app: nginx", "      app: web");
    assert_eq!(
        kubectl.err_with("apply -f -", &changed).await,
        "The Deployment \"nginx\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\"}}: \
         field is immutable\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_bad_name() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        &nginx().replace("  name: nginx\n  labels", "  name: Nginx_1\n  labels"),
        "The Deployment \"Nginx_1\" is invalid: metadata.name: Invalid value: \"Nginx_1\": a lowercase RFC 1123 \
         subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
         alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn an_unknown_kind_a_namespace_that_is_not_there_and_a_name_that_is_taken() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        "apiVersion: apps/v1\nkind: Deploiment\nmetadata: {name: a}\n",
        "error: resource mapping not found for name: \"a\" namespace: \"\" from \"STDIN\": no matches for kind \
         \"Deploiment\" in version \"apps/v1\"\nensure CRDs are installed first\n",
    )
    .await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    assert_eq!(
        kubectl.err_with("create -n nowhere -f -", map).await,
        "Error from server (NotFound): error when creating \"STDIN\": namespaces \"nowhere\" not found\n"
    );
    kubectl.ok_with("create -f -", map).await;
    check(
        &kubectl,
        map,
        "Error from server (AlreadyExists): error when creating \"STDIN\": configmaps \"c\" already exists\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(kubectl), ignore = "needs kubectl in target/tools: cargo xtask tools")]
async fn a_negative_number_and_a_pod_without_containers() {
    let kubectl = Kubectl::start().await;
    check(
        &kubectl,
        &nginx().replace("replicas: 1", "replicas: -1"),
        "The Deployment \"nginx\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0\n",
    )
    .await;
    check(
        &kubectl,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {}\n",
        "The Pod \"p\" is invalid: spec.containers: Required value\n",
    )
    .await;
    // Nothing was lost or half made.
    assert_eq!(kubectl.ok("get deployments,pods -o name").await, "");
}
