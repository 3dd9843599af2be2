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
    let chart = chart().display().to_string();
    let mut helm = site.command(tool("bin/helm"));
    helm.args(["upgrade", "--install", "steersman", &chart, "-n", "steersman-system", "--create-namespace"]);
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
        assert!(said.contains("-deployment-controller,-replicaset-controller"), "what to do is said: {said}");
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
