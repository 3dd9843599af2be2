//! What holds for namespaces that say nothing, and for whom nothing holds: a `PodSecurityConfiguration` of
//! `pod-security.admission.config.k8s.io`.

use serde::Deserialize;
use serde_json::Value;
use steersman_machinery::meta;

use super::policy::{self, Policy, Standard};
use crate::admission::configuration::Configuration;

/// For whom nothing holds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Exemptions {
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

impl Exemptions {
    pub(super) fn namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|exempt| exempt == name)
    }

    pub(super) fn user(&self, name: &str) -> bool {
        self.usernames.iter().any(|exempt| exempt == name)
    }

    /// Whether pods of that specification are exempt.
    pub(super) fn runtime_class(&self, spec: Option<&Value>) -> bool {
        let name = spec.map(|spec| meta::text(spec, &["runtimeClassName"])).unwrap_or_default();
        self.runtime_classes.iter().any(|exempt| exempt == name)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    exemptions: Exemptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Defaults {
    enforce: Option<String>,
    enforce_version: Option<String>,
    audit: Option<String>,
    audit_version: Option<String>,
    warn: Option<String>,
    warn_version: Option<String>,
}

/// # Errors
/// If a level or a version is none, or an exemption names nobody.
pub(super) fn read(configuration: &Configuration) -> Result<(Policy, Exemptions), String> {
    let place = ("pod-security.admission.config.k8s.io", "PodSecurityConfiguration");
    let Some(File { defaults, exemptions }) = configuration.of("PodSecurity", place)? else {
        return Ok(<_>::default());
    };
    let privileged = Policy::default();
    let standard = |mode: &str, level: Option<String>, version: Option<String>| -> Result<Standard, String> {
        let named = |field: &str, text: &str, why| format!("defaults.{mode}{field}: Invalid value: {text:?}: {why}");
        let Standard { level: any, version: latest } = privileged.enforce;
        Ok(Standard {
            level: level.map_or(Ok(any), |text| policy::level(&text).map_err(|why| named("", &text, why)))?,
            version: version
                .map_or(Ok(latest), |text| policy::version(&text).map_err(|why| named("-version", &text, why)))?,
        })
    };
    let policy = Policy {
        enforce: standard("enforce", defaults.enforce, defaults.enforce_version)?,
        audit: standard("audit", defaults.audit, defaults.audit_version)?,
        warn: standard("warn", defaults.warn, defaults.warn_version)?,
    };
    let Exemptions { usernames, namespaces, runtime_classes } = &exemptions;
    for (list, names) in [("usernames", usernames), ("namespaces", namespaces), ("runtimeClasses", runtime_classes)] {
        if let Some(index) = names.iter().position(String::is_empty) {
            return Err(format!("exemptions.{list}[{index}]: Invalid value: \"\": it must not be empty"));
        }
    }
    Ok((policy, exemptions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(configuration: &str) -> Result<(Policy, Exemptions), String> {
        let text = format!(
            "{{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{{name: PodSecurity, \
             configuration: {{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, \
             {configuration}}}}}]}}"
        );
        read(&Configuration::from_yaml(&text, |path| Err(path.to_owned())).unwrap())
    }

    #[test]
    fn defaults_and_exemptions_are_read() {
        let (policy, exemptions) = with(
            "defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}, \
             exemptions: {namespaces: [kube-system], usernames: [jane], runtimeClasses: [kata]}",
        )
        .unwrap();
        assert_eq!(policy.in_short(), "enforce=baseline:v1.30, warn=restricted:latest");
        assert!(exemptions.namespace("kube-system") && !exemptions.namespace("default"));
        assert!(exemptions.user("jane") && !exemptions.user(""));
        let spec = serde_json::json!({"runtimeClassName": "kata"});
        assert!(exemptions.runtime_class(Some(&spec)) && !exemptions.runtime_class(None));
        for (text, expect) in [
            ("defaults: {enforce: none}", "defaults.enforce: Invalid value: \"none\": must be one of privileged"),
            ("defaults: {warn-version: '1.30'}", "defaults.warn-version: Invalid value: \"1.30\": must be"),
            ("exemptions: {namespaces: ['']}", "exemptions.namespaces[0]: Invalid value"),
            ("exemptions: {users: [a]}", "unknown field"),
        ] {
            let why = with(text).map(|_| ()).unwrap_err();
            assert!(why.contains(expect), "{why}");
        }
    }
}
