//! What is charged for an object, and whether its quotas have room for it.

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::quota::{Evaluator, missing};
use steersman_machinery::resource_list::{self, ResourceList};

/// What is to be stored.
pub(super) struct Request<'a> {
    /// The object.
    pub(super) object: &'a Value,
    /// What it replaces.
    pub(super) old: Option<&'a Value>,
    /// Whether it may be refused.
    pub(super) enforced: bool,
    /// The time, by which pods end.
    pub(super) now: Timestamp,
}

/// What a quota comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    /// Which of the quotas.
    pub(super) quota: usize,
    /// Its new `status.used`.
    pub(super) used: ResourceList,
}

/// What the quotas of a namespace come to with the object; or why one of them does not let it pass.
pub(super) fn check(quotas: &[Value], evaluator: &Evaluator, request: &Request<'_>) -> Result<Vec<Charge>, String> {
    let concerned: Vec<(usize, &Value)> =
        quotas.iter().enumerate().filter(|(_, quota)| evaluator.matches(quota, request.object)).collect();
    for (_, quota) in &concerned {
        check_known(quota, evaluator, request.object)?;
    }
    let usage = evaluator.usage(request.object, request.now);
    let negative: Vec<&str> =
        usage.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let before = request.old.map(|old| evaluator.usage(old, request.now)).unwrap_or_default();
    let mut charges = Vec::new();
    for (index, quota) in concerned {
        let had = request.old.filter(|old| evaluator.matches(quota, old)).map(|_| &before);
        // What becomes less is given back by the controller, when it is really free.
        let delta = resource_list::excess(&usage, had.unwrap_or(&ResourceList::new()));
        if let Some(used) = add(quota, &delta, request.enforced)? {
            charges.push(Charge { quota: index, used });
        }
    }
    Ok(charges)
}

fn check_known(quota: &Value, evaluator: &Evaluator, object: &Value) -> Result<(), String> {
    let name = meta::name(quota);
    let hard = list(quota, "hard");
    let limited: Vec<&str> = hard.keys().map(String::as_str).filter(|it| evaluator.tracks(it)).collect();
    if *evaluator == Evaluator::pods()
        && let Some(missing) = missing(object, limited.iter().copied())
    {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let used = list(quota, "used");
    match limited.iter().all(|it| used.contains_key(*it)) {
        true => Ok(()),
        false => Err(format!("status unknown for quota: {name}, resources: {}", limited.join(","))),
    }
}

/// What is used with `delta`; `None` if that changes nothing.
fn add(quota: &Value, delta: &ResourceList, enforced: bool) -> Result<Option<ResourceList>, String> {
    let (hard, mut used) = (list(quota, "hard"), list(quota, "used"));
    let requested = resource_list::only(delta, |name| hard.contains_key(name));
    if requested.is_empty() {
        return Ok(None);
    }
    let before = used.clone();
    resource_list::add(&mut used, &requested);
    let exceeds = |name: &str| requested.contains_key(name) && used.get(name) > hard.get(name);
    let exceeded = resource_list::only(&hard, exceeds);
    if exceeded.is_empty() || !enforced {
        return Ok(Some(used));
    }
    let of = |list: &ResourceList| resource_list::show(&resource_list::only(list, |name| exceeded.contains_key(name)));
    let name = meta::name(quota);
    Err(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        of(&requested),
        of(&before),
        of(&exceeded)
    ))
}

fn list(quota: &Value, field: &str) -> ResourceList {
    resource_list::parse(meta::at(quota, &["status", field]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steersman_machinery::group::GroupResource;

    use super::*;

    fn quota(name: &str, spec: Value, hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec, "status": {"hard": hard, "used": used}})
    }

    fn run(resource: &str, quotas: &[Value], object: &Value, old: Option<&Value>) -> Result<Vec<String>, String> {
        let now = "2026-05-01T10:00:00Z".parse().unwrap();
        let request = Request { object, old, enforced: true, now };
        let charges = check(quotas, &Evaluator::of(&GroupResource::new("", resource)), &request)?;
        Ok(charges
            .iter()
            .map(|it| format!("{}: {}", meta::name(&quotas[it.quota]), resource_list::show(&it.used)))
            .collect())
    }

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    #[test]
    fn all_quotas_have_to_have_room() {
        let small = quota("small", json!({}), json!({"requests.cpu": "1"}), json!({"requests.cpu": "400m"}));
        let large =
            quota("large", json!({}), json!({"pods": "2", "services": "9"}), json!({"pods": "1", "services": "4"}));
        let both = [large, small];
        assert_eq!(
            run("pods", &both, &pod("600m"), None).unwrap(),
            ["large: pods=2,services=4", "small: requests.cpu=1"]
        );
        assert_eq!(
            run("pods", &both, &pod("700m"), None).unwrap_err(),
            "exceeded quota: small, requested: requests.cpu=700m, used: requests.cpu=400m, limited: requests.cpu=1"
        );
        assert_eq!(run("configmaps", &both, &json!({}), None), Ok(Vec::new()));
    }

    #[test]
    fn only_what_is_known_of_a_quota_counts() {
        let unknown = quota("q", json!({"hard": {"pods": "0"}}), json!({}), json!({}));
        assert_eq!(run("pods", &[unknown], &pod("1"), None), Ok(Vec::new()));
        let half = quota("q", json!({}), json!({"pods": "1", "count/pods": "1", "secrets": "1"}), json!({"pods": "0"}));
        assert_eq!(
            run("pods", &[half], &pod("1"), None).unwrap_err(),
            "status unknown for quota: q, resources: count/pods,pods"
        );
        let silent = quota("q", json!({}), json!({"limits.memory": "1"}), json!({"limits.memory": "0"}));
        assert_eq!(
            run("pods", &[silent], &pod("1"), None).unwrap_err(),
            "failed quota: q: must specify limits.memory for: web"
        );
    }

    #[test]
    fn an_update_costs_what_it_adds() {
        let hard = json!({"services": "1", "services.nodeports": "3"});
        let quotas = [quota("q", json!({}), hard, json!({"services": "1", "services.nodeports": "1"}))];
        let service = |ports: usize| json!({"spec": {"type": "NodePort", "ports": vec![json!({}); ports]}});
        let run = |new, old| run("services", &quotas, &service(new), Some(&service(old)));
        assert_eq!(run(3, 1).unwrap(), ["q: services=1,services.nodeports=3"]);
        assert!(run(4, 1).is_err());
        assert_eq!(run(1, 3), Ok(Vec::new()));
    }

    #[test]
    fn what_comes_into_a_scope_costs_all() {
        let quotas = [quota("q", json!({"scopes": ["Terminating"]}), json!({"pods": "1"}), json!({"pods": "0"}))];
        let mut terminating = pod("1");
        terminating["spec"]["activeDeadlineSeconds"] = json!(5);
        assert_eq!(run("pods", &quotas, &terminating, Some(&pod("1"))).unwrap(), ["q: pods=1"]);
        assert_eq!(run("pods", &quotas, &pod("1"), Some(&terminating)), Ok(Vec::new()));
    }
}
