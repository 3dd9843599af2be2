//! Subresources that connect the client to something else: what a pod, a service or a node serves, a command in a
//! container, its log.
//! Source: `kubernetes/pkg/registry/core/{pod,service,node}/rest`, `k8s.io/apiserver/pkg/endpoints/handlers.ConnectResource`.

pub(super) mod forward;
mod location;
mod log;
mod terminal;
mod websocket;

use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::Answer;
use crate::admission::{Attributes, Operation, Options, matching};
use crate::authorization;
use crate::registry::resource::Resource;
use crate::server::Server;
use crate::service::Call;

/// The subresources that are answered here.
pub(super) const SUBRESOURCES: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// Connects.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let subresource = call.info.subresource.clone();
    if subresource == "log" {
        return log::handle(call).await;
    }
    if call.query.first("dryRun").is_some() {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let mut options = options(call, resource, &subresource);
    admit(call, resource, &subresource, &mut options).await?;
    if call.info.verb == "get"
        && matches!(subresource.as_str(), "attach" | "exec" | "portforward")
        && websocket::is_wanted(&call.headers)
    {
        // To open a WebSocket takes a GET, to run something in a pod takes more.
        authorization::require_verb(call, "create").await?;
    }
    match subresource.as_str() {
        "proxy" => location::proxy(call, resource, meta::text(&options, &["path"])).await,
        "portforward" => terminal::port_forward(call).await,
        _ => terminal::run(call, &options).await,
    }
}

/// The parameters as the object that admission sees.
fn options(call: &Call, resource: &Resource, subresource: &str) -> Value {
    let kind = matching::kind(resource, subresource);
    let mut options = json!({"kind": kind.kind, "apiVersion": kind.api_version()});
    if subresource == "proxy" {
        options["path"] = json!(location::rest(&call.info.path));
        return options;
    }
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.flag(flag) {
            options[flag] = json!(true);
        }
    }
    let container = call.query.text("container");
    if !container.is_empty() {
        options["container"] = json!(container);
    }
    let command: Vec<&str> = call.query.all("command").collect();
    if !command.is_empty() {
        options["command"] = json!(command);
    }
    let ports: Vec<i64> = call.query.all("ports").filter_map(|port| port.parse().ok()).collect();
    if !ports.is_empty() {
        options["ports"] = json!(ports);
    }
    options
}

async fn admit(call: &Call, resource: &Resource, subresource: &str, options: &mut Value) -> Result<(), Status> {
    let origin = call.origin();
    let attributes = Attributes {
        server: &call.server,
        operation: Operation::Connect,
        resource,
        subresource,
        namespace: &call.info.namespace,
        name: &call.info.name,
        old: None,
        origin: &origin,
        dry_run: false,
        options: Options::None,
    };
    call.server.admission.admit(&attributes, options).await?;
    call.server.admission.validate(&attributes, Some(options)).await
}

/// The pod that a request is about.
async fn pod(server: &Server, namespace: &str, name: &str) -> Result<Value, Status> {
    let pods = steersman_machinery::group::GroupResource::new("", "pods");
    server.read("pods", namespace, name).await?.ok_or_else(|| Status::not_found(&pods, name))
}

/// The container that is meant: the one that is named, or the only one.
fn container(pod: &Value, named: &str) -> Result<String, Status> {
    let lists = [["spec", "initContainers"], ["spec", "containers"], ["spec", "ephemeralContainers"]];
    let all = lists.iter().flat_map(|list| meta::items(pod, list)).map(|it| meta::text(it, &["name"]));
    let names: Vec<&str> = all.collect();
    let regular = meta::items(pod, &["spec", "containers"]);
    let name = meta::name(pod);
    match (named, regular) {
        ("", [only]) => Ok(meta::text(only, &["name"]).to_owned()),
        ("", []) => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        ("", _) => {
            let names = names.join(" ");
            let why = format!("a container name must be specified for pod {name}, choose one of: [{names}]");
            Err(Status::bad_request(why))
        }
        (named, _) if names.contains(&named) => Ok(named.to_owned()),
        (named, _) => Err(Status::bad_request(format!("container {named} is not valid for pod {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_or_the_only_one() {
        let pod = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
        let check = |containers: Value, named: &str, expect: &str| {
            let got = container(&pod(containers), named).unwrap_or_else(|status| status.message);
            assert_eq!(got, expect);
        };
        let two = || json!([{"name": "a"}, {"name": "b"}]);
        check(json!([{"name": "a"}]), "", "a");
        check(two(), "b", "b");
        check(two(), "", "a container name must be specified for pod p, choose one of: [a b]");
        check(two(), "c", "container c is not valid for pod p");
    }
}
