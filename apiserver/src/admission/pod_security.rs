//! `PodSecurity`: namespaces say by labels how much a pod may ask of its node. What breaks the enforced level is refused,
//! what breaks the others is noted or warned about; of the templates of controllers, too.
//! Source: Kubernetes docs "Pod Security Admission", "Pod Security Standards"; `k8s.io/pod-security-admission`.

mod checks;
mod existing;
mod policy;
mod settings;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use self::checks::{Pod, Violations, evaluate};
use self::policy::{Level, Policy, Standard};
use self::settings::Exemptions;
use super::configuration::Configuration;
use super::{Attributes, Operation, Plugin, Verdict, pass};

/// Before the keys of what is noted for the audit log.
const NOTES: &str = "pod-security.kubernetes.io/";
/// Ways to a pod that do not change what it may do.
const HARMLESS: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// What has a template of pods, and where.
const TEMPLATES: [((&str, &str), &[&str]); 8] = [
    (("", "replicationcontrollers"), &["spec", "template"]),
    (("", "podtemplates"), &["template"]),
    (("apps", "replicasets"), &["spec", "template"]),
    (("apps", "deployments"), &["spec", "template"]),
    (("apps", "statefulsets"), &["spec", "template"]),
    (("apps", "daemonsets"), &["spec", "template"]),
    (("batch", "jobs"), &["spec", "template"]),
    (("batch", "cronjobs"), &["spec", "jobTemplate", "spec", "template"]),
];

/// The plugin, with what holds where nothing is said, and for whom nothing holds.
pub(super) struct PodSecurity {
    defaults: Policy,
    exemptions: Exemptions,
}

impl PodSecurity {
    pub(super) fn new(configuration: &Configuration) -> Result<Self, String> {
        let (defaults, exemptions) = settings::read(configuration)?;
        Ok(Self { defaults, exemptions })
    }
}

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let Some(object) = object.filter(|_| attributes.operation != Operation::Delete) else { return pass() };
        let place = (attributes.resource.group.as_str(), attributes.resource.name.as_str());
        let check = match place {
            ("", "namespaces") if attributes.subresource.is_empty() => self.check_namespace(attributes, object).boxed(),
            ("", "pods") if !HARMLESS.contains(&attributes.subresource) => self.check_pod(attributes, object).boxed(),
            _ if attributes.subresource.is_empty() => {
                let Some((_, path)) = TEMPLATES.iter().find(|(of, _)| *of == place) else { return pass() };
                self.check_template(attributes, meta::at(object, path)).boxed()
            }
            _ => return pass(),
        };
        check.right_future()
    }
}

impl PodSecurity {
    async fn check_namespace(&self, attributes: &Attributes<'_>, namespace: &Value) -> Result<(), Status> {
        let (policy, errors) = Policy::of(namespace, &self.defaults);
        let before = attributes.old.map(|old| Policy::of(old, &self.defaults));
        let old_errors = before.as_ref().map(|(_, errors)| errors.as_slice()).unwrap_or_default();
        if !errors.is_empty() && errors != old_errors {
            return Err(Status::invalid(&attributes.resource.group_kind(), attributes.name, &errors));
        }
        if self.exemptions.namespace(attributes.name) {
            if !policy.is_privileged() && policy != self.defaults && before.is_none_or(|(before, _)| before != policy) {
                attributes.origin.warnings.add(format!(
                    "namespace {} is exempt from Pod Security, and the policy ({}) will be ignored",
                    go_quote(attributes.name),
                    policy.in_short()
                ));
            }
            return Ok(());
        }
        let Some((before, _)) = before else { return Ok(()) };
        let relaxed = policy.enforce.version == before.enforce.version && policy.enforce.level <= before.enforce.level;
        if policy.enforce == before.enforce || policy.enforce.level == Level::Privileged || relaxed {
            return Ok(());
        }
        let pods = attributes.server.read_namespace("pods", attributes.name).await?;
        let pods: Vec<Value> = pods.into_iter().filter(|pod| !self.exemptions.runtime_class(pod.get("spec"))).collect();
        attributes.origin.warnings.extend(existing::warnings(attributes.name, &pods, policy.enforce));
        Ok(())
    }

