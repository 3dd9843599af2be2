//! Which names a definition has, and whether it is served: the status of a CustomResourceDefinition.
//! Source: `k8s.io/apiextensions-apiserver/pkg/controller/status` (naming), `…/establish`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::{Object, meta};

/// The `status` that a definition has next to the other definitions: which of its names are accepted, and, for protected
/// groups, whether it has approval. Names that others of the group have accepted are refused; what was accepted before
/// stays. Whether it is served is decided next, by [`establish`].
pub fn accept(definition: &Value, others: &[Value], now: Timestamp) -> Value {
    let mut status = definition.get("status").cloned().unwrap_or_else(|| json!({}));
    let taken = Taken::by(definition, others);
    let (accepted, conflicts) = accept_names(definition, &taken);
    let mut conditions = Conditions::of(definition, now);
    match conflicts.last() {
        Some((reason, message)) => conditions.set("NamesAccepted", "False", reason, message),
        None => conditions.set("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    }
    if !conditions.is_true("Established") {
        match conflicts.is_empty() {
            true => conditions.set("Established", "False", "Installing", NAMES_ACCEPTED),
            false => conditions.set("Established", "False", "NotAccepted", "not all names are accepted"),
        }
    }
    if let Some((state, reason, message)) = approval(definition) {
        conditions.set("KubernetesAPIApprovalPolicyConformant", state, reason, &message);
    }
    let pending = |it: &&Value| meta::text(it, &["reason"]) == DELETION_PENDING;
    if meta::deletion_timestamp(definition).is_some() && conditions.list.iter().any(|it| pending(&it)) {
        let message = "CustomResource deletion is in progress";
        conditions.set("Terminating", "True", "InstanceDeletionInProgress", message);
    }
    meta::set(&mut status, &["acceptedNames"], accepted);
    meta::set(&mut status, &["conditions"], conditions.list);
    if meta::items(&status, &["storedVersions"]).is_empty() {
        meta::set(&mut status, &["storedVersions"], stored_versions(definition));
    }
    status
}

/// The `status` of a definition once it is served: it is established when its names are accepted, and stays so.
pub fn establish(definition: &Value, _others: &[Value], now: Timestamp) -> Value {
    let mut status = definition.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut conditions = Conditions::of(definition, now);
    if conditions.is_true("NamesAccepted") && !conditions.is_true("Established") {
        conditions.set("Established", "True", "InitialNamesAccepted", NAMES_ACCEPTED);
        meta::set(&mut status, &["conditions"], conditions.list);
    }
    status
}

/// Marks a definition as one whose instances are about to be deleted.
pub fn mark_terminating(definition: &mut Value, now: Timestamp) {
    let mut conditions = Conditions::of(definition, now);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    conditions.set("Terminating", "True", DELETION_PENDING, message);
    meta::set(definition, &["status", "conditions"], conditions.list);
}

const NAMES_ACCEPTED: &str = "the initial names have been accepted";
const DELETION_PENDING: &str = "InstanceDeletionPending";

/// The versions in which objects may be stored: those that were, and the one that now is.
pub fn stored_versions(definition: &Value) -> Vec<String> {
    let stored = meta::items(definition, &["status", "storedVersions"]).iter().filter_map(Value::as_str);
    let mut stored: Vec<String> = stored.map(str::to_owned).collect();
    let versions = meta::items(definition, &["spec", "versions"]).iter();
    for version in versions.filter(|version| version.get("storage") == Some(&Value::Bool(true))) {
        let name = meta::text(version, &["name"]);
        if !stored.iter().any(|have| have == name) {
            stored.push(name.to_owned());
        }
    }
    stored
}

/// The names that other definitions of the group have.
struct Taken<'a> {
    resources: BTreeSet<&'a str>,
    kinds: BTreeSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn by(definition: &Value, others: &'a [Value]) -> Self {
        fn group(definition: &Value) -> &str {
            meta::text(definition, &["spec", "group"])
        }
        let mut taken = Self { resources: BTreeSet::new(), kinds: BTreeSet::new() };
        let same_group =
            |other: &&Value| group(other) == group(definition) && meta::name(other) != meta::name(definition);
        for other in others.iter().filter(same_group) {
            let names = meta::at(other, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
            let text = |name: &str| meta::text(names, &[name]);
            let short = meta::items(names, &["shortNames"]).iter().filter_map(Value::as_str);
            taken.resources.extend([text("plural"), text("singular")].into_iter().chain(short));
            taken.kinds.extend([text("kind"), text("listKind")]);
        }
        taken.resources.remove("");
        taken.kinds.remove("");
        taken
    }
}

type Conflicts = Vec<(&'static str, String)>;

fn accept_names(definition: &Value, taken: &Taken<'_>) -> (Object, Conflicts) {
    let wanted = |name: &str| meta::at(definition, &["spec", "names", name]);
    let mut accepted = meta::at(definition, &["status", "acceptedNames"]).and_then(Value::as_object).cloned();
    let accepted = accepted.get_or_insert_default();
    let mut conflicts = Conflicts::new();
    let names = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (name, reason, taken) in names {
        let value = wanted(name).cloned().unwrap_or_default();
        let texts: Vec<&str> = match &value {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        let clashes: Vec<String> = texts
            .iter()
            .filter(|text| taken.contains(*text))
            .map(|text| format!("\"{text}\" is already in use"))
            .collect();
        match clashes.as_slice() {
            [] => keep(accepted, name, value),
            [one] => conflicts.push((reason, one.clone())),
            many => conflicts.push((reason, format!("[{}]", many.join(", ")))),
        }
    }
    keep(accepted, "categories", wanted("categories").cloned().unwrap_or_default());
    (std::mem::take(accepted), conflicts)
}

fn keep(accepted: &mut Object, name: &str, value: Value) {
    match value {
        Value::Null => drop(accepted.remove(name)),
        value => drop(accepted.insert(name.to_owned(), value)),
    }
}

/// Whether a definition in a group of Kubernetes' own has approval; `None` for other groups.
/// Source: KEP-1111.
pub(super) fn approval(definition: &Value) -> Option<(&'static str, &'static str, String)> {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let group = meta::text(definition, &["spec", "group"]);
    let is_protected = |domain: &str| group == domain || group.ends_with(&format!(".{domain}"));
    if !is_protected("k8s.io") && !is_protected("kubernetes.io") {
        return None;
    }
    let value = meta::annotation(definition, ANNOTATION).unwrap_or_default();
    Some(if value.is_empty() {
        let message = format!(
            "protected groups must have approval annotation \"{ANNOTATION}\", \
             see https://github.com/kubernetes/enhancements/pull/1111"
        );
        ("False", "MissingAnnotation", message)
    } else if value.starts_with("unapproved") {
        ("False", "UnapprovedAPI", format!("not approved: {}", steersman_machinery::field::go_quote(value)))
    } else if value.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty()) {
        ("True", "ApprovedAnnotation", format!("approved in {value}"))
    } else {
        let message = format!(
            "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting \
             with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        ("False", "InvalidAnnotation", message)
    })
}

struct Conditions {
    list: Vec<Value>,
    now: String,
    generation: i64,
}

impl Conditions {
    fn of(definition: &Value, now: Timestamp) -> Self {
        let list = meta::items(definition, &["status", "conditions"]).to_vec();
        Self { list, now: format_time(now), generation: meta::generation(definition) }
    }

    fn is_true(&self, kind: &str) -> bool {
        self.list.iter().any(|it| meta::text(it, &["type"]) == kind && meta::text(it, &["status"]) == "True")
    }

    /// Sets a condition; its time changes only with its status.
    fn set(&mut self, kind: &str, state: &str, reason: &str, message: &str) {
        let old = self.list.iter_mut().find(|it| meta::text(it, &["type"]) == kind);
        let same = old.as_ref().is_some_and(|old| meta::text(old, &["status"]) == state);
        let time = match &old {
            Some(old) if same => meta::text(old, &["lastTransitionTime"]).to_owned(),
            _ => self.now.clone(),
        };
        let condition = json!({
            "type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": time,
            "observedGeneration": self.generation,
        });
        match old {
            Some(old) => *old = condition,
            None => self.list.push(condition),
        }
    }
}

#[cfg(test)]
mod tests;
