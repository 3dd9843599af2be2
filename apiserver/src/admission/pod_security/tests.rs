//! The standards, by table: what a pod of each level may not do, in which version, and in which words.

use serde_json::json;

use super::policy::{PREFIX, Version};
use super::*;

fn hardened() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container("a", json!({}))],
    })
}

fn container(name: &str, more: Value) -> Value {
    let mut context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    for (key, value) in more.as_object().unwrap() {
        context[key] = value.clone();
    }
    json!({"name": name, "securityContext": context})
}

fn of(level: Level, version: Version) -> Standard {
    Standard { level, version }
}

const BASELINE: Standard = Standard { level: Level::Baseline, version: Version::Latest };
const RESTRICTED: Standard = Standard { level: Level::Restricted, version: Version::Latest };

#[track_caller]
fn check(standard: Standard, pod: &Value, expect: &str) {
    let subject = Pod { metadata: pod.get("metadata"), spec: &pod["spec"] };
    assert_eq!(evaluate(standard, subject).detailed(), expect, "{standard}");
}

/// A hardened pod with other fields in its spec.
fn pod(fields: Value) -> Value {
    let mut spec = hardened();
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {}, "spec": spec})
}

fn with_context(context: Value) -> Value {
    pod(json!({"containers": [container("a", context.clone()), container("b", context)]}))
}

#[test]
fn a_hardened_pod_meets_every_standard() {
    for minor in 0..40 {
        check(of(Level::Restricted, Version::Minor(minor)), &pod(json!({})), "");
    }
    check(RESTRICTED, &pod(json!({})), "");
    check(of(Level::Privileged, Version::Latest), &json!({"spec": {"hostNetwork": true}}), "");
}

#[test]
fn the_baseline_keeps_pods_from_the_node() {
    for (fields, expect) in [
        (json!({"hostNetwork": true, "hostIPC": true}), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (json!({"volumes": [{"name": "v", "hostPath": {}}]}), "hostPath volumes (volume \"v\")"),
        (
            json!({"volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]}),
            "hostPath volumes (volumes \"v\", \"w\")",
        ),
        (
            json!({"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 0}]}], "initContainers": [
                {"name": "i", "ports": [{"hostPort": 443}]}]}),
            "hostPort (containers \"i\", \"a\" use hostPorts 443, 80)",
        ),
        (
            json!({"containers": [{"name": "a", "lifecycle": {"preStop": {"tcpSocket": {"host": "h"}}},
                "startupProbe": {"httpGet": {"host": "g"}}}]}),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"g\", \"h\")",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ] {
        check(BASELINE, &pod(fields), expect);
    }
}

#[test]
fn the_baseline_keeps_containers_from_the_node() {
    for (context, expect) in [
        (
            json!({"privileged": true}),
            "privileged (containers \"a\", \"b\" must not set securityContext.privileged=true)",
        ),
        (
            json!({"capabilities": {"add": ["KILL", "SYS_TIME", "NET_ADMIN"]}}),
            "non-default capabilities (containers \"a\", \"b\" must not include \"NET_ADMIN\", \"SYS_TIME\" in securityContext.capabilities.add)",
        ),
        (
            json!({"procMount": "Unmasked"}),
            "procMount (containers \"a\", \"b\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            json!({"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}}),
            "seLinuxOptions (containers \"a\", \"b\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set; role may not be set)",
        ),
        (
            json!({"seLinuxOptions": {"user": "u"}}),
            "seLinuxOptions (containers \"a\", \"b\" set forbidden securityContext.seLinuxOptions: user may not be set)",
        ),
        (
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "seccompProfile (containers \"a\", \"b\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            json!({"appArmorProfile": {"type": "Unconfined"}}),
            "forbidden AppArmor profile (containers \"a\", \"b\" must not set AppArmor profile type to \"Unconfined\")",
        ),
    ] {
        check(BASELINE, &with_context(context), expect);
    }
}

#[test]
fn annotations_still_count() {
    let mut object = pod(json!({}));
    object["metadata"]["annotations"] = json!({
        "container.apparmor.security.beta.kubernetes.io/a": "unconfined",
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/other": "unconfined",
    });
    let app_armor = "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
        \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")";
    check(BASELINE, &object, app_armor);
    check(
        of(Level::Baseline, Version::Minor(18)),
        &object,
        &format!(
            "{app_armor}, seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
        ),
    );
}

