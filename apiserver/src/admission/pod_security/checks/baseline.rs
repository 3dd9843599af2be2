//! The level `baseline`: no known way to more power over the node.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;

use super::text::{flag, named, plural, quoted, security, setters, unique, word};
use super::{Pod, Violation};

/// The annotation of the seccomp profile of a pod before there was a field for it.
pub(in super::super) const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The same for a container, before its name.
pub(in super::super) const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR_OF_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SE_LINUX_TYPES: [&str; 4] = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// Those that act on a pod alone, in the order in which versions came to allow them.
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn annotations<'a>(pod: &Pod<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    pod.metadata.into_iter().flat_map(|metadata| meta::pairs(metadata, &["annotations"]))
}

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let profile = |subject: &Value| {
        security(subject, &["appArmorProfile"])?;
        let profile = word(subject, &["appArmorProfile", "type"]).to_owned();
        (!matches!(profile.as_str(), "RuntimeDefault" | "Localhost")).then_some(profile)
    };
    let (of_pod, containers) = (profile(pod.spec), pod.containers_that(|it| profile(it).is_some()));
    let values: BTreeSet<String> = pod.containers().filter_map(profile).chain(of_pod.clone()).collect();
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotated: BTreeSet<String> = annotations(pod)
        .filter(|(key, value)| key.starts_with(APP_ARMOR_OF_CONTAINER) && !allowed(value))
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    let mut who = vec![setters(of_pod.is_some(), &containers)];
    if !annotated.is_empty() {
        who.push(plural("annotation", "annotations", annotated.len()).to_owned());
    }
    who.retain(|who| !who.is_empty());
    let values: Vec<String> = values.into_iter().chain(annotated).collect();
    (!who.is_empty()).then(|| Violation {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        detail: format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)),
    })
}

/// The capabilities that a container adds, besides those that it may.
pub(super) fn added<'a>(container: &'a Value, allowed: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
    let added = security(container, &["capabilities", "add"]).and_then(Value::as_array).into_iter().flatten();
    added.filter_map(Value::as_str).filter(move |capability| !allowed.contains(capability))
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|it| added(it, &CAPABILITIES).next().is_some());
    let capabilities = unique(pod.containers().flat_map(|it| added(it, &CAPABILITIES)));
    (!containers.is_empty()).then(|| Violation {
        reason: "non-default capabilities",
        detail: format!(
            "{} must not include {} in securityContext.capabilities.add",
            named(&containers),
            quoted(capabilities)
        ),
    })
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared = |field: &&str| pod.spec.get(field).and_then(Value::as_bool) == Some(true);
    let shared: Vec<String> =
        ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|it| shared(it)).map(|it| format!("{it}=true")).collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = meta::items(pod.spec, &["volumes"]);
    let bad = volumes.iter().filter(|volume| volume.get("hostPath").is_some_and(|source| !source.is_null()));
    let names: Vec<&str> = bad.map(|volume| meta::text(volume, &["name"])).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)),
    })
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = meta::items(container, &["ports"]).iter();
        let ports = ports.filter_map(|port| port.get("hostPort").and_then(Value::as_i64).filter(|port| *port != 0));
        ports.map(|port| port.to_string()).collect()
    };
    let containers = pod.containers_that(|it| !ports(it).is_empty());
    let ports: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    (!containers.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

pub(super) fn probe_hosts(pod: &Pod<'_>) -> Option<Violation> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    fn hosts(container: &Value) -> impl Iterator<Item = &str> {
        let handlers = HANDLERS.iter().filter_map(|path| meta::at(container, path));
        let hosts = handlers.flat_map(|it| ["httpGet", "tcpSocket"].map(|action| meta::text(it, &[action, "host"])));
        hosts.filter(|host| !host.is_empty())
    }
    let containers = unique(pod.containers_that(|it| hosts(it).next().is_some()));
    let containers: Vec<&str> = containers.into_iter().collect();
    let hosts = unique(pod.containers().flat_map(hosts));
    (!containers.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(hosts)
        ),
    })
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|it| flag(it, &["privileged"]) == Some(true));
    (!containers.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", named(&containers)),
    })
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |container: &&Value| !matches!(word(container, &["procMount"]), "" | "Default");
    let containers = pod.containers_that(|it| bad(&it));
    let values = unique(pod.containers().filter(bad).map(|it| word(it, &["procMount"])));
    (!containers.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!("{} must not set securityContext.procMount to {}", named(&containers), quoted(values)),
    })
}

