//! The quality of service of a pod. Source: Kubernetes doc "Pod Quality of Service Classes",
//! `k8s.io/kubernetes/pkg/apis/core/v1/helper/qos`.

use crate::meta;
use crate::quantity::Quantity;
use serde_json::Value;

/// The class of a pod: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn class(pod: &Value) -> &'static str {
    let pod_level = meta::at(pod, &["spec", "resources"]).filter(|resources| has_any(resources));
    let containers: Vec<&Value> = match pod_level {
        Some(_) => vec![pod.get("spec").expect("the resources were found in it")],
        None => ["containers", "initContainers"].iter().flat_map(|field| meta::items(pod, &["spec", field])).collect(),
    };
    let asked = |container: &Value, list: &str, name: &str| {
        meta::at(container, &["resources", list, name])
            .map_or(Quantity::ZERO, |amount| Quantity::from_value(amount).unwrap_or_default())
    };
    let mut guaranteed = !containers.is_empty();
    let mut any = false;
    let mut requests = [Quantity::ZERO; 2];
    let mut limits = [Quantity::ZERO; 2];
    for container in containers {
        for (index, name) in ["cpu", "memory"].into_iter().enumerate() {
            let (request, limit) = (asked(container, "requests", name), asked(container, "limits", name));
            any |= !request.is_zero() || !limit.is_zero();
            guaranteed &= !limit.is_zero();
            requests[index] = requests[index] + request;
            limits[index] = limits[index] + limit;
        }
    }
    match (any, guaranteed && requests == limits) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn has_any(resources: &Value) -> bool {
    ["requests", "limits"]
        .iter()
        .any(|list| resources.get(list).and_then(Value::as_object).is_some_and(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_follow_requests_and_limits() {
        let full = json!({"cpu": "1", "memory": "1Gi"});
        let cases = [
            (json!([{}]), "BestEffort"),
            (json!([{"resources": {"requests": full, "limits": full}}]), "Guaranteed"),
            (json!([{"resources": {"requests": full, "limits": {"cpu": "1000m", "memory": "1024Mi"}}}]), "Guaranteed"),
            (json!([{"resources": {"requests": full, "limits": full}}, {}]), "Burstable"),
            (json!([{"resources": {"requests": {"cpu": "1"}}}]), "Burstable"),
            (json!([{"resources": {"requests": {"example.com/gpu": "1"}}}]), "BestEffort"),
        ];
        for (containers, expect) in cases {
            let pod = json!({"spec": {"containers": containers}});
            assert_eq!(class(&pod), expect, "{containers}");
        }
    }
}
