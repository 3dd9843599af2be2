//! Which events bring a rejected pod back: after the table of upstream's `test/integration/scheduler/queueing`,
//! `CoreResourceEnqueue`, by the plugin that rejects.

use serde_json::Value;

use super::world::merge;
use super::*;

/// Something that happens after the pod was rejected.
type Trigger = fn(&World);

/// A cluster in which the pod `p` is rejected, and what happens then.
struct Row {
    name: &'static str,
    before: fn(&World),
    pod: fn() -> Value,
    trigger: Trigger,
    requeued: bool,
}

fn changed(mut object: Value, change: Value) -> Value {
    merge(&mut object, change);
    object
}

fn on(name: &str, cpu: &str, change: Value) -> Value {
    changed(changed(pod(name, cpu), json!({"spec": {"nodeName": "n1"}})), change)
}

fn tainted(cpu: &str) -> Value {
    changed(node("n1", cpu), json!({"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}}))
}

fn cordoned(name: &str) -> Value {
    changed(node(name, "4"), json!({"spec": {"unschedulable": true}}))
}

fn labelled(name: &str, value: &str) -> Value {
    changed(node(name, "4"), json!({"metadata": {"labels": {"zone": value}}}))
}

fn near(field: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"});
    let affinity = json!({field: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    changed(pod("p", "1"), json!({"spec": {"affinity": affinity}}))
}

fn port(name: &str) -> Value {
    let ports = json!([{"containerPort": 80, "hostPort": 80}]);
    changed(pod(name, "0"), json!({"spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]}}))
}

fn spread() -> Value {
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    changed(
        pod("p", "1"),
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [constraint]}}),
    )
}

fn web(name: &str) -> Value {
    on(name, "1", json!({"metadata": {"labels": {"app": "web"}}}))
}

fn selects(value: &str) -> Value {
    changed(pod("p", "1"), json!({"spec": {"nodeSelector": {"zone": value}}}))
}

fn claiming() -> Value {
    let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
    changed(pod("p", "1"), json!({"spec": {"volumes": [volume]}}))
}

fn row(name: &'static str, before: fn(&World), pod: fn() -> Value, (trigger, requeued): (Trigger, bool)) -> Row {
    Row { name, before, pod, trigger, requeued }
}

fn taints() -> Vec<Row> {
    let one = || pod("p", "1");
    vec![
        row(
            "a tainted node gets more cpu",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("nodes", tainted("8")), false),
        ),
        row(
            "the pod tolerates",
            |w| w.set("nodes", tainted("4")),
            one,
            (
                |w| {
                    w.set(
                        "pods",
                        changed(pod("p", "1"), json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}})),
                    )
                },
                true,
            ),
        ),
        row(
            "the taint is taken off",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("nodes", node("n1", "4")), true),
        ),
        row(
            "a label of the pod does not matter to taints",
            |w| w.set("nodes", tainted("4")),
            one,
            (|w| w.set("pods", changed(pod("p", "1"), json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
        row(
            "a node is uncordoned",
            |w| w.set("nodes", cordoned("n1")),
            one,
            (|w| w.set("nodes", node("n1", "4")), true),
        ),
        row(
            "another cordoned node comes",
            |w| w.set("nodes", cordoned("n1")),
            one,
            (|w| w.set("nodes", cordoned("n2")), false),
        ),
        row("a node comes", |w| w.set("nodes", cordoned("n1")), one, (|w| w.set("nodes", node("n2", "4")), true)),
    ]
}

fn resources() -> Vec<Row> {
    let full: fn(&World) = |w| {
        w.set("nodes", node("n1", "2"));
        w.set("pods", on("other", "2", json!({})));
    };
    let one = || pod("p", "1");
    vec![
        row("a pod goes", full, one, (|w| w.delete("pods", "other"), true)),
        row("the node grows", full, one, (|w| w.set("nodes", node("n1", "4")), true)),
        row("a large node comes", full, one, (|w| w.set("nodes", node("n2", "4")), true)),
        row("a small node comes", full, || pod("p", "3"), (|w| w.set("nodes", node("n2", "1")), false)),
        row(
            "a label of the node does not matter to room",
            full,
            one,
            (|w| w.set("nodes", changed(node("n1", "2"), json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
        row("the pod wants less", full, || pod("p", "3"), (|w| w.set("pods", pod("p", "1")), true)),
        row("a pod comes", full, one, (|w| w.set("pods", on("third", "0", json!({}))), false)),
    ]
}

fn ports_and_labels() -> Vec<Row> {
    let taken: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set("pods", changed(port("other"), json!({"spec": {"nodeName": "n1"}})));
        w.set("pods", on("third", "0", json!({})));
    };
    let ported = || port("p");
    let labels: fn(&World) = |w| w.set("nodes", labelled("n1", "a"));
    let wants_b = || selects("b");
    vec![
        row("the port is free", taken, ported, (|w| w.delete("pods", "other"), true)),
        row("a pod without the port goes", taken, ported, (|w| w.delete("pods", "third"), false)),
        row("the node gets the label", labels, wants_b, (|w| w.set("nodes", labelled("n1", "b")), true)),
        row("the node gets another label", labels, wants_b, (|w| w.set("nodes", labelled("n1", "c")), false)),
        row("a node with the label comes", labels, wants_b, (|w| w.set("nodes", labelled("n2", "b")), true)),
        row("a node without the label comes", labels, wants_b, (|w| w.set("nodes", labelled("n2", "c")), false)),
    ]
}

fn other_pods() -> Vec<Row> {
    let lonely: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("pods", on("other", "1", json!({"metadata": {"labels": {"app": "db"}}})));
    };
    let crowded: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("pods", web("other"));
    };
    let uneven: fn(&World) = |w| {
        w.set("nodes", labelled("n1", "a"));
        w.set("nodes", changed(cordoned("n2"), json!({"metadata": {"labels": {"zone": "b"}}})));
        w.set("pods", web("other"));
    };
    let (likes, dislikes) = (|| near("podAffinity"), || near("podAntiAffinity"));
    vec![
        row("a pod becomes one that is liked", lonely, likes, (|w| w.set("pods", web("other")), true)),
        row("a pod that is liked comes", lonely, likes, (|w| w.set("pods", web("third")), true)),
        row("a pod that nobody likes comes", lonely, likes, (|w| w.set("pods", on("third", "1", json!({}))), false)),
        row("a pod that is disliked goes", crowded, dislikes, (|w| w.delete("pods", "other"), true)),
        row(
            "a pod becomes one that is not disliked",
            crowded,
            dislikes,
            (|w| w.set("pods", on("other", "1", json!({"metadata": {"labels": {"app": "db"}}}))), true),
        ),
        row("a pod that counts goes", uneven, spread, (|w| w.delete("pods", "other"), true)),
        row("a node in a domain comes", uneven, spread, (|w| w.set("nodes", labelled("n3", "b")), true)),
    ]
}

fn volumes() -> Vec<Row> {
    let bare: fn(&World) = |w| w.set("nodes", node("n1", "4"));
    let waiting: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set(
            "persistentvolumeclaims",
            json!({"metadata": {"name": "c", "namespace": "default"},
            "spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}}),
        );
    };
    vec![
        row(
            "the claim comes",
            bare,
            claiming,
            (
                |w| {
                    w.set(
                        "persistentvolumeclaims",
                        json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {}}),
                    )
                },
                true,
            ),
        ),
        row(
            "the class comes",
            waiting,
            claiming,
            (
                |w| {
                    w.set(
                        "storageclasses",
                        json!({"metadata": {"name": "s"}, "provisioner": "x.example.com",
                "volumeBindingMode": "WaitForFirstConsumer"}),
                    )
                },
                true,
            ),
        ),
    ]
}

fn class(change: Value) -> Value {
    let class = json!({"metadata": {"name": "s"}, "provisioner": "x.example.com",
        "volumeBindingMode": "WaitForFirstConsumer"});
    changed(class, change)
}

fn claim_of(change: Value) -> Value {
    let claim = json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "status": {"phase": "Pending"},
        "spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}});
    changed(claim, change)
}

fn bound_claim(name: &str, volume: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": name,
            "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume}, "status": {"phase": "Bound"}})
}

fn volume(name: &str, change: Value) -> Value {
    let volume = json!({"metadata": {"name": name}, "status": {"phase": "Bound"},
        "spec": {"csi": {"driver": "x.example.com", "volumeHandle": name}}});
    changed(volume, change)
}

fn capacity(size: &str) -> Value {
    json!({"metadata": {"name": "k", "namespace": "default"}, "storageClassName": "s", "capacity": size, "nodeTopology": {}})
}

fn csi_node(change: Value) -> Value {
    changed(
        json!({"metadata": {"name": "n1"}, "spec": {"drivers": [{"name": "x.example.com", "allocatable": {"count": 1}}]}}),
        change,
    )
}

fn claims_of(name: &str, claim: &str) -> Value {
    on(name, "0", json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}}))
}

/// Rejected since no volume can be made on the node.
fn no_topology(w: &World) {
    w.set("nodes", labelled("n1", "a"));
    w.set("persistentvolumeclaims", claim_of(json!({})));
    let elsewhere = json!([{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}]);
    w.set("storageclasses", class(json!({"allowedTopologies": elsewhere})));
}

/// Rejected since the driver has not enough room.
fn no_storage(w: &World) {
    w.set("nodes", node("n1", "4"));
    w.set("persistentvolumeclaims", claim_of(json!({})));
    w.set("storageclasses", class(json!({})));
    w.set("csidrivers", json!({"metadata": {"name": "x.example.com"}, "spec": {"storageCapacity": true}}));
    w.set("csistoragecapacities", capacity("500Mi"));
}

fn binding() -> Vec<Row> {
    let static_only: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set("persistentvolumeclaims", claim_of(json!({})));
        w.set("storageclasses", class(json!({"provisioner": "kubernetes.io/no-provisioner"})));
    };
    vec![
        row(
            "a volume comes",
            static_only,
            claiming,
            (
                |w| {
                    w.set("persistentvolumes", volume("v", json!({"spec": {"storageClassName": "s", "capacity": {"storage": "2Gi"}}, "status": {"phase": "Available"}})))
                },
                true,
            ),
        ),
        row(
            "the class allows more places",
            no_topology,
            claiming,
            (|w| w.set("storageclasses", class(json!({}))), true),
        ),
        row(
            "the class changes otherwise",
            no_topology,
            claiming,
            (
                |w| {
                    let elsewhere = json!([{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}]);
                    w.set(
                        "storageclasses",
                        class(json!({"allowedTopologies": elsewhere, "metadata": {"labels": {"x": "y"}}})),
                    );
                },
                false,
            ),
        ),
        row(
            "the node comes to the right place",
            no_topology,
            claiming,
            (|w| w.set("nodes", labelled("n1", "b")), true),
        ),
        row("there is more storage", no_storage, claiming, (|w| w.set("csistoragecapacities", capacity("2Gi")), true)),
        row(
            "there is less storage",
            no_storage,
            claiming,
            (|w| w.set("csistoragecapacities", capacity("400Mi")), false),
        ),
        row(
            "another driver's storage comes",
            no_storage,
            claiming,
            (|w| w.set("csistoragecapacities", changed(capacity("2Gi"), json!({"metadata": {"name": "l"}}))), true),
        ),
        row(
            "the driver does not tell of its storage any more",
            no_storage,
            claiming,
            (|w| w.set("csidrivers", json!({"metadata": {"name": "x.example.com"}, "spec": {}})), true),
        ),
        row(
            "the driver changes otherwise",
            no_storage,
            claiming,
            (
                |w| {
                    w.set("csidrivers", json!({"metadata": {"name": "x.example.com", "labels": {"x": "y"}}, "spec": {"storageCapacity": true}}))
                },
                false,
            ),
        ),
        row(
            "the CSI node says that a plugin was migrated",
            no_storage,
            claiming,
            (
                |w| {
                    w.set("csinodes", json!({"metadata": {"name": "n1"}, "spec": {}}));
                    w.set("csinodes", json!({"metadata": {"name": "n1", "annotations": {"storage.alpha.kubernetes.io/migrated-plugins": "x"}}, "spec": {}}));
                },
                true,
            ),
        ),
        row(
            "somebody else's claim changes",
            no_storage,
            claiming,
            (|w| w.set("persistentvolumeclaims", claim_of(json!({"metadata": {"name": "d"}}))), false),
        ),
    ]
}

