//! What is wrong with security contexts and with how a pod shares its node.

use std::collections::BTreeSet;

use steersman_machinery::field::FieldError;
use steersman_machinery::names;

use crate::kinds::check::Cursor;
use crate::kinds::check::dump::{self, Fields, Shape};

/// What a cluster without privileged containers says to one.
pub(crate) const NO_PRIVILEGES: &str = "disallowed by cluster policy";
/// What such a cluster says to processes of the host.
pub(crate) const NO_HOST_PROCESSES: &str = "hostProcess containers are disallowed by cluster policy";
const LONGEST_PATH: usize = 4095;
const SECCOMP: Fields = &[("Type", "type", Shape::Text), ("LocalhostProfile", "localhostProfile", Shape::Same)];
/// `core.SecurityContext`.
const CONTEXT: Fields = &[
    ("Capabilities", "capabilities", Shape::Pointer(&[("Add", "add", Shape::Same), ("Drop", "drop", Shape::Same)])),
    ("Privileged", "privileged", Shape::Same),
    (
        "SELinuxOptions",
        "seLinuxOptions",
        Shape::Pointer(&[
            ("User", "user", Shape::Text),
            ("Role", "role", Shape::Text),
            ("Type", "type", Shape::Text),
            ("Level", "level", Shape::Text),
        ]),
    ),
    (
        "WindowsOptions",
        "windowsOptions",
        Shape::Pointer(&[
            ("GMSACredentialSpecName", "gmsaCredentialSpecName", Shape::Same),
            ("GMSACredentialSpec", "gmsaCredentialSpec", Shape::Same),
            ("RunAsUserName", "runAsUserName", Shape::Same),
            ("HostProcess", "hostProcess", Shape::Same),
        ]),
    ),
    ("RunAsUser", "runAsUser", Shape::Same),
    ("RunAsGroup", "runAsGroup", Shape::Same),
    ("RunAsNonRoot", "runAsNonRoot", Shape::Same),
    ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", Shape::Same),
    ("AllowPrivilegeEscalation", "allowPrivilegeEscalation", Shape::Same),
    ("ProcMount", "procMount", Shape::Same),
    ("SeccompProfile", "seccompProfile", Shape::Pointer(SECCOMP)),
    ("AppArmorProfile", "appArmorProfile", Shape::Pointer(SECCOMP)),
];

const ID_RULE: &str = "must be between 0 and 2147483647, inclusive";
const SYSCTL_RULE: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// The number of a user or a group.
pub(super) fn id(id: &Cursor<'_>) {
    if id.int().is_some_and(|number| !(0..=i64::from(i32::MAX)).contains(&number)) {
        id.invalid(ID_RULE);
    }
}

/// `securityContext` of a container; `host_users`: its users are those of the host.
pub(super) fn container(context: &Cursor<'_>, host_users: bool) {
    if context.at("privileged").is_true() {
        context.at("privileged").forbidden(NO_PRIVILEGES);
    }
    id(&context.at("runAsUser"));
    id(&context.at("runAsGroup"));
    let mount = context.at("procMount");
    mount.one_of(&["Default", "Unmasked"]);
    if host_users && mount.text() == "Unmasked" {
        mount.invalid("`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(&context.at("seccompProfile"));
    if context.at("allowPrivilegeEscalation").value.as_bool() == Some(false) {
        if context.at("privileged").is_true() {
            contradiction(context, "`privileged` to true");
        }
        for capability in context.at("capabilities").at("add").items() {
            if capability.text() == "CAP_SYS_ADMIN" {
                contradiction(context, "`capabilities.Add` CAP_SYS_ADMIN");
            }
        }
    }
    windows(&context.at("windowsOptions"));
    app_armor(&context.at("appArmorProfile"));
}

fn contradiction(context: &Cursor<'_>, with: &str) {
    let shown = dump::internal(context.value, CONTEXT);
    context.invalid_as(shown, format!("cannot set `allowPrivilegeEscalation` to false and {with}"));
}

/// `securityContext` of the pod specification at `spec`, and whether its processes see each other.
pub(super) fn pod(spec: &Cursor<'_>) {
    let context = spec.at("securityContext");
    id(&context.at("fsGroup"));
    id(&context.at("runAsUser"));
    id(&context.at("runAsGroup"));
    for group in context.at("supplementalGroups").items() {
        id(&group);
    }
    sysctls(spec, &context.at("sysctls"));
    context.at("fsGroupChangePolicy").one_of(&["Always", "OnRootMismatch"]);
    seccomp(&context.at("seccompProfile"));
    windows(&context.at("windowsOptions"));
    app_armor(&context.at("appArmorProfile"));
    context.at("supplementalGroupsPolicy").one_of(&["Merge", "Strict"]);
    context.at("seLinuxChangePolicy").one_of(&["MountOption", "Recursive"]);
    let share = spec.at("shareProcessNamespace");
    if share.is_true() && spec.at("hostPID").is_true() {
        share.invalid("ShareProcessNamespace and HostPID cannot both be enabled");
    }
}

/// What cannot be together with users of the pod's own.
pub(super) fn host_users(spec: &Cursor<'_>) {
    let rule = "when `hostUsers` is false";
    if spec.at("hostUsers").value.as_bool() != Some(false) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.at(field).is_true() {
            spec.at(shown).forbidden(rule);
        }
    }
    for container in every_container(spec) {
        let devices = container.at("volumeDevices");
        if !devices.is_empty() {
            devices.forbidden(rule);
        }
    }
}

/// All containers, in the order in which upstream visits them.
pub(super) fn every_container<'a>(spec: &Cursor<'a>) -> Vec<Cursor<'a>> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|field| spec.at(field).items())
        .collect()
}

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(profile: &Cursor<'_>) {
    if !profile.is_set() {
        return;
    }
    let (sort, local) = (profile.at("type"), profile.at("localhostProfile"));
    match sort.text() {
        "" => sort.required("type is required when seccompProfile is set"),
        _ => sort.one_of(PROFILES),
    }
    match (sort.text(), local.is_set()) {
        ("Localhost", true) => super::mounts::descending(&local),
        ("Localhost", false) => local.required("must be set when seccomp type is Localhost"),
        (_, true) => {
            let shown = dump::internal(profile.value, SECCOMP);
            local.invalid_as(shown, "can only be set when seccomp type is Localhost");
        }
        (_, false) => {}
    }
}

