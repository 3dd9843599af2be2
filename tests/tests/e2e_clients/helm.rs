//! helm, with a chart of more than a dozen kinds.

use std::path::Path;

use steersman_tests::site::{Site, tool};
use tokio::process::Command;

/// What the chart makes, as `kubectl get` counts it.
const KINDS: &str = "serviceaccount,role,rolebinding,configmap,secret,order,deployment,poddisruptionbudget,hpa,service,\
                     ingress,networkpolicy,clusterrole,clusterrolebinding";

struct Helm(Site);

impl Helm {
    fn command(&self, arguments: &str) -> Command {
        let mut command = self.0.command(tool("bin/helm"));
        command.args(arguments.split_whitespace());
        command
    }

    async fn ok(&self, arguments: &str) -> String {
        self.0.ok(&mut self.command(arguments)).await
    }

    async fn kubectl(&self, arguments: &str) -> String {
        let mut command = self.0.command(tool("bin/kubectl"));
        self.0.ok(command.args(arguments.split_whitespace())).await
    }

    /// The names of what exists of the release.
    async fn objects(&self) -> Vec<String> {
        let named = self.kubectl(&format!("get {KINDS} -n town -o name --ignore-not-found")).await;
        named.lines().filter(|line| line.contains("/shop")).map(str::to_owned).collect()
    }

    async fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&format!("get {object} -n town -o jsonpath={{{path}}}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(helm), ignore = "needs helm in target/tools: cargo xtask tools")]
async fn a_chart_of_a_dozen_kinds_lives_its_life() {
    let helm = Helm(Site::start().await);
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e_clients/chart");
    let chart = chart.display();

    helm.ok(&format!("install shop {chart} -n town --create-namespace --wait --timeout 60s")).await;
    let objects = helm.objects().await;
    assert_eq!(objects.len(), 15, "14 kinds and a hook's ConfigMap: {objects:?}");
    assert_eq!(helm.field("deployment/shop", ".status.availableReplicas").await, "2");
    assert_eq!(helm.field("order/shop", ".spec.count").await, "1", "the default of the definition in crds/");

    let test = helm.ok("test shop -n town --timeout 60s").await;
    assert!(test.contains("Succeeded"), "{test}");

    let set = "--set replicas=4 --set greeting=goodbye";
    helm.ok(&format!("upgrade shop {chart} -n town {set} --wait --timeout 60s")).await;
    assert_eq!(helm.field("deployment/shop", ".status.availableReplicas").await, "4");
    assert_eq!(helm.field("configmap/shop", ".data.greeting").await, "goodbye");
    assert_eq!(helm.field("configmap/shop-before", ".data.revision").await, "2");

    helm.ok("rollback shop 1 -n town --wait --timeout 60s").await;
    assert_eq!(helm.field("deployment/shop", ".spec.replicas").await, "2");
    assert_eq!(helm.field("configmap/shop", ".data.greeting").await, "hello");
    let history = helm.ok("history shop -n town -o json").await;
    let history: Vec<serde_json::Value> = serde_json::from_str(&history).unwrap();
    let statuses: Vec<_> = history.iter().map(|revision| revision["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["superseded", "superseded", "deployed"]);

    helm.ok("uninstall shop -n town --wait --timeout 60s").await;
    // Hooks are no part of the release: helm leaves them.
    assert_eq!(helm.objects().await, ["configmap/shop-before"]);
    assert_eq!(helm.kubectl("get pods -n town -l app.kubernetes.io/instance=shop -o name").await, "");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(helm), ignore = "needs helm in target/tools: cargo xtask tools")]
async fn a_chart_that_the_server_refuses_says_why() {
    let helm = Helm(Site::start().await);
    helm.ok("create broken").await;
    let arguments = "install broken broken --set service.port=99999";
    let output = helm.0.run(&mut helm.command(arguments), "").await;
    let (_, complaint) = steersman_tests::site::texts(&output);
    assert!(!output.status.success());
    assert!(complaint.contains("spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535"), "{complaint}");
}
