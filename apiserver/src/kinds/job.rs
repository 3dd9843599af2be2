//! Jobs. Source: `k8s.io/kubernetes/pkg/registry/batch/job/strategy.go`, `pkg/apis/batch/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of Jobs.
#[derive(Clone, Copy, Debug)]
pub struct Job;

/// The labels that say which job a pod belongs to: by uid, then by name; the prefixed ones and the old ones.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
/// The most pods of an indexed job at a time, and the most indexes.
const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const COUNTS: &[&str] = &["active", "succeeded", "failed", "ready", "terminating"];
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
            validate_spec(&spec);
            selector(&spec);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            validate_spec(&spec);
            change(&spec, old);
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| status(&root.at("status"), old))
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

/// The selector that no other job has: by the uid.
fn generate_selector(object: &mut Value) {
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let labels = ["spec", "template", "metadata", "labels"];
    for key in UID_LABELS {
        meta::set(object, &[&labels[..], &[key]].concat(), uid.clone());
    }
    for key in NAME_LABELS {
        meta::set(object, &[&labels[..], &[key]].concat(), name.clone());
    }
    meta::set(object, &["spec", "selector", "matchLabels", UID_LABELS[0]], uid);
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

/// The specification of a job, or of the jobs of a cron job.
pub(crate) fn validate_spec(spec: &Cursor<'_>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        spec.at(field).not_negative();
    }
    indexed(spec);
    pod_failure_policy(&spec.at("podFailurePolicy"));
    spec.at("podReplacementPolicy").one_of(&["Failed", "TerminatingOrFailed"]);
    pod_template::validate(&spec.at("template"));
    let policy = spec.down(&["template", "spec", "restartPolicy"]);
    match policy.text() {
        "OnFailure" if spec.at("podFailurePolicy").is_set() => {
            policy.invalid(r#"only "Never" is supported when podFailurePolicy is specified"#);
        }
        "OnFailure" | "Never" => {}
        "" | "Always" => policy.required(r#"valid values: "OnFailure", "Never""#),
        _ => policy.not_supported(&["OnFailure", "Never"]),
    }
}

fn indexed(spec: &Cursor<'_>) {
    let (mode, completions, parallelism) = (spec.at("completionMode"), spec.at("completions"), spec.at("parallelism"));
    mode.one_of(&["Indexed", "NonIndexed"]);
    if mode.text() == "Indexed" {
        if !completions.is_set() {
            completions.required("when completion mode is Indexed");
        }
        if parallelism.int().is_some_and(|count| count > MAX_INDEXED_PARALLELISM) {
            parallelism.invalid(format!(
                "must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
            ));
        }
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            let field = spec.at(field);
            if field.is_set() {
                field.invalid("requires indexed completion mode");
            }
        }
    }
    let policy = spec.at("successPolicy");
    if policy.is_set() {
        if mode.text() != "Indexed" {
            policy.invalid("requires indexed completion mode");
        }
        let rules = policy.at("rules");
        if rules.is_empty() {
            rules.required("at least one rules must be specified");
        }
    }
}

fn pod_failure_policy(policy: &Cursor<'_>) {
    for rule in policy.at("rules").items() {
        rule.at("action").must_be_one_of(&["Count", "FailIndex", "FailJob", "Ignore"]);
        let (codes, conditions) = (rule.at("onExitCodes"), rule.at("onPodConditions"));
        match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => rule.invalid("specifying both OnExitCodes and OnPodConditions is not supported"),
            (false, false) => rule.invalid("specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
        if codes.is_set() {
            codes.at("operator").must_be_one_of(&["In", "NotIn"]);
            if codes.at("values").is_empty() {
                codes.at("values").invalid("at least one value is required");
            }
        }
    }
}

/// What may change of a job: how many pods run at a time, and the pods themselves while none has been started.
fn change(spec: &Cursor<'_>, old: &Value) {
    let before = |path: &[&str]| meta::at(old, &[&["spec"], path].concat());
    let completions = spec.at("completions");
    let elastic = spec.at("completionMode").text() == "Indexed"
        && completions.int() == spec.at("parallelism").int()
        && before(&["completions"]).is_some();
    if !elastic {
        completions.immutable(before(&["completions"]));
    }
    pod_template::immutable_selector(spec, old);
    let template = spec.at("template");
    let suspended = before(&["suspend"]) == Some(&Value::Bool(true));
    let started = meta::at(old, &["status", "startTime"]).is_some_and(|time| !time.is_null());
    let mut compared = template.value.clone();
    if let Some(old_template) = before(&["template"]).filter(|_| suspended && !started) {
        for path in [
            &["metadata", "annotations"][..],
            &["metadata", "labels"],
            &["spec", "affinity"],
            &["spec", "nodeSelector"],
            &["spec", "tolerations"],
            &["spec", "schedulingGates"],
        ] {
            restore(&mut compared, old_template, path);
        }
    }
    if !check::same(Some(&compared), before(&["template"])) {
        template.invalid(check::IMMUTABLE);
    }
    for field in IMMUTABLE {
        spec.at(field).immutable(before(&[field]));
    }
}

/// The status of a job: counts, and no way back from the end.
fn status(status: &Cursor<'_>, old: &Value) {
    COUNTS.iter().for_each(|field| status.at(field).not_negative());
    let is_true = |condition: &Value| meta::text(condition, &["status"]) == "True";
    let conditions = status.at("conditions");
    for before in meta::items(old, &["status", "conditions"]) {
        let sort = meta::text(before, &["type"]);
        let finished = matches!(sort, "Complete" | "Failed" | "FailureTarget" | "SuccessCriteriaMet");
        let still = conditions.items().any(|after| after.at("type").text() == sort && is_true(after.value));
        if finished && is_true(before) && !still {
            conditions.invalid(format!("cannot disable {} condition once it is set to true", sort));
        }
    }
    let has = |sort: &str| {
        conditions.items().any(|condition| condition.at("type").text() == sort && is_true(condition.value))
    };
    if has("Complete") && has("Failed") {
        conditions.invalid("cannot set Complete=True and Failed=true conditions");
    }
    let completion = status.at("completionTime");
    if completion.is_set() && !has("Complete") {
        completion.invalid("cannot set completionTime when there is no Complete=True condition");
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
    fn ended_jobs_stay_ended() {
        let old = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let new = json!({"status": {"conditions": []}});
        assert_eq!(Job.validate_status_update(&new, &old).len(), 1);
        assert!(Job.validate_status_update(&old, &old).is_empty());
    }
}
