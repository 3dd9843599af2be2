//! Fills in what a ResourceQuota counts, and counts anew when something goes away. What is created is charged by admission.
//! Source: `k8s.io/kubernetes/pkg/controller/resourcequota`.
//!
//! The server raises `status.used` together with each object that it charges, so a count that was made between reading a
//! quota and writing it is refused as stale if anything was created meanwhile: what is written is exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::api::ListParams;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use steersman_framework::api::{Api, Resource, Written, is_not_found};
use steersman_framework::controller::{self, Outcome, Workers};
use steersman_framework::discovery::{Discovery, Served, discover_groups};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::queue::{Priority, WorkQueue};
use steersman_framework::reflector::{Change, Reflector, Sink};
use steersman_framework::runtime::{Shutdown, ShutdownTrigger};
use steersman_machinery::clock::SharedClock;
use steersman_machinery::group::GroupResource;
use steersman_machinery::meta;
use steersman_machinery::quota::{Evaluator, is_ignored};
use steersman_machinery::resource_list::{self, ResourceList};
use tokio::sync::Notify;

use crate::error::SyncError;
use crate::objects::{PODS, Pod, RESOURCE_QUOTAS};
use crate::shared::Shared;

pub mod plan;

const COMPONENT: &str = "resourcequota-controller";
/// How often every quota is counted anew (upstream's `--resource-quota-sync-period`).
const RESYNC: Duration = Duration::from_secs(300);
/// How often the server is asked what it serves, while there are quotas.
const REDISCOVER: Duration = Duration::from_secs(30);

/// What is kept of a quota: what it limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Quota {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    spec: QuotaSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct QuotaSpec {
    #[serde(deserialize_with = "null_default")]
    hard: BTreeMap<String, Value>,
}