/// Rejected since its volume is in another zone.
fn other_zone(w: &World) {
    w.set("nodes", changed(node("n1", "4"), json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}})));
    w.set("persistentvolumeclaims", bound_claim("c", "v"));
    w.set("persistentvolumes", volume("v", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "b"}}})));
}

/// Rejected since another pod has the claim for itself.
fn taken_claim(w: &World) {
    w.set("nodes", node("n1", "4"));
    let alone = json!({"spec": {"accessModes": ["ReadWriteOncePod"]}});
    w.set("persistentvolumeclaims", changed(bound_claim("c", "v"), alone));
    w.set("persistentvolumes", volume("v", json!({})));
    w.set("pods", claims_of("other", "c"));
    w.set("pods", on("third", "0", json!({})));
}

/// Rejected since the node can attach one volume only.
fn too_many_volumes(w: &World) {
    w.set("nodes", node("n1", "4"));
    w.set("csinodes", csi_node(json!({})));
    for (claim, name) in [("c", "v"), ("d", "w")] {
        w.set("persistentvolumeclaims", bound_claim(claim, name));
        w.set("persistentvolumes", volume(name, json!({})));
    }
    w.set("pods", claims_of("other", "d"));
    w.set("pods", on("third", "0", json!({})));
    let attachment =
        json!({"metadata": {"name": "t"}, "spec": {"attacher": "x.example.com", "nodeName": "n2", "source": {}}});
    w.set("volumeattachments", attachment);
}

