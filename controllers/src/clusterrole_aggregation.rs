//! Fills ClusterRoles that gather the rules of others: `admin`, `edit` and `view`, and what charts add.
//! Source: `k8s.io/kubernetes/pkg/controller/clusterroleaggregation`.

use kube::api::{Patch, PatchParams, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_framework::api::{Api, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_framework::selector::LabelSelector;

use crate::error::SyncError;
use crate::objects::CLUSTER_ROLES;
use crate::shared::Shared;

const COMPONENT: &str = "clusterrole-aggregation-controller";

/// What is read of a ClusterRole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterRole {
    /// The metadata.
    pub metadata: Meta,
    /// Whose rules it gathers; nothing for the usual role.
    pub aggregation_rule: Option<AggregationRule>,
    /// The rules.
    #[serde(deserialize_with = "null_default")]
    pub rules: Vec<Value>,
}

/// Whose rules a ClusterRole gathers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AggregationRule {
    /// Those that one of these selects.
    #[serde(deserialize_with = "null_default")]
    pub cluster_role_selectors: Vec<LabelSelector>,
}

impl Cached for ClusterRole {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The rules that `role` should have, if it gathers any and has others: those of all that its selectors select, by name,
/// each once.
pub fn plan<'a>(role: &ClusterRole, all: impl IntoIterator<Item = &'a ClusterRole>) -> Option<Vec<Value>> {
    let aggregation = role.aggregation_rule.as_ref()?;
    let mut others: Vec<&ClusterRole> =
        all.into_iter().filter(|other| other.metadata.name != role.metadata.name).collect();
    others.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut rules: Vec<Value> = vec![];
    for selector in &aggregation.cluster_role_selectors {
        for other in others.iter().filter(|other| selector.matches(&other.metadata.labels)) {
            for rule in &other.rules {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    (rules != role.rules).then_some(rules)
}

/// The running controller.
pub(crate) struct ClusterRoleAggregation {
    api: Api,
    roles: Informer<ClusterRole>,
    /// Names of roles that gather others.
    queue: WorkQueue<String>,
}

impl ClusterRoleAggregation {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let roles: Informer<ClusterRole> = shared.informers.informer(&CLUSTER_ROLES);
        let queue: WorkQueue<String> = shared.queue("ClusterRoleAggregator");
        let (changed, all) = (queue.clone(), roles.downgrade());
        roles.on_change(move |delta: &Delta<ClusterRole>| {
            let gathers = |role: &ClusterRole| role.aggregation_rule.is_some();
            if delta.listed {
                // Each role of the list gets here; those that gather others are looked at when all are known.
                delta.new.iter().filter(|role| gathers(role)).for_each(|role| changed.add(role.metadata.name.clone()));
                return;
            }
            // A role that comes, goes or changes may concern every one that gathers others.
            let all = all.upgrade().map(|roles| roles.all()).unwrap_or_default();
            let concerned = all.iter().chain(delta.new.as_ref()).filter(|role| gathers(role));
            concerned.for_each(|role| changed.add(role.metadata.name.clone()));
        });
        Self { api: shared.api.clone(), roles, queue }
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(self.roles.synced(), workers, &self.queue, shutdown, |name| self.sync(name)).await;
    }

    async fn sync(&self, name: String) -> Result<Outcome, SyncError> {
        let key = ObjectKey::new("", &name);
        let all = self.roles.all();
        let role = self.roles.get(&key);
        let Some(rules) = role.and_then(|role| plan(&role, all.iter().map(AsRef::as_ref))) else {
            return Ok(Outcome::Done);
        };
        let body = json!({
            "apiVersion": CLUSTER_ROLES.api_version(), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        });
        match self.apply(&name, &body).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }

    /// The rules belong to this controller, whoever else has an opinion.
    async fn apply(&self, name: &str, body: &Value) -> kube::Result<()> {
        let params = PatchParams::apply(COMPONENT).force();
        let request = Request::new(CLUSTER_ROLES.path("")).patch(name, &params, &Patch::Apply(body));
        self.api.client().request::<Partial>(request.map_err(kube::Error::BuildRequest)?).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
