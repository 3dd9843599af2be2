//! Jobs. Source: `k8s.io/kubernetes/pkg/registry/batch/job/strategy.go`, `pkg/apis/batch/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use super::pod::defaults::each;
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy, restore};

mod indexes;
mod spec;
mod status;

pub(crate) use spec::validate as validate_spec;

/// The strategy of Jobs.
#[derive(Clone, Copy, Debug)]
pub struct Job;

/// The labels that say which job a pod belongs to: by uid, then by name; the prefixed ones and the old ones.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
const IMMUTABLE: &[&str] =
    &["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];

impl Strategy for Job {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        pod_template::default(object, &["spec", "template"]);
        let Some(spec) = object.get_mut("spec") else {
            return;
        };
        let set = |spec: &Value, field: &str| spec.get(field).is_some_and(|value| !value.is_null());
        if !set(spec, "completions") && !set(spec, "parallelism") {
            meta::set(spec, &["completions"], 1);
        }
        let per_index = set(spec, "backoffLimitPerIndex");
        let policy = if set(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        let backoff = if per_index { i64::from(i32::MAX) } else { 6 };
        meta::set_default(spec, &["parallelism"], 1);
        meta::set_default(spec, &["backoffLimit"], backoff);
        meta::set_default(spec, &["completionMode"], "NonIndexed");
        meta::set_default(spec, &["suspend"], false);
        meta::set_default(spec, &["manualSelector"], false);
        meta::set_default(spec, &["podReplacementPolicy"], policy);
        labels_of_template(object);
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
        if meta::at(object, &["spec", "manualSelector"]) != Some(&Value::Bool(true)) {
            generate_selector(object);
        }
        labels_of_template(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            generated(&root);
            validate_spec(&spec);
            selector(&spec);
            hostnames(&root);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            validate_spec(&spec);
            selector(&spec);
            change(&spec, old);
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| status::validate(&root, old))
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "template"])
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn warnings_on_vague_delete(&self) -> Option<String> {
        let why = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                   remove them or set propagationPolicy=Orphan to suppress this warning";
        Some(why.to_owned())
    }

    fn unknown_field(&self, field: &str) -> String {
        format!("field label \"{field}\" not supported for Job")
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let succeeded = meta::at(object, &["status", "succeeded"]).and_then(Value::as_i64);
        vec![("status.successful", succeeded.unwrap_or_default().to_string())]
    }
}

/// A job without labels has those of its pods, unless they are none: that is said of the template.
fn labels_of_template(object: &mut Value) {
    if meta::labels(object).next().is_none()
        && let Some(labels) = meta::at(object, &["spec", "template", "metadata", "labels"]).cloned()
        && labels.as_object().is_some_and(|labels| !labels.is_empty())
        && meta::pairs(&labels, &[]).all(|(_, value)| names::label_value(value).is_empty())
    {
        meta::set(object, &["metadata", "labels"], labels);
    }
}

/// The selector that no other job has: by the uid. What the client set stays, and is judged later.
fn generate_selector(object: &mut Value) {
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let labels = ["spec", "template", "metadata", "labels"];
    for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
        for key in keys {
            meta::set_default(object, &[&labels[..], &[key]].concat(), value.clone());
        }
    }
    meta::set_default(object, &["spec", "selector", "matchLabels", UID_LABELS[0]], uid);
}

/// A selector that was not asked to be the client's own is the generated one, and the pods have the labels.
fn generated(root: &Cursor<'_>) {
    let spec = root.at("spec");
    if spec.at("manualSelector").is_true() || !spec.at("selector").is_set() {
        return;
    }
    let (uid, name) = (meta::uid(root.value), meta::name(root.value));
    let expected = [(UID_LABELS[1], uid), (NAME_LABELS[1], name), (UID_LABELS[0], uid), (NAME_LABELS[0], name)];
    let labels = spec.down(&["template", "metadata", "labels"]);
    for (key, value) in expected {
        let label = labels.key(key);
        if !label.is_set() {
            label.required(&format!("must be '{value}'"));
        } else if label.text() != value {
            label.invalid_as(labels.value.to_string(), format!("must be '{value}'"));
        }
    }
    let expected = expected.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    if check::selector::matches(spec.at("selector").value, &expected) == Some(false) {
        spec.at("selector").invalid("`selector` not auto-generated");
    }
}

