//! Chooses what a cluster is made of, and starts it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use steersman_apiserver::ApiServer;
use steersman_apiserver::admission;
use steersman_apiserver::audit::Log;
use steersman_apiserver::authentication::request_header::FrontProxy;
use steersman_apiserver::authentication::{self, KeyChoice, Tokens};
use steersman_apiserver::features;
use steersman_apiserver::flowcontrol;
use steersman_apiserver::tls::Authority;
use steersman_controllers::{ApiGroups, ControllerSelection, Features};
use steersman_framework::clock::{SystemClock, TokioClock};
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;
use steersman_store::Store;

use crate::cluster::Cluster;
use crate::components::{Choice, Components};
use crate::data_dir::DataDir;
use crate::trace::WriteTrace;
use crate::{Error, client, prepare};

/// When virtual time begins, unless a clock is given: any moment will do, as long as it is always the same.
const VIRTUAL_EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// What a cluster is made of. Without further words: all controllers, the scheduler, no nodes, the wall clock, seed 0.
#[must_use]
pub struct ClusterBuilder {
    components: Choice,
    crds: Vec<CustomResourceDefinition>,
    time: Time,
    seed: u64,
    authentication: authentication::Options,
    enabled_admission: Vec<String>,
    disabled_admission: Vec<String>,
    admission: admission::Configuration,
    refuse_privileged: bool,
    api_features: features::Features,
    runtime_config: features::RuntimeConfig,
    record_writes: bool,
    record_requests: bool,
    audit_log: Option<Log>,
    flow_control: flowcontrol::Options,
    data_dir: Option<PathBuf>,
    front_proxy: Option<FrontProxy>,
}

/// What the cluster goes by.
enum Time {
    Wall,
    Virtual,
    Given(SharedClock),
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            components: Choice::default(),
            crds: Vec::new(),
            time: Time::Wall,
            seed: 0,
            authentication: authentication::Options::default(),
            enabled_admission: Vec::new(),
            disabled_admission: Vec::new(),
            admission: admission::Configuration::default(),
            refuse_privileged: false,
            api_features: features::Features::default(),
            runtime_config: features::RuntimeConfig::default(),
            record_writes: false,
            record_requests: false,
            audit_log: None,
            flow_control: flowcontrol::Options::default(),
            data_dir: None,
            front_proxy: None,
        }
    }
}

impl ClusterBuilder {
    /// Simulates `count` nodes of 8 CPUs and 32 GiB, `node-0` and on, on which pods start at once.
    pub fn nodes(self, count: usize) -> Self {
        self.kubelet(steersman_kubelet::Options::with_nodes(count))
    }

    /// Simulates these nodes: other sizes, labels, taints, delays.
    pub fn kubelet(mut self, options: steersman_kubelet::Options) -> Self {
        self.components.kubelet = Some(options);
        self
    }

    /// Runs only these controllers. Parse the selection from a list like kube-controller-manager's `--controllers`:
    /// `"deployment,replicaset".parse()?`.
    pub fn controllers(mut self, selection: ControllerSelection) -> Self {
        self.components.controllers = selection;
        self
    }

    /// Keeps the Deployments and ReplicaSets of these API groups. If our own group `apps.steersman.dev` is one of them,
    /// its definitions are created as if they had been given to [`Self::crds`].
    pub fn api_groups(mut self, groups: ApiGroups) -> Self {
        self.components.api_groups = groups;
        self
    }

    /// Switches single behaviours of the controllers, as kube-controller-manager's `--feature-gates` does.
    pub fn controller_features(mut self, features: Features) -> Self {
        self.components.features = features;
        self
    }

    /// Runs no controllers. Nobody makes service accounts then: to create pods, make one or switch the admission plugin
    /// `ServiceAccount` off. Nobody looks after nodes either: the simulated ones are opened to pods when the cluster
    /// starts, others keep the taint `node.kubernetes.io/not-ready` that they get when they are created.
    pub fn without_controllers(self) -> Self {
        self.controllers(ControllerSelection::none())
    }

