//! A chart as vendors of webhooks make them: helm makes its certificates, it has definitions of both kinds, roles that other
//! roles gather, hooks and tests.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::kubectl::Kubectl;
use steersman_tests::webhooks::WebhookServer;

use super::SERVER;

/// Who installs: everything is allowed to them, by a binding.
const INSTALLER: &str = "--kube-as-user installer --wait --timeout 60s";
/// The server runs on this machine, outside of the cluster, and nothing runs in the pods of hooks.
const OUTSIDE: &str = "--set service.type=ExternalName,service.externalName=localhost \
                       --set-string hookAnnotations.steersman\\.dev/exit-code=0";
/// What the chart makes in its namespace, and the three kinds outside of it.
const KINDS: &str = "deployment,service,secret,serviceaccount,role,rolebinding,poddisruptionbudget,networkpolicy,\
                     mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole,clusterrolebinding,crd";

struct Helm(Kubectl);

impl Helm {
    async fn start() -> Self {
        let kubectl = Kubectl::of(Cluster::builder().nodes(3).record_requests()).await;
        kubectl.ok("create clusterrolebinding installer --clusterrole=cluster-admin --user=installer").await;
        Self(kubectl)
    }

    async fn ok(&self, arguments: &str) -> String {
        let (succeeded, said) = self.0.helm(arguments).await;
        assert!(succeeded, "helm {arguments}: {said}");
        said
    }

    async fn chart(&self, command: &str, arguments: &str) -> (bool, String) {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e_webhook/chart");
        self.0.helm(&format!("{command} policy {} -n policy {arguments}", chart.display())).await
    }

    async fn upgrade(&self, arguments: &str) {
        let (succeeded, said) = self.chart("upgrade", &format!("--reuse-values {INSTALLER} {arguments}")).await;
        assert!(succeeded, "{said}");
    }

    /// What there is of the release.
    async fn objects(&self) -> Vec<String> {
        let named = self.0.ok(&format!("get {KINDS} -n policy -o name --ignore-not-found")).await;
        let own = |line: &&str| line.contains("/policy") || line.contains(".example.com");
        let names = named.lines().filter(own);
        names.filter(|name| !name.contains("sh.helm.release")).map(str::to_owned).collect()
    }

    async fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.0.ok(&format!("{arguments} -n policy -o json")).await).unwrap()
    }

    /// What a kubelet would mount for the first pod of the release: its certificates, and its service account.
    async fn mounted(&self) -> [PathBuf; 2] {
        let pod = &self.json("get pod -l app.kubernetes.io/component=webhook").await["items"][0];
        let (name, uid) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
        let account = text(&pod["spec"]["serviceAccountName"]);
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let secret = volumes.iter().find(|it| it["name"] == "certs").unwrap();
        let secret = self.json(&format!("get secret {}", text(&secret["secret"]["secretName"]))).await;
        assert_eq!(secret["type"], "kubernetes.io/tls");
        for (file, content) in secret["data"].as_object().unwrap() {
            let content = String::from_utf8(STANDARD.decode(text(content)).unwrap()).unwrap();
            self.0.file(&format!("certs/{file}"), &content);
        }
        let bound = format!("--bound-object-kind Pod --bound-object-name {name} --bound-object-uid {uid}");
        let token = self.0.ok(&format!("create token {account} -n policy {bound}")).await;
        let authority = self.json("get configmap kube-root-ca.crt").await;
        self.0.file("account/ca.crt", text(&authority["data"]["ca.crt"]));
        self.0.file("account/namespace", "policy");
        let token = self.0.file("account/token", token.trim());
        let account = token.parent().unwrap();
        [account.with_file_name("certs"), account.to_owned()]
    }

    async fn bundle(&self) -> String {
        self.0.ok("get validatingwebhookconfiguration policy -o jsonpath={.webhooks[0].clientConfig.caBundle}").await
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn deployment(name: &str, image: &str) -> String {
    let container = json!({"name": "web", "image": image});
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}});
    let spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}).to_string()
}

fn instance(version: &str, name: &str, spec: Value) -> String {
    let api_version = format!("example.com/{version}");
    json!({"apiVersion": api_version, "kind": "Server", "metadata": {"name": name}, "spec": spec}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl)), ignore = "needs helm and kubectl in target/tools: cargo xtask tools")]
