//! What a job may ask for: `ValidateJobSpec` of `k8s.io/kubernetes/pkg/apis/batch/validation`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::FieldError;
use steersman_machinery::{meta, names};

use super::indexes;
use crate::kinds::check::Cursor;
use crate::kinds::ingress::domain_prefixed_path;
use crate::kinds::pod_template;

/// The most pods of an indexed job at a time, and the most of its indexes that may fail.
const MAX_INDEXED: i64 = 100_000;
/// Jobs with more completions than that and a limit per index have tighter limits.
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_OF_MANY: i64 = 10_000;
const MAX_MANAGED_BY: usize = 63;
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_CONDITIONS: usize = 20;
const MAX_INDEXES_BYTES: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const CONDITION_STATUSES: &[&str] = &["False", "True", "Unknown"];

/// The specification of a job, or of the jobs of a cron job.
pub(crate) fn validate(spec: &Cursor<'_>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        spec.at(field).not_negative();
    }
    let (most, per_index) = (spec.at("maxFailedIndexes"), spec.at("backoffLimitPerIndex"));
    most.not_negative();
    if most.is_set() && !per_index.is_set() {
        per_index.required("when maxFailedIndexes is specified");
    }
    let manager = spec.at("managedBy");
    if manager.is_set() {
        domain_prefixed_path(&manager);
        if manager.text().len() > MAX_MANAGED_BY {
            manager.push(FieldError::too_long(&manager.path, MAX_MANAGED_BY));
        }
    }
    completion_mode(spec);
    failure_policy(spec);
    success_policy(spec);
    replacement_policy(spec);
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

