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
use super::volumes::Usable;
use crate::kinds::check::{Cursor, text};

/// When an image is pulled.
pub(super) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const RESTART_ACTIONS: &[&str] = &["Restart", "RestartAllContainers"];
const MOST_RESTART_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;
const NOT_IN_INIT: &str = "may not be set for init containers without restartPolicy=Always";
const NOT_IN_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";

/// The fields that a container for debugging may not have, in the order of their declaration.
const EPHEMERAL_FORBIDDEN: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// The containers, init containers and ephemeral containers of the pod specification at `spec`.
pub(super) fn all(spec: &Cursor<'_>, volumes: &Usable<'_>) {
    let mut names = BTreeSet::new();
    regular(spec, volumes, &mut names);
    init(spec, volumes, &mut names);
    ephemeral(spec, volumes);
}

fn regular(spec: &Cursor<'_>, volumes: &Usable<'_>, names: &mut BTreeSet<String>) {
    let containers = spec.at("containers");
    if !containers.must_be_set() {
        return;
    }
    for container in containers.items() {
        common(spec, volumes, &container);
        container.at("name").once(names);
        hooks_and_probes(spec, &container);
        restart_policy(&container);
    }
    let mut ports = BTreeSet::new();
    for container in containers.items() {
        host_port_conflicts(&container.at("ports"), &mut ports);
    }
}

fn init(spec: &Cursor<'_>, volumes: &Usable<'_>, names: &mut BTreeSet<String>) {
    let containers = spec.at("initContainers");
    for container in containers.items() {
        common(spec, volumes, &container);
        restart_policy(&container);
        let name = container.at("name");
        if !name.is_empty() || names.contains("") {
            name.once(names);
        }
        // Init containers run one by one, and upstream names each of them as the first.
        let ports = container.at("ports");
        host_port_conflicts(
            &ports.with(Some(ports.value), containers.path.index(0).child("ports")),
            &mut BTreeSet::new(),
        );
        let sidecar = container.at("restartPolicy").text() == "Always";
        if sidecar {
            hooks_and_probes(spec, &container);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let field = container.at(field);
            if field.is_set() {
                field.forbidden(NOT_IN_INIT);
            }
        }
        for policy in container.at("resizePolicy").items() {
            let restart = policy.at("restartPolicy");
            if restart.text() == "RestartContainer" {
                restart.invalid("must not be set to 'RestartContainer' for non-sidecar initContainers");
            }
        }
    }
}

fn ephemeral(spec: &Cursor<'_>, volumes: &Usable<'_>) {
    let mut names: BTreeSet<String> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| spec.at(field).items())
        .map(|container| container.at("name").text().to_owned())
        .collect();
    let others = names.clone();
    for container in spec.at("ephemeralContainers").items() {
        common(spec, volumes, &container);
        unpadded_image(&container);
        container.at("name").once(&mut names);
        let target = container.at("targetContainerName");
        if !target.is_empty() && !others.contains(target.text()) {
            target.not_found();
        }
        for field in EPHEMERAL_FORBIDDEN {
            let here = container.at(field);
            // Probes and hooks count as soon as they are there, even empty.
            let unset =
                if field.ends_with("Probe") || *field == "lifecycle" { !here.is_set() } else { here.is_empty() };
            if !unset {
                here.forbidden(NOT_IN_EPHEMERAL);
            }
        }
        for mount in container.at("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                let field = mount.at(field);
                if !field.is_empty() {
                    field.forbidden(NOT_IN_EPHEMERAL);
                }
            }
        }
    }
}

/// What pods ask of images and templates do not.
pub(super) fn unpadded_image(container: &Cursor<'_>) {
    let image = container.at("image");
    if image.text().trim() != image.text() {
        image.invalid_text("must not have leading or trailing whitespace");
    }
}

/// What holds for every sort of container.
fn common(spec: &Cursor<'_>, volumes: &Usable<'_>, container: &Cursor<'_>) {
    container.at("name").must_be_named(names::dns1123_label);
    container.at("image").must_be_set();
    container.at("terminationMessagePolicy").must_be_one_of(MESSAGE_POLICIES);
    ports(&container.at("ports"));
    environment::variables(&container.at("env"));
    environment::sources(&container.at("envFrom"));
    mounts::all(volumes, container);
    container.at("imagePullPolicy").must_be_one_of(PULL_POLICIES);
    resources::container(spec, &container.at("resources"));
    resize_policies(&container.at("resizePolicy"), spec.at("restartPolicy").text() == "Never");
    security::container(&container.at("securityContext"), spec.at("hostUsers").value.as_bool() != Some(false));
}

/// The restart policy of a container of its own, and its rules.
fn restart_policy(container: &Cursor<'_>) {
    let policy = container.at("restartPolicy");
    policy.one_of(RESTART_POLICIES);
    let rules = container.at("restartPolicyRules");
    if !rules.is_empty() && !policy.is_set() {
        policy.required("must specify restartPolicy when restart rules are used");
    }
    if rules.len() > MOST_RESTART_RULES {
        rules.push(FieldError::too_many(&rules.path, rules.len(), MOST_RESTART_RULES));
    }
    for rule in rules.items() {
        let action = rule.at("action");
        if !RESTART_ACTIONS.contains(&action.text()) {
            action.not_supported(RESTART_ACTIONS);
        }
        let codes = rule.at("exitCodes");
        if !codes.is_set() {
            codes.required("must be specified");
            continue;
        }
        let operator = codes.at("operator");
        if !matches!(operator.text(), "In" | "NotIn") {
            operator.not_supported(&["In", "NotIn"]);
        }
        let values = codes.at("values");
        if values.len() > MOST_EXIT_CODES {
            values.push(FieldError::too_many(&values.path, values.len(), MOST_EXIT_CODES));
        }
    }
}

fn hooks_and_probes(spec: &Cursor<'_>, container: &Cursor<'_>) {
    let grace = spec.at("terminationGracePeriodSeconds").int().unwrap_or(30);
    for hook in ["postStart", "preStop"] {
        let hook = container.at("lifecycle").at(hook);
        if hook.is_set() {
            probes::handler(&hook, probes::OF_HOOKS, grace);
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

fn host_port_conflicts(ports: &Cursor<'_>, seen: &mut BTreeSet<String>) {
    for port in ports.items() {
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

/// In the network of the host a port is the host's. A template may leave the port of the host open.
pub(super) fn host_network(spec: &Cursor<'_>, in_template: bool) {
    if !spec.at("hostNetwork").is_true() {
        return;
    }
    for container in spec.at("containers").items() {
        for port in container.at("ports").items() {
            let host = port.at("hostPort");
            let number = host.int().unwrap_or_default();
            let open = in_template && number == 0;
            if !open && number != port.at("containerPort").int().unwrap_or_default() {
                host.invalid_as(number.to_string(), "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

/// How resources are changed in place. All but a duplicate is named at the list.
fn resize_policies(policies: &Cursor<'_>, never_restarted: bool) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let (name, restart) = (policy.at("resourceName"), policy.at("restartPolicy"));
        if !seen.insert(name.text()) {
            policy.push(FieldError::duplicate(&policy.path, name.value));
        }
        for (field, supported) in
            [(&name, &["cpu", "memory"] as &[&str]), (&restart, &["NotRequired", "RestartContainer"])]
        {
            policies.with(Some(field.value), policies.path.clone()).must_be_one_of(supported);
        }
        if never_restarted && restart.text() != "NotRequired" {
            policies.invalid_str(restart.text(), "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}
