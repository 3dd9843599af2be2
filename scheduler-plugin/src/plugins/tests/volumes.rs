//! Where pods can have their volumes.

use serde_json::{Value, json};

use crate::testing::Cluster;

const WAITS: &str = "WaitForFirstConsumer";

fn claim(name: &str, size: &str) -> Value {
    json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "c", "resources": {"requests": {"storage": size}}},
    })
}

fn bound(name: &str, volume: &str) -> Value {
    let mut claim = claim(name, "1Gi");
    claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    claim["spec"]["volumeName"] = json!(volume);
    claim
}

fn volume(name: &str, size: &str, node: &str) -> Value {
    let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]});
    json!({
        "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
        "status": {"phase": "Available"},
    })
}

fn class(mode: &str, provisioner: &str) -> Value {
    json!({
        "kind": "StorageClass", "metadata": {"name": "c"}, "provisioner": provisioner, "volumeBindingMode": mode,
    })
}

fn with(claims: &[&str]) -> Value {
    let volume = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    json!({"volumes": claims.iter().map(volume).collect::<Vec<_>>()})
}

fn cluster(objects: &[Value]) -> Cluster {
    let mut cluster = Cluster::new(&["n1 topology.kubernetes.io/zone=a", "n2 topology.kubernetes.io/zone=b"]);
    objects.iter().for_each(|object| cluster.object(object));
    cluster
}

#[test]
fn claims_decide_where_a_pod_can_run() {
    let check = |objects: &[Value], claims: &[&str], expect: &str| {
        assert_eq!(cluster(objects).feasible("", &with(claims)), expect, "{objects:?}");
    };
    let nowhere = |why: &str| format!("0/2 nodes are available: {why}.");
    let wait = class(WAITS, "kubernetes.io/no-provisioner");
    check(&[], &["x"], &nowhere("persistentvolumeclaim \"x\" not found"));
    check(
        &[class("Immediate", "p"), claim("x", "1Gi")],
        &["x"],
        &nowhere("pod has unbound immediate PersistentVolumeClaims"),
    );
    check(&[volume("v", "1Gi", "n2"), bound("x", "v")], &["x"], "n2");
    check(&[bound("x", "v")], &["x"], &nowhere("persistentvolume \"v\" not found"));
    check(&[wait.clone(), claim("x", "1Gi"), volume("v", "2Gi", "n1")], &["x"], "n1");
    check(
        &[wait.clone(), claim("x", "3Gi"), volume("v", "2Gi", "n1")],
        &["x"],
        &nowhere("2 node(s) didn't find available persistent volumes to bind"),
    );
    // One volume is not enough for two claims; and the small one is not taken by the large claim.
    let two = [wait.clone(), claim("x", "1Gi"), claim("y", "2Gi"), volume("v", "1Gi", "n1"), volume("w", "2Gi", "n1")];
    check(&two, &["y", "x"], "n1");
    check(&two[..4], &["y", "x"], &nowhere("2 node(s) didn't find available persistent volumes to bind"));
    check(&[class(WAITS, "p"), claim("x", "1Gi")], &["x"], "n1 n2");
    let mut selected = claim("x", "1Gi");
    selected["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "n2"});
    check(&[class(WAITS, "p"), selected], &["x"], "n2");
}

#[test]
fn of_the_nodes_that_a_volume_requires_only_labels_count() {
    let mut named = volume("v", "1Gi", "n2");
    let name = json!({"key": "metadata.name", "operator": "In", "values": ["n1"]});
    named["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchFields"] = json!([name]);
    assert_eq!(cluster(&[named.clone(), bound("x", "v")]).feasible("", &with(&["x"])), "n2");
    named["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"] = json!([]);
    assert_eq!(cluster(&[named.clone(), bound("x", "v")]).feasible("", &with(&["x"])), "n1 n2");
    named["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = json!([{}]);
    let nowhere = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.";
    assert_eq!(cluster(&[named, bound("x", "v")]).feasible("", &with(&["x"])), nowhere);
}

#[test]
fn a_driver_says_how_much_room_there_is() {
    let driver = json!({"kind": "CSIDriver", "metadata": {"name": "p"}, "spec": {"storageCapacity": true}});
    let room = |size: &str, node: &str| {
        json!({
            "kind": "CSIStorageCapacity", "metadata": {"name": node, "namespace": "default"}, "storageClassName": "c",
            "capacity": size, "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": node}},
        })
    };
    let objects = [class(WAITS, "p"), driver, claim("x", "5Gi"), room("1Gi", "n1"), room("9Gi", "n2")];
    assert_eq!(cluster(&objects).feasible("", &with(&["x"])), "n2");
    let expect = "0/2 nodes are available: 2 node(s) did not have enough free storage.";
    assert_eq!(cluster(&objects[..4]).feasible("", &with(&["x"])), expect);
}

#[test]
fn volumes_stay_in_their_zones() {
    let mut labelled = json!({
        "kind": "PersistentVolume", "metadata": {"name": "v", "labels": {"topology.kubernetes.io/zone": "b__c"}},
        "spec": {"csi": {"driver": "d", "volumeHandle": "h"}},
    });
    assert_eq!(cluster(&[labelled.clone(), bound("x", "v")]).feasible("", &with(&["x"])), "n2");
    labelled["metadata"]["labels"] = json!({"failure-domain.beta.kubernetes.io/zone": "a"});
    assert_eq!(cluster(&[labelled, bound("x", "v")]).feasible("", &with(&["x"])), "n1", "the old name of the label");
}

#[test]
fn what_cannot_be_shared_is_not() {
    let disk = |read_only: bool| json!({"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "x", "readOnly": read_only}}]});
    let mut cluster = cluster(&[]);
    cluster.run("n1", "", &disk(true));
    assert_eq!(cluster.feasible("", &disk(true)), "n1 n2", "both only read");
    assert_eq!(cluster.feasible("", &disk(false)), "n2");
    let mut alone = bound("x", "v");
    alone["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    cluster.object(&alone);
    cluster.object(&volume("v", "1Gi", "n2"));
    assert_eq!(cluster.feasible("", &with(&["x"])), "n2");
    cluster.run("n1", "", &with(&["x"]));
    assert!(cluster.feasible("", &with(&["x"])).contains("ReadWriteOncePod access mode already in-use by another pod"));
}

#[test]
fn a_node_attaches_only_so_many_volumes() {
    let csi = |name: &str| json!({"kind": "PersistentVolume", "metadata": {"name": name}, "spec": {"csi": {"driver": "d", "volumeHandle": name}}});
    let node = |name: &str, count: u32| {
        let driver = json!({"name": "d", "nodeID": name, "allocatable": {"count": count}});
        json!({"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": [driver]}})
    };
    let objects = [csi("v"), csi("w"), bound("x", "v"), bound("y", "w"), node("n1", 1), node("n2", 2)];
    let mut cluster = cluster(&objects);
    assert_eq!(cluster.feasible("", &with(&["x"])), "n1 n2");
    assert_eq!(cluster.feasible("", &with(&["x", "y"])), "n2");
    cluster.run("n1", "", &with(&["x"]));
    assert_eq!(cluster.feasible("", &with(&["x"])), "n1 n2", "the same volume is counted once");
    assert_eq!(cluster.feasible("", &with(&["y"])), "n2");
}