impl Cached for Quota {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Quota {
    fn limits(&self, evaluator: &Evaluator) -> bool {
        self.spec.hard.keys().any(|name| evaluator.tracks(name))
    }
}

/// The running controller. Clones share everything.
#[derive(Clone)]
pub(crate) struct ResourceQuotaController(Arc<Inner>);

struct Inner {
    api: Api,
    clock: SharedClock,
    quotas: Informer<Quota>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
    /// What can be counted.
    served: Mutex<Option<Arc<Vec<Served>>>>,
    /// A quota limits something else than before.
    changed: Notify,
}

fn evaluator(resource: &Resource) -> Evaluator {
    Evaluator::of(&GroupResource::new(resource.group.as_ref(), resource.plural.as_ref()))
}

fn can_be_counted(served: &Served) -> bool {
    let resource = &served.resource;
    let ignored = is_ignored(&GroupResource::new(resource.group.as_ref(), resource.plural.as_ref()));
    resource.namespaced && !ignored && served.can(&["list", "watch"])
}

impl ResourceQuotaController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self(Arc::new(Inner {
            api: shared.api.clone(),
            clock: shared.clock.clone(),
            quotas: shared.informers.informer(&RESOURCE_QUOTAS),
            pods: shared.informers.informer(&PODS),
            queue: shared.queue("resourcequota_primary"),
            served: Mutex::default(),
            changed: Notify::new(),
        }));
        let inner = Arc::downgrade(&controller.0);
        controller.0.quotas.on_change(move |delta: &Delta<Quota>| {
            let Some(inner) = inner.upgrade() else { return };
            let before = delta.old.as_ref().map(|quota| (&quota.metadata.uid, &quota.spec));
            if let Some(quota) = delta.new.as_ref().filter(|quota| before != Some((&quota.metadata.uid, &quota.spec))) {
                inner.queue.add(quota.metadata.key());
                inner.changed.notify_one();
            }
        });
        let inner = Arc::downgrade(&controller.0);
        controller.0.pods.on_change(move |delta: &Delta<Pod>| {
            let Some((inner, old)) = inner.upgrade().zip(delta.old.as_ref()) else { return };
            let resized = |new: &Pod| new.metadata.generation != old.metadata.generation;
            let ended = |new: &Pod| new.phase.is_terminal() && !old.phase.is_terminal();
            if delta.new.as_ref().is_none_or(|new| ended(new) || resized(new)) {
                inner.count_anew(&Evaluator::pods(), &old.metadata.namespace);
            }
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        if !shutdown.wait_for(self.0.quotas.synced()).await {
            return;
        }
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        let queue = self.0.queue.clone();
        let work = controller::run(workers, queue, shutdown.clone(), |key| self.sync(key));
        futures::join!(work, self.watch(&shutdown));
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        // Past the cache: what is counted has to be compared with what is charged now.
        let params = ListParams::default().fields(&format!("metadata.name={}", key.name));
        let found = self.0.api.list::<Value>(&RESOURCE_QUOTAS, &key.namespace, &params).await?.items.pop();
        let Some(quota) = found else { return Ok(Outcome::Done) };
        let served = match self.0.served.lock().clone() {
            Some(served) => served,
            None => return Err(SyncError::Refused("it is not known yet what the server serves".to_owned())),
        };
        let usage = self.usage(&quota, &served).await?;
        let Some(status) = plan::plan_status(&quota, &usage) else { return Ok(Outcome::Done) };
        let mut updated = quota;
        meta::set(&mut updated, &["status"], status);
        meta::set(&mut updated, &["apiVersion"], RESOURCE_QUOTAS.api_version());
        meta::set(&mut updated, &["kind"], RESOURCE_QUOTAS.kind.as_ref());
        match self.0.api.replace_subresource::<Written>(&RESOURCE_QUOTAS, &key, "status", &updated).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }

    /// What everything that a quota limits comes to.
    async fn usage(&self, quota: &Value, served: &[Served]) -> Result<ResourceList, SyncError> {
        let hard = resource_list::parse(meta::at(quota, &["spec", "hard"]));
        let namespace = meta::namespace(quota);
        let mut usage = ResourceList::new();
        for resource in served.iter().map(|served| &served.resource) {
            let evaluator = evaluator(resource);
            if !hard.keys().any(|name| evaluator.tracks(name)) {
                continue;
            }
            let params = ListParams::default();
            let objects: Vec<Value> = match evaluator.changes() {
                true => self.0.api.list(resource, namespace, &params).await?.items,
                false => self.0.api.list_metadata(resource, namespace, &params).await?.items,
            };
            usage.extend(evaluator.total(quota, &objects, &hard, self.0.clock.now()));
        }
        Ok(usage)
    }

    /// Follows what quotas limit, and counts everything anew now and then.
    async fn watch(&self, shutdown: &Shutdown) {
        let mut watched: BTreeMap<Resource, ShutdownTrigger> = BTreeMap::new();
        let mut running: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut resync = tokio::time::interval_at(tokio::time::Instant::now() + RESYNC, RESYNC);
        let mut rediscover = tokio::time::interval(REDISCOVER);
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                Some(()) = running.next(), if !running.is_empty() => {}
                () = self.0.changed.notified() => running.extend(self.follow(&mut watched).await),
                _ = rediscover.tick() => running.extend(self.follow(&mut watched).await),
                _ = resync.tick() => {
                    let all = self.0.quotas.all();
                    all.iter().for_each(|quota| self.0.queue.add_with(quota.metadata.key(), Priority::Low));
                }
            }
        }
        watched.clear();
        while running.next().await.is_some() {}
    }

    /// What can be counted; of groups that do not answer, what they served before.
    fn complete(&self, discovery: Discovery) -> Vec<Served> {
        let known = self.0.served.lock().clone().unwrap_or_default();
        let is_failed = |served: &&Served| discovery.failed.contains_key(&served.resource.api_version());
        let mut all = discovery.served;
        for served in known.iter().filter(is_failed) {
            if all.iter().all(|it| it.resource != served.resource) {
                all.push(served.clone());
            }
        }
        all.retain(can_be_counted);
        all
    }

    /// Watches what is limited by a quota and not watched yet; nothing if there is no quota.
    async fn follow(&self, watched: &mut BTreeMap<Resource, ShutdownTrigger>) -> Vec<BoxFuture<'static, ()>> {
        let quotas = self.0.quotas.all();
        if quotas.is_empty() {
            watched.clear();
            return Vec::new();
        }
        let served = match discover_groups(self.0.api.client()).await {
            Ok(discovery) => self.complete(discovery),
            Err(error) => {
                tracing::debug!(controller = COMPONENT, %error, "discovery failed, shall retry");
                return Vec::new();
            }
        };
        let is_limited = |resource: &Resource| quotas.iter().any(|quota| quota.limits(&evaluator(resource)));
        let limited = served.iter().map(|served| &served.resource).filter(|resource| is_limited(resource));
        // Changes of pods come from the informer that others have, too.
        let limited: Vec<Resource> = limited.filter(|resource| **resource != PODS).cloned().collect();
        watched.retain(|resource, _| limited.contains(resource));
        let new: Vec<Resource> = limited.into_iter().filter(|resource| !watched.contains_key(resource)).collect();
        let first = self.0.served.lock().replace(Arc::new(served)).is_none();
        for quota in quotas.iter().filter(|quota| first || new.iter().any(|it| quota.limits(&evaluator(it)))) {
            self.0.queue.add(quota.metadata.key());
        }
        let watch = |resource: Resource| -> BoxFuture<'static, ()> {
            let (trigger, stop) = Shutdown::new();
            watched.insert(resource.clone(), trigger);
            let reflector = Reflector {
                api: self.0.api.clone(),
                metadata_only: true,
                field_selector: String::new(),
                optional: false,
                version: |object: &Partial| &object.metadata.resource_version,
                sink: Counted { inner: Arc::clone(&self.0), evaluator: evaluator(&resource) },
                resource,
            };
            Box::pin(reflector.run(stop))
        };
        new.into_iter().map(watch).collect()
    }
}

impl Inner {
    /// Something that quotas count has become less.
    fn count_anew(&self, evaluator: &Evaluator, namespace: &str) {
        for quota in self.quotas.in_namespace(namespace).iter().filter(|quota| quota.limits(evaluator)) {
            self.queue.add(quota.metadata.key());
        }
    }
}

/// Tells of what goes away of one resource.
struct Counted {
    inner: Arc<Inner>,
    evaluator: Evaluator,
}

impl Sink<Partial> for Counted {
    fn take(&self, change: Change<Partial>, _: &str) {
        match change {
            Change::Deleted(object) => self.inner.count_anew(&self.evaluator, &object.metadata.namespace),
            // What costs more than its existence may have come to cost less.
            Change::Applied(object) if self.evaluator.changes() => {
                self.inner.count_anew(&self.evaluator, &object.metadata.namespace);
            }
            // Something may have gone away while nobody watched.
            Change::Replaced(_) => {
                for quota in self.inner.quotas.all().iter().filter(|quota| quota.limits(&self.evaluator)) {
                    self.inner.queue.add(quota.metadata.key());
                }
            }
            Change::Applied(_) | Change::Progress => {}
        }
    }
}
