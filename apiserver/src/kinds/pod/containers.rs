//! What is wrong with containers. Source: `k8s.io/kubernetes/pkg/apis/core/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::FieldError;
use steersman_machinery::names;

use super::environment;
use super::mounts;
use super::probes;
use super::resources;
use super::security;
use crate::kinds::check::{Cursor, text};

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const NOT_IN_INIT: &str = "may not be set for init containers without restartPolicy=Always";
const NOT_IN_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";

/// The fields that a container for debugging may not have.
const EPHEMERAL_FORBIDDEN: &[&str] =
    &["ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy"];

/// The containers, init containers and ephemeral containers of the pod specification at `spec`.
pub(super) fn all(spec: &Cursor<'_>) {
    let mut names = BTreeSet::new();
    regular(spec, &mut names);
    init(spec, &mut names);
    ephemeral(spec, &mut names);
    host_network(spec);
}

fn regular(spec: &Cursor<'_>, names: &mut BTreeSet<String>) {
    let containers = spec.at("containers");
    if !containers.must_be_set() {
        return;
    }
    for container in containers.items() {
        common(spec, &container);
        unique_name(&container, names);
        hooks_and_probes(spec, &container);
        restart_policy(&container);
    }
    let mut ports = BTreeSet::new();
    for container in containers.items() {
        host_port_conflicts(&container, &mut ports);
    }
}

fn init(spec: &Cursor<'_>, names: &mut BTreeSet<String>) {
    for container in spec.at("initContainers").items() {
        common(spec, &container);
        let sidecar = container.at("restartPolicy").text() == "Always";
        unique_name(&container, names);
        host_port_conflicts(&container, &mut BTreeSet::new());
        if sidecar {
            hooks_and_probes(spec, &container);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                let field = container.at(field);
                if field.is_set() {
                    field.forbidden(NOT_IN_INIT);
                }
            }
            let resize = container.at("resizePolicy");
            if !resize.is_empty() {
                resize.invalid("must not be set for init containers");
            }
        }
        restart_policy(&container);
    }
}

fn ephemeral(spec: &Cursor<'_>, names: &mut BTreeSet<String>) {
    let regular: BTreeSet<&str> = spec.at("containers").items().map(|container| container.at("name").text()).collect();
    for container in spec.at("ephemeralContainers").items() {
        common(spec, &container);
        unique_name(&container, names);
        let target = container.at("targetContainerName");
        if !target.is_empty() && !regular.contains(target.text()) {
            target.not_found();
        }
        for field in EPHEMERAL_FORBIDDEN {
            let field = container.at(field);
            if !field.is_empty() {
                field.forbidden(NOT_IN_EPHEMERAL);
            }
        }
        for mount in container.at("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                let field = mount.at(field);
                if !field.is_empty() {
                    field.forbidden("cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

fn unique_name(container: &Cursor<'_>, seen: &mut BTreeSet<String>) {
    let name = container.at("name");
    if !name.is_empty() {
        name.once(seen);
    }
}

/// What holds for every sort of container.
fn common(spec: &Cursor<'_>, container: &Cursor<'_>) {
    container.at("name").must_be_named(names::dns1123_label);
    container.at("image").must_be_set();
    container.at("terminationMessagePolicy").must_be_one_of(MESSAGE_POLICIES);
    ports(&container.at("ports"));
    environment::variables(&container.at("env"));
    environment::sources(&container.at("envFrom"));
    mounts::all(spec, container);
    container.at("imagePullPolicy").must_be_one_of(PULL_POLICIES);
    resources::container(spec, &container.at("resources"));
    resize_policies(&container.at("resizePolicy"));
    security::container(&container.at("securityContext"));
}

fn restart_policy(container: &Cursor<'_>) {
    let policy = container.at("restartPolicy");
    policy.one_of(RESTART_POLICIES);
    let rules = container.at("restartPolicyRules");
    if !rules.is_empty() && !policy.is_set() {
        policy.required("must specify restartPolicy when restart rules are used");
    }
}

fn hooks_and_probes(spec: &Cursor<'_>, container: &Cursor<'_>) {
    let grace = spec.at("terminationGracePeriodSeconds").int().unwrap_or(30);
    for hook in ["postStart", "preStop"] {
        let hook = container.at("lifecycle").at(hook);
        if hook.is_set() {
            probes::handler(&hook, grace);
        }
    }
    probes::liveness(&container.at("livenessProbe"), grace);
    probes::readiness(&container.at("readinessProbe"), grace);
    probes::liveness(&container.at("startupProbe"), grace);
}

fn ports(ports: &Cursor<'_>) {
    let mut names = BTreeSet::new();
    for port in ports.items() {
        let name = port.at("name");
        if !name.is_empty() {
            let before = name.errors();
            name.named(text::port_name);
            if name.errors() == before {
                name.once(&mut names);
            }
        }
        let number = port.at("containerPort");
        if number.int().unwrap_or_default() == 0 {
            number.required("");
        } else {
            number.port();
        }
        let host = port.at("hostPort");
        if host.int().unwrap_or_default() != 0 {
            host.port();
        }
        port.at("protocol").must_be_one_of(PROTOCOLS);
    }
}

fn host_port_conflicts(container: &Cursor<'_>, seen: &mut BTreeSet<String>) {
    for port in container.at("ports").items() {
        let host = port.at("hostPort");
        let number = host.int().unwrap_or_default();
        if number == 0 {
            continue;
        }
        let key = format!("{}/{}/{number}", port.at("protocol").text(), port.at("hostIP").text());
        if !seen.insert(key.clone()) {
            host.push(FieldError::duplicate(&host.path, &Value::from(key)));
        }
    }
}

fn host_network(spec: &Cursor<'_>) {
    if !spec.at("hostNetwork").is_true() {
        return;
    }
    for container in spec.at("containers").items() {
        for port in container.at("ports").items() {
            let host = port.at("hostPort");
            if host.int().unwrap_or_default() != port.at("containerPort").int().unwrap_or_default() {
                let number = host.int().unwrap_or_default();
                host.invalid_as(number.to_string(), "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn resize_policies(policies: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let name = policy.at("resourceName");
        match name.text() {
            "cpu" | "memory" => {
                if !seen.insert(name.text().to_owned()) {
                    policy.push(FieldError::duplicate(&policies.path, name.value));
                }
            }
            "" => name.required(""),
            _ => name.not_supported(&["cpu", "memory"]),
        }
        policy.at("restartPolicy").must_be_one_of(&["NotRequired", "RestartContainer"]);
    }
}