pub(super) fn proc_mount_on_host(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

pub(super) fn se_linux_0(pod: &Pod<'_>) -> Option<Violation> {
    se_linux(pod, &SE_LINUX_TYPES[..3])
}

pub(super) fn se_linux_31(pod: &Pod<'_>) -> Option<Violation> {
    se_linux(pod, &SE_LINUX_TYPES)
}

fn se_linux(pod: &Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    fn option<'a>(subject: &'a Value, name: &str) -> &'a str {
        word(subject, &["seLinuxOptions", name])
    }
    let bad_type = |subject: &Value| {
        let kind = option(subject, "type");
        !kind.is_empty() && !allowed.contains(&kind)
    };
    let set = |subject: &Value, name: &str| !option(subject, name).is_empty();
    let bad = |subject: &Value| bad_type(subject) || set(subject, "user") || set(subject, "role");
    let who = setters(bad(pod.spec), &pod.containers_that(bad));
    let subjects = || [pod.spec].into_iter().chain(pod.containers());
    let types = unique(subjects().filter(|it| bad_type(it)).map(|it| option(it, "type")));
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    for name in ["user", "role"] {
        if subjects().any(|subject| set(subject, name)) {
            what.push(format!("{name} may not be set"));
        }
    }
    (!who.is_empty()).then(|| Violation {
        reason: "seLinuxOptions",
        detail: format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")),
    })
}

pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let containers: BTreeSet<&str> = pod.containers_that(|_| true).into_iter().collect();
    let concerns = |key: &str| {
        key == SECCOMP_OF_POD || key.strip_prefix(SECCOMP_OF_CONTAINER).is_some_and(|it| containers.contains(it))
    };
    let bad: BTreeSet<String> = annotations(pod)
        .filter(|(key, value)| concerns(key) && !allowed(value))
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "forbidden {} {}",
            plural("annotation", "annotations", bad.len()),
            bad.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Whether a seccomp profile is set that is not one of those which confine.
pub(super) fn bad_seccomp(subject: &Value) -> bool {
    let set = security(subject, &["seccompProfile"]).is_some();
    set && !matches!(word(subject, &["seccompProfile", "type"]), "RuntimeDefault" | "Localhost")
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let who = setters(bad_seccomp(pod.spec), &pod.containers_that(bad_seccomp));
    let subjects = [pod.spec].into_iter().chain(pod.containers());
    let values = unique(subjects.filter(|it| bad_seccomp(it)).map(|it| word(it, &["seccompProfile", "type"])));
    (!who.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values)),
    })
}

pub(super) fn sysctls_0(pod: &Pod<'_>) -> Option<Violation> {
    sysctls(pod, &SYSCTLS[..5])
}

pub(super) fn sysctls_27(pod: &Pod<'_>) -> Option<Violation> {
    sysctls(pod, &SYSCTLS[..6])
}

pub(super) fn sysctls_29(pod: &Pod<'_>) -> Option<Violation> {
    sysctls(pod, &SYSCTLS[..10])
}

pub(super) fn sysctls_32(pod: &Pod<'_>) -> Option<Violation> {
    sysctls(pod, &SYSCTLS)
}

fn sysctls(pod: &Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let names = meta::items(pod.spec, &["securityContext", "sysctls"]).iter().map(|it| meta::text(it, &["name"]));
    let bad: Vec<&str> = names.filter(|name| !allowed.contains(name)).collect();
    (!bad.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: bad.join(", ") })
}

pub(super) fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |subject: &Value| flag(subject, &["windowsOptions", "hostProcess"]) == Some(true);
    let who = setters(bad(pod.spec), &pod.containers_that(bad));
    (!who.is_empty()).then(|| Violation {
        reason: "hostProcess",
        detail: format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    })
}