/// The names of the pods of an indexed job are made of its name and the index.
fn hostnames(root: &Cursor<'_>) {
    let spec = root.at("spec");
    let count = spec.at("completions").int().unwrap_or_default();
    if spec.at("completionMode").text() != "Indexed" || count <= 0 {
        return;
    }
    let name = root.at("metadata").at("name");
    let longest = format!("{}-{}", name.text(), count - 1);
    if !names::dns1123_label(&longest).is_empty() {
        name.invalid_text(format!("will not able to create pod with invalid DNS label: {longest}"));
    }
}

fn selector(spec: &Cursor<'_>) {
    let selector = spec.at("selector");
    if !selector.is_set() {
        selector.required("");
        return;
    }
    selector.label_selector();
    pod_template::match_selector(spec, "template");
}

/// Whether the controller says of a job that it has stopped its pods.
fn is_suspended(job: &Value) -> bool {
    meta::items(job, &["status", "conditions"])
        .iter()
        .any(|it| meta::text(it, &["type"]) == "Suspended" && meta::text(it, &["status"]) == "True")
}

/// Undoes what changed of where the pods of a template may run.
fn forget_directives(template: &mut Value, old: &Value) {
    for path in [
        &["metadata", "annotations"][..],
        &["metadata", "labels"],
        &["spec", "affinity", "nodeAffinity"],
        &["spec", "nodeSelector"],
        &["spec", "tolerations"],
        &["spec", "schedulingGates"],
    ] {
        restore(template, old, path);
    }
    let affinity = ["spec", "affinity"];
    let empty = meta::at(template, &affinity).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
    if empty && meta::at(old, &affinity).is_none() {
        meta::remove(template, &affinity);
    }
}

/// Undoes what changed of the amounts that the containers of a template ask for.
fn forget_resources(template: &mut Value, old: &Value) {
    for list in ["containers", "initContainers"] {
        let before = meta::items(old, &["spec", list]);
        if let Some(spec) = template.get_mut("spec") {
            let mut olds = before.iter();
            each(spec, list, |container| {
                let old = olds.next().filter(|old| meta::text(old, &["name"]) == meta::text(container, &["name"]));
                if let Some(old) = old {
                    restore(container, old, &["resources", "requests"]);
                    restore(container, old, &["resources", "limits"]);
                }
            });
        }
    }
}

