//! `steersman schedule` as a person runs it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Output};

use tempfile::TempDir;

const CLUSTER: &str = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1}, status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}}}
- {apiVersion: v1, kind: Node, metadata: {name: n2}, status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}}}
- apiVersion: v1
  kind: Node
  metadata: {name: n3}
  spec: {unschedulable: true}
  status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}}
- apiVersion: v1
  kind: Pod
  metadata: {name: old, namespace: default, uid: u}
  spec: {nodeName: n1, containers: [{name: c, resources: {requests: {cpu: '1', memory: 2Gi}}}]}
  status: {phase: Running}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
";

const PODS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    spec: {containers: [{name: c, resources: {requests: {cpu: '1', memory: 2Gi}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: big, namespace: batch}
spec: {containers: [{name: c, resources: {requests: {cpu: '9'}}}]}
";

const PACKING: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated}}
  plugins: {multiPoint: {enabled: [{name: NodeResourcesFit, weight: 10}]}}
";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("cluster.yaml", CLUSTER), ("pods.yaml", PODS), ("packing.yaml", PACKING)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn schedule(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steersman"));
    command.current_dir(folder.path()).arg("schedule").args(arguments).output().unwrap()
}

#[track_caller]
fn told(folder: &TempDir, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = schedule(folder, arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[track_caller]
fn refused(folder: &TempDir, arguments: &[&str], expect: &str) {
    let Output { status, stderr, .. } = schedule(folder, arguments);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && stderr.starts_with(&format!("error: {expect}")), "{stderr}");
}

#[test]
fn it_tells_where_pods_go() {
    let told = told(&folder(), &["--cluster", "cluster.yaml", "--pods", "pods.yaml"]);
    let expect = "\
POD             NODE   SCORE   REMARK
default/web-0   n2     450
default/web-1   n2     425
batch/big       -      -       0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. ";
    assert!(told.starts_with(expect), "{told}");
    let expect = "
pods placed            2
pods unplaced          1
pods evicted           0
nodes with pods        2 of 2
cpu utilization        37.5 %
cpu fragmentation      100.0 %
cpu imbalance          12.5 %
";
    assert!(told.contains(expect), "{told}");
}

#[test]
fn it_tells_why() {
    let folder = folder();
    let arguments = ["--cluster", "cluster.yaml", "--pods", "pods.yaml", "--explain"];
    let told = told(&folder, &arguments);
    let expect = "\
default/web-0: n2, of 3 nodes
  score 450, 1 node: n2
    NodeResourcesBalancedAllocation 75, NodeResourcesFit 75, TaintToleration 300 (3×100)
  score 425, 1 node: n1
";
    assert!(told.starts_with(expect), "{told}");
    let json = self::told(&folder, &[&arguments[..], &["-o", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let groups = &json["placements"][2]["explanation"]["groups"];
    assert_eq!((&groups[0]["plugin"], &groups[0]["nodes"][1]), (&"NodeResourcesFit".into(), &"n2".into()), "{json:#}");
    assert_eq!(json["measures"]["unplaced"], 1);
}

#[test]
fn it_compares_two_configurations_and_draws_them() {
    let folder = folder();
    let arguments =
        ["--cluster", "cluster.yaml", "--pods", "pods.yaml", "--compare", "packing.yaml", "--plot", "p.svg"];
    let told = told(&folder, &arguments);
    assert!(told.starts_with("2 of 3 pods go elsewhere\n\nPOD             default   packing.yaml\n"), "{told}");
    assert!(told.contains("default/web-0   n2        n1\n"), "{told}");
    assert!(told.contains("\npods placed            2         2\n"), "{told}");
    let svg = std::fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.matches("<polyline ").count() == 4, "{svg}");
    assert!(svg.contains("packing.yaml: 2 placed, 1 unplaced"), "{svg}");
}

#[test]
fn the_pods_of_the_cluster_that_have_no_node_are_scheduled_if_no_others_are_given() {
    let folder = folder();
    refused(&folder, &["--cluster", "cluster.yaml"], "every pod has a node: say which pods to schedule with --pods");
    let told = told(&folder, &["--cluster", "cluster.yaml", "--cluster", "pods.yaml", "-o", "yaml"]);
    assert!(told.contains("pod: batch/big\n"), "{told}");
}

/// What people have is a manifest.
#[test]
fn a_manifest_may_have_more_than_pods() {
    let folder = folder();
    let claim = "kind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce]}\n";
    let volumes = "[{name: data, persistentVolumeClaim: {claimName: data}}]";
    let pod = format!("kind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a}}], volumes: {volumes}}}\n");
    std::fs::write(
        folder.path().join("all.yaml"),
        format!("kind: ConfigMap\nmetadata: {{name: c}}\n---\n{claim}---\n{pod}"),
    )
    .unwrap();
    let told = told(&folder, &["--cluster", "cluster.yaml", "--pods", "all.yaml"]);
    assert!(told.contains("default/a") && told.contains("unbound immediate PersistentVolumeClaims"), "{told}");
}

#[test]
fn what_is_wrong_is_named_with_its_file() {
    let folder = folder();
    let with = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    with("bad.yaml", "kind: [Node\n");
    with("odd.yaml", "kind: Node\nmetadata: {name: odd}\nspec: {taints: 7}\n");
    with("no.yaml", "kind: ConfigMap\nmetadata: {name: c}\n");
    refused(&folder, &["--cluster", "nowhere.yaml"], "cannot read nowhere.yaml: ");
    refused(&folder, &["--cluster", "bad.yaml"], "bad.yaml: neither YAML nor JSON: ");
    refused(&folder, &["--cluster", "odd.yaml"], "odd.yaml: Node \"odd\": spec.taints: invalid type: integer `7`");
    refused(&folder, &["--cluster", "no.yaml"], "no.yaml: there are no nodes; dump them with: kubectl get nodes");
    let arguments = ["--cluster", "cluster.yaml", "--pods", "no.yaml"];
    refused(&folder, &arguments, "no.yaml: ConfigMap \"c\": expected pods, or objects with a template for pods");
    let arguments = ["--cluster", "cluster.yaml", "--pods", "pods.yaml", "--config", "no.yaml"];
    refused(&folder, &arguments, "no.yaml: no kind \"ConfigMap\" is registered");
}