async fn a_chart_with_webhooks_installs_works_is_upgraded_rolled_back_and_removed() {
    let helm = Helm::start().await;
    let (installed, said) = helm.chart("install", &format!("--create-namespace {OUTSIDE} --kube-as-user nobody")).await;
    assert!(!installed && said.contains(r#"is forbidden: User "nobody" cannot "#), "{said}");
    let (installed, said) = helm.chart("install", &format!("--create-namespace {OUTSIDE} {INSTALLER}")).await;
    assert!(installed && said.contains("policy 1.2.3 is installed as policy, revision 1."), "{said}");
    let objects = helm.objects().await;
    assert_eq!(objects.len(), 15, "{objects:?}");
    let bundle = helm.bundle().await;

    // Where the server listens is known only now; the certificates stay.
    let [certificates, account] = helm.mounted().await;
    let url = helm.0.url();
    let server = WebhookServer::run(SERVER, &certificates, Some((&account, &url))).await;
    assert_eq!(STANDARD.encode(&server.authority), bundle);
    helm.upgrade(&format!("--set service.port={}", server.port)).await;
    assert_eq!((helm.bundle().await, helm.objects().await), (bundle, objects));
    assert!(helm.ok("test policy -n policy --timeout 60s").await.contains("Succeeded"));
    admits(&helm.0).await;
    converts(&helm.0).await;

    // Its pods are what is called, and none is ready.
    let unready = "--set service.type=ClusterIP --set-string podAnnotations.steersman\\.dev/ready=false";
    let (upgraded, said) = helm.chart("upgrade", &format!("--reuse-values --kube-as-user installer {unready}")).await;
    assert!(upgraded, "{said}");
    helm.0.ok("scale deployment policy-webhook -n policy --replicas=0").await;
    helm.0.ok("wait --for=delete pod -l app.kubernetes.io/component=webhook -n policy --timeout=30s").await;
    let port = server.port;
    drop(server);
    let refused = helm.0.err_with("create -f -", &deployment("third", "nginx:1.27")).await;
    let why = r#"failed to call webhook: Post "https://policy-webhook.policy.svc:PORT/mutate?timeout=10s": no endpoints available for service "policy-webhook""#;
    assert!(refused.contains(&why.replace("PORT", &port.to_string())), "{refused}");
    helm.ok(&format!("rollback policy 2 -n policy {INSTALLER} --force-conflicts")).await;
    assert!(helm.ok("history policy -n policy").await.contains("Rollback to 2"));
    let [certificates, account] = helm.mounted().await;
    let server = WebhookServer::run(SERVER, &certificates, Some((&account, &url))).await;
    helm.upgrade(&format!("--set service.port={}", server.port)).await;
    helm.0.ok_with("create -f -", &deployment("third", "nginx:1.27")).await;
    suffices(&helm).await;

    drop(server);
    let unreachable = helm.0.err_with("create -f -", &deployment("late", "nginx:1.27")).await;
    assert!(
        unreachable.contains(r#"failed calling webhook "mutate.policy.example.com": failed to call webhook: Post "#),
        "{unreachable}"
    );
    assert!(unreachable.contains("connect: connection refused"), "{unreachable}");
    helm.0.ok("delete servers.v1.example.com --all").await;
    helm.ok(&format!("uninstall policy -n policy {INSTALLER}")).await;
    let left = helm.objects().await;
    assert_eq!(left, ["customresourcedefinition.apiextensions.k8s.io/exemptions.policy.example.com"]);
    helm.0.ok_with("create -f -", &deployment("late", "nginx:1.27")).await;
}

async fn admits(kubectl: &Kubectl) {
    let warned = kubectl.run_with("create -f -", &deployment("web", "nginx:1.27")).await;
    assert_eq!(warned, "deployment.apps/web created\nWarning: a container asks for no memory\n");
    let label = kubectl.ok("get deployment web -o jsonpath={.metadata.labels}").await;
    assert_eq!(label, r#"{"policy.example.com/seen":"true"}"#);

    let denied = kubectl.err_with("create -f -", &deployment("bad", "nginx:latest")).await;
    let why =
        r#"admission webhook "validate.policy.example.com" denied the request: container "web" has no fixed version"#;
    assert_eq!(denied, format!("Error from server: error when creating \"STDIN\": {why}\n"));
    let exempt = deployment("old", "nginx:latest").replace(
        r#""metadata":{"name":"old"}"#,
        r#""metadata":{"name":"old","annotations":{"policy.example.com/exempt":"yes"}}"#,
    );
    kubectl.ok_with("create -f -", &exempt).await;
    let exemption = json!({"apiVersion": "policy.example.com/v1", "kind": "Exemption", "metadata": {"name": "nginx"},
        "spec": {"image": "nginx"}});
    kubectl.ok_with("create -f -", &exemption.to_string()).await;
    kubectl.ok_with("create -f -", &deployment("bad", "nginx:latest")).await;
}

/// A custom resource with two versions, of which the server makes one from the other.
async fn converts(kubectl: &Kubectl) {
    kubectl.ok("create rolebinding jane --clusterrole=edit --user=jane").await;
    let first = instance("v1", "a", json!({"hostPort": "example.com:80"}));
    kubectl.ok_with("create --as jane -f -", &first).await;
    kubectl.ok_with("create -f -", &instance("v2", "b", json!({"host": "example.org", "port": "81"}))).await;
    let hosts = kubectl.ok("get servers.v2.example.com -o jsonpath={.items[*].spec.host}").await;
    assert_eq!(hosts, "example.com example.org");
    let both = kubectl.ok("get servers.v1.example.com -o jsonpath={.items[*].spec.hostPort}").await;
    assert_eq!(both, "example.com:80 example.org:81");
}

/// The roles of the chart are enough for what its server did, and give it nothing else of the namespace's.
async fn suffices(helm: &Helm) {
    let manifests = helm.ok("get manifest policy -n policy").await;
    let account = "policy";
    assert!(!helm.0.cluster().accesses("system:serviceaccount:policy:policy").is_empty());
    helm.0.cluster().assert_role_sufficient("policy", account, &manifests);
    let own = "auth can-i --as system:serviceaccount:policy:policy -n policy";
    for (asked, allowed) in [
        ("update leases.coordination.k8s.io/policy-webhook", true),
        ("get secrets/policy-webhook-tls", true),
        ("get secrets/another", false),
        ("list secrets", false),
        ("create deployments.apps", false),
    ] {
        let arguments = format!("{own} {asked}");
        if allowed {
            assert_eq!(helm.0.ok(&arguments).await, "yes\n", "{asked}");
        } else {
            helm.0.err(&arguments).await;
        }
    }
}