    /// Runs the scheduler with this configuration instead of kube-scheduler's defaults.
    pub fn scheduler(mut self, options: steersman_scheduler_plugin::Options) -> Self {
        self.components.scheduler = Some(options);
        self
    }

    /// Runs no scheduler: pods stay unbound until somebody binds them.
    pub fn without_scheduler(mut self) -> Self {
        self.components.scheduler = None;
        self
    }

    /// Creates these definitions; they are established when [`Self::start`] returns.
    pub fn crds(mut self, definitions: impl IntoIterator<Item = CustomResourceDefinition>) -> Self {
        self.crds.extend(definitions);
        self
    }

    /// Goes by that clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.time = Time::Given(clock);
        self
    }

    /// Goes by tokio's clock, from a fixed moment on: with `#[tokio::test(start_paused = true)]`, virtual time.
    pub fn virtual_time(mut self) -> Self {
        self.time = Time::Virtual;
        self
    }

    /// Draws uids, generated names and choices between equals from that seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Accepts the bearer tokens of a file like kube-apiserver's `--token-auth-file`, given as its text: lines of
    /// `token,user,uid,"group1,group2"`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], which names the line.
    pub fn token_file(mut self, csv: &str) -> Result<Self, Error> {
        self.authentication.tokens = Tokens::parse(csv).map_err(Error::InvalidOption)?;
        Ok(self)
    }

    /// Authenticates requests that come with credentials in that way: which tokens are accepted, who issues those of
    /// service accounts, whether anonymous requests are let in. Replaces what [`Self::token_file`] said.
    pub fn authentication(mut self, options: authentication::Options) -> Self {
        self.authentication = options;
        self
    }

    /// Switches admission plugins on that are off by default, by kube-apiserver's names.
    pub fn enable_admission<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.enabled_admission.extend(names.into_iter().map(Into::into));
        self
    }

    /// Switches admission plugins off, by kube-apiserver's names.
    pub fn disable_admission<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.disabled_admission.extend(names.into_iter().map(Into::into));
        self
    }

    /// Configures single admission plugins, as kube-apiserver's `--admission-control-config-file` does.
    pub fn admission_configuration(mut self, configuration: admission::Configuration) -> Self {
        self.admission = configuration;
        self
    }

    /// Refuses pods with privileged containers, as kube-apiserver does that was started without `--allow-privileged`.
    /// Without further words they are let in.
    pub fn refuse_privileged(mut self, refuse: bool) -> Self {
        self.refuse_privileged = refuse;
        self
    }

    /// Switches features of the API on that are off by default, as kube-apiserver's `--feature-gates` does.
    pub fn api_features(mut self, features: features::Features) -> Self {
        self.api_features = features;
        self
    }

    /// Serves versions that are not served by default, or leaves out others, as kube-apiserver's `--runtime-config` does.
    pub fn runtime_config(mut self, config: features::RuntimeConfig) -> Self {
        self.runtime_config = config;
        self
    }

    /// Keeps every write for [`Cluster::writes`].
    pub fn record_writes(mut self) -> Self {
        self.record_writes = true;
        self
    }

    /// Remembers who asked for what, for [`Cluster::audit`]: up to [`steersman_apiserver::audit::HISTORY_MAX`] requests.
    pub fn record_requests(mut self) -> Self {
        self.record_requests = true;
        self
    }

    /// Logs requests as lines of JSON, of those and as much as a policy says.
    pub fn audit_log(mut self, log: Log) -> Self {
        self.audit_log = Some(log);
        self
    }

    /// Keeps clients from starving each other in that way: by API priority and fairness, or by limits on requests in
    /// flight. Without further words, by limits.
    pub fn flow_control(mut self, options: flowcontrol::Options) -> Self {
        self.flow_control = options;
        self
    }

    /// Keeps the cluster in that folder, which is made if it is not there: what was answered survives the process and a loss
    /// of power, and who trusts the cluster once or was given a token goes on with the next process. Without it, everything
    /// is in memory. Meant for the wall clock.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Lets that proxy in front of the served API say for whom it asks, and this cluster ask other API servers as it.
    /// Without it, a proxy is made that nobody outside knows.
    pub fn front_proxy(mut self, proxy: FrontProxy) -> Self {
        self.front_proxy = Some(proxy);
        self
    }

    /// Starts the cluster in the current tokio runtime, and waits until its definitions are established and its nodes are
    /// ready.
    ///
    /// # Errors
    /// If an option makes no sense or the API server refuses a definition or a node.
    pub async fn start(mut self) -> Result<Cluster, Error> {
        let data = self.data_dir.as_deref().map(DataDir::open).transpose()?;
        // What an earlier process drew is not drawn again.
        let written = data.as_ref().map_or(0, |data| data.store.revision());
        let random = Random::seeded(self.seed.wrapping_add(written));
        let authority = match &data {
            Some(data) => data.authority()?,
            None => self.authority(&random)?,
        };
        if let (Some(data), KeyChoice::Rsa | KeyChoice::Curve) = (&data, &self.authentication.signing_key) {
            self.authentication.signing_key = data.signing_key()?;
        }
        let clock: SharedClock = match self.time {
            Time::Wall => Arc::new(SystemClock),
            Time::Virtual => Arc::new(TokioClock::starting_at(VIRTUAL_EPOCH)),
            Time::Given(clock) => clock,
        };
        if self.api_features.has(features::Feature::GenericWorkload) {
            self.components.controllers = self.components.controllers.with_pod_group_protection();
        }
        let mut api_server = ApiServer::builder(clock.clone(), random.fork())
            .authentication(self.authentication)
            .flow_control(self.flow_control)
            .enable_admission(self.enabled_admission)
            .disable_admission(self.disabled_admission)
            .admission_configuration(self.admission)
            .refuse_privileged(self.refuse_privileged)
            .features(self.api_features)
            .runtime_config(self.runtime_config);
        if let Some(log) = self.audit_log {
            api_server = api_server.audit_log(log);
        }
        if self.record_requests {
            api_server = api_server.record_requests();
        }
        if let Some(data) = data {
            api_server = api_server.store(data.store);
        }
        let api_server = api_server.build().await?;
        let trace = self.record_writes.then(WriteTrace::default);
        let (trigger, shutdown) = Shutdown::new();
        let mut crds = self.crds;
        if self.components.api_groups.needs_definitions() {
            crds.extend(own_definitions());
        }
        let wanted = prepare::Wanted {
            crds,
            nodes: self.components.node_count(),
            node_lifecycle: self.components.has_node_lifecycle(),
            service_account: self.components.has_service_accounts(),
            roles: self.components.has_aggregated_roles(),
        };
        let context = |agent: &str| {
            let client = client::in_process(&api_server, agent, trace.as_ref());
            Context::new(client, clock.clone(), random.fork(), shutdown.clone())
        };
        let mut components = Components::start(self.components, &api_server, authority.certificate(), context);
        let preparing = client::in_process(&api_server, super::CLIENT_AGENT, trace.as_ref());
        tokio::select! {
            biased;
            error = components.failed() => return Err(error),
            prepared = prepare::prepare(preparing, &wanted) => prepared?,
        }
        let in_process = Default::default();
        let front_proxy = self.front_proxy;
        Ok(Cluster { api_server, authority, front_proxy, clock, trace, trigger, shutdown, components, in_process })
    }

    /// Who signs certificates: a new authority or, in a cluster that is to behave the same each time, that of the seed.
    fn authority(&self, random: &Random) -> Result<Authority, Error> {
        if matches!(self.time, Time::Wall) {
            return Ok(Authority::generate()?);
        }
        let random = random.fork();
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next_u64().to_le_bytes()));
        Ok(Authority::from_seed(seed)?)
    }
}

/// The definitions of our own kinds.
fn own_definitions() -> impl Iterator<Item = CustomResourceDefinition> {
    let parse = |object| serde_json::from_value(object).expect("our definitions are definitions");
    steersman_crds::definitions().into_iter().map(move |definition| parse(definition.object))
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClusterBuilder").field("seed", &self.seed).finish_non_exhaustive()
    }
}
