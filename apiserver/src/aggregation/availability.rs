//! The condition `Available` of API services that others serve.
//! Source: `k8s.io/kube-aggregator/pkg/controllers/status/remote`, whose texts these are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request};
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;

use super::ApiService;
use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::outbound::target::{Target, Trust};
use crate::outbound::{exchange, resolve};
use crate::server::Server;

/// How long the other server may take to say what it serves.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often the condition is written anew when others write to the object.
const ATTEMPTS: usize = 5;

/// What was found.
struct Found {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Found {
    fn missing(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }
}

/// Checks an API service beside the request that made it necessary.
pub(super) fn check_later(server: &Arc<Server>, name: String) {
    let weak = Arc::downgrade(server);
    server.spawn(async move {
        if let Some(server) = weak.upgrade() {
            check(server, name).await;
        }
    });
}

fn check(server: Arc<Server>, name: String) -> BoxFuture<'static, ()> {
    async move {
        for _ in 0..ATTEMPTS {
            let Ok(Some(mut object)) = server.read("apiservices.apiregistration.k8s.io", "", &name).await else {
                return;
            };
            let Some(service) = ApiService::read(&object) else { return };
            let found = find(&server, &service).await;
            if !set(&mut object, &found, &format_time(server.clock.now())) {
                return;
            }
            crate::object::set_type(&mut object, "apiregistration.k8s.io/v1", "APIService");
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}/status");
            let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
            match handlers::perform(&server, user, (Method::PUT, &path), &object).await {
                Err(status) if status.is("Conflict") => {}
                _ => return,
            }
        }
    }
    .boxed()
}

/// Sets the condition; `false` if it is as it was.
fn set(object: &mut Value, found: &Found, now: &str) -> bool {
    let mut conditions = meta::items(object, &["status", "conditions"]).to_vec();
    let before = conditions.iter().position(|it| meta::text(it, &["type"]) == "Available");
    let same = before.filter(|at| conditions[*at]["status"] == found.status);
    let since = same.map_or(json!(now), |at| conditions[at]["lastTransitionTime"].clone());
    let condition = json!({
        "type": "Available", "status": found.status, "lastTransitionTime": since,
        "reason": found.reason, "message": found.message,
    });
    match before {
        Some(at) if conditions[at] == condition => return false,
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    meta::set(object, &["status", "conditions"], conditions);
    true
}

async fn find(server: &Arc<Server>, service: &ApiService) -> Found {
    if server.outbound.in_process(&service.target.host).is_none()
        && let Some(missing) = find_service(server, service).await
    {
        server.aggregation.lists.lock().remove(&service.name);
        return missing;
    }
    match ask(server, service).await {
        Ok(list) => {
            server.aggregation.lists.lock().insert(service.name.clone(), list);
            Found { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
        }
        Err(why) => {
            server.aggregation.lists.lock().remove(&service.name);
            Found::missing("FailedDiscoveryCheck", why)
        }
    }
}

/// What is missing of the service, if anything is.
async fn find_service(server: &Arc<Server>, wanted: &ApiService) -> Option<Found> {
    let (namespace, name) = &wanted.service;
    let quoted = go_quote(namespace);
    let service = match server.read("services", namespace, name).await {
        Ok(Some(service)) => service,
        Ok(None) => {
            return Some(Found::missing("ServiceNotFound", format!("service/{name} in {quoted} is not present")));
        }
        Err(status) => {
            let message = format!("service/{name} in {quoted} cannot be checked due to: {status}");
            return Some(Found { status: "Unknown", reason: "ServiceAccessError", message });
        }
    };
    if meta::text(&service, &["spec", "type"]) != "ClusterIP" {
        return None;
    }
    let port = wanted.target.port;
    let mut ports = meta::items(&service, &["spec", "ports"]).iter();
    let Some(found) = ports.find(|it| it.get("port").and_then(Value::as_u64) == Some(u64::from(port))) else {
        let message = format!("service/{name} in {quoted} is not listening on port {port}");
        return Some(Found::missing("ServicePortError", message));
    };
    let port_name = meta::text(found, &["name"]);
    match resolve::endpoints(server, namespace, name, port_name).await {
        Ok(None) => {
            let message = format!("cannot find endpointslices for service/{name} in {quoted}");
            Some(Found::missing("EndpointsNotFound", message))
        }
        Ok(Some(addresses)) if addresses.is_empty() => {
            let message = format!(
                "endpointslices for service/{name} in {quoted} have no addresses with port name {}",
                go_quote(port_name)
            );
            Some(Found::missing("MissingEndpoints", message))
        }
        Ok(Some(_)) => None,
        Err(why) => {
            let message = format!("service/{name} in {quoted} cannot be checked due to: {why}");
            Some(Found { status: "Unknown", reason: "EndpointsAccessError", message })
        }
    }
}

/// Asks the other server what it serves.
async fn ask(server: &Arc<Server>, service: &ApiService) -> Result<Value, String> {
    let target = Target { trust: Trust::Anybody, ..service.target.clone() };
    let url = format!("https://{}/apis/{}/{}", target.authority, service.group, service.version);
    let request = Request::get(&url)
        .header("Accept", "application/json")
        .header("X-Remote-User", "system:kube-aggregator")
        .header("X-Remote-Group", SYSTEM_MASTERS)
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let failing = |why: String| format!("failing or missing response from {url}: {why}");
    let answer = match tokio::time::timeout(TIMEOUT, exchange::call(server, &target, request)).await {
        Ok(answer) => answer.map_err(|why| failing(format!("Get {}: {why}", go_quote(&url))))?,
        Err(_) => return Err(failing(format!("Get {}: context deadline exceeded", go_quote(&url)))),
    };
    if !answer.status().is_success() {
        return Err(failing(format!("bad status from {url}: {}", answer.status().as_u16())));
    }
    Ok(serde_json::from_slice(answer.body()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_changes_with_its_status() {
        let mut object = json!({});
        let found = |status: &'static str| Found { status, reason: "R", message: "m".to_owned() };
        assert!(set(&mut object, &found("False"), "t1"));
        assert!(!set(&mut object, &found("False"), "t2"));
        assert_eq!(object["status"]["conditions"][0]["lastTransitionTime"], "t1");
        assert!(set(&mut object, &found("True"), "t3"));
        assert_eq!(object["status"]["conditions"][0]["lastTransitionTime"], "t3");
    }
}