fn places_of_volumes() -> Vec<Row> {
    vec![
        row(
            "the volume moves",
            other_zone,
            claiming,
            (
                |w| {
                    w.set(
                        "persistentvolumes",
                        volume("v", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}})),
                    )
                },
                true,
            ),
        ),
        row(
            "the volume stays where it is",
            other_zone,
            claiming,
            (
                |w| {
                    w.set(
                        "persistentvolumes",
                        volume("v", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "b", "x": "y"}}})),
                    )
                },
                false,
            ),
        ),
        row(
            "its claim changes",
            other_zone,
            claiming,
            (
                |w| {
                    w.set(
                        "persistentvolumeclaims",
                        changed(bound_claim("c", "v"), json!({"metadata": {"labels": {"x": "y"}}})),
                    )
                },
                true,
            ),
        ),
        row("who has the claim goes", taken_claim, claiming, (|w| w.delete("pods", "other"), true)),
        row("who does not have it goes", taken_claim, claiming, (|w| w.delete("pods", "third"), false)),
        row("a pod with a volume goes", too_many_volumes, claiming, (|w| w.delete("pods", "other"), true)),
        row("a pod without one goes", too_many_volumes, claiming, (|w| w.delete("pods", "third"), false)),
        row("a volume is detached", too_many_volumes, claiming, (|w| w.delete("volumeattachments", "t"), true)),
        row(
            "the node can attach more",
            too_many_volumes,
            claiming,
            (
                |w| {
                    w.set(
                        "csinodes",
                        csi_node(
                            json!({"spec": {"drivers": [{"name": "x.example.com", "allocatable": {"count": 2}}]}}),
                        ),
                    )
                },
                true,
            ),
        ),
        row(
            "the node can attach no more than before",
            too_many_volumes,
            claiming,
            (|w| w.set("csinodes", csi_node(json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
    ]
}

fn full(w: &World) {
    w.set("nodes", node("n1", "2"));
    w.set("pods", on("other", "2", json!({})));
}

fn asks_for_gpu() -> Value {
    changed(
        pod("p", "1"),
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]}}),
    )
}

