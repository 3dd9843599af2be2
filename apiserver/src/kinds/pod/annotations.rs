//! Annotations of pods and templates that are older than the fields that replaced them.
//! Source: `ValidatePodSpecificAnnotations` and its neighbours in `k8s.io/kubernetes/pkg/apis/core/validation`.

use steersman_machinery::field::FieldError;

use super::{mounts, scheduling, security};
use crate::kinds::check::Cursor;

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What is wrong with the annotations beside the pod specification at `spec`.
pub(crate) fn all(annotations: &Cursor<'_>, spec: &Cursor<'_>) {
    let mirror = annotations.key(MIRROR);
    if mirror.is_set() && spec.at("nodeName").is_empty() {
        mirror.invalid_text("must set spec.nodeName if mirror pod annotation is set");
    }
    tolerations(annotations);
    let cost = annotations.key(DELETION_COST);
    if cost.is_set() && !is_cost(cost.text()) {
        cost.invalid_text("must be a 32bit integer");
    }
    for (key, profile) in annotations.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(&profile.with(Some(profile.value), annotations.path.child(key)));
        }
    }
    for (key, profile) in annotations.entries() {
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            app_armor(&profile, container, spec);
        }
    }
}

fn tolerations(annotations: &Cursor<'_>) {
    let text = annotations.key(TOLERATIONS);
    if text.is_empty() {
        return;
    }
    match serde_json::from_str(text.text()) {
        Ok(list) => {
            let here = annotations.with(None, annotations.path.child(TOLERATIONS));
            scheduling::tolerations(&here.with_local(&list));
        }
        Err(error) => annotations.invalid_str(TOLERATIONS, error.to_string()),
    }
}

/// A number of 32 bits without a plus or a leading zero.
fn is_cost(text: &str) -> bool {
    let odd = text.starts_with('+') || (text.starts_with('0') && text.len() > 1);
    !odd && text.parse::<i32>().is_ok()
}

fn seccomp(profile: &Cursor<'_>) {
    match profile.text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(path) => mounts::relative(profile, path),
            None => profile.invalid_text("must be a valid seccomp profile"),
        },
    }
}

fn app_armor(profile: &Cursor<'_>, container: &str, spec: &Cursor<'_>) {
    if !security::every_container(spec).iter().any(|known| known.at("name").text() == container) {
        profile.invalid_str(container, "container not found");
    }
    let text = profile.text();
    if !matches!(text, "" | "runtime/default" | "unconfined") && !text.starts_with("localhost/") {
        let quoted = steersman_machinery::field::go_quote(text);
        profile.invalid_text(format!("invalid AppArmor profile name: {quoted}"));
    }
}

/// Where an annotation and a field say the same thing they must agree.
pub(crate) fn match_fields(annotations: &Cursor<'_>, spec: &Cursor<'_>) {
    let path = ["securityContext", "seccompProfile"];
    agree(&annotations.key(SECCOMP_POD), &spec.down(&path), "seccomp");
    for container in security::every_container(spec) {
        let key = format!("{SECCOMP_CONTAINER}{}", container.at("name").text());
        agree(&annotations.key(&key), &container.down(&path), "seccomp");
    }
    if spec.at("os").at("name").text() == "windows" {
        return;
    }
    let path = ["securityContext", "appArmorProfile"];
    for container in security::every_container(spec) {
        let key = format!("{APP_ARMOR}{}", container.at("name").text());
        let own = container.down(&path);
        let inherited = own.with(spec.down(&path).value.as_object().map(|_| spec.down(&path).value), own.path.clone());
        agree(&annotations.key(&key), if own.is_set() { &own } else { &inherited }, "apparmor");
    }
}

fn agree(annotation: &Cursor<'_>, field: &Cursor<'_>, what: &str) {
    if !annotation.is_set() || !field.is_set() {
        return;
    }
    let (sort, local) = (field.at("type"), field.at("localhostProfile"));
    let differs = format!("{what} type in annotation and field must match");
    let text = annotation.text();
    match sort.text() {
        "Unconfined" if text != "unconfined" => sort.forbidden(differs),
        "RuntimeDefault" if text != "runtime/default" && !(what == "seccomp" && text == "docker/default") => {
            sort.forbidden(differs);
        }
        "Localhost" => match text.strip_prefix("localhost/") {
            None => sort.forbidden(differs),
            Some(path) if !local.is_set() || path != local.text() => {
                local.forbidden(format!("{what} profile in annotation and field must match"));
            }
            Some(_) => {}
        },
        _ => {}
    }
}

/// What an update may not do to the annotations of a pod.
pub(super) fn update(annotations: &Cursor<'_>, old: &Cursor<'_>, spec: &Cursor<'_>) {
    let forbid = |key: &str, app_armor: &str, mirror: &str| {
        let path = annotations.path.key(key);
        if key.starts_with(APP_ARMOR) {
            annotations.push(FieldError::forbidden(&path, app_armor));
        }
        if key == MIRROR {
            annotations.push(FieldError::forbidden(&path, mirror));
        }
    };
    for (key, before) in old.entries() {
        if annotations.key(key).value != before.value {
            let app_armor = "may not remove or update AppArmor annotations";
            forbid(key, app_armor, "may not remove or update mirror pod annotation");
        }
    }
    for (key, _) in annotations.entries() {
        if !old.key(key).is_set() {
            forbid(key, "may not add AppArmor annotations", "may not add mirror pod annotation");
        }
    }
    all(annotations, spec);
}
