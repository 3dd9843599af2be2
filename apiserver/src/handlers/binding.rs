//! `pods/binding`: a pod gets its node.

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::field::{FieldError, Path, aggregate};
use steersman_machinery::group::{GroupResource, GroupVersionKind};
use steersman_machinery::meta;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;

use super::write;
use super::{Answer, input, output};
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Binds the pod to the node that the body names. The pod is named by the path or, for `bindings`, by the body.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Create, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let ty = builtin::type_ref(&GroupVersionKind::new("", "v1", "Binding"));
    let expected = input::Expected { api_version: "v1", kind: "Binding", ty };
    let mut binding = input::typed(call, expected, options.field_validation)?;
    if !call.info.name_in_path {
        call.info.name = meta::name(&binding).to_owned();
    } else if meta::name(&binding) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    write::admit_posted(call, (resource, "binding"), &mut binding, &options).await?;
    let node = target(&binding)?.to_owned();
    let now = format_time(call.server.clock.now());
    let bound = |pod: &mut Value| bind(pod, &binding, (&node, &now)).map(|()| true);
    write::internal::change(call, resource, &binding, options.dry_run, bound).await?;
    Ok(output::created(output))
}

fn target(binding: &Value) -> Result<&str, Status> {
    let (kind, name) = (meta::text(binding, &["target", "kind"]), meta::text(binding, &["target", "name"]));
    let mut errors = Vec::new();
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(&Path::from("target.kind"), kind, &["Node", "<empty>"]));
    }
    if name.is_empty() {
        errors.push(FieldError::required(&Path::from("target.name"), ""));
    }
    if errors.is_empty() { Ok(name) } else { Err(Status::untyped(aggregate(&errors))) }
}

fn bind(pod: &mut Value, binding: &Value, (node, now): (&str, &str)) -> Result<(), Status> {
    let name = meta::name(pod);
    let conflict = |why: String| Err(Status::conflict(&GroupResource::new("", "pods/binding"), name, why));
    if meta::deletion_timestamp(pod).is_some() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let assigned = meta::text(pod, &["spec", "nodeName"]);
    if !assigned.is_empty() {
        return conflict(format!("pod {name} is already assigned to node \"{assigned}\""));
    }
    if !meta::items(pod, &["spec", "schedulingGates"]).is_empty() {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    meta::set(pod, &["spec", "nodeName"], node);
    meta::remove(pod, &["status", "nominatedNodeName"]);
    for map in ["annotations", "labels"] {
        for (key, value) in meta::pairs(binding, &["metadata", map]) {
            meta::set(pod, &["metadata", map, key], value);
        }
    }
    set_condition(pod, json!({"type": "PodScheduled", "status": "True"}), now);
    Ok(())
}

/// Sets a condition of a pod; whether that changes it. The time of the last transition changes only with the status.
pub(super) fn set_condition(pod: &mut Value, mut condition: Value, now: &str) -> bool {
    let conditions = meta::object_at(pod, &["status"]).entry("conditions").or_insert_with(|| json!([]));
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let conditions = conditions.as_array_mut().expect("it was just made a list");
    let present = conditions.iter_mut().find(|it| it["type"] == condition["type"]);
    let same = present.as_deref().filter(|it| it["status"] == condition["status"]);
    let since = same.and_then(|it| it.get("lastTransitionTime").cloned());
    condition["lastTransitionTime"] = since.unwrap_or_else(|| json!(now));
    condition["lastProbeTime"] = Value::Null;
    match present {
        Some(present) if *present == condition => return false,
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_nodes_with_names() {
        let target =
            |target: Value| super::target(&json!({"target": target})).map(str::to_owned).map_err(|it| it.message);
        assert_eq!(target(json!({"name": "n1"})), Ok("n1".to_owned()));
        assert_eq!(
            target(json!({"kind": "Pod"})),
            Err(r#"[target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", target.name: Required value]"#.to_owned())
        );
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut pod = json!({});
        set_condition(&mut pod, json!({"type": "PodScheduled", "status": "True"}), "t1");
        set_condition(&mut pod, json!({"type": "PodScheduled", "status": "True", "reason": "x"}), "t2");
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "t1");
        set_condition(&mut pod, json!({"type": "PodScheduled", "status": "False"}), "t3");
        assert_eq!(pod["status"]["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "t3");
    }
}
