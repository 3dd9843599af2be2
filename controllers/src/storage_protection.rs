//! Lets claims, volumes and classes of volume attributes go once nobody uses them any more, and groups of pods.
//! Source: `k8s.io/kubernetes/pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`,
//! `pkg/controller/scheduling/podgroupprotection`.

use kube::api::ListParams;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, Written, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Delta, Informer};
use steersman_framework::meta::{ObjectKey, Partial};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::meta;

use crate::error::SyncError;
use crate::objects::{CLAIMS, POD_GROUPS, PODS, Pod, VOLUME_ATTRIBUTES_CLASSES, VOLUMES};
use crate::shared::Shared;

pub mod plan;

/// Whom a controller protects.
pub(crate) struct Protected {
    /// The controller's name.
    pub(crate) name: &'static str,
    queue: &'static str,
    resource: &'static Resource,
    finalizer: &'static str,
    users: Users,
    /// Whether the finalizer is given to objects that were made while the admission plugin was off.
    gives: bool,
}

/// Who may use an object.
enum Users {
    /// Pods of its namespace of which this says so.
    Pods(fn(&Value, &Value) -> bool),
    /// Whoever it says it is bound to.
    Bound,
    /// Claims and volumes that name it.
    ClaimsAndVolumes,
}

/// Claims, while a pod has them.
pub(crate) static CLAIM: Protected = Protected {
    name: "persistentvolumeclaim-protection-controller",
    queue: "pvcprotection",
    resource: &CLAIMS,
    finalizer: "kubernetes.io/pvc-protection",
    users: Users::Pods(plan::uses_claim),
    gives: true,
};
/// Volumes, while they are bound.
pub(crate) static VOLUME: Protected = Protected {
    name: "persistentvolume-protection-controller",
    queue: "pvprotection",
    resource: &VOLUMES,
    finalizer: "kubernetes.io/pv-protection",
    users: Users::Bound,
    gives: true,
};
/// Classes of volume attributes, while claims or volumes name them.
pub(crate) static CLASS: Protected = Protected {
    name: "volumeattributesclass-protection-controller",
    queue: "vacprotection",
    resource: &VOLUME_ATTRIBUTES_CLASSES,
    finalizer: "kubernetes.io/vac-protection",
    users: Users::ClaimsAndVolumes,
    gives: true,
};
/// Groups of pods of the Workload API, while a pod that has not ended belongs to them.
pub(crate) static GROUP: Protected = Protected {
    name: POD_GROUP_PROTECTION,
    queue: "podgroupprotection",
    resource: &POD_GROUPS,
    finalizer: "scheduling.k8s.io/podgroup-protection",
    users: Users::Pods(plan::is_in_group),
    gives: false,
};
/// The name of the controller of groups.
pub const POD_GROUP_PROTECTION: &str = "podgroup-protection-controller";

/// The running controller.
pub(crate) struct StorageProtectionController {
    api: Api,
    protected: &'static Protected,
    objects: Informer<Partial>,
    queue: WorkQueue<ObjectKey>,
}

impl StorageProtectionController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared, protected: &'static Protected) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            protected,
            // Classes are served since 1.34, groups behind a feature gate.
            objects: shared.informers.optional(protected.resource),
            queue: shared.queue(protected.queue),
        };
        let queue = controller.queue.clone();
        controller.objects.on_change(move |delta: &Delta<Partial>| {
            let found = delta.new.as_ref().map(|object| &object.metadata);
            if let Some(meta) = found.filter(|meta| meta.is_deleting() == meta.has_finalizer(protected.finalizer)) {
                queue.add(meta.key());
            }
        });
        match protected.users {
            Users::Pods(_) => {
                let waiting = controller.waiting();
                shared.informers.informer(&PODS).on_change(move |delta: &Delta<Pod>| {
                    let done = delta.new.as_ref().is_none_or(|pod| pod.phase.is_terminal());
                    if let Some(pod) = delta.old.as_ref().filter(|_| done) {
                        waiting(Some(&pod.metadata.namespace));
                    }
                });
            }
            Users::Bound => {}
            Users::ClaimsAndVolumes => {
                for users in [&CLAIMS, &VOLUMES] {
                    let waiting = controller.waiting();
                    shared.informers.informer(users).on_change(move |delta: &Delta<Partial>| {
                        if delta.old.is_some() {
                            waiting(None);
                        }
                    });
                }
            }
        }
        controller
    }

    /// Looks again at those that wait to go, of one namespace or all.
    fn waiting(&self) -> impl Fn(Option<&str>) + Send + Sync + use<> {
        let (objects, queue) = (self.objects.clone(), self.queue.clone());
        move |namespace| {
            let all = namespace.map_or_else(|| objects.all(), |namespace| objects.in_namespace(namespace));
            all.iter().filter(|it| it.metadata.is_deleting()).for_each(|it| queue.add(it.metadata.key()));
        }
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let workers = Workers { name: self.protected.name, concurrency, max_retries: None };
        run_when(self.objects.synced(), workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let object: Value = match self.api.get(self.protected.resource, &key).await {
            Ok(object) => object,
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        };
        let finalizer = self.protected.finalizer;
        let has = meta::finalizers(&object).any(|present| present == finalizer);
        let finalizers: Vec<&str> = match (meta::deletion_timestamp(&object).is_some(), has) {
            (true, true) if !self.is_used(&object).await? => {
                meta::finalizers(&object).filter(|present| *present != finalizer).collect()
            }
            (false, false) if self.protected.gives => meta::finalizers(&object).chain([finalizer]).collect(),
            _ => return Ok(Outcome::Done),
        };
        let mut changed = object.clone();
        meta::set(&mut changed, &["metadata", "finalizers"], json!(finalizers));
        match self.api.replace::<Written>(self.protected.resource, &key, &changed).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }

    /// Whether somebody uses the object, by what the server says now.
    async fn is_used(&self, object: &Value) -> Result<bool, SyncError> {
        let list = async |resource: &Resource, namespace: &str| {
            let page = self.api.list::<Value>(resource, namespace, &ListParams::default()).await?;
            Ok::<_, SyncError>(page.items)
        };
        match self.protected.users {
            Users::Bound => Ok(meta::text(object, &["status", "phase"]) == "Bound"),
            Users::Pods(uses) => {
                let pods = list(&PODS, meta::namespace(object)).await?;
                Ok(pods.iter().any(|pod| uses(pod, object)))
            }
            Users::ClaimsAndVolumes => {
                let name = meta::name(object);
                let claims = list(&CLAIMS, "").await?;
                Ok(claims.iter().any(|claim| plan::claim_uses_class(claim, name))
                    || list(&VOLUMES, "").await?.iter().any(|volume| plan::volume_uses_class(volume, name)))
            }
        }
    }
}
