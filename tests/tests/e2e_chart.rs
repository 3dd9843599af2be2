//! The Helm chart: what it renders, what it refuses, and that helm finds nothing to complain of.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use steersman_tests::site::{Site, texts, tool};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn chart() -> PathBuf {
    workspace().join("charts/steersman")
}

/// Runs helm without a cluster; returns what it printed, and whether it succeeded.
fn helm(arguments: &[&str]) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(tool("bin/helm"));
    helm.env_clear().env("HOME", home.path()).args(arguments);
    let output = helm.output().unwrap();
    let (stdout, stderr) = texts(&output);
    (output.status.success(), stdout + &stderr)
}

fn template(values: &str) -> (bool, String) {
    let chart = chart().display().to_string();
    helm(&["template", "steersman", &chart, "-n", "steersman-system", "-f", values])
}

/// The values that the chart is rendered with, each in a folder with what comes out.
fn sets() -> Vec<PathBuf> {
    let folder = workspace().join("tests/goldens/chart");
    let mut sets: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    sets.sort();
    assert!(sets.len() >= 4, "{sets:?}");
    sets
}

/// The definitions are compared with their source elsewhere; here it is enough that they are there, and how.
fn without_schemas(rendered: &str) -> String {
    let documents = rendered.split("---\n").map(|document| match document.find("\nspec:\n") {
        Some(end) if document.contains("\nkind: CustomResourceDefinition\n") => {
            format!("{}\nspec: as in the file of its source\n", &document[..end])
        }
        _ => document.to_owned(),
    });
    documents.collect::<Vec<_>>().join("---\n")
}

#[test]
#[cfg_attr(not(helm), ignore = "needs helm in target/tools: cargo xtask tools")]
fn the_chart_renders_what_it_did() {
    for set in sets() {
        let (succeeded, rendered) = template(&set.join("values.yaml").display().to_string());
        assert!(succeeded, "{}: {rendered}", set.display());
        let rendered = without_schemas(&rendered);
        let golden = set.join("rendered.yaml");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &rendered).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(rendered, expected, "{} is stale: run this test with UPDATE=1", golden.display());
    }
}

#[test]
#[cfg_attr(not(helm), ignore = "needs helm in target/tools: cargo xtask tools")]
fn helm_finds_nothing_to_complain_of() {
    for set in sets() {
        let values = set.join("values.yaml").display().to_string();
        let (succeeded, said) = helm(&["lint", "--strict", &chart().display().to_string(), "-f", &values]);
        assert!(succeeded && !said.contains("[WARNING]"), "{}: {said}", set.display());
    }
}

#[test]
#[cfg_attr(not(helm), ignore = "needs helm in target/tools: cargo xtask tools")]
fn values_that_make_no_sense_are_refused_by_name() {
    let chart = chart().display().to_string();
    for (set, expect) in [
        ("workloads.apiGroup=extensions", "/workloads/apiGroup"),
        ("controllers.names={job-controller}", "/controllers/names/0"),
        ("scheduler.mode=third", "/scheduler/mode"),
        ("scheduler.replicas=0", "/scheduler/replicas"),
        ("leaderElection.leaseDuration=15", "/leaderElection/leaseDuration"),
        ("image.digest=latest", "/image/digest"),
        ("replicas=2", "replicas"),
        ("controllers.replica=2", "replica"),
    ] {
        let (succeeded, said) = helm(&["template", "x", &chart, "--set", set]);
        assert!(!succeeded, "{set} is accepted");
        assert!(said.contains(expect), "{set}: {said}");
    }
}

/// Whether helm installs the chart into the site's cluster, and what it says.
async fn install(site: &Site, arguments: &str) -> (bool, String) {
    install_from(site, &chart(), arguments).await
}

async fn install_from(site: &Site, chart: &Path, arguments: &str) -> (bool, String) {
    let mut helm = site.command(tool("bin/helm"));
    helm.args(["upgrade", "--install", "steersman"]).arg(chart).args(["-n", "steersman-system", "--create-namespace"]);
    let output = site.run(helm.args(arguments.split_whitespace()), "").await;
    let (stdout, stderr) = texts(&output);
    (output.status.success(), stdout + &stderr)
}

async fn apply(site: &Site, manifest: &str) {
    let mut kubectl = site.command(tool("bin/kubectl"));
    let output = site.run(kubectl.args(["apply", "-f", "-"]), manifest).await;
    assert!(output.status.success(), "{}", texts(&output).1);
}

fn manager(command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-controller-manager-one\n  namespace: kube-system\n  \
         labels: {{component: kube-controller-manager}}\nspec:\n  containers:\n  - name: main\n    image: kcm\n    \
         command: [kube-controller-manager, --leader-elect=true{command}]\n"
    )
}

async fn replace_manager(site: &Site, command: &str) {
    let mut kubectl = site.command(tool("bin/kubectl"));
    site.ok(kubectl.args("delete pod kube-controller-manager-one -n kube-system --ignore-not-found --now".split(' ')))
        .await;
    apply(site, &manager(command)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl)), ignore = "needs helm and kubectl in target/tools: cargo xtask tools")]
