//! What people are told who write a service. Source: `k8s.io/kubernetes/pkg/api/service/warnings.go`.

use serde_json::Value;
use steersman_machinery::meta;

use crate::kinds::check::text;

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// All that is worth a warning.
pub(super) fn all(service: &Value) -> Vec<String> {
    let spec = |field: &str| meta::text(service, &["spec", field]);
    let sort = spec("type");
    let headless = sort == "ClusterIP" && spec("clusterIP") == "None";
    let external = !meta::items(service, &["spec", "externalIPs"]).is_empty();
    let mut warnings = Vec::new();
    if meta::annotation(service, TOPOLOGY_HINTS).is_some() {
        let mode = "please use service.kubernetes.io/topology-mode instead";
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, {mode}"));
    }
    if !matches!(spec("clusterIP"), "" | "None") {
        warnings.extend(each(service, "clusterIPs", text::ip_warnings));
    }
    if headless {
        for (ignored, field) in [
            (!spec("loadBalancerIP").is_empty(), "loadBalancerIP"),
            (external, "externalIPs"),
            (spec("sessionAffinity") != "None", "SessionAffinity"),
        ] {
            if ignored {
                warnings.push(format!("spec.{field} is ignored for headless services"));
            }
        }
    }
    warnings.extend(each(service, "externalIPs", text::ip_warnings));
    if external && !headless && sort != "ExternalName" {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    warnings.extend(text::ip_warnings("spec.loadBalancerIP", spec("loadBalancerIP")));
    warnings.extend(each(service, "loadBalancerSourceRanges", text::cidr_warnings));
    if sort == "ExternalName" && external {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if sort != "ExternalName" && !spec("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec("trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

fn each(service: &Value, field: &str, warn: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let items = meta::items(service, &["spec", field]).iter().enumerate();
    items.flat_map(|(index, item)| warn(&format!("spec.{field}[{index}]"), item.as_str().unwrap_or_default())).collect()
}
