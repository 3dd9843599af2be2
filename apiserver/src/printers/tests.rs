use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T00:05:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Prints the object, which gets a name and an age of five minutes.
fn check(group: &str, resource: &str, mut object: Value, expect: Value) {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let printer = printer_for(group, resource);
    let cells = printer.cells(&object, now());
    // Upstream's rows of addresses have a cell more than there are columns.
    let more = usize::from(resource == "ipaddresses");
    assert_eq!(cells.len(), printer.columns().len() + more, "{resource}");
    assert_eq!(Value::from(cells), expect, "{resource}");
}

fn workload(spec: Value, status: Value) -> Value {
    let mut object = json!({"spec": spec, "status": status});
    object["spec"]["template"] = json!({"metadata": {"labels": {"app": "web"}}, "spec": {
        "nodeSelector": {"disk": "ssd"},
        "containers": [{"name": "web", "image": "nginx:1"}, {"name": "side", "image": "envoy:1"}]}});
    object
}

fn selecting() -> Value {
    json!({"matchLabels": {"app": "web"}})
}

#[test]
fn workloads() {
    let (names, images) = ("web,side", "nginx:1,envoy:1");
    check(
        "apps",
        "deployments",
        workload(
            json!({"replicas": 3, "selector": selecting()}),
            json!({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}),
        ),
        json!(["x", "2/3", 1, 2, "5m", names, images, "app=web"]),
    );
    check(
        "apps",
        "replicasets",
        workload(json!({"replicas": 2}), json!({"replicas": 1})),
        json!(["x", 2, 1, 0, "5m", names, images, "<none>"]),
    );
    check(
        "",
        "replicationcontrollers",
        workload(json!({"replicas": 1, "selector": {"app": "web"}}), json!({"readyReplicas": 1})),
        json!(["x", 1, 0, 1, "5m", names, images, "app=web"]),
    );
    check(
        "apps",
        "statefulsets",
        workload(json!({"replicas": 1}), json!({})),
        json!(["x", "0/1", "5m", names, images]),
    );
    check(
        "apps",
        "daemonsets",
        workload(
            json!({"selector": selecting()}),
            json!({"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
                "updatedNumberScheduled": 2, "numberAvailable": 1}),
        ),
        json!(["x", 5, 4, 3, 2, 1, "disk=ssd", "5m", names, images, "app=web"]),
    );
    let mut template = workload(json!({}), json!({}));
    template["template"] = template["spec"]["template"].take();
    check("", "podtemplates", template, json!(["x", names, images, "app=web"]));
    check(
        "apps",
        "controllerrevisions",
        json!({"revision": 4, "metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true}]}}),
        json!(["x", "statefulset.apps/db", 4, "5m"]),
    );
}

#[test]
fn jobs() {
    let check = |spec: Value, status: Value, expect: [&str; 3]| {
        let cells = printer_for("batch", "jobs").cells(&workload(spec, status), now());
        assert_eq!(cells[1..4], expect.map(Value::from));
    };
    let is = |kinds: &[&str]| kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect::<Vec<_>>();
    let start = "2026-01-01T00:00:00Z";
    check(json!({"completions": 1}), json!({"startTime": start}), ["Running", "0/1", "5m"]);
    check(
        json!({"completions": 1}),
        json!({"startTime": start, "completionTime": "2026-01-01T00:02:05Z", "succeeded": 1,
            "conditions": is(&["SuccessCriteriaMet", "Complete"])}),
        ["Complete", "1/1", "2m5s"],
    );
    check(
        json!({"completions": 1}),
        json!({"startTime": start, "conditions": is(&["FailureTarget", "Failed"])}),
        ["Failed", "0/1", "5m"],
    );
    check(json!({"parallelism": 3}), json!({"conditions": is(&["Suspended"])}), ["Suspended", "0/1 of 3", ""]);
    check(json!({"parallelism": 1}), json!({"conditions": is(&["FailureTarget"])}), ["FailureTarget", "0/1", ""]);
}

#[test]
fn cron_jobs() {
    let job = json!({"spec": {"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}}}});
    check(
        "batch",
        "cronjobs",
        json!({"spec": {"schedule": "0 3 * * *", "timeZone": "Etc/UTC", "suspend": false, "jobTemplate": job.clone()}}),
        json!(["x", "0 3 * * *", "Etc/UTC", "False", 0, "<none>", "5m", "work", "busybox", "<none>"]),
    );
    check(
        "batch",
        "cronjobs",
        json!({"spec": {"schedule": "@weekly", "suspend": true, "jobTemplate": job},
            "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:04:50Z"}}),
        json!(["x", "@weekly", "<none>", "True", 1, "10s", "5m", "work", "busybox", "<none>"]),
    );
}

#[test]
fn services() {
    for (spec, ingress, expect) in [
        (
            json!({"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP"}],
                "selector": {"tier": "x", "app": "web"}}),
            json!([]),
            ["ClusterIP", "None", "<none>", "80/TCP", "5m", "app=web,tier=x"],
        ),
        (
            json!({"type": "ExternalName", "externalName": "db.example.com"}),
            json!([]),
            ["ExternalName", "<none>", "db.example.com", "<none>", "5m", "<none>"],
        ),
        (
            json!({"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [
                {"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]}),
            json!([]),
            ["LoadBalancer", "10.0.0.1", "<pending>", "80/TCP,53:30053/UDP", "5m", "<none>"],
        ),
        (
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.9"]}),
            json!([{"hostname": "lb.example.com"}, {"ip": "192.0.2.1"}]),
            ["LoadBalancer", "10.0.0.1", "192.0.2.1,lb.example.com,192.0.2.9", "<none>", "5m", "<none>"],
        ),
        (
            json!({"type": "NodePort", "clusterIP": "10.0.0.1", "externalIPs": ["a", "b"]}),
            json!([]),
            ["NodePort", "10.0.0.1", "a,b", "<none>", "5m", "<none>"],
        ),
    ] {
        let object = json!({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}});
        let expect: Vec<_> = ["x"].into_iter().chain(expect).collect();
        check("", "services", object, json!(expect));
    }
}

#[test]
fn endpoints_and_slices() {
    let subset =
        json!({"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"port": 80}, {"port": 81}]});
    check(
        "",
        "endpoints",
        json!({"subsets": [subset]}),
        json!(["x", "192.0.2.1:80,192.0.2.2:80,192.0.2.1:81 + 1 more...", "5m"]),
    );
    check("", "endpoints", json!({}), json!(["x", "<none>", "5m"]));
    check("", "endpoints", json!({"subsets": [{"notReadyAddresses": [{"ip": "a"}]}]}), json!(["x", "", "5m"]));
    check(
        "",
        "endpoints",
        json!({"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}, {"addresses": [{"ip": "a"}]}]}),
        json!(["x", "[fd00::1]:80,a", "5m"]),
    );
    let endpoints: Vec<_> = (1..=5).map(|i| json!({"addresses": [format!("192.0.2.{i}")]})).collect();
    check(
        "discovery.k8s.io",
        "endpointslices",
        json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80, "name": "a"}, {"name": "any"}, {}]}),
        json!(["x", "IPv4", "80,any,*", "192.0.2.1,192.0.2.2,192.0.2.3 + 2 more...", "5m"]),
    );
    check(
        "discovery.k8s.io",
        "endpointslices",
        json!({"addressType": "FQDN", "endpoints": [], "ports": [{"name": ""}]}),
        json!(["x", "FQDN", "<unset>", "<unset>", "5m"]),
    );
}

#[test]
fn networking_kinds() {
    let group = "networking.k8s.io";
    let rules: Vec<_> = ["one", "two", "three", "four"].map(|host| json!({"host": host})).into();
    check(
        group,
        "ingresses",
        json!({"spec": {"ingressClassName": "c", "tls": [{}], "rules": rules},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb"}]}}}),
        json!(["x", "c", "one,two,three + 1 more...", "192.0.2.1,lb", "80, 443", "5m"]),
    );
    check(group, "ingresses", json!({"spec": {}}), json!(["x", "<none>", "*", "", "80", "5m"]));
    // Rules without a host are counted once there is more than what shows.
    for (hosts, expect) in [
        (["", "a", "", "b", ""], "a,b"),
        (["", "a", "b", "c", ""], "a,b,c + 2 more..."),
        (["", "", "a", "b", "c"], "a,b,c"),
    ] {
        let rules: Vec<_> = hosts.iter().map(|host| json!({"host": host})).collect();
        check(group, "ingresses", json!({"spec": {"rules": rules}}), json!(["x", "<none>", expect, "", "80", "5m"]));
    }
    check(
        group,
        "ingressclasses",
        json!({"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}}),
        json!(["x", "c", "K.g/n", "5m"]),
    );
    check(group, "ingressclasses", json!({"spec": {"controller": "c"}}), json!(["x", "c", "<none>", "5m"]));
    check(group, "networkpolicies", json!({"spec": {"podSelector": {}}}), json!(["x", "<none>", "5m"]));
    check(group, "servicecidrs", json!({"spec": {"cidrs": ["a", "b"]}}), json!(["x", "a,b", "5m"]));
    check(
        group,
        "ipaddresses",
        json!({"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}}),
        json!(["x", "services/default/kubernetes", "5m"]),
    );
}

#[test]
fn nodes() {
    let node = |unschedulable: bool, conditions: Value| {
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge", "a": "b"}},
            "spec": {"unschedulable": unschedulable},
            "status": {"conditions": conditions, "addresses": [{"type": "InternalIP", "address": "192.0.2.11"}],
                "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6.8", "architecture": "arm64"}},
        })
    };
    let expect = |status: &str| {
        json!(["x", status, "edge,worker", "5m", "v1", "192.0.2.11", "<none>", "Debian", "6.8 (arm64)", "<unknown>"])
    };
    let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
    check("", "nodes", node(false, ready("True")), expect("Ready"));
    check("", "nodes", node(true, ready("True")), expect("Ready,SchedulingDisabled"));
    check("", "nodes", node(false, ready("Unknown")), expect("NotReady"));
    check("", "nodes", node(false, json!([])), expect("Unknown"));
}

#[test]
fn events_of_both_groups_show_the_same() {
    let expect =
        json!(["60s", "Normal", "Pulled", "pod/web", "spec.containers{web}", "kubelet, n1", "Done", "5m", 4, "x"]);
    check(
        "",
        "events",
        json!({"type": "Normal", "reason": "Pulled", "message": "Done\n", "count": 4,
            "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"},
            "source": {"component": "kubelet", "host": "n1"}, "reportingComponent": "other",
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:04:00Z"}),
        expect.clone(),
    );
    check(
        "events.k8s.io",
        "events",
        json!({"type": "Normal", "reason": "Pulled", "note": "Done", "series": {"count": 4,
                "lastObservedTime": "2026-01-01T00:04:00.000000Z"},
            "regarding": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"},
            "reportingController": "kubelet", "reportingInstance": "n1",
            "eventTime": "2026-01-01T00:00:00.000000Z"}),
        expect,
    );
    check(
        "",
        "events",
        json!({"involvedObject": {"kind": "Node"}}),
        json!(["<unknown>", "", "", "node", "", "", "", "<unknown>", 1, "x"]),
    );
}

#[test]
fn kinds_of_the_core_group() {
    check("", "namespaces", json!({"status": {"phase": "Active"}}), json!(["x", "Active", "5m"]));
    check("", "configmaps", json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": ""}}), json!(["x", 3, "5m"]));
    check("", "secrets", json!({"type": "Opaque", "data": {"a": ""}}), json!(["x", "Opaque", 1, "5m"]));
    check("", "serviceaccounts", json!({}), json!(["x", "5m"]));
    check("", "limitranges", json!({}), json!(["x", "2026-01-01T00:00:00Z"]));
    check(
        "",
        "resourcequotas",
        json!({"status": {"hard": {"pods": "4", "limits.cpu": "2", "requests.cpu": 1}, "used": {"pods": "1"}}}),
        json!(["x", "pods: 1/4, requests.cpu: 0/1", "limits.cpu: 0/2", "5m"]),
    );
    check(
        "",
        "componentstatuses",
        json!({"conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]}),
        json!(["x", "Healthy", "ok", ""]),
    );
}

#[test]
fn volumes_and_what_makes_them() {
    check(
        "",
        "persistentvolumes",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"},
            "storageClassName": "s", "volumeMode": "Block"}, "status": {"phase": "Bound"}}),
        json!(["x", "1Gi", "RWO,RWX", "Retain", "Bound", "n/c", "s", "<unset>", "", "5m", "Block"]),
    );
    check(
        "",
        "persistentvolumeclaims",
        json!({"spec": {"volumeAttributesClassName": ""}, "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}}),
        json!(["x", "Pending", "", "", "", "", "", "5m", "<unset>"]),
    );
    check(
        "",
        "persistentvolumeclaims",
        json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"volumeName": "v", "storageClassName": "s"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}}),
        json!(["x", "Terminating", "v", "1Gi", "RWOP", "s", "<unset>", "5m", "<unset>"]),
    );
    let group = "storage.k8s.io";
    check(
        group,
        "storageclasses",
        json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
        json!(["x (default)", "p", "Delete", "Immediate", false, "5m"]),
    );
    check(
        group,
        "volumeattributesclasses",
        json!({"metadata": {"annotations": {"volumeattributesclass.alpha.kubernetes.io/is-default-class": "true"}},
            "driverName": "d"}),
        json!(["x (default)", "d", "5m"]),
    );
    check(group, "csinodes", json!({"spec": {"drivers": [{}]}}), json!(["x", 1, "5m"]));
    check(
        group,
        "csidrivers",
        json!({"spec": {"volumeLifecycleModes": ["Persistent"]}}),
        json!(["x", true, false, false, "<unset>", false, "Persistent", "5m"]),
    );
    check(
        group,
        "volumeattachments",
        json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}),
        json!(["x", "a", "v", "n", false, "5m"]),
    );
}

#[test]
fn autoscalers() {
    let check_targets = |spec: Value, status: Value, expect: &str| {
        let cells = printer_for("autoscaling", "horizontalpodautoscalers")
            .cells(&json!({"spec": spec, "status": status}), now());
        assert_eq!(cells[2], expect);
    };
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}});
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"averageValue": "512Mi"}}});
    let pods = json!({"type": "Pods", "pods": {"target": {"averageValue": "100"}}});
    let external = json!({"type": "External", "external": {"target": {"value": "30"}}});
    check_targets(json!({"metrics": [cpu]}), json!({}), "cpu: <unknown>/80%");
    check_targets(
        json!({"metrics": [cpu]}),
        json!({"currentMetrics": [{"type": "Resource", "resource": {"current": {"averageUtilization": 40}}}]}),
        "cpu: 40%/80%",
    );
    check_targets(
        json!({"metrics": [memory, pods, external]}),
        json!({}),
        "memory: <unknown>/512Mi, <unknown>/100 + 1 more...",
    );
    check_targets(json!({"metrics": [external]}), json!({}), "<unknown>/30");
    check_targets(
        json!({"metrics": [external]}),
        json!({"currentMetrics": [{"type": "External", "external": {"current": {}}}]}),
        "<nil>/30",
    );
    check_targets(
        json!({"metrics": [memory]}),
        json!({"currentMetrics": [{"type": "Resource", "resource": {"current": {"averageUtilization": 3}}}]}),
        "memory: <nil>/512Mi",
    );
    check_targets(json!({"targetCPUUtilizationPercentage": 70}), json!({}), "cpu: <unknown>/70%");
    check_targets(json!({}), json!({}), "<none>");
    check(
        "autoscaling",
        "horizontalpodautoscalers",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5}}),
        json!(["x", "Deployment/web", "<none>", "1", 5, 0, "5m"]),
    );
    check("apps", "scale", json!({"spec": {"replicas": 3}, "status": {"replicas": 4}}), json!(["x", 3, 4, "5m"]));
}

