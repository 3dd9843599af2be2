//! Volumes, their claims, classes, drivers and zones.

use super::*;

fn claiming() -> Value {
    p("1", json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}))
}

fn class(change: Value) -> Value {
    let class = json!({"metadata": {"name": "s"}, "provisioner": "x.example.com",
        "volumeBindingMode": "WaitForFirstConsumer"});
    changed(class, change)
}

fn claim(change: Value) -> Value {
    let claim = json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "status": {"phase": "Pending"},
        "spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}});
    changed(claim, change)
}

fn bound(name: &str, volume: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": name,
            "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume}, "status": {"phase": "Bound"}})
}

fn volume(name: &str, change: Value) -> Value {
    let volume = json!({"metadata": {"name": name}, "status": {"phase": "Bound"},
        "spec": {"csi": {"driver": "x.example.com", "volumeHandle": name}}});
    changed(volume, change)
}

/// A volume that nobody has yet.
fn free(size: &str) -> Value {
    let spec = json!({"storageClassName": "s", "capacity": {"storage": size}});
    volume("v", json!({"spec": spec, "status": {"phase": "Available"}}))
}

fn capacity(name: &str, size: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "storageClassName": "s", "capacity": size,
        "nodeTopology": {}})
}

fn csi_node(count: u32) -> Value {
    let driver = json!({"name": "x.example.com", "allocatable": {"count": count}});
    json!({"metadata": {"name": "n1"}, "spec": {"drivers": [driver]}})
}

fn driver(spec: Value) -> Value {
    json!({"metadata": {"name": "x.example.com"}, "spec": spec})
}

fn uses(name: &str, claim: &str) -> Value {
    on(name, "0", json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}}))
}

