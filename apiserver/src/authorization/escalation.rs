//! Nobody gives away what they do not have: who writes a role must hold its rules, who binds one as well, unless they are
//! told otherwise by the verbs `escalate` and `bind`.
//! Source: Kubernetes doc "Privilege escalation prevention and bootstrapping"; `kubernetes/pkg/registry/rbac`.

use serde::Deserialize;
use serde_json::Value;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::rbac::GROUP;
use super::rule::{self, PolicyRule, TooMuch};
use super::{Attributes, Target, View};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Refuses a role or binding that gives more than its writer has. `old` is what it replaces.
pub(crate) async fn check(call: &Call, resource: &Resource, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    if resource.group != GROUP || call.user.is_master() || old.is_some_and(|old| only_for_collection(object, old)) {
        return Ok(());
    }
    let view = call.server.authorizer.view(&*call.server.store).await?;
    let writer = Writer { call, resource, object, view: &view };
    match resource.name.as_str() {
        "roles" | "clusterroles" => writer.writes_role(old),
        "rolebindings" | "clusterrolebindings" => writer.binds(),
        _ => Ok(()),
    }
}

/// Whether nothing changes but what the garbage collector needs to delete the object in the end.
fn only_for_collection(object: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            meta::remove(&mut rest, &["metadata", field]);
        }
        rest
    };
    rest(object) == rest(old)
}

/// Somebody who writes a role or a binding.
struct Writer<'a> {
    call: &'a Call,
    resource: &'a Resource,
    object: &'a Value,
    view: &'a View,
}

impl Writer<'_> {
    fn writes_role(&self, old: Option<&Value>) -> Result<(), Status> {
        let attributes = Attributes::of(&self.call.user, &self.call.info);
        if self.view.decide(&attributes.with_verb("escalate")).is_allowed() {
            return Ok(());
        }
        self.holds(&rules(self.object))?;
        let aggregates = |object: &Value| meta::at(object, &["aggregationRule"]).is_some_and(Value::is_object);
        let gathers = self.resource.name == "clusterroles";
        if gathers && (aggregates(self.object) || old.is_some_and(aggregates)) {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return self.holds(&PolicyRule::everything()).map_err(|_| self.forbidden(why));
        }
        Ok(())
    }

    fn binds(&self) -> Result<(), Status> {
        let role = |field| meta::text(self.object, &["roleRef", field]);
        let (kind, name) = (role("kind"), role("name"));
        let resource = match kind {
            "ClusterRole" => "clusterroles",
            "Role" => "roles",
            other => return Err(Status::untyped(format!("unsupported role reference kind: {}", go_quote(other)))),
        };
        let namespace = self.call.info.namespace.as_str();
        let target = Target::Resource { group: role("apiGroup"), resource, subresource: "", namespace, name };
        let bind = Attributes { user: &self.call.user, verb: "bind", target, field_selector: "" };
        if self.view.decide(&bind).is_allowed() {
            return Ok(());
        }
        match self.view.rbac.referenced(kind, namespace, name) {
            Some(rules) => self.holds(&rules),
            // Upstream names the resource of the request, not that of the role.
            None => Err(Status::not_found(&self.resource.group_resource(), name)),
        }
    }

    /// Whether the user has all these rules in the namespace of the request.
    fn holds(&self, wanted: &[PolicyRule]) -> Result<(), Status> {
        let user = &self.call.user;
        let held = self.view.rbac.rules_for(user, &self.call.info.namespace);
        let missing: Vec<String> = match rule::uncovered(&held.rules, wanted) {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => rule::described(missing).into_iter().collect(),
            Err(TooMuch) => vec!["{more than can be listed}".to_owned()],
        };
        let mut why = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            go_quote(&user.name),
            rule::quote_all(&user.groups),
            missing.join("\n")
        );
        if !held.errors.is_empty() {
            why.push_str(&format!("; resolution errors: [{}]", held.errors.join(" ")));
        }
        Err(self.forbidden(&why))
    }

    fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.resource.group_resource(), meta::name(self.object), why)
    }
}

/// The rules of a role from a request; those that are malformed are left to validation.
fn rules(role: &Value) -> Vec<PolicyRule> {
    let rules = meta::items(role, &["rules"]).iter();
    rules.filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
}
