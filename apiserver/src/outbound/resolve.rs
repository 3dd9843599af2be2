//! From a port of a service to the address of an endpoint that is ready.
//! Source: `k8s.io/apiserver/pkg/util/proxy` (`ResolveEndpoint`).

use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::meta;

use super::target::ServicePort;
use crate::server::Server;

/// An address and a port.
pub(crate) type Address = (String, u16);

/// An address at which the port of the service is served.
///
/// # Errors
/// A text that says what is missing.
pub(crate) async fn endpoint(server: &Arc<Server>, wanted: &ServicePort) -> Result<Address, String> {
    let ServicePort { namespace, name, port } = wanted;
    let service = server.read("services", namespace, name).await.map_err(|status| status.message)?;
    let service = service.ok_or_else(|| format!("service \"{name}\" not found"))?;
    let ports = meta::items(&service, &["spec", "ports"]);
    let found = ports.iter().find(|it| it.get("port").and_then(Value::as_u64) == Some(u64::from(*port)));
    let found = found.ok_or_else(|| format!("no service port {port} found for service \"{name}\""))?;
    match meta::text(&service, &["spec", "type"]) {
        "ExternalName" => return Ok((meta::text(&service, &["spec", "externalName"]).to_owned(), *port)),
        "" | "ClusterIP" | "LoadBalancer" | "NodePort" => {}
        other => return Err(format!("unsupported service type \"{other}\"")),
    }
    let mut addresses = endpoints(server, namespace, name, meta::text(found, &["name"])).await?.unwrap_or_default();
    if addresses.is_empty() {
        return Err(format!("no endpoints available for service \"{name}\""));
    }
    let index = usize::try_from(server.random.below(addresses.len() as u64)).unwrap_or_default();
    Ok(addresses.swap_remove(index))
}

/// The addresses that are ready for the named port of a service; `None` if nobody ever listed any.
pub(crate) async fn endpoints(
    server: &Arc<Server>,
    namespace: &str,
    service: &str,
    port_name: &str,
) -> Result<Option<Vec<Address>>, String> {
    let slices = server.snapshot("endpointslices.discovery.k8s.io").await.map_err(|status| status.message)?;
    let mut found = None;
    for entry in slices.range(Some(namespace), None) {
        let labels = &entry.attributes.labels;
        if !labels.iter().any(|(key, value)| &**key == "kubernetes.io/service-name" && &**value == service) {
            continue;
        }
        let slice: Value = serde_json::from_slice(entry.bytes()).unwrap_or_default();
        found.get_or_insert_with(Vec::new).extend(of_slice(&slice, port_name));
    }
    if found.is_some() {
        return Ok(found);
    }
    let endpoints = server.read("endpoints", namespace, service).await.map_err(|status| status.message)?;
    Ok(endpoints.map(|endpoints| of_endpoints(&endpoints, port_name)))
}

fn ports<'a>(source: &'a Value, name: &'a str) -> impl Iterator<Item = u16> + 'a {
    let named = meta::items(source, &["ports"]).iter().filter(move |port| meta::text(port, &["name"]) == name);
    named.filter_map(|port| u16::try_from(port.get("port")?.as_u64()?).ok())
}

fn of_slice(slice: &Value, port_name: &str) -> Vec<Address> {
    let ready = |endpoint: &&Value| meta::at(endpoint, &["conditions", "ready"]) != Some(&Value::Bool(false));
    let endpoints = meta::items(slice, &["endpoints"]).iter().filter(ready);
    let addresses = endpoints.flat_map(|it| meta::items(it, &["addresses"])).filter_map(Value::as_str);
    addresses.flat_map(|address| ports(slice, port_name).map(move |port| (address.to_owned(), port))).collect()
}

fn of_endpoints(endpoints: &Value, port_name: &str) -> Vec<Address> {
    let subsets = meta::items(endpoints, &["subsets"]).iter();
    let of = |subset| {
        let addresses = meta::items(subset, &["addresses"]).iter().map(|address| meta::text(address, &["ip"]));
        addresses.flat_map(move |ip| ports(subset, port_name).map(move |port| (ip.to_owned(), port)))
    };
    subsets.flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_that_are_ready_have_the_named_port() {
        let slice = json!({
            "ports": [{"name": "https", "port": 8443}, {"name": "metrics", "port": 9090}],
            "endpoints": [
                {"addresses": ["10.1.0.1"]},
                {"addresses": ["10.1.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": false}},
            ],
        });
        let got = of_slice(&slice, "https");
        assert_eq!(got, [("10.1.0.1".to_owned(), 8443), ("10.1.0.2".to_owned(), 8443)]);
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": 80}]},
            {"notReadyAddresses": [{"ip": "10.1.0.2"}], "ports": [{"port": 80}]},
        ]});
        assert_eq!(of_endpoints(&endpoints, ""), [("10.1.0.1".to_owned(), 80)]);
    }
}
