//! What a pod specification says when it says nothing. Source: `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`.

use serde_json::{Value, json};
use steersman_machinery::meta;

use crate::kinds::check::amount;

/// The mode of files in a volume: 0644.
const FILE_MODE: i64 = 0o644;

/// Fills in a pod specification, alone or in a template.
pub(crate) fn pod_spec(spec: &mut Value) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        meta::set_default(spec, &[field], value);
    }
    service_account(spec);
    drop_disabled(spec);
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, field, container);
    }
    each(spec, "volumes", volume);
}

/// Forgets what belongs to features that are off by default in this version.
fn drop_disabled(spec: &mut Value) {
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, field, |container| drop(meta::remove(container, &["lifecycle", "stopSignal"])));
    }
    each(spec, "volumes", |volume| {
        if let Some(projected) = volume.get_mut("projected") {
            each(projected, "sources", |source| {
                for disabled in ["clusterTrustBundle", "podCertificate"] {
                    meta::remove(source, &[disabled]);
                }
            });
        }
    });
}

/// Fills in what only pods have, not templates.
pub(crate) fn pod_only(spec: &mut Value) {
    meta::set_default(spec, &["enableServiceLinks"], true);
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default();
    for field in ["containers", "initContainers"] {
        each(spec, field, |container| {
            requests_from_limits(container);
            if host_network {
                each(container, "ports", host_port);
            }
        });
    }
    pod_level_requests(spec);
}

/// The addresses of a pod: `podIP` is the first of `podIPs`; where they differ, the old field decides.
pub(crate) fn pod_status(object: &mut Value) {
    let Some(status) = object.get_mut("status").filter(|status| status.is_object()) else {
        return;
    };
    let first = meta::items(status, &["podIPs"]).first().map_or(String::new(), |ip| meta::text(ip, &["ip"]).to_owned());
    let ip = meta::text(status, &["podIP"]).to_owned();
    if ip.is_empty() && !first.is_empty() {
        meta::set(status, &["podIP"], first);
    } else if ip != first {
        meta::set(status, &["podIPs"], json!([{"ip": ip}]));
    }
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        each(status, field, container_status);
    }
}

/// The two states of a container are always written.
fn container_status(status: &mut Value) {
    for field in ["state", "lastState"] {
        meta::set_default(status, &[field], json!({}));
        for state in ["running", "terminated"] {
            if let Some(state) = meta::at_mut(status, &[field, state]).filter(|state| state.is_object()) {
                meta::set_default(state, &["startedAt"], Value::Null);
            }
        }
        if let Some(state) = meta::at_mut(status, &[field, "terminated"]).filter(|state| state.is_object()) {
            meta::set_default(state, &["finishedAt"], Value::Null);
        }
    }
}

/// Calls `with` on each item of the list `field`.
pub(crate) fn each(value: &mut Value, field: &str, mut with: impl FnMut(&mut Value)) {
    let items = value.get_mut(field).and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(&mut with);
}

/// The deprecated `serviceAccount` and `serviceAccountName` mirror each other; the new name wins.
fn service_account(spec: &mut Value) {
    let name = match (meta::text(spec, &["serviceAccountName"]), meta::text(spec, &["serviceAccount"])) {
        ("", "") => return,
        ("", old) => old.to_owned(),
        (new, _) => new.to_owned(),
    };
    meta::set(spec, &["serviceAccountName"], name.clone());
    meta::set(spec, &["serviceAccount"], name);
}

