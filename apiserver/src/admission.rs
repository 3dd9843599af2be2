//! Admission: what a write has to pass between defaulting and the store.
//! Source: Kubernetes doc "Admission Control in Kubernetes".

mod always;
pub mod cached;
mod certificate_signers;
mod certificate_subject_restriction;
mod configuration;
mod default_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
pub mod expressions;
mod image_policy;
mod limit_ranger;
pub mod matching;
mod namespace_lifecycle;
mod namespace_presence;
mod node_restriction;
mod owner_references;
mod persistent_volume_claim_resize;
mod pod_group;
mod pod_node_selector;
mod pod_rules;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
pub(crate) mod policy;
mod priority;
pub mod reinvocation;
mod resource_quota;
mod runtime_class;
pub(crate) mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod webhook;

use std::fmt;
use std::sync::Arc;

pub use configuration::Configuration;

use futures::future::{BoxFuture, Either, FutureExt, Ready};
use serde_json::Value;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::Write;

use crate::options::{DeleteOptions, WriteOptions};
use crate::registry::resource::Resource;
use crate::server::Server;
use crate::service::Origin;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// Somebody connects to what it stands for: the subresources exec, attach, portforward and proxy.
    Connect,
}

impl Operation {
    /// Upstream's word for it, as in rules and reviews.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What admission knows of a write besides the object.
pub struct Attributes<'a> {
    /// Where it is written.
    pub server: &'a Arc<Server>,
    /// What is done.
    pub operation: Operation,
    /// To an object of which resource.
    pub resource: &'a Resource,
    /// By way of which subresource; empty for the object itself.
    pub subresource: &'a str,
    /// In which namespace; empty for cluster-scoped resources.
    pub namespace: &'a str,
    /// Its name; empty while it is still to be generated.
    pub name: &'a str,
    /// The object as it was.
    pub old: Option<&'a Value>,
    /// Who does it, and where what is noticed goes.
    pub origin: &'a Origin,
    /// Whether nothing is stored.
    pub dry_run: bool,
    /// The options of the request.
    pub options: Options<'a>,
}

/// The options of a write, for whom they are shown to.
#[derive(Clone, Copy)]
pub enum Options<'a> {
    /// Of a create.
    Create(&'a WriteOptions),
    /// Of an update or a patch.
    Update(&'a WriteOptions),
    /// Of a delete.
    Delete(&'a DeleteOptions),
    /// There are none.
    None,
}

impl Options<'_> {
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions` of `meta.k8s.io/v1`; null if there are none.
    pub fn to_json(self) -> Value {
        match self {
            Self::Create(options) => options.to_json("CreateOptions"),
            Self::Update(options) => options.to_json("UpdateOptions"),
            Self::Delete(options) => options.to_json(),
            Self::None => Value::Null,
        }
    }
}

impl Attributes<'_> {
    /// Whether the write is about this resource itself, not a subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.resource.group == group && self.resource.name == resource
    }

    /// The refusal of a write, in upstream's form. A name that is still to be generated is told by its beginning; an object
    /// that has neither is called unknown.
    pub fn forbidden(&self, object: &Value, why: impl fmt::Display) -> Status {
        let names = [self.name, meta::name(object), meta::text(object, &["metadata", "generateName"])];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown");
        Status::forbidden(&self.resource.group_resource(), name, why)
    }

    /// The kind of the object that is admitted: that of the resource or, for some subresources, another one.
    pub fn kind(&self) -> GroupVersionKind {
        matching::kind(self.resource, self.subresource)
    }
}

/// An answer at once, which costs nothing, or one that needs a look at other objects or takes its time.
type Answer<'a, T> = Either<Ready<Result<T, Status>>, BoxFuture<'a, Result<T, Status>>>;

/// The answer of a plugin.
pub type Verdict<'a> = Answer<'a, ()>;

/// What has to be written together with an object; or why the object may not be written.
pub type Charges<'a> = Answer<'a, Vec<Write>>;

/// The answer of who has nothing to say.
fn pass<'a, T: Default>() -> Answer<'a, T> {
    futures::future::ready(Ok(T::default())).left_future()
}

/// One admission plugin.
pub trait Plugin: Send + Sync {
    /// Upstream's name, as in `--disable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// What it lacks in order to be switched on.
    fn missing(&self) -> Option<&'static str> {
        None
    }

    /// May change the object of a create or update, or refuse it.
    fn admit<'a>(&'a self, _attributes: &'a Attributes<'a>, _object: &'a mut Value) -> Verdict<'a> {
        pass()
    }

    /// May refuse a write whose object is final. There is no object for a delete.
    fn validate<'a>(&'a self, _attributes: &'a Attributes<'a>, _object: Option<&'a Value>) -> Verdict<'a> {
        pass()
    }

    /// May refuse a write that passed everything else, or have other objects written together with it: the store does all
    /// of that or nothing. Called again if one of those objects has changed meanwhile.
    fn charge<'a>(&'a self, _attributes: &'a Attributes<'a>, _object: &'a Value) -> Charges<'a> {
        pass()
    }
}

/// The plugins that are switched on, in upstream's order: all of them may change the object first, then all may refuse it.
/// Source: `kubernetes/pkg/kubeapiserver/options.AllOrderedPlugins`.
pub struct Chain(Vec<Box<dyn Plugin>>);