fn grown(change: Value) -> Value {
    changed(node("n1", "2"), json!({"status": {"allocatable": change}}))
}

fn amounts() -> Vec<Row> {
    let one = || pod("p", "1");
    let crowded: fn(&World) = |w| {
        w.set("nodes", grown(json!({"pods": "1"})));
        w.set("pods", on("other", "0", json!({})));
    };
    let bare: fn(&World) = |w| w.set("nodes", node("n1", "4"));
    vec![
        row(
            "the node gets more of what is not needed",
            full,
            one,
            (|w| w.set("nodes", grown(json!({"example.com/gpu": "4"}))), false),
        ),
        row("the node has room for more pods", crowded, one, (|w| w.set("nodes", grown(json!({"pods": "2"}))), true)),
        row(
            "the node gets the extended resource",
            bare,
            asks_for_gpu,
            (|w| w.set("nodes", grown(json!({"example.com/gpu": "1"}))), true),
        ),
        row(
            "a class stands for the extended resource",
            bare,
            asks_for_gpu,
            (
                |w| {
                    w.set(
                        "deviceclasses",
                        json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}),
                    )
                },
                true,
            ),
        ),
        row(
            "a class begins to stand for it",
            |w| {
                w.set("nodes", node("n1", "4"));
                w.set("deviceclasses", json!({"metadata": {"name": "gpu"}, "spec": {}}));
            },
            asks_for_gpu,
            (
                |w| {
                    w.set(
                        "deviceclasses",
                        json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}),
                    )
                },
                true,
            ),
        ),
        row(
            "a class stands for another resource",
            bare,
            asks_for_gpu,
            (
                |w| {
                    w.set(
                        "deviceclasses",
                        json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/npu"}}),
                    )
                },
                false,
            ),
        ),
    ]
}

