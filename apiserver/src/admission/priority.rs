//! `Priority`: the priority class of a pod becomes its priority and preemption policy.
//! Source: Kubernetes doc "Pod Priority and Preemption".

use std::sync::Arc;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Operation, Plugin, Verdict, pass};
use crate::server::Server;

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let of_group = attributes.is("scheduling.k8s.io", "podgroups");
        // Only with its feature (WorkloadAwarePreemption) a group can have a priority.
        let groups_count = || !attributes.resource.disabled_fields.iter().any(|path| *path == ["spec", "priority"]);
        let group_is_made = of_group && attributes.operation == Operation::Create && groups_count();
        if !attributes.is("", "pods") && !group_is_made {
            return pass();
        }
        async move {
            if attributes.operation != Operation::Create {
                attributes.old.into_iter().for_each(|old| keep(object, old));
                return Ok(());
            }
            let name = meta::text(object, &["spec", "priorityClassName"]).to_owned();
            let class = match name.as_str() {
                "" => default_class(attributes.server).await?,
                name => Some(attributes.server.configuration(CLASSES, "", name).await?.ok_or_else(|| {
                    attributes.forbidden(object, format!("no PriorityClass with name {name} was found"))
                })?),
            };
            let apply = if of_group { apply_to_group } else { apply };
            apply(object, class.as_deref()).map_err(|why| attributes.forbidden(object, why))
        }
        .boxed()
        .right_future()
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let is_default = |class: &Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true);
        if !attributes.is("scheduling.k8s.io", "priorityclasses") || !object.is_some_and(is_default) {
            return pass();
        }
        async move {
            let classes = attributes.server.configurations(CLASSES).await?;
            let itself =
                |class: &Value| attributes.operation == Operation::Update && meta::name(class) == attributes.name;
            let other = classes.iter().find(|class| is_default(class) && !itself(class));
            other.map_or(Ok(()), |other| {
                let other = meta::name(other);
                let why = format!("PriorityClass {other} is already marked as default. Only one default can exist");
                Err(attributes.forbidden(object.unwrap_or(&Value::Null), why))
            })
        }
        .boxed()
        .right_future()
    }
}

/// The class with `globalDefault` and the smallest value.
async fn default_class(server: &Server) -> Result<Option<Arc<Value>>, Status> {
    let classes = server.configurations(CLASSES).await?;
    let is_default = |class: &Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true);
    Ok(classes
        .into_iter()
        .filter(|class| is_default(class))
        .min_by_key(|class| class.get("value").and_then(Value::as_i64)))
}

/// An update that does not say the priority leaves it.
fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if let Some(value) = meta::at(old, &["spec", field]) {
            meta::set_default(pod, &["spec", field], value.clone());
        }
    }
}

fn value(class: Option<&Value>) -> i64 {
    class.and_then(|class| class.get("value")).and_then(Value::as_i64).unwrap_or(0)
}

/// Sets the priority of a group of pods; it may not say anything else itself. Source: KEP-5710.
fn apply_to_group(group: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let value = value(class);
    let own = meta::at(group, &["spec", "priority"]).and_then(Value::as_i64);
    if let Some(own) = own.filter(|own| *own != value) {
        return Err(format!(
            "the integer value of priority ({own}) must not be provided in pod group spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        ));
    }
    if let Some(class) = class {
        meta::set(group, &["spec", "priorityClassName"], meta::name(class));
    }
    meta::set(group, &["spec", "priority"], value);
    Ok(())
}

/// Sets priority and preemption policy; a pod may not say anything else itself.
fn apply(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let value = value(class);
    let policy = class.map_or("", |class| meta::text(class, &["preemptionPolicy"]));
    let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
    let computed = "must not be provided in pod spec; priority admission controller computed";
    let own = |field: &str| meta::at(pod, &["spec", field]);
    if let Some(own) = own("priority").and_then(Value::as_i64).filter(|own| *own != value) {
        return Err(format!(
            "the integer value of priority ({own}) {computed} {value} from the given PriorityClass name"
        ));
    }
    if let Some(own) = own("preemptionPolicy").and_then(Value::as_str).filter(|own| *own != policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({own}) {computed} {policy} from the given PriorityClass name"
        ));
    }
    if let Some(class) = class {
        meta::set(pod, &["spec", "priorityClassName"], meta::name(class));
    }
    meta::set(pod, &["spec", "priority"], value);
    meta::set(pod, &["spec", "preemptionPolicy"], policy);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_class_sets_the_priority() {
        let mut pod = json!({"spec": {}});
        apply(&mut pod, None).unwrap();
        assert_eq!(pod["spec"], json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}));
        let class = json!({"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"});
        let mut pod = json!({"spec": {}});
        apply(&mut pod, Some(&class)).unwrap();
        assert_eq!(pod["spec"], json!({"priority": 7, "preemptionPolicy": "Never", "priorityClassName": "high"}));
    }

    #[test]
    fn the_class_sets_the_priority_of_a_group_which_does_not_choose_it_itself() {
        let class = json!({"metadata": {"name": "high"}, "value": 7});
        let mut group = json!({"spec": {}});
        apply_to_group(&mut group, Some(&class)).unwrap();
        assert_eq!(group["spec"], json!({"priority": 7, "priorityClassName": "high"}));
        apply_to_group(&mut group, Some(&class)).unwrap();
        group["spec"]["priority"] = json!(9);
        assert!(apply_to_group(&mut group, Some(&class)).unwrap_err().starts_with("the integer value of priority (9)"));
        let mut group = json!({"spec": {}});
        apply_to_group(&mut group, None).unwrap();
        assert_eq!(group["spec"], json!({"priority": 0}));
    }

    #[test]
    fn an_update_that_does_not_say_the_priority_leaves_it() {
        let old = json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}});
        let mut pod = json!({"spec": {"preemptionPolicy": "PreemptLowerPriority"}});
        keep(&mut pod, &old);
        assert_eq!(pod["spec"], json!({"priority": 7, "preemptionPolicy": "PreemptLowerPriority"}));
    }

    #[test]
    fn a_pod_does_not_choose_its_priority() {
        let class = json!({"metadata": {"name": "high"}, "value": 7});
        let refused = |spec: Value| apply(&mut json!({"spec": spec}), Some(&class)).unwrap_err();
        assert!(refused(json!({"priority": 5})).starts_with("the integer value of priority (5) must not be provided"));
        assert!(refused(json!({"preemptionPolicy": "Never"})).contains("computed PreemptLowerPriority from"));
    }
}