#[test]
fn rules_and_policies() {
    let rbac = "rbac.authorization.k8s.io";
    check(
        rbac,
        "rolebindings",
        json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [
            {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
        json!(["x", "ClusterRole/view", "5m", "a, b", "", "n/s"]),
    );
    check(rbac, "roles", json!({}), json!(["x", "2026-01-01T00:00:00Z"]));
    check(
        "policy",
        "poddisruptionbudgets",
        json!({"spec": {"maxUnavailable": "25%"}, "status": {"disruptionsAllowed": 1}}),
        json!(["x", "N/A", "25%", 1, "5m"]),
    );
    let admission = "admissionregistration.k8s.io";
    check(admission, "validatingwebhookconfigurations", json!({"webhooks": [{}, {}]}), json!(["x", 2, "5m"]));
    check(
        admission,
        "validatingadmissionpolicies",
        json!({"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}}),
        json!(["x", 1, "v1/ConfigMap", "5m"]),
    );
    check(
        admission,
        "validatingadmissionpolicybindings",
        json!({"spec": {"policyName": "p", "paramRef": {"name": "n", "namespace": "m"}}}),
        json!(["x", "p", "m/n", "5m"]),
    );
    let binding = |param: Value, expect: &str| {
        let object = json!({"spec": {"policyName": "p", "paramRef": param}});
        check(admission, "mutatingadmissionpolicybindings", object, json!(["x", "p", expect, "5m"]));
    };
    binding(Value::Null, "<unset>");
    binding(json!({"name": "n"}), "*/n");
    binding(
        json!({"selector": {"matchLabels": {"b": "c", "a": "b"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "w"]}]}}),
        "&LabelSelector{MatchLabels:map[string]string{a: b,b: c,},\
         MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[v w],},},}",
    );
    binding(
        json!({"selector": {}}),
        "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}",
    );
    let flow = "flowcontrol.apiserver.k8s.io";
    check(
        flow,
        "flowschemas",
        json!({"spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 9}}),
        json!(["x", "p", 9, "<none>", "5m", "?"]),
    );
    check(
        flow,
        "prioritylevelconfigurations",
        json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 30}}}),
        json!(["x", "Limited", 30, "<none>", "<none>", "<none>", "5m"]),
    );
}

