//! The components of a cluster, each a task of its own with a client of its own.

use std::fmt::Display;
use std::future::{self, Future};

use steersman_apiserver::ApiServer;
use steersman_controllers::{ApiGroups, ControllerSelection, Features};
use steersman_framework::runtime::Context;
use tokio::task::JoinSet;

use crate::Error;
use crate::companions::{self, TokenSecrets};

/// The controller without which pods cannot be created: they need the service account that it makes.
const SERVICE_ACCOUNTS: &str = "serviceaccount-controller";
/// The controller that opens nodes to pods.
const NODE_LIFECYCLE: &str = "node-lifecycle-controller";

/// What the companions of the API server call themselves.
const TOKENS: &str = "serviceaccount-token-controller";
const POLICIES: &str = "validatingadmissionpolicy-status-controller";
/// The controller that fills the ClusterRoles for people.
const ROLES: &str = "clusterrole-aggregation-controller";

/// Which components a cluster has, and how they are set.
pub(crate) struct Choice {
    pub(crate) controllers: ControllerSelection,
    pub(crate) api_groups: ApiGroups,
    pub(crate) features: Features,
    pub(crate) scheduler: Option<steersman_scheduler_plugin::Options>,
    pub(crate) kubelet: Option<steersman_kubelet::Options>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            controllers: ControllerSelection::all(),
            api_groups: ApiGroups::default(),
            features: Features::default(),
            scheduler: Some(steersman_scheduler_plugin::Options::default()),
            kubelet: None,
        }
    }
}

impl Choice {
    /// How many nodes there will be.
    pub(crate) fn node_count(&self) -> usize {
        let templates = self.kubelet.iter().flat_map(|options| &options.nodes);
        templates.map(|template| template.count).sum()
    }

    /// Whether nodes are looked after.
    pub(crate) fn has_node_lifecycle(&self) -> bool {
        self.controllers.contains(NODE_LIFECYCLE)
    }

    /// Whether namespaces will get a service account.
    pub(crate) fn has_service_accounts(&self) -> bool {
        self.controllers.contains(SERVICE_ACCOUNTS)
    }

    /// Whether `admin`, `edit` and `view` will get their rules.
    pub(crate) fn has_aggregated_roles(&self) -> bool {
        self.controllers.contains(ROLES)
    }
}

/// Tasks that end with the cluster.
#[derive(Debug, Default)]
pub(crate) struct Components(JoinSet<(&'static str, Result<(), String>)>);

impl Components {
    /// Starts what was chosen. `root_ca` is the certificate that pods have to trust; `context` gives each component its
    /// own, by its user agent.
    pub(crate) fn start(
        choice: Choice,
        api_server: &ApiServer,
        root_ca: String,
        context: impl Fn(&str) -> Context,
    ) -> Self {
        let mut components = Self::default();
        let with = || TokenSecrets { api_server: api_server.clone(), root_ca: root_ca.clone() };
        let tokens = choice.has_service_accounts().then(with);
        let types = (choice.controllers != ControllerSelection::none()).then(|| api_server.clone());
        if choice.controllers != ControllerSelection::none() {
            let options = steersman_controllers::Options {
                controllers: choice.controllers,
                api_groups: choice.api_groups,
                features: choice.features,
                root_ca: Some(root_ca),
                ..steersman_controllers::Options::default()
            };
            let context = context("kube-controller-manager");
            components.spawn("kube-controller-manager", steersman_controllers::run(context, options));
        }
        if let Some(options) = choice.scheduler {
            components.spawn("kube-scheduler", steersman_scheduler_plugin::run(context("kube-scheduler"), options));
        }
        if let Some(options) = choice.kubelet {
            components.spawn("kubelet", steersman_kubelet::run(context("kubelet"), options));
        }
        if let Some(with) = tokens {
            components.spawn(TOKENS, companions::token_secrets(context(TOKENS), with));
        }
        if let Some(api_server) = types {
            components.spawn(POLICIES, companions::policy_status(context(POLICIES), api_server));
        }
        components
    }

    fn spawn<E: Display>(&mut self, name: &'static str, run: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.0.spawn(async move { (name, run.await.map_err(|error| error.to_string())) });
    }

    /// Waits for the first that ends; for ever if there is none.
    pub(crate) async fn failed(&mut self) -> Error {
        let Some(joined) = self.0.join_next().await else {
            return future::pending().await;
        };
        let (component, reason) = match joined {
            Ok((component, Ok(()))) => (component, "it ended without a reason".to_owned()),
            Ok((component, Err(reason))) => (component, reason),
            Err(panic) => ("a component", panic.to_string()),
        };
        Error::Component { component, reason }
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_component_that_fails_says_who_and_why() {
        let mut components = Components::default();
        components.spawn("kubelet", async { Err("no such node") });
        assert_eq!(components.failed().await.to_string(), "kubelet stopped: no such node");
    }
}