fn all(configuration: &Configuration) -> Result<Vec<Box<dyn Plugin>>, String> {
    Ok(vec![
        Box::new(always::ADMIT),
        Box::new(namespace_presence::AUTO_PROVISION),
        Box::new(namespace_lifecycle::NamespaceLifecycle),
        Box::new(namespace_presence::EXISTS),
        Box::new(pod_rules::LIMIT_ANTI_AFFINITY),
        Box::new(limit_ranger::LimitRanger),
        Box::new(service_account::ServiceAccount),
        Box::new(node_restriction::NodeRestriction),
        Box::new(taint_nodes_by_condition::TaintNodesByCondition),
        Box::new(pod_rules::ALWAYS_PULL_IMAGES),
        Box::new(image_policy::ImagePolicyWebhook::new(configuration)),
        Box::new(pod_security::PodSecurity::new(configuration)?),
        Box::new(pod_node_selector::PodNodeSelector),
        Box::new(priority::Priority),
        Box::new(default_toleration_seconds::DefaultTolerationSeconds),
        Box::new(pod_toleration_restriction::PodTolerationRestriction::new(configuration)?),
        Box::new(event_rate_limit::EventRateLimit::new(configuration)?),
        Box::new(pod_rules::TOLERATE_EXTENDED_RESOURCES),
        Box::new(default_class::STORAGE),
        Box::new(storage_object_in_use_protection::StorageObjectInUseProtection),
        Box::new(pod_group::PodGroupProtection),
        Box::new(owner_references::OwnerReferencesPermissionEnforcement),
        Box::new(persistent_volume_claim_resize::PersistentVolumeClaimResize),
        Box::new(runtime_class::RuntimeClass),
        Box::new(certificate_signers::APPROVAL),
        Box::new(certificate_signers::SIGNING),
        Box::new(always::elsewhere("ClusterTrustBundleAttest")),
        Box::new(certificate_subject_restriction::CertificateSubjectRestriction),
        Box::new(default_class::INGRESS),
        Box::new(deny_service_external_ips::DenyServiceExternalIps),
        Box::new(pod_topology_labels::PodTopologyLabels),
        Box::new(pod_group::PodGroupWorkloadExists),
        Box::new(always::elsewhere("NodeDeclaredFeatureValidator")),
        Box::new(always::elsewhere("JobValidation")),
        Box::new(always::elsewhere("PodResizeValidator")),
        Box::new(policy::MutatingAdmissionPolicy::default()),
        Box::new(webhook::MutatingAdmissionWebhook::default()),
        Box::new(policy::ValidatingAdmissionPolicy::default()),
        Box::new(webhook::ValidatingAdmissionWebhook::default()),
        Box::new(resource_quota::ResourceQuota),
        Box::new(always::DENY),
    ])
}

/// Those that work only if they are asked for. Source: `kubernetes/pkg/kubeapiserver/options.DefaultOffAdmissionPlugins`.
const OFF_BY_DEFAULT: [&str; 13] = [
    "AlwaysAdmit",
    "AlwaysDeny",
    "AlwaysPullImages",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "ImagePolicyWebhook",
    "LimitPodHardAntiAffinityTopology",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "OwnerReferencesPermissionEnforcement",
    "PodNodeSelector",
    "PodTolerationRestriction",
];

impl Chain {
    /// Upstream's default plugins, those that are enabled, and without those that are disabled.
    ///
    /// # Errors
    /// A text that names a plugin that does not exist, and those that do, one that is named in both lists, or one whose
    /// configuration makes no sense.
    pub fn new(enabled: &[String], disabled: &[String], configuration: &Configuration) -> Result<Self, String> {
        let all = all(configuration)?;
        let names: Vec<&str> = all.iter().map(|plugin| plugin.name()).collect();
        if let Some(unknown) = enabled.iter().chain(disabled).find(|name| !names.contains(&name.as_str())) {
            return Err(format!("unknown admission plugin {unknown:?}; there are {}", names.join(", ")));
        }
        if let Some(both) = enabled.iter().find(|name| disabled.contains(name)) {
            return Err(format!("admission plugin {both:?} is both enabled and disabled"));
        }
        let is_on = |name: &str| {
            let named = |list: &[String]| list.iter().any(|it| it == name);
            named(enabled) || !(named(disabled) || OFF_BY_DEFAULT.contains(&name))
        };
        let on: Vec<_> = all.into_iter().filter(|plugin| is_on(plugin.name())).collect();
        match on.iter().find_map(|plugin| Some((plugin.name(), plugin.missing()?))) {
            Some((name, missing)) => Err(format!("couldn't init admission plugin {name:?}: {missing}")),
            None => Ok(Self(on)),
        }
    }

    /// Lets every plugin change the object; once more if one of those who are asked from outside did. For a delete, it
    /// is null.
    pub async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
        loop {
            for plugin in &self.0 {
                plugin.admit(attributes, object).await?;
            }
            if !attributes.origin.rounds.next_round() {
                return Ok(());
            }
        }
    }

    /// Lets every plugin refuse the write.
    pub async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>) -> Result<(), Status> {
        for plugin in &self.0 {
            plugin.validate(attributes, object).await?;
        }
        Ok(())
    }

    /// What the plugins have written together with the object.
    pub async fn charge(&self, attributes: &Attributes<'_>, object: &Value) -> Result<Vec<Write>, Status> {
        let mut charges = Vec::new();
        for plugin in &self.0 {
            charges.extend(plugin.charge(attributes, object).await?);
        }
        Ok(charges)
    }
}