#[test]
fn remaining_kinds() {
    check("coordination.k8s.io", "leases", json!({"spec": {"holderIdentity": "b_1"}}), json!(["x", "b_1", "5m"]));
    check(
        "scheduling.k8s.io",
        "priorityclasses",
        json!({"value": 1_000_000, "preemptionPolicy": "Never"}),
        json!(["x", 1_000_000, false, "5m", "Never"]),
    );
    check("node.k8s.io", "runtimeclasses", json!({"handler": "h"}), json!(["x", "h", "5m"]));
    check(
        "certificates.k8s.io",
        "certificatesigningrequests",
        json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
            "status": {"certificate": "YQ==", "conditions": [{"type": "Approved", "status": "True"}]}}),
        json!(["x", "5m", "s", "u", "60m", "Approved,Issued"]),
    );
    check(
        "apiregistration.k8s.io",
        "apiservices",
        json!({"spec": {"service": {"namespace": "n", "name": "s"}},
            "status": {"conditions": [{"type": "Available", "status": "False", "reason": "ServiceNotFound"}]}}),
        json!(["x", "n/s", "False (ServiceNotFound)", "5m"]),
    );
    check(
        "apiregistration.k8s.io",
        "apiservices",
        json!({"status": {"conditions": [{"type": "Available", "status": "False"}]}}),
        json!(["x", "Local", "False", "5m"]),
    );
    let dra = "resource.k8s.io";
    check(dra, "resourceclaims", json!({}), json!(["x", "pending", "5m"]));
    check(
        dra,
        "resourceclaims",
        json!({"status": {"allocation": {}, "reservedFor": [{}]}}),
        json!(["x", "allocated,reserved", "5m"]),
    );
    check(
        dra,
        "resourceslices",
        json!({"spec": {"nodeName": "n", "driver": "d", "pool": {"name": "p"}}}),
        json!(["x", "n", "d", "p", "5m"]),
    );
    check("example.com", "widgets", json!({}), json!(["x", "2026-01-01T00:00:00Z"]));
}

