//! Services. Source: `k8s.io/kubernetes/pkg/registry/core/service`, `ValidateService` of
//! `k8s.io/kubernetes/pkg/apis/core/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check;
use super::pod::defaults::each;
use crate::registry::strategy::{Rules, Strategy};

mod allocate;
mod update;
mod validation;
mod warnings;

pub use allocate::{Refusal, Used, allocate};
pub(crate) use validation::of_ingress;

/// How long a client stays with its pod if nothing else is said: three hours.
const CLIENT_IP_SECONDS: i64 = 10800;

/// The strategy of services. Call [`allocate`] before it.
#[derive(Clone, Copy, Debug)]
pub struct Service;

impl Strategy for Service {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { create_on_update: true, has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        text_default(object, "type", "ClusterIP");
        text_default(object, "sessionAffinity", "None");
        match meta::text(object, &["spec", "sessionAffinity"]) {
            "ClientIP" => meta::set_default(
                object,
                &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"],
                CLIENT_IP_SECONDS,
            ),
            _ => drop(meta::remove(object, &["spec", "sessionAffinityConfig"])),
        }
        if let Some(spec) = object.get_mut("spec") {
            each(spec, "ports", port);
        }
        let sort = meta::text(object, &["spec", "type"]).to_owned();
        if is_exposed(object) {
            text_default(object, "externalTrafficPolicy", "Cluster");
        }
        if sort != "ExternalName" {
            text_default(object, "internalTrafficPolicy", "Cluster");
        }
        if sort == "LoadBalancer" {
            meta::set_default(object, &["spec", "allocateLoadBalancerNodePorts"], true);
        }
        if let Some(balancer) = meta::at_mut(object, &["status", "loadBalancer"]) {
            each(balancer, "ingress", |ingress| {
                if sort == "LoadBalancer" && !meta::text(ingress, &["ip"]).is_empty() {
                    meta::set_default(ingress, &["ipMode"], "VIP");
                }
            });
        }
        meta::set_default(object, &["status", "loadBalancer"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        update::normalize(object, None);
        meta::set(object, &["status"], json!({"loadBalancer": {}}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        update::keep_allocated(object, old);
        update::normalize(object, Some(old));
        update::drop_what_the_type_lacks(object, old);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validation::service(&root, &Value::Null))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validation::change(&root, old);
            validation::service(&root, old);
        })
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let status = root.at("status").at("loadBalancer");
            validation::load_balancer(&status, root.at("spec").at("type").text(), old);
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings::all(object)
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |field: &str| meta::text(object, &["spec", field]).to_owned();
        vec![("spec.clusterIP", text("clusterIP")), ("spec.type", text("type"))]
    }
}

fn text_default(object: &mut Value, field: &str, default: &str) {
    if meta::text(object, &["spec", field]).is_empty() {
        meta::set(object, &["spec", field], default);
    }
}

fn port(port: &mut Value) {
    if meta::text(port, &["protocol"]).is_empty() {
        meta::set(port, &["protocol"], "TCP");
    }
    let target = port.get("targetPort");
    let unset = target.is_none_or(|target| target.is_null() || target == 0 || target == "");
    if let Some(number) = port.get("port").cloned().filter(|_| unset) {
        meta::set(port, &["targetPort"], number);
    }
}

/// Whether traffic from outside the cluster can reach the service.
fn is_exposed(object: &Value) -> bool {
    match meta::text(object, &["spec", "type"]) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !meta::items(object, &["spec", "externalIPs"]).is_empty(),
        _ => false,
    }
}

/// Whether the type has a cluster address.
fn needs_cluster_ip(object: &Value) -> bool {
    matches!(meta::text(object, &["spec", "type"]), "ClusterIP" | "NodePort" | "LoadBalancer" | "")
}

/// Whether the type opens a port on every node.
fn needs_node_port(object: &Value) -> bool {
    match meta::text(object, &["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => meta::at(object, &["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false)),
        _ => false,
    }
}

/// Whether load balancers ask the nodes on a port of their own.
fn needs_health_check(object: &Value) -> bool {
    meta::text(object, &["spec", "type"]) == "LoadBalancer"
        && meta::text(object, &["spec", "externalTrafficPolicy"]) == "Local"
}

/// The number at `path`; 0 if there is none.
fn number(object: &Value, path: &[&str]) -> i64 {
    meta::at(object, path).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests;
