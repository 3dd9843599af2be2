//! The built-in kinds: what is particular about each of them. One file a kind or family.
//! Source: `k8s.io/kubernetes/pkg/apis` (defaults, validation) and `pkg/registry` (strategies).

use std::sync::Arc;

use crate::registry::strategy::{Plain, Rules, Strategy};

pub mod admission;
pub mod api_service;
pub mod certificate;
pub(crate) mod check;
pub(crate) use check::show_in_order;
pub mod config;
pub mod controller_revision;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod endpoints;
pub mod event;
pub mod flow_control;
pub mod hpa;
pub mod ingress;
pub mod job;
pub mod lease;
pub mod namespace;
pub mod network_policy;
pub mod node;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_template;
pub mod priority_class;
pub mod quota;
pub mod rbac;
pub mod replica_set;
pub mod replication_controller;
pub mod resource_claim;
pub mod runtime_class;
pub mod service;
pub mod service_account;
pub mod service_cidr;
pub mod stateful_set;
pub mod storage;
pub mod workload;

/// The strategy of updates of a subresource other than `status` and `scale`: what such an update may change is in
/// `prepare_for_update`, what is wrong with it in `validate_update`. `None`: there is no such subresource.
pub fn subresource_strategy(group: &str, resource: &str, subresource: &str) -> Option<Arc<dyn Strategy>> {
    Some(match (group, resource, subresource) {
        ("", "namespaces", "finalize") => Arc::new(namespace::Finalize),
        ("", "pods", "ephemeralcontainers") => Arc::new(pod::EphemeralContainers),
        ("", "pods", "resize") => Arc::new(pod::Resize),
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => Arc::new(certificate::Approval),
        _ => return None,
    })
}

/// The strategy of a built-in resource in one of its versions: `strategy_in("autoscaling", "v1",
/// "horizontalpodautoscalers")`. Most resources behave alike in all versions; see [`strategy_for`].
pub fn strategy_in(group: &str, version: &str, resource: &str) -> Arc<dyn Strategy> {
    match (group, version, resource) {
        ("autoscaling", "v1", "horizontalpodautoscalers") => Arc::new(hpa::HorizontalPodAutoscalerV1),
        _ => strategy_for(group, resource),
    }
}

/// The strategy of a built-in resource: `strategy_for("apps", "deployments")`. The core group is the empty text. A
/// resource that this version does not know behaves as [`Plain`].
pub fn strategy_for(group: &str, resource: &str) -> Arc<dyn Strategy> {
    match group {
        "" => core(resource),
        "apps" | "autoscaling" | "batch" | "policy" => workload(group, resource),
        _ => other(group, resource),
    }
}

fn core(resource: &str) -> Arc<dyn Strategy> {
    match resource {
        "configmaps" => Arc::new(config::ConfigMap),
        "endpoints" => Arc::new(endpoints::Endpoints),
        "events" => Arc::new(event::CoreEvent),
        "limitranges" => Arc::new(quota::LimitRange),
        "namespaces" => Arc::new(namespace::Namespace),
        "nodes" => Arc::new(node::Node),
        "persistentvolumeclaims" => Arc::new(persistent_volume_claim::PersistentVolumeClaim),
        "persistentvolumes" => Arc::new(persistent_volume::PersistentVolume),
        "pods" => Arc::<pod::Pod>::default(),
        "podtemplates" => Arc::new(pod_template::PodTemplate),
        "replicationcontrollers" => Arc::new(replication_controller::ReplicationController),
        "resourcequotas" => Arc::new(quota::ResourceQuota),
        "secrets" => Arc::new(config::Secret),
        "serviceaccounts" => Arc::new(service_account::ServiceAccount),
        "services" => Arc::new(service::Service),
        _ => Arc::new(Plain(Rules::DEFAULT)),
    }
}