fn needs_restarts() -> Value {
    let rules = json!([{"action": "RestartAllContainers"}]);
    changed(pod("p", "1"), json!({"spec": {"containers": [{"name": "c", "restartPolicyRules": rules}]}}))
}

fn device_claim(status: Value) -> Value {
    let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1}});
    json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "status": status, "spec": {"devices": {"requests": [request]}}})
}

fn held() -> Value {
    json!({"allocation": {"devices": {"results": [{"request": "r", "driver": "x", "pool": "p", "device": "d"}]}}})
}

fn devices() -> Vec<Row> {
    fn scarce(w: &World) {
        w.set("nodes", node("n1", "4"));
        w.set("deviceclasses", json!({"metadata": {"name": "gpu"}, "spec": {}}));
        let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
        w.set(
            "resourceslices",
            json!({"metadata": {"name": "s"},
            "spec": {"driver": "x", "allNodes": true, "pool": pool, "devices": [{"name": "d"}]}}),
        );
        w.set("resourceclaims", device_claim(json!({})));
        w.set("resourceclaims", changed(device_claim(held()), json!({"metadata": {"name": "other", "uid": "o"}})));
    }
    let claims =
        || changed(pod("p", "1"), json!({"spec": {"resourceClaims": [{"name": "a", "resourceClaimName": "c"}]}}));
    let unclassed: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set("resourceclaims", device_claim(json!({})));
    };
    let plain: fn(&World) = |w| w.set("nodes", node("n1", "4"));
    vec![
        row(
            "another claim gives its device back",
            scarce,
            claims,
            (
                |w| {
                    w.set(
                        "resourceclaims",
                        changed(device_claim(json!({})), json!({"metadata": {"name": "other", "uid": "o"}})),
                    )
                },
                true,
            ),
        ),
        row(
            "another claim is reserved",
            scarce,
            claims,
            (
                |w| {
                    let mut status = held();
                    status["reservedFor"] = json!([{"uid": "x"}]);
                    w.set(
                        "resourceclaims",
                        changed(device_claim(status), json!({"metadata": {"name": "other", "uid": "o"}})),
                    );
                },
                false,
            ),
        ),
        row(
            "its own claim gets a label",
            scarce,
            claims,
            (
                |w| {
                    w.set(
                        "resourceclaims",
                        changed(device_claim(json!({})), json!({"metadata": {"labels": {"x": "y"}}})),
                    )
                },
                false,
            ),
        ),
        row(
            "a driver publishes more",
            scarce,
            claims,
            (
                |w| {
                    let pool = json!({"name": "q", "generation": 1, "resourceSliceCount": 1});
                    w.set(
                        "resourceslices",
                        json!({"metadata": {"name": "t"},
                    "spec": {"driver": "x", "allNodes": true, "pool": pool, "devices": [{"name": "d"}]}}),
                    );
                },
                true,
            ),
        ),
        row(
            "the class of devices comes",
            unclassed,
            claims,
            (|w| w.set("deviceclasses", json!({"metadata": {"name": "gpu"}, "spec": {}})), true),
        ),
        row(
            "the node declares the feature",
            plain,
            needs_restarts,
            (
                |w| {
                    w.set(
                        "nodes",
                        changed(
                            node("n1", "4"),
                            json!({"status": {"declaredFeatures": ["RestartAllContainersOnContainerExits"]}}),
                        ),
                    )
                },
                true,
            ),
        ),
        row("the node changes otherwise", plain, needs_restarts, (|w| w.set("nodes", node("n1", "8")), false)),
        row(
            "the pod does not need the feature any more",
            plain,
            needs_restarts,
            (|w| w.set("pods", pod("p", "1")), true),
        ),
        row(
            "the pod changes otherwise",
            plain,
            needs_restarts,
            (|w| w.set("pods", changed(needs_restarts(), json!({"metadata": {"labels": {"x": "y"}}}))), false),
        ),
    ]
}

