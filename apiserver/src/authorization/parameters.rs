//! Who writes an admission policy or binds one may read its parameters: a policy tells what they say.
//! Source: `k8s.io/kubernetes/pkg/registry/admissionregistration/*/authz.go`, whose texts these are.

use serde_json::Value;
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Target, decide};
use crate::authentication::UserInfo;
use crate::registry::resource::Resource;
use crate::service::Call;

const GROUP: &str = "admissionregistration.k8s.io";
const UNKNOWN: &str = "permission for all groups, versions and resources";

/// Refuses a well-formed policy or binding whose writer may not read the parameters. `old` is what it replaces.
pub(crate) async fn check(call: &Call, resource: &Resource, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    if resource.group != GROUP || call.user.is_master() {
        return Ok(());
    }
    let same = |path: &[&str]| old.is_some_and(|old| meta::at(old, path) == meta::at(object, path));
    let set = |path: &[&str]| meta::at(object, path).is_some_and(Value::is_object);
    const KIND: [&str; 2] = ["spec", "paramKind"];
    const REFERENCE: [&str; 2] = ["spec", "paramRef"];
    let (refused, place) = match resource.name.as_str() {
        "validatingadmissionpolicies" | "mutatingadmissionpolicies" if set(&KIND) && !same(&KIND) => {
            (policy(call, object).await?, "spec.paramKind")
        }
        "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings"
            if set(&REFERENCE) && !(same(&REFERENCE) && same(&["spec", "policyName"])) =>
        {
            (binding(call, resource, object).await?, "spec.paramRef")
        }
        _ => return Ok(()),
    };
    let errors: Vec<FieldError> =
        refused.map(|why| FieldError::forbidden(&Path::from(place), why)).into_iter().collect();
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&resource.group_kind(), meta::name(object), &errors)) }
}

/// What is known of the resource of the parameters.
#[derive(Default)]
struct Found {
    group: Option<String>,
    resource: Option<String>,
}

impl Found {
    fn of(call: &Call, kind: &Value) -> Self {
        let version = meta::text(kind, &["apiVersion"]);
        if version.matches('/').count() > 1 {
            return Self::default();
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::new(group, version, meta::text(kind, &["kind"]));
        let resource = call.server.catalog().find_kind(&kind).map(|resource| resource.name.clone());
        Self { group: Some(group.to_owned()), resource }
    }

    /// Whether the user may; for all that is not known.
    async fn allows(&self, call: &Call, verb: &str, (namespace, name): (&str, &str)) -> Result<bool, Status> {
        let (group, resource) = (self.group.as_deref().unwrap_or("*"), self.resource.as_deref().unwrap_or("*"));
        let target = Target::Resource { group, resource, subresource: "", namespace, name };
        let attributes = Attributes { user: &call.user, verb, target, field_selector: "" };
        Ok(decide(&call.server, &attributes).await?.is_allowed())
    }
}

/// Why the writer of a policy may not, if so.
async fn policy(call: &Call, object: &Value) -> Result<Option<String>, Status> {
    let kind = meta::at(object, &["spec", "paramKind"]).unwrap_or(&Value::Null);
    if Found::of(call, kind).allows(call, "get", ("*", "*")).await? {
        return Ok(None);
    }
    Ok(Some(format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        go_print(&call.user),
        meta::text(kind, &["kind"]),
        meta::text(kind, &["apiVersion"])
    )))
}

/// Why the writer of a binding may not, if so. The kind of the parameters is that of the policy.
async fn binding(call: &Call, resource: &Resource, object: &Value) -> Result<Option<String>, Status> {
    let validating = resource.name.starts_with("validating");
    let policies = if validating { "validatingadmissionpolicies" } else { "mutatingadmissionpolicies" };
    let policy_name = meta::text(object, &["spec", "policyName"]);
    let policy = call.server.read(&format!("{policies}.{GROUP}"), "", policy_name).await?;
    let kind = policy.as_ref().and_then(|policy| meta::at(policy, &["spec", "paramKind"])).filter(|it| it.is_object());
    let found = kind.map(|kind| Found::of(call, kind)).unwrap_or_default();
    let reference = |field: &str| meta::text(object, &["spec", "paramRef", field]);
    let verb = if reference("name").is_empty() { "list" } else { "get" };
    if found.allows(call, verb, (reference("namespace"), reference("name"))).await? {
        return Ok(None);
    }
    let user = go_print(&call.user);
    if !validating {
        // Upstream fills in the two the wrong way round.
        return Ok(Some(format!(
            "user {verb} does not have \"{user}\" permission on the object referenced by paramRef"
        )));
    }
    let unknown = |what: String| {
        Some(format!(
            "unable to {what} to determine minimum required permissions and user {user} does not have \"{verb}\" {UNKNOWN}"
        ))
    };
    let shown = |kind: &Value| format!("&{{{} {}}}", meta::text(kind, &["apiVersion"]), meta::text(kind, &["kind"]));
    Ok(match (&policy, kind, &found) {
        (None, ..) => unknown(format!("get policy {policy_name}")),
        (_, Some(kind), Found { group: None, .. }) => unknown(format!("parse paramKind {}", shown(kind))),
        (_, Some(kind), Found { resource: None, .. }) => unknown(format!("resolve paramKind {}", shown(kind))),
        _ => Some(format!("user {user} does not have \"{verb}\" permission on the object referenced by paramRef")),
    })
}

/// The user as Go's `%v` prints it.
fn go_print(user: &UserInfo) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
