//! What is wrong with security contexts and with how a pod shares its node.

use std::collections::BTreeSet;

use crate::kinds::check::Cursor;

const ID_RULE: &str = "must be between 0 and 2147483647, inclusive";
const SYSCTL_RULE: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn id(id: &Cursor<'_>) {
    if id.int().is_some_and(|number| !(0..=i64::from(i32::MAX)).contains(&number)) {
        id.invalid(ID_RULE);
    }
}

/// `securityContext` of a container.
pub(super) fn container(context: &Cursor<'_>) {
    id(&context.at("runAsUser"));
    id(&context.at("runAsGroup"));
    context.at("procMount").one_of(&["Default", "Unmasked"]);
    profile(&context.at("seccompProfile"), "seccomp");
    let escalation = context.at("allowPrivilegeEscalation");
    if escalation.value.as_bool() == Some(false) {
        if context.at("privileged").is_true() {
            context.invalid_as(
                context.value.to_string(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let admin = context.at("capabilities").at("add").items().any(|capability| capability.text() == "CAP_SYS_ADMIN");
        if admin {
            context.invalid_as(
                context.value.to_string(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
    profile(&context.at("appArmorProfile"), "apparmor");
}

/// `securityContext` of the pod specification at `spec`.
pub(super) fn pod(spec: &Cursor<'_>) {
    let context = spec.at("securityContext");
    id(&context.at("fsGroup"));
    id(&context.at("runAsUser"));
    id(&context.at("runAsGroup"));
    for group in context.at("supplementalGroups").items() {
        id(&group);
    }
    if spec.at("shareProcessNamespace").is_true() && spec.at("hostPID").is_true() {
        context
            .at("shareProcessNamespace")
            .invalid_as("true", "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(&context.at("sysctls"));
    context.at("fsGroupChangePolicy").one_of(&["Always", "OnRootMismatch"]);
    profile(&context.at("seccompProfile"), "seccomp");
    context.at("supplementalGroupsPolicy").one_of(&["Merge", "Strict"]);
    profile(&context.at("appArmorProfile"), "apparmor");
}

/// A seccomp or AppArmor profile: a local one names its file.
fn profile(profile: &Cursor<'_>, _sort: &str) {
    if !profile.is_set() {
        return;
    }
    let local = profile.at("localhostProfile");
    match profile.at("type").text() {
        "Localhost" => {
            if local.is_empty() {
                local.required("must be set when profile type is Localhost");
            } else {
                super::mounts::descending(&local);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.is_set() {
                local.invalid("can only be set when profile type is Localhost");
            }
        }
        "" => profile.at("type").required("type is required when profile is set"),
        _ => profile.at("type").not_supported(&["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

fn sysctls(sysctls: &Cursor<'_>) {
    let mut names = BTreeSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.at("name");
        if name.is_empty() {
            name.required("");
        } else if !is_sysctl(name.text()) {
            name.invalid_text(SYSCTL_RULE);
        } else {
            name.once(&mut names);
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 253
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner)
        })
}