/// Volumes of the class can be made in that zone only.
fn only_in(zone: &str) -> Value {
    class(json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": [zone]}]}]}))
}

fn in_zone(name: &str, zone: &str) -> Value {
    changed(node(name, "4"), json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
}

fn volume_in(zone: &str) -> Value {
    volume("v", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
}

pub(super) fn scenes() -> Vec<Scene> {
    [claims(), topologies(), storage(), zones(), limits()].into_iter().flatten().collect()
}

fn claims() -> Vec<Scene> {
    let bare = || ("nodes", node("n1", "4"));
    let class_of_static = class(json!({"provisioner": "kubernetes.io/no-provisioner"}));
    let alone = changed(bound("c", "v"), json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}));
    let taken = [
        bare(),
        ("persistentvolumeclaims", alone),
        ("persistentvolumes", volume("v", json!({}))),
        ("pods", uses("other", "c")),
        ("pods", on("third", "0", json!({}))),
    ];
    vec![
        Scene::new([bare()], claiming())
            .wakes("the claim comes", set("persistentvolumeclaims", claim(json!({}))))
            .sleeps("another claim comes", {
                set("persistentvolumeclaims", claim(json!({"metadata": {"name": "d"}})))
            }),
        Scene::new([bare(), ("persistentvolumeclaims", claim(json!({})))], claiming())
            .wakes("the class comes", set("storageclasses", class(json!({})))),
        Scene::new([bare(), ("persistentvolumeclaims", bound("c", "v"))], claiming())
            .wakes("the volume of the claim comes", set("persistentvolumes", volume("v", json!({})))),
        Scene::new(
            [bare(), ("persistentvolumeclaims", claim(json!({}))), ("storageclasses", class_of_static)],
            claiming(),
        )
        .wakes("a volume comes", set("persistentvolumes", free("2Gi")))
        .wakes("the claim is bound", {
            let objects = [("persistentvolumes", volume("v", json!({}))), ("persistentvolumeclaims", bound("c", "v"))];
            Change::Set(objects.to_vec())
        }),
        Scene::new(taken, claiming())
            .wakes("who has the claim goes", gone("pods", "other"))
            .sleeps("who does not have it goes", gone("pods", "third"))
            .sleeps("another claim comes that is not the pod's", {
                set("persistentvolumeclaims", claim(json!({"metadata": {"name": "d"}})))
            }),
    ]
}

fn topologies() -> Vec<Scene> {
    let elsewhere = [
        ("nodes", labelled("n1", "a")),
        ("persistentvolumeclaims", claim(json!({}))),
        ("storageclasses", only_in("b")),
    ];
    let reachable = |zone: &str| {
        let expression = json!({"key": "zone", "operator": "In", "values": [zone]});
        let required = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
        volume("v", json!({"spec": {"nodeAffinity": {"required": required}}}))
    };
    let out_of_reach = [
        ("nodes", labelled("n1", "a")),
        ("persistentvolumeclaims", bound("c", "v")),
        ("persistentvolumes", reachable("b")),
    ];
    vec![
        Scene::new(elsewhere, claiming())
            .wakes("the class allows more places", set("storageclasses", class(json!({}))))
            .sleeps("the class changes otherwise", set("storageclasses", noted(only_in("b"))))
            .wakes("the node comes to the right place", set("nodes", labelled("n1", "b")))
            .wakes("a node in the right place comes", set("nodes", labelled("n2", "b"))),
        Scene::new(out_of_reach, claiming())
            .wakes("the volume can be reached from the node", set("persistentvolumes", reachable("a")))
            .wakes("a node that reaches the volume comes", set("nodes", labelled("n2", "b"))),
    ]
}

fn storage() -> Vec<Scene> {
    let scarce = || {
        vec![
            ("nodes", node("n1", "4")),
            ("persistentvolumeclaims", claim(json!({}))),
            ("storageclasses", class(json!({}))),
            ("csidrivers", driver(json!({"storageCapacity": true}))),
            ("csistoragecapacities", capacity("k", "500Mi")),
        ]
    };
    let counted = || scarce().into_iter().chain([("csinodes", csi_node(1))]);
    let own = json!({"name": "w", "csi": {"driver": "x.example.com"}});
    let mut naming = claiming();
    naming["spec"]["volumes"].as_array_mut().unwrap().push(own);
    let migrated = json!({"metadata": {"annotations": {"storage.alpha.kubernetes.io/migrated-plugins": "x"}}});
    vec![
        Scene::new(scarce(), claiming())
            .wakes("there is more storage", set("csistoragecapacities", capacity("k", "2Gi")))
            .sleeps("there is less storage", set("csistoragecapacities", capacity("k", "400Mi")))
            .wakes("somewhere else is storage", set("csistoragecapacities", capacity("l", "2Gi")))
            .sleeps("a driver that the pod does not name does not tell of its storage any more", {
                set("csidrivers", driver(json!({})))
            })
            .sleeps("the driver changes otherwise", {
                set("csidrivers", noted(driver(json!({"storageCapacity": true}))))
            })
            .wakes("a volume that exists is free", set("persistentvolumes", free("2Gi")))
            .wakes("the CSI node comes", set("csinodes", csi_node(1)))
            .sleeps("somebody else's claim changes", {
                set("persistentvolumeclaims", claim(json!({"metadata": {"name": "d"}})))
            }),
        Scene::new(scarce(), naming)
            .wakes("the driver does not tell of its storage any more", set("csidrivers", driver(json!({})))),
        Scene::new(counted(), claiming())
            .wakes("the CSI node says that a plugin was migrated", set("csinodes", changed(csi_node(1), migrated)))
            .sleeps("the CSI node changes otherwise", set("csinodes", noted(csi_node(1)))),
    ]
}

fn zones() -> Vec<Scene> {
    let other_zone = || {
        [
            ("nodes", in_zone("n1", "a")),
            ("persistentvolumeclaims", bound("c", "v")),
            ("persistentvolumes", volume_in("b")),
        ]
    };
    vec![
        Scene::new(other_zone(), claiming())
            .wakes("the volume moves", set("persistentvolumes", volume_in("a")))
            .sleeps("the volume stays where it is", set("persistentvolumes", noted(volume_in("b"))))
            .wakes("another volume comes", set("persistentvolumes", volume("w", json!({}))))
            .wakes("its claim changes", set("persistentvolumeclaims", noted(bound("c", "v"))))
            .wakes("the node moves", set("nodes", in_zone("n1", "b")))
            .wakes("a class comes whose volumes wait for pods", set("storageclasses", class(json!({}))))
            .sleeps("a class comes whose volumes do not wait", {
                set("storageclasses", class(json!({"volumeBindingMode": "Immediate"})))
            }),
    ]
}

fn limits() -> Vec<Scene> {
    let attachment = |attacher: &str| json!({"metadata": {"name": "t"}, "spec": {"attacher": attacher, "nodeName": "n2", "source": {}}});
    let mut too_many = vec![
        ("nodes", node("n1", "4")),
        ("csinodes", csi_node(1)),
        ("pods", uses("other", "d")),
        ("pods", on("third", "0", json!({}))),
        ("volumeattachments", attachment("x.example.com")),
    ];
    for (claim, name) in [("c", "v"), ("d", "w")] {
        too_many.push(("persistentvolumeclaims", bound(claim, name)));
        too_many.push(("persistentvolumes", volume(name, json!({}))));
    }
    // Disks that are named in the pods themselves, and that a driver has taken over.
    let disk = |name: &str| json!({"spec": {"volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": name}}]}});
    let ebs = |annotations: Value| {
        let driver = json!({"name": "ebs.csi.aws.com", "allocatable": {"count": 1}});
        json!({"metadata": {"name": "n1", "annotations": annotations}, "spec": {"drivers": [driver]}})
    };
    let migrated = ebs(json!({"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}));
    let inline = |attacher: &str| {
        [
            ("nodes", node("n1", "4")),
            ("csinodes", migrated.clone()),
            ("pods", on("other", "0", disk("one"))),
            ("volumeattachments", attachment(attacher)),
        ]
    };
    vec![
        Scene::new(too_many, claiming())
            .wakes("a pod with a volume goes", gone("pods", "other"))
            .sleeps("a pod without one goes", gone("pods", "third"))
            .wakes("a volume is detached", gone("volumeattachments", "t"))
            .wakes("the node can attach more", set("csinodes", csi_node(2)))
            .sleeps("the node can attach no more than before", set("csinodes", noted(csi_node(1)))),
        Scene::new(inline("ebs.csi.aws.com"), p("0", disk("two")))
            .wakes("a disk of the same driver is detached", gone("volumeattachments", "t"))
            .wakes("a pod with a disk goes", gone("pods", "other")),
        Scene::new(inline("disk.csi.azure.com"), p("0", disk("two")))
            .sleeps("a disk of another driver is detached", gone("volumeattachments", "t")),
    ]
}
