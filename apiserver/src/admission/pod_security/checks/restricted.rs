//! The level `restricted`: pods have to be hardened.

use serde_json::Value;
use steersman_machinery::meta;

use super::baseline::{self, added, bad_seccomp};
use super::text::{flag, named, plural, quoted, security, setters, unique};
use super::{Pod, Violation};

/// Volumes that show nothing of the node.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|it| flag(it, &["allowPrivilegeEscalation"]) != Some(false));
    (!containers.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&containers)),
    })
}

pub(super) fn escalation_on_linux(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { escalation(pod) }
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    const ALLOWED: &[&str] = &["NET_BIND_SERVICE"];
    let drops_all = |container: &Value| {
        let dropped = security(container, &["capabilities", "drop"]).and_then(Value::as_array);
        dropped.is_some_and(|dropped| dropped.iter().any(|capability| capability == "ALL"))
    };
    let keeping = pod.containers_that(|it| !drops_all(it));
    let adding = pod.containers_that(|it| added(it, ALLOWED).next().is_some());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeping)));
    }
    if !adding.is_empty() {
        let capabilities = unique(pod.containers().flat_map(|it| added(it, ALLOWED)));
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            named(&adding),
            quoted(capabilities)
        ));
    }
    (!details.is_empty()).then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

pub(super) fn capabilities_on_linux(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let source = |volume: &'_ Value| -> String {
        let fields = volume.as_object().into_iter().flatten();
        let mut sources = fields.filter(|(name, value)| *name != "name" && !value.is_null()).map(|(name, _)| name);
        sources.next().map_or_else(|| "unknown".to_owned(), Clone::clone)
    };
    let bad: Vec<(&str, String)> = meta::items(pod.spec, &["volumes"])
        .iter()
        .map(|volume| (meta::text(volume, &["name"]), source(volume)))
        .filter(|(_, source)| !VOLUMES.contains(&source.as_str()))
        .collect();
    let types = unique(bad.iter().map(|(_, source)| source.as_str()));
    (!bad.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", bad.len()),
            quoted(bad.iter().map(|(name, _)| name)),
            plural("uses", "use", bad.len()),
            plural("restricted volume type", "restricted volume types", types.len()),
            quoted(types)
        ),
    })
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Option<Violation> {
    const FIELD: &[&str] = &["runAsNonRoot"];
    let refuses = |subject: &Value| flag(subject, FIELD) == Some(false);
    let who = setters(refuses(pod.spec), &pod.containers_that(refuses));
    let silent = match flag(pod.spec, FIELD) {
        Some(true) => Vec::new(),
        _ => pod.containers_that(|it| flag(it, FIELD).is_none()),
    };
    let detail = match (who.is_empty(), silent.is_empty()) {
        (true, true) => return None,
        (false, _) => format!("{who} must not set securityContext.runAsNonRoot=false"),
        (true, false) => format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent)),
    };
    Some(Violation { reason: "runAsNonRoot != true", detail })
}

pub(super) fn run_as_non_root_on_host(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { run_as_non_root(pod) }
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let root = |subject: &Value| security(subject, &["runAsUser"]).and_then(Value::as_i64) == Some(0);
    let who = setters(root(pod.spec), &pod.containers_that(root));
    (!who.is_empty()).then(|| Violation { reason: "runAsUser=0", detail: format!("{who} must not set runAsUser=0") })
}

pub(super) fn run_as_user_on_host(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { run_as_user(pod) }
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    if let Some(violation) = baseline::seccomp(pod) {
        return Some(violation);
    }
    let set = |subject: &Value| security(subject, &["seccompProfile"]).is_some() && !bad_seccomp(subject);
    if set(pod.spec) {
        return None;
    }
    let silent = pod.containers_that(|it| security(it, &["seccompProfile"]).is_none());
    (!silent.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named(&silent)
        ),
    })
}

pub(super) fn seccomp_on_linux(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { seccomp(pod) }
}
