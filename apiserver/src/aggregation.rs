//! API services that other servers serve: whether they are available, who they are, and what they add to discovery.
//! Source: `k8s.io/kube-aggregator`; Kubernetes doc "Kubernetes API Aggregation Layer".

mod availability;
pub(crate) mod discovery;
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::Entry;

pub(crate) use proxy::serve;

use crate::admission::cached::Cached;
use crate::object;
use crate::outbound::target::{Target, Trust};
use crate::registry::resource::Resource;
use crate::server::Server;

/// What the server knows of API services that others serve.
pub(crate) struct Aggregation {
    services: Cached<Option<Arc<ApiService>>>,
    /// What each of them said that it serves when it was last asked (`APIResourceList`), by name.
    lists: Mutex<BTreeMap<String, Value>>,
}

impl Default for Aggregation {
    fn default() -> Self {
        Self { services: Cached::new("apiservices.apiregistration.k8s.io", ApiService::read), lists: Mutex::default() }
    }
}

/// An API service that another server serves.
pub(crate) struct ApiService {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Namespace and name of the service.
    service: (String, String),
    target: Target,
    available: bool,
    group_priority: i64,
    version_priority: i64,
}

impl ApiService {
    /// Reads an object; `None` if it is served here.
    fn read(object: &Value) -> Option<Arc<Self>> {
        let spec = object.get("spec")?;
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |field: &str| meta::text(spec, &[field]).to_owned();
        let number = |field: &str| spec.get(field).and_then(Value::as_i64).unwrap_or_default();
        let bundle = STANDARD.decode(meta::text(spec, &["caBundle"])).unwrap_or_default();
        let trust = match (spec.get("insecureSkipTLSVerify"), bundle.is_empty()) {
            (Some(Value::Bool(true)), _) => Trust::Anybody,
            (_, true) => Trust::System,
            (_, false) => Trust::Bundle(bundle),
        };
        let conditions = meta::items(object, &["status", "conditions"]).iter();
        let mut available = conditions.filter(|it| meta::text(it, &["type"]) == "Available");
        Some(Arc::new(Self {
            name: meta::name(object).to_owned(),
            group: text("group"),
            version: text("version"),
            service: (meta::text(service, &["namespace"]).to_owned(), meta::text(service, &["name"]).to_owned()),
            target: Target { as_front_proxy: true, ..Target::service(service, trust) },
            available: available.any(|it| meta::text(it, &["status"]) == "True"),
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
        }))
    }
}

/// All API services that others serve.
pub(crate) async fn all(server: &Server) -> Result<Vec<Arc<ApiService>>, Status> {
    let services = server.aggregation.services.get(server).await?;
    Ok(services.iter().filter_map(|service| (**service).clone()).collect())
}

/// Follows the removal of any object.
pub(crate) async fn follow_removal(server: &Arc<Server>, resource: &Resource, entry: &Entry) -> Result<(), Status> {
    server.outbound.follow(resource);
    if !all(server).await?.is_empty() {
        follow(server, resource, &object::decode(entry, resource)).await?;
    }
    Ok(())
}

/// Follows a write to any object: an API service, or what it depends on, may have changed, or who else is called.
pub(crate) async fn follow(server: &Arc<Server>, resource: &Resource, object: &Value) -> Result<(), Status> {
    server.outbound.follow(resource);
    let about = match (resource.group.as_str(), resource.name.as_str()) {
        ("apiregistration.k8s.io", "apiservices") => None,
        ("", "services" | "endpoints") => Some(meta::name(object)),
        ("discovery.k8s.io", "endpointslices") => meta::label(object, "kubernetes.io/service-name"),
        _ => return Ok(()),
    };
    let namespace = meta::namespace(object);
    for service in all(server).await? {
        let concerned = match about {
            None => service.name == meta::name(object),
            Some(name) => service.service.0 == namespace && service.service.1 == name,
        };
        if concerned {
            availability::check_later(server, service.name.clone());
        }
    }
    Ok(())
}
