//! `LimitRanger`: containers get the default requests and limits of their namespace, and nothing asks for more or less than
//! its limit ranges allow.
//! Source: Kubernetes doc "Limit Ranges"; `kubernetes/plugin/pkg/admission/limitranger`.

mod constraint;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::pod::resources::{Basis, Which, before_overhead};
use steersman_machinery::resource_list::{self, ResourceList};
use steersman_machinery::status::Status;

use self::constraint::Asked;
use super::{Attributes, Operation, Plugin, Verdict, pass};

/// Tells which amounts a pod did not choose itself.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The lists of containers, and what their members are called.
const CONTAINERS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if concerns(attributes) != Some("pods") {
            return pass();
        }
        async move {
            for range in limit_ranges(attributes).await? {
                set_defaults(object, &range);
            }
            Ok(())
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let (Some(resource), Some(object)) = (concerns(attributes), object) else { return pass() };
        async move {
            for range in limit_ranges(attributes).await? {
                let problems = match resource {
                    "pods" => check_pod(object, &range),
                    _ => check_claim(object, &range),
                };
                refuse(attributes, object, problems)?;
            }
            Ok(())
        }
        .boxed()
        .right_future()
    }
}

/// Which resource a write is about, if it can break a limit.
fn concerns(attributes: &Attributes<'_>) -> Option<&'static str> {
    let is = |name: &str| attributes.resource.group.is_empty() && attributes.resource.name == name;
    match (attributes.operation, attributes.subresource) {
        (Operation::Create, "") | (Operation::Update, "resize") if is("pods") => Some("pods"),
        (Operation::Create | Operation::Update, "") if is("persistentvolumeclaims") => Some("persistentvolumeclaims"),
        _ => None,
    }
}

async fn limit_ranges(attributes: &Attributes<'_>) -> Result<Vec<Value>, Status> {
    attributes.server.read_namespace("limitranges", attributes.namespace).await
}

/// All problems in one message, each once, as upstream's aggregate of errors shows them.
fn refuse(attributes: &Attributes<'_>, object: &Value, mut problems: Vec<String>) -> Result<(), Status> {
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    match problems.as_slice() {
        [] => Ok(()),
        [problem] => Err(attributes.forbidden(object, problem)),
        problems => Err(attributes.forbidden(object, format!("[{}]", problems.join(", ")))),
    }
}

fn limits(range: &Value) -> impl Iterator<Item = (&str, &Value)> {
    meta::items(range, &["spec", "limits"]).iter().map(|limit| (meta::text(limit, &["type"]), limit))
}

fn set_defaults(pod: &mut Value, range: &Value) {
    let mut notes = Vec::new();
    for (list, what) in CONTAINERS {
        let containers = meta::at_mut(pod, &["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (field, defaults) in [("requests", "defaultRequest"), ("limits", "default")] {
                let set = set_missing(container, field, range, defaults);
                if !set.is_empty() {
                    let name = meta::text(container, &["name"]);
                    notes.push(format!("{} {} for {what} {name}", set.join(", "), field.trim_end_matches('s')));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        meta::set(pod, &["metadata", "annotations", ANNOTATION], note);
    }
}

/// Sets the amounts that the container does not say; returns of which resources. Of several defaults the last one holds.
fn set_missing(container: &mut Value, field: &str, range: &Value, defaults: &str) -> Vec<String> {
    let of_containers = limits(range).filter(|(kind, _)| *kind == "Container");
    let defaults = of_containers.filter_map(|(_, limit)| limit.get(defaults)?.as_object()).flatten();
    let mut set = Vec::new();
    for (name, amount) in defaults.collect::<BTreeMap<_, _>>() {
        if meta::at(container, &["resources", field, name]).is_none() {
            meta::set(container, &["resources", field, name], amount.clone());
            set.push(name.clone());
        }
    }
    set
}

fn check_pod(pod: &Value, range: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (kind, limit) in limits(range) {
        match kind {
            "Container" => {
                let containers = CONTAINERS.iter().flat_map(|(list, _)| meta::items(pod, &["spec", list]));
                problems.extend(containers.flat_map(|container| constraint::broken(limit, &of_container(container))));
            }
            "Pod" => {
                let total = |which| before_overhead(pod, which, Basis::Spec);
                let asked = Asked { requests: total(Which::Requests), limits: total(Which::Limits) };
                problems.extend(constraint::broken(limit, &asked));
            }
            _ => {}
        }
    }
    problems
}

fn of_container(container: &Value) -> Asked {
    let list = |which: Which| resource_list::parse(meta::at(container, &["resources", which.field()]));
    Asked { requests: list(Which::Requests), limits: list(Which::Limits) }
}

fn check_claim(claim: &Value, range: &Value) -> Vec<String> {
    let requests: ResourceList = resource_list::parse(meta::at(claim, &["spec", "resources", "requests"]));
    let of_claims = limits(range).filter(|(kind, _)| *kind == "PersistentVolumeClaim");
    of_claims.flat_map(|(_, limit)| constraint::broken_by_request(limit, requests.clone())).collect()
}

#[cfg(test)]
mod tests;