#[test]
fn restricted_pods_have_to_be_hardened() {
    let plain = json!({"spec": {"containers": [{"name": "a"}]}});
    check(
        RESTRICTED,
        &plain,
        "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    for (object, expect) in [
        (
            with_context(json!({"runAsNonRoot": false})),
            "runAsNonRoot != true (containers \"a\", \"b\" must not set securityContext.runAsNonRoot=false)",
        ),
        (with_context(json!({"runAsUser": 0})), "runAsUser=0 (containers \"a\", \"b\" must not set runAsUser=0)"),
        (
            with_context(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "KILL"]}})),
            "unrestricted capabilities (containers \"a\", \"b\" must not include \"KILL\" in securityContext.capabilities.add)",
        ),
        (
            pod(
                json!({"volumes": [{"name": "n", "nfs": {}}, {"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {}}]}),
            ),
            "restricted volume types (volumes \"n\", \"h\" use restricted volume types \"hostPath\", \"nfs\")",
        ),
    ] {
        check(RESTRICTED, &object, expect);
    }
}

#[test]
fn versions_have_their_own_rules() {
    let at = |minor| of(Level::Baseline, Version::Minor(minor));
    let sysctl = pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]}}));
    check(at(28), &sysctl, "forbidden sysctls (net.ipv4.tcp_fin_timeout)");
    check(at(29), &sysctl, "");
    let probe = pod(json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}));
    check(at(33), &probe, "");
    let own_users = |context: Value| {
        let mut object = with_context(context);
        object["spec"]["hostUsers"] = json!(false);
        object
    };
    let unmasked = own_users(json!({"procMount": "Unmasked"}));
    let refused = "procMount (containers \"a\", \"b\" must not set securityContext.procMount to \"Unmasked\")";
    check(at(34), &unmasked, refused);
    check(at(35), &unmasked, "");
    check(RESTRICTED, &unmasked, refused);
    check(RESTRICTED, &own_users(json!({"runAsUser": 0, "runAsNonRoot": false})), "");
    let windows = json!({"spec": {"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]}});
    check(RESTRICTED, &windows, "");
}

#[test]
fn labels_that_cannot_be_read_are_taken_for_the_worst() {
    let labels = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": "loose",
        "pod-security.kubernetes.io/warn": "loose",
        "pod-security.kubernetes.io/audit": "baseline",
        "pod-security.kubernetes.io/audit-version": "v1.07",
        "pod-security.kubernetes.io/warn-version": "v1.7",
    }}});
    let (policy, errors) = Policy::of(&labels, &Policy::default());
    assert_eq!(policy.enforce, RESTRICTED);
    assert_eq!(policy.audit, BASELINE);
    assert_eq!(policy.warn, of(Level::Privileged, Version::Minor(7)));
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        ["enforce", "audit-version", "warn"].map(|it| format!("metadata.labels[pod-security.kubernetes.io/{it}]"))
    );
}

#[test]
fn pods_that_are_there_are_counted_by_their_faults() {
    let bad = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostPID": true}});
    let other = json!({"metadata": {"name": "z"}, "spec": {"volumes": [{"name": "v", "hostPath": {}}]}});
    let lines = existing::warnings("n", &[bad("c"), bad("b"), bad("d"), other], BASELINE);
    assert_eq!(
        lines,
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "b (and 2 other pods): host namespaces",
            "z: hostPath volumes",
        ]
    );
}

#[test]
fn only_what_is_judged_makes_an_update_count() {
    let pod = |image: &str, label: &str| json!({"metadata": {"labels": {"a": label}}, "spec": {"containers": [{"name": "a", "image": image}]}});
    assert!(!changes_what_counts(&pod("x", "1"), &pod("x", "2")));
    assert!(changes_what_counts(&pod("x", "1"), &pod("y", "1")));
    let mut debugged = pod("x", "1");
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": "d"}]);
    assert!(changes_what_counts(&debugged, &pod("x", "1")));
}

#[test]
fn what_is_enforced_is_warned_of_too_unless_the_namespace_says_otherwise() {
    for (labels, expect) in [
        (json!({"enforce": "restricted"}), RESTRICTED),
        (json!({"enforce": "baseline", "enforce-version": "v1.20"}), of(Level::Baseline, Version::Minor(20))),
        (json!({"enforce": "baseline", "warn-version": "v1.21"}), of(Level::Baseline, Version::Minor(21))),
        (json!({"enforce": "restricted", "warn": "baseline"}), BASELINE),
        (json!({"enforce": "restricted", "warn": "privileged"}), of(Level::Privileged, Version::Latest)),
        (json!({"enforce": "strict"}), of(Level::Privileged, Version::Latest)),
        (json!({"audit": "restricted"}), of(Level::Privileged, Version::Latest)),
    ] {
        let long = labels.as_object().unwrap().iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.clone()));
        let labels: serde_json::Map<String, Value> = long.collect();
        let (policy, _) = Policy::of(&json!({"metadata": {"labels": labels}}), &Policy::default());
        assert_eq!(policy.warn, expect, "{labels:?}");
    }
}
