//! StatefulSets. Source: `k8s.io/kubernetes/pkg/registry/apps/statefulset/strategy.go`, `pkg/apis/apps/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use super::pod::defaults::each;
use super::pod_template;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of StatefulSets.
#[derive(Clone, Copy, Debug)]
pub struct StatefulSet;

const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const ONLY_MUTABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const COUNTS: &[&str] = &[
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
];

impl Strategy for StatefulSet {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        pod_template::default(object, &["spec", "template"]);
        let Some(spec) = object.get_mut("spec") else {
            return;
        };
        // An alpha feature in this version.
        meta::remove(spec, &["updateStrategy", "rollingUpdate", "maxUnavailable"]);
        default_text(spec, &["podManagementPolicy"], "OrderedReady");
        default_text(spec, &["updateStrategy", "type"], "RollingUpdate");
        if meta::text(spec, &["updateStrategy", "type"]) == "RollingUpdate" {
            meta::set_default(spec, &["updateStrategy", "rollingUpdate", "partition"], 0);
        }
        for when in ["whenDeleted", "whenScaled"] {
            default_text(spec, &["persistentVolumeClaimRetentionPolicy", when], "Retain");
        }
        meta::set_default(spec, &["replicas"], 1);
        meta::set_default(spec, &["revisionHistoryLimit"], 10);
        each(spec, "volumeClaimTemplates", |claim| {
            default_text(claim, &["apiVersion"], "v1");
            default_text(claim, &["kind"], "PersistentVolumeClaim");
            default_text(claim, &["spec", "volumeMode"], "Filesystem");
            default_text(claim, &["status", "phase"], "Pending");
        });
        zero_status(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::remove(object, &["status"]);
        zero_status(object);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            validate(&spec);
            let rest = |object: &Value| {
                let mut rest = object.get("spec").cloned().unwrap_or_default();
                MUTABLE.iter().for_each(|field| drop(meta::remove(&mut rest, &[field])));
                rest
            };
            if !check::same(Some(&rest(object)), Some(&rest(old))) {
                spec.forbidden(ONLY_MUTABLE);
            }
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let limited = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
            pod_template::validate_counts(&root.at("status"), COUNTS, &limited);
            pod_template::collisions_grow(&root, old);
        })
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings(object, old, &["spec", "template"])
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }
}

/// Sets a text that is absent or empty.
fn default_text(value: &mut Value, path: &[&str], default: &str) {
    if meta::text(value, path).is_empty() {
        meta::set(value, path, default);
    }
}

fn zero_status(object: &mut Value) {
    for field in ["replicas", "availableReplicas"] {
        meta::set_default(object, &["status", field], 0);
    }
}

fn validate(spec: &Cursor<'_>) {
    let management = spec.at("podManagementPolicy");
    if !matches!(management.text(), "OrderedReady" | "Parallel") {
        management.invalid_text("must be 'OrderedReady' or 'Parallel'");
    }
    update_strategy(&spec.at("updateStrategy"));
    let retention = spec.at("persistentVolumeClaimRetentionPolicy");
    for when in ["whenDeleted", "whenScaled"] {
        retention.at(when).one_of(&["Retain", "Delete"]);
    }
    spec.at("replicas").not_negative();
    spec.at("minReadySeconds").not_negative();
    spec.down(&["ordinals", "start"]).not_negative();
    if pod_template::validate_selector(spec, "statefulset") {
        template(spec);
    } else {
        spec.at("selector").invalid_selector("");
    }
    spec.at("revisionHistoryLimit").not_negative();
}

fn update_strategy(strategy: &Cursor<'_>) {
    let rolling = strategy.at("rollingUpdate");
    let field = |name: &str| rolling.at(name).value.to_string();
    let shown = format!("{{\"Partition\":{},\"MaxUnavailable\":{}}}", field("partition"), field("maxUnavailable"));
    match strategy.at("type").text() {
        "OnDelete" if rolling.is_set() => {
            rolling.invalid_as(shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling.at("partition").not_negative();
            let unavailable = rolling.at("maxUnavailable");
            if unavailable.is_set() {
                unavailable.int_or_percent();
                if super::deployment::is_zero(unavailable.value) {
                    unavailable.invalid("cannot be 0");
                }
                unavailable.at_most_100_percent();
            }
        }
        other => {
            let rolling = if rolling.is_set() { shown } else { "null".to_owned() };
            strategy.invalid_as(
                format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", json!(other)),
                "must be 'RollingUpdate' or 'OnDelete'",
            );
        }
    }
}

/// The template may mount the claims that each pod gets.
fn template(spec: &Cursor<'_>) {
    let mut whole = spec.value.clone();
    let claims: Vec<String> =
        spec.at("volumeClaimTemplates").items().map(|claim| meta::name(claim.value).to_owned()).collect();
    let volumes = meta::object_at(&mut whole, &["template", "spec"]).entry("volumes").or_insert_with(|| json!([]));
    if let Some(volumes) = volumes.as_array_mut() {
        for claim in claims {
            volumes.retain(|volume| meta::text(volume, &["name"]) != claim);
            volumes.push(json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}));
        }
    }
    let whole = spec.with_local(&whole);
    pod_template::match_selector(&whole, "template");
    pod_template::validate(&whole.at("template"));
    pod_template::always(&whole.at("template"), "StatefulSet");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stateful_set(change: &Value) -> Value {
        let mut object = json!({"metadata": {"name": "db"}, "spec": {
            "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
                {"name": "db", "image": "postgres:16", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        }});
        for (field, value) in change.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        StatefulSet.default(&mut object);
        object
    }

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        assert_eq!(check::messages(&StatefulSet.validate(&stateful_set(change))), expect);
    }

    #[test]
    fn specifications_are_checked() {
        check(&json!({}), &[]);
        check(
            &json!({"podManagementPolicy": "Sometimes", "updateStrategy": {"type": "Recreate"}}),
            &[
                r#"spec.podManagementPolicy: Invalid value: "Sometimes": must be 'OrderedReady' or 'Parallel'"#,
                r#"spec.updateStrategy: Invalid value: {"Type":"Recreate","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'"#,
            ],
        );
        check(
            &json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}),
            &[
                r#"spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for updateStrategy 'RollingUpdate'"#,
            ],
        );
        check(
            &json!({"volumeClaimTemplates": []}),
            &[r#"spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data""#],
        );
    }

    #[test]
    fn updates_touch_only_some_fields() {
        let old = stateful_set(&json!({}));
        let allowed = stateful_set(&json!({"replicas": 3, "minReadySeconds": 3, "ordinals": {"start": 1}}));
        assert!(StatefulSet.validate_update(&allowed, &old).is_empty());
        let forbidden = stateful_set(&json!({"serviceName": "x"}));
        assert_eq!(
            check::messages(&StatefulSet.validate_update(&forbidden, &old)),
            [format!("spec: Forbidden: {ONLY_MUTABLE}")]
        );
    }
}