fn completion_mode(spec: &Cursor<'_>) {
    let mode = spec.at("completionMode");
    mode.one_of(&["NonIndexed", "Indexed"]);
    match mode.text() {
        "Indexed" => indexed(spec),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                let field = spec.at(field);
                if field.is_set() {
                    field.invalid("requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
}

fn indexed(spec: &Cursor<'_>) {
    let (completions, parallelism) = (spec.at("completions"), spec.at("parallelism"));
    let most = spec.at("maxFailedIndexes");
    let number = |field: &Cursor<'_>| field.int().unwrap_or_default();
    if !completions.is_set() {
        completions.required("when completion mode is Indexed");
    }
    if number(&parallelism) > MAX_INDEXED {
        parallelism.invalid(format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"));
    }
    if completions.is_set() && number(&most) > number(&completions) {
        most.invalid("must be less than or equal to completions");
    }
    if number(&most) > MAX_INDEXED {
        most.invalid(format!("must be less than or equal to {MAX_INDEXED}"));
    }
    if number(&completions) > MANY_COMPLETIONS && spec.at("backoffLimitPerIndex").is_set() {
        let why = format!(
            "must be less than or equal to {MAX_OF_MANY} when completions are above {MANY_COMPLETIONS} and used with \
             backoff limit per index"
        );
        if !most.is_set() {
            most.required(&format!("must be specified when completions is above {MANY_COMPLETIONS}"));
        }
        for field in [&parallelism, &most] {
            if number(field) > MAX_OF_MANY {
                field.invalid(&*why);
            }
        }
    }
}

fn replacement_policy(spec: &Cursor<'_>) {
    let policy = spec.at("podReplacementPolicy");
    match spec.at("podFailurePolicy").is_set() {
        true => policy.one_of(&["Failed"]),
        false => policy.one_of(&["Failed", "TerminatingOrFailed"]),
    }
}

fn failure_policy(spec: &Cursor<'_>) {
    let rules = spec.at("podFailurePolicy").at("rules");
    too_many(&rules, MAX_RULES);
    let template = spec.at("template").at("spec");
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| meta::items(template.value, &[list]))
        .map(|container| meta::text(container, &["name"]))
        .collect();
    for rule in rules.items() {
        failure_rule(spec, &rule, &containers);
    }
}

fn too_many(list: &Cursor<'_>, most: usize) {
    if list.len() > most {
        list.push(FieldError::too_many(&list.path, list.len(), most));
    }
}

/// A text that must be there: the values are listed as Go lists them.
fn must_be(field: &Cursor<'_>, known: &[&str]) {
    if field.is_empty() {
        let quoted: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
        field.required(&format!("valid values: [{}]", quoted.join(" ")));
    } else {
        field.one_of(known);
    }
}

fn failure_rule(spec: &Cursor<'_>, rule: &Cursor<'_>, containers: &BTreeSet<&str>) {
    let action = rule.at("action");
    match action.text() {
        "FailIndex" if !spec.at("backoffLimitPerIndex").is_set() => {
            action.invalid("requires the backoffLimitPerIndex to be set");
        }
        _ => must_be(&action, ACTIONS),
    }
    let (codes, conditions) = (rule.at("onExitCodes"), rule.at("onPodConditions"));
    if codes.is_set() {
        exit_codes(&codes, containers);
    }
    too_many(&conditions, MAX_CONDITIONS);
    for condition in conditions.items() {
        condition.at("type").named(names::qualified_name);
        must_be(&condition.at("status"), CONDITION_STATUSES);
    }
    match (codes.is_set(), !conditions.is_empty()) {
        (true, true) => rule.invalid_as("", "specifying both OnExitCodes and OnPodConditions is not supported"),
        (false, false) => rule.invalid_as("", "specifying one of OnExitCodes and OnPodConditions is required"),
        _ => {}
    }
}

fn exit_codes(codes: &Cursor<'_>, containers: &BTreeSet<&str>) {
    let operator = codes.at("operator");
    must_be(&operator, OPERATORS);
    let container = codes.at("containerName");
    if container.is_set() && !containers.contains(container.text()) {
        container.invalid("must be one of the container or initContainer names in the pod template");
    }
    let values = codes.at("values");
    if values.is_empty() {
        values.invalid("at least one value is required");
    }
    too_many(&values, MAX_EXIT_CODES);
    let mut seen = BTreeSet::new();
    let mut last = None;
    let mut ordered = true;
    for value in values.items() {
        let number = value.int().unwrap_or_default();
        if number == 0 && operator.text() == "In" {
            value.invalid("must not be 0 for the In operator");
        }
        if !seen.insert(number) {
            value.duplicate();
        }
        ordered &= last.is_none_or(|last| last <= number);
        last = Some(number);
    }
    if !ordered {
        values.invalid("must be ordered");
    }
}

fn success_policy(spec: &Cursor<'_>) {
    let policy = spec.at("successPolicy");
    if !policy.is_set() {
        return;
    }
    if spec.at("completionMode").text() != "Indexed" {
        policy.invalid_as(shown_success_policy(policy.value), "requires indexed completion mode");
        return;
    }
    let rules = policy.at("rules");
    if rules.is_empty() {
        rules.required("at least one rules must be specified when the successPolicy is specified");
    }
    too_many(&rules, MAX_RULES);
    for rule in rules.items() {
        success_rule(&rule, spec.at("completions").int().unwrap_or_default());
    }
}

/// `batch.SuccessPolicy` as Go prints its internal form.
pub(super) fn shown_success_policy(policy: &Value) -> String {
    let rule = |rule: &Value| {
        let field = |name: &str| rule.get(name).unwrap_or(&Value::Null).to_string();
        format!("{{\"SucceededIndexes\":{},\"SucceededCount\":{}}}", field("succeededIndexes"), field("succeededCount"))
    };
    let rules: Vec<String> = meta::items(policy, &["rules"]).iter().map(rule).collect();
    match rules.is_empty() {
        true => "{\"Rules\":null}".to_owned(),
        false => format!("{{\"Rules\":[{}]}}", rules.join(",")),
    }
}

fn success_rule(rule: &Cursor<'_>, completions: i64) {
    let (text, count) = (rule.at("succeededIndexes"), rule.at("succeededCount"));
    if !text.is_set() && !count.is_set() {
        rule.required("at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if text.is_set() {
        if text.text().len() > MAX_INDEXES_BYTES {
            text.push(FieldError::too_long(&text.path, MAX_INDEXES_BYTES));
        }
        match indexes::count(text.text(), completions) {
            Ok(count) => total = count,
            Err(error) => text.invalid_text(format!("error parsing succeededIndexes: {error}")),
        }
    }
    if let Some(number) = count.int() {
        count.not_negative();
        if number > completions {
            count.invalid(format!("must be less than or equal to {completions} (the number of specified completions)"));
        }
        if text.is_set() && number > total {
            count.invalid(format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            ));
        }
    }
}