fn app_armor(profile: &Cursor<'_>) {
    if !profile.is_set() {
        return;
    }
    let (sort, local) = (profile.at("type"), profile.at("localhostProfile"));
    match sort.text() {
        "Localhost" if !local.is_set() => local.required("must be set when AppArmor type is Localhost"),
        "Localhost" => {
            if local.text().trim() != local.text() {
                local.invalid("must not be padded with whitespace");
            } else if local.text().is_empty() {
                local.required("must be set when AppArmor type is Localhost");
            }
            if local.text().len() > LONGEST_PATH {
                local.push(FieldError::too_long(&local.path, LONGEST_PATH));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.is_set() {
                local.invalid("can only be set when AppArmor type is Localhost");
            }
        }
        "" => sort.required("type is required when appArmorProfile is set"),
        _ => sort.not_supported(PROFILES),
    }
}

/// What only Windows knows.
fn windows(options: &Cursor<'_>) {
    let name = options.at("gmsaCredentialSpecName");
    if name.is_set() {
        name.named(names::dns1123_subdomain);
    }
    let credentials = options.at("gmsaCredentialSpec");
    if credentials.is_set() {
        match credentials.text().len() {
            0 => credentials.invalid("gmsaCredentialSpec cannot be an empty string"),
            bytes if bytes > 64 << 10 => credentials.invalid("gmsaCredentialSpec size must be under 64 KiB"),
            _ => {}
        }
    }
    let user = options.at("runAsUserName");
    if user.is_set() {
        for complaint in windows_user(user.text()) {
            user.invalid(complaint);
        }
    }
}

/// What is wrong with a user of Windows, `DOMAIN\USER` or `USER`.
fn windows_user(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    if name.matches('\\').count() > 1 {
        return vec!["runAsUserName cannot contain more than one backslash"];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut complaints = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= 256 {
            complaints.push("runAsUserName's Domain length must be under 256 characters");
        }
        if !is_net_bios(domain) && !is_dns_domain(domain) {
            complaints.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        complaints.push("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        complaints.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        complaints.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        complaints.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    complaints
}

fn is_net_bios(domain: &str) -> bool {
    let forbidden = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(forbidden)
}

fn is_dns_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    })
}

/// Containers that are processes of the host: all of a pod or none.
pub(super) fn host_process(spec: &Cursor<'_>) {
    let path = ["securityContext", "windowsOptions", "hostProcess"];
    let of_pod = spec.down(&path).value.as_bool();
    let (mut all, mut host) = (0, 0);
    for container in every_container(spec) {
        all += 1;
        let own = container.down(&path);
        if let (Some(of_pod), Some(of_container)) = (of_pod, own.value.as_bool())
            && of_pod != of_container
        {
            own.invalid(format!("pod hostProcess value must be identical if both are specified, was {of_pod}"));
        }
        host += usize::from(own.value.as_bool().or(of_pod) == Some(true));
    }
    if host == 0 {
        return;
    }
    if host != all {
        spec.invalid_str(
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        );
    }
    if !spec.at("hostNetwork").is_true() {
        spec.at("hostNetwork")
            .invalid_as("false", "hostNetwork must be true if pod contains any hostProcess containers");
    }
    spec.forbidden(NO_HOST_PROCESSES);
}

fn sysctls(spec: &Cursor<'_>, sysctls: &Cursor<'_>) {
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
        // A name that was wrong counts as seen all the same.
        names.insert(name.text().to_owned());
        let normal = normal_sysctl(name.text());
        if spec.at("hostNetwork").is_true() && normal.starts_with("net.") {
            name.invalid_text("may not be specified when 'hostNetwork' is true");
        } else if spec.at("hostIPC").is_true() && is_ipc(&normal) {
            name.invalid_text("may not be specified when 'hostIPC' is true");
        }
    }
}

/// The name with dots, whichever of the two separators it came with.
fn normal_sysctl(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn is_ipc(name: &str) -> bool {
    name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
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