fn workload(group: &str, resource: &str) -> Arc<dyn Strategy> {
    match (group, resource) {
        ("apps", "controllerrevisions") => Arc::new(controller_revision::ControllerRevision),
        ("apps", "daemonsets") => Arc::new(daemon_set::DaemonSet),
        ("apps", "deployments") => Arc::new(deployment::Deployment),
        ("apps", "replicasets") => Arc::new(replica_set::ReplicaSet),
        ("apps", "statefulsets") => Arc::new(stateful_set::StatefulSet),
        ("autoscaling", "horizontalpodautoscalers") => Arc::new(hpa::HorizontalPodAutoscaler),
        ("batch", "cronjobs") => Arc::new(cron_job::CronJob),
        ("batch", "jobs") => Arc::new(job::Job),
        ("policy", "poddisruptionbudgets") => Arc::new(pod_disruption_budget::PodDisruptionBudget),
        _ => Arc::new(Plain(Rules::DEFAULT)),
    }
}

fn other(group: &str, resource: &str) -> Arc<dyn Strategy> {
    match (group, resource) {
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => Arc::new(admission::MutatingPolicy),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => {
            Arc::new(admission::PolicyBinding { mutating: true })
        }
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => {
            Arc::new(admission::WebhookConfiguration { mutating: true })
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => Arc::new(admission::ValidatingPolicy),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            Arc::new(admission::PolicyBinding { mutating: false })
        }
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations") => {
            Arc::new(admission::WebhookConfiguration { mutating: false })
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => Arc::new(crate::crd::definition::Definition),
        ("apiregistration.k8s.io", "apiservices") => Arc::new(api_service::ApiService),
        ("certificates.k8s.io", "certificatesigningrequests") => Arc::new(certificate::CertificateSigningRequest),
        ("coordination.k8s.io", "leases") => Arc::new(lease::Lease),
        ("discovery.k8s.io", "endpointslices") => Arc::new(endpoints::EndpointSlice),
        ("events.k8s.io", "events") => Arc::new(event::Event),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => Arc::new(flow_control::FlowSchema),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => {
            Arc::new(flow_control::PriorityLevelConfiguration)
        }
        ("networking.k8s.io", "ingressclasses") => Arc::new(ingress::IngressClass),
        ("networking.k8s.io", "ingresses") => Arc::new(ingress::Ingress),
        ("networking.k8s.io", "ipaddresses") => Arc::new(service_cidr::IpAddress),
        ("networking.k8s.io", "networkpolicies") => Arc::new(network_policy::NetworkPolicy),
        ("networking.k8s.io", "servicecidrs") => Arc::new(service_cidr::ServiceCidr),
        ("node.k8s.io", "runtimeclasses") => Arc::new(runtime_class::RuntimeClass),
        ("rbac.authorization.k8s.io", "clusterrolebindings") => Arc::new(rbac::RoleBinding { cluster: true }),
        ("rbac.authorization.k8s.io", "clusterroles") => Arc::new(rbac::Role { cluster: true }),
        ("rbac.authorization.k8s.io", "rolebindings") => Arc::new(rbac::RoleBinding { cluster: false }),
        ("rbac.authorization.k8s.io", "roles") => Arc::new(rbac::Role { cluster: false }),
        ("resource.k8s.io", "deviceclasses") => Arc::new(resource_claim::DeviceClass),
        ("resource.k8s.io", "resourceclaims") => Arc::new(resource_claim::ResourceClaim),
        ("resource.k8s.io", "resourceclaimtemplates") => Arc::new(resource_claim::ResourceClaimTemplate),
        ("resource.k8s.io", "resourceslices") => Arc::new(resource_claim::ResourceSlice),
        ("scheduling.k8s.io", "podgroups") => Arc::new(workload::PodGroup),
        ("scheduling.k8s.io", "priorityclasses") => Arc::new(priority_class::PriorityClass),
        ("scheduling.k8s.io", "workloads") => Arc::new(workload::Workload),
        ("storage.k8s.io", "csidrivers") => Arc::new(storage::CsiDriver),
        ("storage.k8s.io", "csinodes") => Arc::new(storage::CsiNode),
        ("storage.k8s.io", "csistoragecapacities") => Arc::new(storage::CsiStorageCapacity),
        ("storage.k8s.io", "storageclasses") => Arc::new(storage::StorageClass),
        ("storage.k8s.io", "volumeattachments") => Arc::new(storage::VolumeAttachment),
        ("storage.k8s.io", "volumeattributesclasses") => Arc::new(storage::VolumeAttributesClass),
        _ => Arc::new(Plain(Rules::DEFAULT)),
    }
}

#[cfg(test)]
mod tests;