fn domains() -> Vec<Row> {
    /// The only zone is full of pods that count; the other has a tainted node.
    fn skewed(w: &World) {
        w.set("nodes", labelled("n1", "a"));
        let taint = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
        w.set("nodes", changed(labelled("n2", "b"), taint));
        w.set("pods", web("other"));
    }
    let nowhere: fn(&World) = |w| {
        w.set("nodes", node("n1", "4"));
        w.set("pods", web("other"));
    };
    let likes = || near("podAffinity");
    vec![
        row("a taint goes", skewed, spread, (|w| w.set("nodes", labelled("n2", "b")), true)),
        row("a domain goes", skewed, spread, (|w| w.delete("nodes", "n2"), true)),
        row("the node gets the key", nowhere, spread, (|w| w.set("nodes", labelled("n1", "a")), true)),
        row("a pod that counts comes", skewed, spread, (|w| w.set("pods", web("third")), true)),
        row("a pod that does not count comes", skewed, spread, (|w| w.set("pods", on("third", "0", json!({}))), false)),
        row("the node gets the key of an affinity", nowhere, likes, (|w| w.set("nodes", labelled("n1", "a")), true)),
        row(
            "a node with the key of an affinity comes",
            nowhere,
            likes,
            (|w| w.set("nodes", labelled("n2", "a")), true),
        ),
        row("a node without the key comes", nowhere, likes, (|w| w.set("nodes", node("n2", "4")), false)),
    ]
}

#[tokio::test(start_paused = true)]
async fn core_resource_enqueue() {
    let rows = [
        taints(),
        resources(),
        ports_and_labels(),
        other_pods(),
        volumes(),
        binding(),
        places_of_volumes(),
        amounts(),
        devices(),
        domains(),
    ];
    for row in rows.into_iter().flatten() {
        let world = World::default();
        (row.before)(&world);
        world.set("pods", (row.pod)());
        let script = async {
            seconds(2).await;
            let before = world.writes().len();
            assert!(world.node_of("p").is_none() && before > 0, "{}: not rejected", row.name);
            (row.trigger)(&world);
            seconds(20).await;
            let tried = world.writes().len() > before;
            assert_eq!(tried, row.requeued, "{}: {:?}", row.name, world.writes());
        };
        beside(&world, Options::default(), script).await;
    }
}
