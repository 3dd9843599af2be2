//! The standards: which checks belong to which level in which version.
//! Source: `k8s.io/pod-security-admission/policy` of Kubernetes 1.36.

mod baseline;
mod restricted;
mod text;

use serde_json::Value;

use super::policy::{Level, Standard, Version};

pub(super) use baseline::{SECCOMP_OF_CONTAINER, SECCOMP_OF_POD};

/// A pod, or the template of one.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) metadata: Option<&'a Value>,
    pub(super) spec: &'a Value,
}

/// What one check has against a pod.
struct Violation {
    reason: &'static str,
    detail: String,
}

/// What all checks have against a pod.
pub(super) struct Violations(Vec<Violation>);

/// What a check says about a pod in one version.
type Judge = fn(&Pod<'_>) -> Option<Violation>;
/// The versions of a check, each with the first minor version that it is for.
type Versions = &'static [(u32, Judge)];

/// One check, in its versions from the oldest to the newest.
struct Check {
    level: Level,
    versions: Versions,
    /// The check of the lower level in whose place this one is.
    overrides: Option<&'static str>,
    id: &'static str,
}

/// All checks, in the order in which their violations are told: those of the lower level first, by their upstream names.
const CHECKS: [Check; 19] = [
    lower("appArmorProfile", &[(0, baseline::app_armor)]),
    lower("capabilities_baseline", &[(0, baseline::capabilities)]),
    lower("hostNamespaces", &[(0, baseline::host_namespaces)]),
    lower("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    lower("hostPorts", &[(0, baseline::host_ports)]),
    lower("hostProbesAndHostLifecycle", &[(34, baseline::probe_hosts)]),
    lower("privileged", &[(0, baseline::privileged)]),
    lower("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_on_host)]),
    lower("seLinuxOptions", &[(0, baseline::se_linux_0), (31, baseline::se_linux_31)]),
    lower("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)]),
    lower(
        "sysctls",
        &[(0, baseline::sysctls_0), (27, baseline::sysctls_27), (29, baseline::sysctls_29), (32, baseline::sysctls_32)],
    ),
    lower("windowsHostProcess", &[(0, baseline::host_process)]),
    upper("allowPrivilegeEscalation", &[(8, restricted::escalation), (25, restricted::escalation_on_linux)], None),
    upper(
        "capabilities_restricted",
        &[(22, restricted::capabilities), (25, restricted::capabilities_on_linux)],
        Some("capabilities_baseline"),
    ),
    upper("procMount_restricted", &[(35, baseline::proc_mount)], Some("procMount")),
    upper("restrictedVolumes", &[(0, restricted::volumes)], Some("hostPathVolumes")),
    upper("runAsNonRoot", &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_on_host)], None),
    upper("runAsUser", &[(23, restricted::run_as_user), (35, restricted::run_as_user_on_host)], None),
    upper(
        "seccompProfile_restricted",
        &[(19, restricted::seccomp), (25, restricted::seccomp_on_linux)],
        Some("seccompProfile_baseline"),
    ),
];

const fn lower(id: &'static str, versions: Versions) -> Check {
    Check { level: Level::Baseline, versions, overrides: None, id }
}

const fn upper(id: &'static str, versions: Versions, overrides: Option<&'static str>) -> Check {
    Check { level: Level::Restricted, versions, overrides, id }
}

impl Check {
    /// The check as it is in a version, if that has it.
    fn at(&self, version: Version) -> Option<Judge> {
        let fits = |minimum: u32| match version {
            Version::Latest => true,
            Version::Minor(minor) => minimum <= minor,
        };
        self.versions.iter().rev().find(|(minimum, _)| fits(*minimum)).map(|(_, check)| *check)
    }
}

/// Holds a pod against a standard.
pub(super) fn evaluate(standard: Standard, pod: Pod<'_>) -> Violations {
    let checks: Vec<&Check> =
        CHECKS.iter().filter(|check| check.level <= standard.level && check.at(standard.version).is_some()).collect();
    let is_overridden = |id: &str| checks.iter().any(|check| check.overrides == Some(id));
    let results = checks.iter().filter(|check| !is_overridden(check.id)).filter_map(|check| check.at(standard.version));
    Violations(results.filter_map(|check| check(&pod)).collect())
}

impl Violations {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `hostPort, privileged`.
    pub(super) fn reasons(&self) -> String {
        self.0.iter().map(|violation| violation.reason).collect::<Vec<_>>().join(", ")
    }

    /// `hostPort (container "a" uses hostPort 80), …`.
    pub(super) fn detailed(&self) -> String {
        let detailed = |it: &Violation| format!("{} ({})", it.reason, it.detail);
        self.0.iter().map(detailed).collect::<Vec<_>>().join(", ")
    }
}