#[test]
fn the_columns_of_a_table() {
    let check = |group: &str, resource: &str, expect: &[&str]| {
        let columns = printer_for(group, resource).columns();
        let seen: Vec<_> = columns
            .iter()
            .map(|it| {
                let star = if it.priority > 0 { "*" } else { "" };
                let kind = if it.kind == "string" { String::new() } else { format!(" :{}", it.kind) };
                format!("{}{star}{kind}", it.name)
            })
            .collect();
        assert_eq!(seen, expect);
        assert_eq!(columns.iter().filter(|it| it.format == "name").count(), 1);
        assert!(columns.iter().all(|it| !it.description.is_empty()));
    };
    check(
        "",
        "pods",
        &["Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*"],
    );
    check("", "limitranges", &["Name", "Created At :date"]);
    check(
        "apps",
        "replicasets",
        &[
            "Name",
            "Desired :integer",
            "Current :integer",
            "Ready :integer",
            "Age",
            "Containers*",
            "Images*",
            "Selector*",
        ],
    );
    check(
        "",
        "events",
        &[
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "Subobject*",
            "Source*",
            "Message",
            "First Seen*",
            "Count*",
            "Name*",
        ],
    );
}

#[test]
fn tables_carry_what_was_asked_for() {
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "status": {"phase": "Failed"}});
    let options = |columns, include| TableOptions { version: "v1", columns, include, now: now() };
    let printer = printer_for("", "pods");
    let make = |options: TableOptions| table(printer.as_ref(), [&object], json!({"resourceVersion": "7"}), &options);
    let full = make(options(true, IncludeObject::Object));
    assert_eq!(full["kind"], "Table");
    assert_eq!(full["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(full["metadata"]["resourceVersion"], "7");
    assert_eq!(full["columnDefinitions"][0]["type"], "string");
    assert_eq!(full["rows"][0]["object"], object);
    assert_eq!(full["rows"][0]["conditions"][0]["type"], "Completed");
    let later = make(options(false, IncludeObject::Metadata));
    assert_eq!(later["columnDefinitions"], Value::Null);
    assert_eq!(later["rows"][0]["object"], partial(&object, "v1"));
    assert_eq!(partial(&object, "v1")["kind"], "PartialObjectMetadata");
    assert_eq!(partial(&object, "v1").get("status"), None);
    let bare = make(options(true, IncludeObject::None));
    assert_eq!(bare["rows"][0]["object"], Value::Null);
}

#[test]
fn include_object_is_one_of_three() {
    assert_eq!("".parse(), Ok(IncludeObject::Metadata));
    assert_eq!("None".parse(), Ok(IncludeObject::None));
    let error = "Everything".parse::<IncludeObject>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Everything\": \
         must be 'Metadata', 'Object', 'None', or empty"
    );
}
