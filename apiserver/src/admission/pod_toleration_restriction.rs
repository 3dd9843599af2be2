//! `PodTolerationRestriction` (off by default): namespaces, or the configuration, say which taints their pods tolerate of
//! themselves, and which they may tolerate at all.
//! Source: Kubernetes doc "Admission Control in Kubernetes"; `kubernetes/plugin/pkg/admission/podtolerationrestriction`,
//! `k8s.io/kubernetes/pkg/util/tolerations`.

use std::sync::Arc;

use futures::future::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::pod::qos;
use steersman_machinery::status::Status;

use super::configuration::Configuration;
use super::{Attributes, Operation, Plugin, Verdict};

/// What pods tolerate of themselves.
const DEFAULT: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
/// What they may tolerate.
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

const NAME: &str = "PodTolerationRestriction";

/// The plugin, with what holds for namespaces that say nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PodTolerationRestriction {
    #[serde(default)]
    default: Vec<Value>,
    #[serde(default)]
    whitelist: Vec<Value>,
}

impl PodTolerationRestriction {
    pub(super) fn new(configuration: &Configuration) -> Result<Self, String> {
        let read = configuration.of(NAME, ("podtolerationrestriction.admission.k8s.io", "Configuration"))?;
        Ok(read.unwrap_or_default())
    }

    /// Adds what a new pod tolerates of itself, and what a pod that asks for resources tolerates in any case.
    fn merge(&self, pod: &mut Value, creates: bool, namespace: &Value) -> Result<(), Status> {
        let mut more = match (creates, named(namespace, DEFAULT)?) {
            (false, _) => vec![],
            (true, Some(named)) => named,
            (true, None) => self.default.clone(),
        };
        if qos::class(pod) != "BestEffort" {
            more.push(
                json!({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}),
            );
        }
        if !more.is_empty() {
            let own = meta::items(pod, &["spec", "tolerations"]).iter().cloned();
            let merged = merged(own.chain(more).collect());
            meta::set(pod, &["spec", "tolerations"], merged);
        }
        Ok(())
    }

    /// Refuses a pod that tolerates more than it may.
    fn check(&self, pod: &Value, namespace: &Value) -> Result<(), Status> {
        let tolerations = meta::items(pod, &["spec", "tolerations"]);
        let named = named(namespace, ALLOWED)?;
        let (allowed, whose) = match &named {
            Some(named) => (named.as_slice(), "namespace"),
            None => (self.whitelist.as_slice(), "cluster"),
        };
        let may = |toleration: &Value| allowed.iter().any(|allowed| covers(allowed, toleration));
        if allowed.is_empty() || tolerations.iter().all(may) {
            return Ok(());
        }
        Err(Status::untyped(format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {whose} whitelist"
        )))
    }
}

impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        async move {
            let Some(namespace) = concerned(attributes).await? else { return Ok(()) };
            self.merge(object, attributes.operation == Operation::Create, &namespace)?;
            self.check(object, &namespace)
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let (Some(pod), Some(namespace)) = (object, concerned(attributes).await?) else { return Ok(()) };
            self.check(pod, &namespace)
        }
        .boxed()
        .right_future()
    }
}

/// The namespace of a pod that is made or changed.
async fn concerned(attributes: &Attributes<'_>) -> Result<Option<Arc<Value>>, Status> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !attributes.is("", "pods") {
        return Ok(None);
    }
    attributes.server.configuration("namespaces", "", attributes.namespace).await
}

/// The tolerations in an annotation; an empty one says that there are none.
fn named(namespace: &Value, annotation: &str) -> Result<Option<Vec<Value>>, Status> {
    match meta::annotation(namespace, annotation) {
        None => Ok(None),
        Some("") => Ok(Some(vec![])),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|error| Status::untyped(error.to_string())),
    }
}

/// The tolerations without those that another one covers. Of equal ones the first stays.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = vec![];
    for (index, toleration) in all.iter().enumerate() {
        let by_later = |later: &Value| later != toleration && covers(later, toleration);
        if !kept.iter().any(|other| covers(other, toleration)) && !all[index + 1..].iter().any(by_later) {
            kept.push(toleration.clone());
        }
    }
    kept
}