async fn a_second_controller_for_the_same_deployments_is_refused() {
    let site = Site::start().await;
    let apps = "--set workloads.apiGroup=apps";
    // The cluster's own controllers run: seen by the flags of their pod.
    for flags in ["", ", '--controllers=*,-deployment-controller'", ", '--controllers=*,bootstrapsigner,-replicaset'"] {
        replace_manager(&site, flags).await;
        let (installed, said) = install(&site, apps).await;
        assert!(!installed, "{flags} is no reason to refuse");
        assert!(said.contains("of this cluster is running (pod kube-system/kube-controller-manager-one)"), "{said}");
        // What else is on stays on: kubeadm's nodes join by what the signer signs.
        let kept = if flags.contains("bootstrapsigner") { "*,bootstrapsigner" } else { "*" };
        let told = format!("--controllers={kept},-deployment-controller,-replicaset-controller, or use");
        assert!(said.contains(&told), "what to do is said: {said}");
    }
    // With our own group there is nothing to refuse, nor if somebody insists.
    let (installed, said) = install(&site, "").await;
    assert!(installed, "{said}");
    let (installed, said) = install(&site, &format!("{apps} --set workloads.force=true")).await;
    assert!(installed, "{said}");
    // They leave Deployments and ReplicaSets alone.
    for flags in
        ["'--controllers=*,-deployment-controller,-replicaset-controller'", "'--controllers=*,-deployment,-replicaset'"]
    {
        replace_manager(&site, &format!(", {flags}")).await;
        let (installed, said) = install(&site, apps).await;
        assert!(installed, "{flags}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl)), ignore = "needs helm and kubectl in target/tools: cargo xtask tools")]
async fn controllers_that_cannot_be_seen_are_known_by_their_lease() {
    let site = Site::start().await;
    let lease = |renewed: &str| {
        format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: kube-controller-manager\n  \
             namespace: kube-system\nspec:\n  holderIdentity: hidden\n  renewTime: {renewed}\n"
        )
    };
    apply(&site, &lease("2020-01-02T03:04:05.678901Z")).await;
    let (installed, said) = install(&site, "--set workloads.apiGroup=apps").await;
    assert!(installed, "nobody has renewed the lease for years: {said}");

    // Later than any moment at which this test runs.
    apply(&site, &lease("2120-01-02T03:04:05.000000Z")).await;
    let (installed, said) = install(&site, "--set workloads.apiGroup=apps").await;
    assert!(!installed && said.contains("a kube-controller-manager (hidden) is running"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl)), ignore = "needs helm and kubectl in target/tools: cargo xtask tools")]
async fn neighbours_are_refused_as_well_while_the_clusters_own_ones_run() {
    let site = Site::start().await;
    let endpoints = "--set controllers.names={endpoints-controller,garbage-collector-controller}";
    for flags in ["", ", '--controllers=*,-endpoint'", ", '--controllers=*,-endpoints-controller'"] {
        replace_manager(&site, flags).await;
        let (installed, said) = install(&site, endpoints).await;
        assert!(!installed, "{flags} is no reason to refuse");
        assert!(said.contains("-controller of this cluster is running"), "{said}");
        assert!(said.contains("--controllers=*,-endpoints-controller,-garbage-collector-controller"), "{said}");
    }
    // By the names of today and by those of former times.
    for flags in
        ["'--controllers=*,-endpoints,-garbagecollector'", "'--controllers=*,-endpoint,-garbage-collector-controller'"]
    {
        replace_manager(&site, &format!(", {flags}")).await;
        let (installed, said) = install(&site, endpoints).await;
        assert!(installed, "{flags}: {said}");
    }
}

/// The chart as it was in a version before this one.
fn previous(home: &Path) -> PathBuf {
    let copied = Command::new("cp").arg("-r").arg(chart()).arg(home.join("previous")).status().unwrap();
    assert!(copied.success());
    let about = home.join("previous/Chart.yaml");
    let text = fs::read_to_string(&about).unwrap();
    let older = text.replace("version: 0.1.0", "version: 0.0.9");
    assert_ne!(text, older, "the version is not what it was when this was written");
    fs::write(about, older).unwrap();
    home.join("previous")
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(helm, kubectl)), ignore = "needs helm and kubectl in target/tools: cargo xtask tools")]
async fn an_upgrade_and_an_installation_anew_keep_what_there_is() {
    let site = Site::start().await;
    let (installed, said) = install_from(&site, &previous(site.home()), "").await;
    assert!(installed, "{said}");
    let labels = "{app: web}";
    apply(
        &site,
        &format!(
            "apiVersion: apps.steersman.dev/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: \
             {{matchLabels: {labels}}}\n  template:\n    metadata: {{labels: {labels}}}\n    spec: {{containers: [{{name: a, \
             image: a}}]}}\n"
        ),
    )
    .await;
    let kubectl =
        async |arguments: &str| site.ok(site.command(tool("bin/kubectl")).args(arguments.split_whitespace())).await;
    let uid = async || kubectl("get deployments.apps.steersman.dev web -o jsonpath={.metadata.uid}").await;
    let chart_of = async |what: &str| {
        kubectl(&format!("get {what} -o jsonpath={{.metadata.labels.helm\\.sh/chart}} -n steersman-system")).await
    };
    let definition = "crd/deployments.apps.steersman.dev";
    let before = uid().await;
    assert_eq!(chart_of(definition).await, "steersman-0.0.9");

    // The definitions are brought up to date as well, and values stay.
    let (upgraded, said) = install(&site, "--reset-then-reuse-values --set scheduler.name=other").await;
    assert!(upgraded, "{said}");
    assert_eq!((uid().await, chart_of(definition).await.as_str()), (before.clone(), "steersman-0.1.0"));
    assert!(chart_of("deployment/steersman-scheduler").await.ends_with("0.1.0"));

    // Whoever uninstalls keeps definitions and objects, and the same release takes them over again.
    site.ok(site.command(tool("bin/helm")).args("uninstall steersman -n steersman-system --wait".split(' '))).await;
    assert_eq!(uid().await, before);
    let (installed, said) = install(&site, "").await;
    assert!(installed, "{said}");
    assert_eq!(uid().await, before);
}