    /// Whether nothing holds for whoever asks, or where; that is noted.
    fn exempts(&self, attributes: &Attributes<'_>, spec: Option<&Value>) -> bool {
        let why = match () {
            () if self.exemptions.namespace(attributes.namespace) => "namespace",
            () if self.exemptions.user(&attributes.origin.user.name) => "user",
            () if self.exemptions.runtime_class(spec) => "runtimeClass",
            () => return false,
        };
        note(attributes, "exempt", why.to_owned());
        true
    }

    async fn policy_of(&self, attributes: &Attributes<'_>) -> Result<Policy, Status> {
        let name = attributes.namespace;
        let namespace = attributes.server.configuration("namespaces", "", name).await?;
        let namespace = namespace.ok_or_else(|| Status::internal(format!("failed to lookup namespace \"{name}\"")))?;
        let (policy, errors) = Policy::of(&namespace, &self.defaults);
        if !errors.is_empty() {
            let errors = steersman_machinery::field::aggregate(&errors);
            note(attributes, "error", format!("Failed to parse policy: {errors}"));
        }
        Ok(policy)
    }

    async fn check_pod(&self, attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
        if self.exempts(attributes, pod.get("spec")) || attributes.old.is_some_and(|old| !changes_what_counts(pod, old))
        {
            return Ok(());
        }
        let policy = self.policy_of(attributes).await?;
        note(attributes, "enforce-policy", policy.enforce.to_string());
        let subject = Pod { metadata: pod.get("metadata"), spec: pod.get("spec").unwrap_or(&Value::Null) };
        let enforced = evaluate(policy.enforce, subject);
        audit(attributes, &policy, subject);
        if enforced.is_empty() {
            warn(attributes, &policy, subject);
            return Ok(());
        }
        Err(attributes.forbidden(pod, format!("violates PodSecurity \"{}\": {}", policy.enforce, enforced.detailed())))
    }

    /// Templates are never refused: what they are made into is.
    async fn check_template(&self, attributes: &Attributes<'_>, template: Option<&Value>) -> Result<(), Status> {
        let Some(template) = template.filter(|template| template.is_object()) else { return Ok(()) };
        if self.exempts(attributes, template.get("spec")) {
            return Ok(());
        }
        let policy = self.policy_of(attributes).await?;
        let subject = Pod { metadata: template.get("metadata"), spec: template.get("spec").unwrap_or(&Value::Null) };
        audit(attributes, &policy, subject);
        warn(attributes, &policy, subject);
        Ok(())
    }
}

fn note(attributes: &Attributes<'_>, key: &str, text: String) {
    attributes.origin.annotations.add(format!("{NOTES}{key}"), text);
}

fn audit(attributes: &Attributes<'_>, policy: &Policy, pod: Pod<'_>) {
    if let Some(text) = would_violate(policy.audit, &evaluate(policy.audit, pod)) {
        note(attributes, "audit-violations", text);
    }
}

fn warn(attributes: &Attributes<'_>, policy: &Policy, pod: Pod<'_>) {
    attributes.origin.warnings.extend(would_violate(policy.warn, &evaluate(policy.warn, pod)));
}

fn would_violate(standard: Standard, violations: &Violations) -> Option<String> {
    (!violations.is_empty()).then(|| format!("would violate PodSecurity \"{standard}\": {}", violations.detailed()))
}

/// Whether an update changes something by which pods are judged. Most of a pod cannot be changed.
fn changes_what_counts(pod: &Value, old: &Value) -> bool {
    let annotation = |key: &str| meta::annotation(pod, key) != meta::annotation(old, key);
    let container = |new: &Value, old: &Value| {
        let name = meta::text(new, &["name"]);
        new.get("image") != old.get("image") || annotation(&format!("{}{name}", checks::SECCOMP_OF_CONTAINER))
    };
    let list = |field: &'static str| {
        let (new, old) = (meta::items(pod, &["spec", field]), meta::items(old, &["spec", field]));
        new.len() != old.len() || new.iter().zip(old).any(|(new, old)| container(new, old))
    };
    let ephemeral = || {
        let old = meta::items(old, &["spec", "ephemeralContainers"]);
        meta::items(pod, &["spec", "ephemeralContainers"]).iter().any(|new| {
            let same = old.iter().find(|old| old.get("name") == new.get("name"));
            same.is_none_or(|old| container(new, old))
        })
    };
    annotation(checks::SECCOMP_OF_POD) || list("containers") || list("initContainers") || ephemeral()
}

#[cfg(test)]
mod tests;