fn container(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    let policy = if is_latest(meta::text(container, &["image"])) { "Always" } else { "IfNotPresent" };
    text_default(container, "imagePullPolicy", policy);
    text_default(container, "terminationMessagePath", "/dev/termination-log");
    text_default(container, "terminationMessagePolicy", "File");
    meta::set_default(container, &["resources"], json!({}));
    for list in ["limits", "requests"] {
        if let Some(list) = meta::at_mut(container, &["resources", list]) {
            amount::round_up_to_milli(list);
        }
    }
    each(container, "ports", |port| text_default(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        for source in ["fieldRef", "resourceFieldRef"] {
            if let Some(reference) = meta::at_mut(variable, &["valueFrom", source]) {
                field_reference(source, reference);
            }
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(value) = container.get_mut(name).filter(|value| value.is_object()) {
            probe(value);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = meta::at_mut(container, &["lifecycle", hook, "httpGet"]) {
            http_get(get);
        }
    }
}

/// Whether an image reference means the tag `latest`: it says so, or says neither tag nor digest.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let name = name.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_empty(),
    }
}

fn text_default(value: &mut Value, field: &str, default: &str) {
    if value.is_object() && meta::text(value, &[field]).is_empty() {
        meta::set(value, &[field], default);
    }
}

fn number_default(value: &mut Value, field: &str, default: i64) {
    if meta::at(value, &[field]).and_then(Value::as_i64).unwrap_or_default() == 0 {
        meta::set(value, &[field], default);
    }
}

fn field_reference(source: &str, reference: &mut Value) {
    match source {
        "fieldRef" => text_default(reference, "apiVersion", "v1"),
        _ if reference.is_object() => meta::set_default(reference, &["divisor"], "0"),
        _ => {}
    }
}

fn probe(probe: &mut Value) {
    number_default(probe, "timeoutSeconds", 1);
    number_default(probe, "periodSeconds", 10);
    number_default(probe, "successThreshold", 1);
    number_default(probe, "failureThreshold", 3);
    if let Some(get) = probe.get_mut("httpGet") {
        http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc").filter(|grpc| grpc.is_object()) {
        meta::set_default(grpc, &["service"], "");
    }
}

fn http_get(get: &mut Value) {
    text_default(get, "path", "/");
    text_default(get, "scheme", "HTTP");
}

fn host_port(port: &mut Value) {
    if meta::at(port, &["hostPort"]).and_then(Value::as_i64).unwrap_or_default() == 0
        && let Some(number) = port.get("containerPort").cloned()
    {
        meta::set(port, &["hostPort"], number);
    }
}

/// What is limited and not requested is requested as limited.
fn requests_from_limits(container: &mut Value) {
    let Some(limits) = meta::at(container, &["resources", "limits"]).and_then(Value::as_object).cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    let requests = meta::object_at(container, &["resources", "requests"]);
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// Limits of the whole pod are requests of the whole pod, where nothing else is requested.
fn pod_level_requests(spec: &mut Value) {
    let Some(limits) = meta::at(spec, &["resources", "limits"]).and_then(Value::as_object).cloned() else {
        return;
    };
    for (name, limit) in limits {
        let requested_by_container = ["containers", "initContainers"].iter().any(|field| {
            meta::items(spec, &[field])
                .iter()
                .any(|container| meta::at(container, &["resources", "requests", &name]).is_some())
        });
        if !requested_by_container || name.starts_with("hugepages-") {
            meta::set_default(spec, &["resources", "requests", &name], limit);
        }
    }
}

fn volume(volume: &mut Value) {
    let Some(fields) = volume.as_object_mut() else {
        return;
    };
    fields.retain(|_, value| !value.is_null());
    if fields.keys().all(|field| field == "name") {
        fields.insert("emptyDir".to_owned(), json!({}));
        return;
    }
    for (source, value) in fields.iter_mut().filter(|(_, value)| value.is_object()) {
        match source.as_str() {
            "secret" | "configMap" => meta::set_default(value, &["defaultMode"], FILE_MODE),
            "downwardAPI" => {
                meta::set_default(value, &["defaultMode"], FILE_MODE);
                each(value, "items", downward_item);
            }
            "projected" => {
                meta::set_default(value, &["defaultMode"], FILE_MODE);
                each(value, "sources", projected_source);
            }
            "hostPath" => meta::set_default(value, &["type"], ""),
            "ephemeral" => claim_template(value),
            "image" => {
                let policy = if is_latest(meta::text(value, &["reference"])) { "Always" } else { "IfNotPresent" };
                text_default(value, "pullPolicy", policy);
            }
            "iscsi" => text_default(value, "iscsiInterface", "default"),
            "rbd" => {
                text_default(value, "pool", "rbd");
                text_default(value, "user", "admin");
                text_default(value, "keyring", "/etc/ceph/keyring");
            }
            "azureDisk" => azure_disk(value),
            "scaleIO" => {
                text_default(value, "fsType", "xfs");
                text_default(value, "storageMode", "ThinProvisioned");
            }
            _ => {}
        }
    }
}

/// Fills in a disk of Azure, in a pod or in a persistent volume.
pub(crate) fn azure_disk(value: &mut Value) {
    meta::set_default(value, &["cachingMode"], "ReadWrite");
    meta::set_default(value, &["kind"], "Shared");
    meta::set_default(value, &["fsType"], "ext4");
    meta::set_default(value, &["readOnly"], false);
}

fn downward_item(item: &mut Value) {
    for source in ["fieldRef", "resourceFieldRef"] {
        if let Some(reference) = item.get_mut(source) {
            field_reference(source, reference);
        }
    }
}

fn projected_source(source: &mut Value) {
    if let Some(token) = source.get_mut("serviceAccountToken").filter(|token| token.is_object()) {
        meta::set_default(token, &["expirationSeconds"], 3600);
    }
    if let Some(downward) = source.get_mut("downwardAPI") {
        each(downward, "items", downward_item);
    }
}

fn claim_template(ephemeral: &mut Value) {
    if let Some(template) = ephemeral.get_mut("volumeClaimTemplate").filter(|template| template.is_object()) {
        meta::set_default(template, &["metadata"], json!({}));
        meta::set_default(template, &["spec", "resources"], json!({}));
        meta::set_default(template, &["spec", "volumeMode"], "Filesystem");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, path: &[&str], expect: Value) {
        let mut spec = spec;
        pod_spec(&mut spec);
        pod_only(&mut spec);
        let once = spec.clone();
        pod_spec(&mut spec);
        pod_only(&mut spec);
        assert_eq!(spec, once, "defaulting is not idempotent");
        assert_eq!(meta::at(&spec, path), Some(&expect));
    }

    #[test]
    fn images_without_a_tag_are_pulled_always() {
        let cases = [
            ("nginx:1.27", "IfNotPresent"),
            ("nginx:latest", "Always"),
            ("nginx", "Always"),
            ("registry.example.com:5000/app", "Always"),
            ("registry.example.com:5000/app:1", "IfNotPresent"),
            ("busybox@sha256:aa", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            let mut spec = json!({"containers": [{"name": "a", "image": image}]});
            pod_spec(&mut spec);
            assert_eq!(spec["containers"][0]["imagePullPolicy"], policy, "{image}");
        }
    }

    #[test]
    fn specifications_are_filled_in() {
        check(json!({}), &["securityContext"], json!({}));
        check(json!({"serviceAccount": "a"}), &["serviceAccountName"], json!("a"));
        check(
            json!({"volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "x"}}]}),
            &["volumes"],
            json!([{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "x", "defaultMode": 420}}]),
        );
        check(
            json!({"hostNetwork": true, "containers": [{"name": "a", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"grpc": {"port": 1}}, "image": "a:1"}]}),
            &["containers"],
            json!([{"name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "livenessProbe": {"grpc": {"port": 1, "service": ""}, "timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}]),
        );
    }
}