/// Whether whoever tolerates the one tolerates all that the other does.
fn covers(one: &Value, other: &Value) -> bool {
    if one == other {
        return true;
    }
    let text = |toleration: &'_ Value, field: &str| meta::text(toleration, &[field]).to_owned();
    let same = |field: &str| text(one, field) == text(other, field);
    let exists = text(one, "operator") == "Exists";
    let any_key = text(one, "key").is_empty() && exists;
    if !(same("key") || any_key) || !(same("effect") || text(one, "effect").is_empty()) {
        return false;
    }
    let seconds = |toleration: &Value| toleration.get("tolerationSeconds").and_then(Value::as_i64);
    if text(one, "effect") == "NoExecute"
        && let Some(most) = seconds(one)
        && seconds(other).is_none_or(|seconds| seconds > most)
    {
        return false;
    }
    match text(one, "operator").as_str() {
        "" | "Equal" => same("operator") && same("value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(text: &str) -> Value {
        let [key, operator, value, effect] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let mut toleration = json!({});
        for (field, text) in [("key", key), ("operator", operator), ("value", value), ("effect", effect)] {
            if text != "-" {
                toleration[field] = json!(text);
            }
        }
        toleration
    }

    #[test]
    fn a_toleration_covers_another() {
        for (one, other, expect) in [
            ("a Exists - -", "a Equal b NoSchedule", true),
            ("- Exists - -", "a Equal b NoSchedule", true),
            ("- Equal - -", "a Equal b NoSchedule", false),
            ("a Exists - NoSchedule", "a Exists - NoExecute", false),
            ("a Equal b -", "a Equal b NoExecute", true),
            ("a Equal b -", "a Equal c NoExecute", false),
            ("a Equal b -", "a Exists - NoExecute", false),
            ("b Exists - -", "a Exists - -", false),
        ] {
            assert_eq!(covers(&toleration(one), &toleration(other)), expect, "{one} {other}");
        }
        let within =
            |seconds| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        assert!(covers(&within(10), &within(5)) && !covers(&within(5), &within(10)));
        assert!(!covers(&within(5), &toleration("a Exists - NoExecute")));
    }

    #[test]
    fn a_namespace_says_what_its_pods_tolerate_and_may() {
        let plugin = PodTolerationRestriction {
            default: vec![toleration("cluster Exists - -")],
            whitelist: vec![toleration("cluster Exists - -"), toleration("own Exists - -")],
        };
        let space = |annotations: Value| json!({"metadata": {"annotations": annotations}});
        let pod = |own: &[&str]| {
            let own: Vec<Value> = own.iter().map(|text| toleration(text)).collect();
            json!({"spec": {"containers": [{"name": "c"}], "tolerations": own}})
        };
        let check = |own: &[&str], namespace: &Value, expect: Result<&[&str], &str>| {
            let mut pod = pod(own);
            let done = plugin.merge(&mut pod, true, namespace).and_then(|()| plugin.check(&pod, namespace));
            let got = done.map(|()| pod["spec"]["tolerations"].clone()).map_err(|status| status.message);
            let expect = expect.map(|list| list.iter().map(|text| toleration(text)).collect::<Vec<_>>());
            assert_eq!(got, expect.map(Value::from).map_err(str::to_owned), "{namespace}");
        };
        let merged = "pod tolerations (possibly merged with namespace default tolerations) conflict with its ";
        let (by_cluster, by_namespace) = (format!("{merged}cluster whitelist"), format!("{merged}namespace whitelist"));
        let silent = space(json!({}));
        check(&["own Exists - -"], &silent, Ok(&["own Exists - -", "cluster Exists - -"]));
        check(&["other Exists - -"], &silent, Err(&by_cluster));
        let some = json!([toleration("a Exists - -")]).to_string();
        let says = space(json!({DEFAULT: some, ALLOWED: some}));
        check(&["a Equal b NoSchedule"], &says, Ok(&["a Exists - -"]));
        check(&["own Exists - -"], &says, Err(&by_namespace));
        check(&["other Exists - -"], &space(json!({DEFAULT: "", ALLOWED: ""})), Ok(&["other Exists - -"]));
        let mut burstable = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        plugin.merge(&mut burstable, false, &silent).unwrap();
        assert_eq!(burstable["spec"]["tolerations"][0]["key"], "node.kubernetes.io/memory-pressure");
        assert!(plugin.check(&burstable, &says).is_err(), "what is added must be allowed, too");
    }
}
