//! `pods/eviction`: a delete that respects disruption budgets.
//! Source: Kubernetes doc "API-initiated Eviction"; `kubernetes/pkg/registry/core/pod/storage/eviction.go`.

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::labels;
use steersman_machinery::meta;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;
use steersman_store::{Expect, StoreError};

use super::binding::set_condition;
use super::write;
use super::{Answer, delete, input, output};
use crate::object;
use crate::options::{DeleteOptions, WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::server::unavailable;
use crate::service::Call;

/// After how many seconds a client may ask again when the budget has not been looked at yet.
const RETRY_SECONDS: u32 = 10;
/// How often taking from a budget is tried anew when others write to it.
const ATTEMPTS: usize = 100;

/// Deletes the pod unless a budget forbids it.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let mut options = WriteOptions::read(&call.query, WriteKind::Create, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let ty = builtin::type_ref(&GroupVersionKind::new("policy", "v1", "Eviction"));
    let expected = input::Expected { api_version: "policy/v1", kind: "Eviction", ty };
    let mut eviction = input::typed(call, expected, options.field_validation)?;
    let url = call.info.name.clone();
    if meta::name(&eviction) != url {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    write::admit_posted(call, (resource, "eviction"), &mut eviction, &options).await?;
    let mut delete_options = DeleteOptions::read(eviction.get("deleteOptions"), &call.query)?;
    options.dry_run |= delete_options.dry_run;
    delete_options.dry_run = options.dry_run;
    let key = object::key(resource, &call.info.namespace, &url);
    let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
    let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), &url))?;
    let pod = object::decode(&entry, resource);
    if needs_budget(&pod) {
        ask_budget(call, &pod, &options).await?;
    }
    let now = format_time(call.server.clock.now());
    if meta::deletion_timestamp(&pod).is_none() {
        let disrupted = |pod: &mut Value| Ok(disrupt(pod, &now));
        write::internal::change(call, resource, &Value::Null, options.dry_run, disrupted).await?;
    }
    delete::delete_unasked(call, resource, &url, &delete_options).await?;
    Ok(output::created(output))
}

fn disrupt(pod: &mut Value, now: &str) -> bool {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    });
    set_condition(pod, condition, now)
}

/// Pods that run nothing any more, or not yet, are evicted without asking.
fn needs_budget(pod: &Value) -> bool {
    meta::deletion_timestamp(pod).is_none()
        && !matches!(meta::text(pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending")
}

async fn ask_budget(call: &mut Call, pod: &Value, options: &WriteOptions) -> Result<(), Status> {
    let catalog = call.server.catalog();
    let budgets = catalog.find("policy", "v1", "poddisruptionbudgets").ok_or_else(Status::no_such_resource)?;
    for _ in 0..ATTEMPTS {
        let snapshot = call.server.snapshot(&object::storage_name(budgets)).await?;
        let entries = snapshot.range(Some(meta::namespace(pod)), None);
        let matching: Vec<_> = entries.filter(|entry| covers(&object::decode(entry, budgets), pod)).collect();
        let entry = match matching.as_slice() {
            [] => return Ok(()),
            [entry] => *entry,
            _ => {
                let why =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::untyped(why));
            }
        };
        let mut budget = object::decode(entry, budgets);
        if !take(&mut budget, pod, &format_time(call.server.clock.now()))? || options.dry_run {
            return Ok(());
        }
        match write::put(&call.server, budgets, &budget, Expect::Revision(entry.revision)).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(unavailable(&error)),
        }
    }
    Err(Status::too_many_requests("the disruption budget is changing too fast; please try again", RETRY_SECONDS))
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = meta::at(budget, &["spec", "selector"]).unwrap_or(&Value::Null);
    labels::Selector::from_label_selector(selector).is_ok_and(|it| it.matches(|key| meta::label(pod, key)))
}

/// Takes one disruption from the budget. `false`: the pod may go without.
fn take(budget: &mut Value, pod: &Value, now: &str) -> Result<bool, Status> {
    let number = |path: &[&str]| meta::at(budget, path).and_then(Value::as_i64).unwrap_or(0);
    let (healthy, desired) = (number(&["status", "currentHealthy"]), number(&["status", "desiredHealthy"]));
    let always = meta::text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    if !is_ready(pod) && (always || (healthy >= desired && desired > 0)) {
        return Ok(false);
    }
    let name = meta::name(budget).to_owned();
    let refuse = |message: String, retry: u32| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        Err(Status::too_many_requests(text, retry).with_cause("DisruptionBudget", message, ""))
    };
    if number(&["status", "observedGeneration"]) < meta::generation(budget) {
        return refuse(format!("The disruption budget {name} is still being processed by the server."), RETRY_SECONDS);
    }
    let allowed = number(&["status", "disruptionsAllowed"]);
    if allowed <= 0 {
        return refuse(
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"),
            0,
        );
    }
    meta::set(budget, &["status", "disruptionsAllowed"], allowed - 1);
    meta::set(budget, &["status", "disruptedPods", meta::name(pod)], now);
    Ok(true)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = meta::items(pod, &["status", "conditions"]);
    conditions.iter().any(|it| meta::text(it, &["type"]) == "Ready" && meta::text(it, &["status"]) == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64) -> Value {
        json!({
            "metadata": {"name": "b", "generation": 1},
            "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2},
        })
    }

    #[test]
    fn a_budget_is_used_up() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let mut one = budget(1);
        assert!(take(&mut one, &pod, "t").unwrap());
        assert_eq!(one["status"]["disruptionsAllowed"], 0);
        assert_eq!(one["status"]["disruptedPods"], json!({"p": "t"}));
        let refused = take(&mut one, &pod, "t").unwrap_err();
        assert_eq!(refused.code, 429);
        assert_eq!(
            refused.details.unwrap().causes[0].message,
            "The disruption budget b needs 2 healthy pods and has 2 currently"
        );
    }

    #[test]
    fn pods_that_are_not_ready_go_while_the_budget_is_healthy() {
        let pod = json!({"metadata": {"name": "p"}});
        assert!(!take(&mut budget(0), &pod, "t").unwrap());
        let mut behind = budget(1);
        behind["status"]["observedGeneration"] = json!(0);
        behind["status"]["currentHealthy"] = json!(0);
        assert!(take(&mut behind, &pod, "t").unwrap_err().details.unwrap().causes[0].message.contains("processed"));
    }
}