/// What may change of a job: how many pods run at a time, and the pods themselves while none has been started.
fn change(spec: &Cursor<'_>, old: &Value) {
    let before = |path: &[&str]| meta::at(old, &[&["spec"], path].concat());
    let completions = spec.at("completions");
    if spec.at("completionMode").text() != "Indexed" {
        completions.immutable(before(&["completions"]));
    } else if completions.is_set()
        && !check::same(Some(completions.value), before(&["completions"]))
        && completions.int() != spec.at("parallelism").int()
    {
        completions.invalid("can only be modified in tandem with spec.parallelism");
    }
    pod_template::immutable_selector(spec, old);
    let template = spec.at("template");
    let mut compared = template.value.clone();
    let is_set = |path: &[&str]| meta::at(old, path).is_some_and(|value| !value.is_null());
    let suspended = before(&["suspend"]) == Some(&Value::Bool(true));
    let active = meta::at(old, &["status", "active"]).and_then(Value::as_i64).unwrap_or_default();
    let stopped = suspended && active == 0 && is_suspended(old);
    if let Some(old_template) = before(&["template"]) {
        if stopped || (suspended && !is_set(&["status", "startTime"])) {
            forget_directives(&mut compared, old_template);
        }
        if stopped {
            forget_resources(&mut compared, old_template);
        }
    }
    if !check::same(Some(&compared), before(&["template"])) {
        template.invalid(check::IMMUTABLE);
    }
    for field in IMMUTABLE {
        spec.at(field).immutable(before(&[field]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(change: &Value) -> Value {
        let mut object = json!({"metadata": {"name": "migrate", "uid": "u1"}, "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}},
        }});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        Job.default(&mut object);
        Job.prepare_for_create(&mut object, Timestamp::UNIX_EPOCH);
        object
    }

    #[test]
    fn a_job_selects_its_pods_by_its_uid() {
        let object = job(&json!({}));
        assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}));
        assert_eq!(object["metadata"]["labels"], object["spec"]["template"]["metadata"]["labels"]);
        assert_eq!(meta::label(&object, "job-name"), Some("migrate"));
        assert!(Job.validate(&object).is_empty());
    }

    #[test]
    fn pods_of_jobs_end() {
        let mut object = job(&json!({}));
        object["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
        assert_eq!(
            check::messages(&Job.validate(&object)),
            [r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#]
        );
    }

    #[test]
    fn the_template_may_change_until_the_first_pod() {
        let old = job(&json!({"suspend": true}));
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
        assert!(Job.validate_update(&new, &old).is_empty());
        let running = job(&json!({}));
        let mut changed = running.clone();
        changed["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
        changed["spec"]["parallelism"] = json!(5);
        assert_eq!(Job.validate_update(&changed, &running).len(), 1);
    }

    #[test]
    fn resources_may_change_while_a_job_is_stopped() {
        let mut old = job(&json!({"suspend": true}));
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": "1"});
        assert_eq!(Job.validate_update(&new, &old).len(), 1);
        old["status"] =
            json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]});
        assert!(Job.validate_update(&new, &old).is_empty());
        new["spec"]["template"]["spec"]["affinity"] = json!({"podAffinity": {}});
        assert_eq!(Job.validate_update(&new, &old).len(), 1);
        new["spec"]["template"]["spec"]["affinity"] = json!({"nodeAffinity": {}});
        assert!(Job.validate_update(&new, &old).is_empty());
        old["status"]["active"] = json!(1);
        assert_eq!(Job.validate_update(&new, &old).len(), 1);
    }

    #[test]
    fn ended_jobs_stay_ended() {
        let old = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let new = json!({"status": {"conditions": []}});
        assert_eq!(
            check::messages(&Job.validate_status_update(&new, &old)),
            ["status.conditions: Invalid value: cannot disable the terminal Complete=True condition"]
        );
        assert!(Job.validate_status_update(&old, &old).is_empty());
    }

    #[test]
    fn ends_are_announced_and_complete() {
        let status = |status: Value| {
            let mut object = job(&json!({}));
            object["status"] = status;
            object
        };
        let old = status(json!({"startTime": "2024-01-01T00:00:00Z", "active": 1, "failed": 2}));
        let check = |new: Value, expect: &[&str]| {
            assert_eq!(check::messages(&Job.validate_status_update(&status(new), &old)), expect);
        };
        check(
            json!({"startTime": "2024-01-01T00:00:00Z", "active": 1, "failed": 1, "conditions": [{"type": "Complete", "status": "True"}]}),
            &[
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
            ],
        );
        check(
            json!({"startTime": "2024-01-01T00:00:00Z", "failed": 2, "completedIndexes": "0", "ready": 1,
                "uncountedTerminatedPods": {"succeeded": ["a", "a", ""]}}),
            &[
                "status.uncountedTerminatedPods.succeeded[1]: Duplicate value: \"a\"",
                "status.uncountedTerminatedPods.succeeded[2]: Invalid value: \"\": must not be empty",
                "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
                "status.ready: Invalid value: 1: cannot set more ready pods than active",
            ],
        );
    }

    #[test]
    fn policies_and_limits_are_checked() {
        let check = |change: Value, expect: &[&str]| assert_eq!(check::messages(&Job.validate(&job(&change))), expect);
        check(
            json!({"managedBy": "me", "maxFailedIndexes": 1, "completionMode": "Sometimes"}),
            &[
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                "spec.completionMode: Unsupported value: \"Sometimes\": supported values: \"NonIndexed\", \"Indexed\"",
            ],
        );
        check(
            json!({"podFailurePolicy": {"rules": [
                {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [2, 0, 0], "containerName": "x"}},
                {"onPodConditions": [{"type": "Ready"}]},
                {"action": "Count"},
            ]}}),
            &[
                "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 0",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,0]: must be ordered",
                "spec.podFailurePolicy.rules[1].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
                "spec.podFailurePolicy.rules[1].onPodConditions[0].status: Required value: valid values: [\"False\" \"True\" \"Unknown\"]",
                "spec.podFailurePolicy.rules[2]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        );
        check(
            json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{}, {"succeededIndexes": "0-1", "succeededCount": 3}]}}),
            &[
                "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
                "spec.successPolicy.rules[1].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
            ],
        );
    }
}
