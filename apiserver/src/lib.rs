//! The Kubernetes API over a store, as a tower service and over HTTPS.
//!
//! Every request, from a socket or from the same process, goes the same way: [`service`] reads, authenticates and
//! authorizes it, `handlers` find out what is to be done, the write path lets it pass admission and validation and
//! commits it, and the answer is spliced from the stored bytes. What is particular about a kind is in [`kinds`] (its
//! rules), [`printers`] (its columns) and [`crd`] (custom resources).

mod addresses;
pub mod admission;
mod aggregation;
pub mod audit;
pub mod authentication;
pub mod authorization;
mod bootstrap;
pub mod conversion;
pub mod crd;
mod definitions;
pub mod discovery;
mod events;
pub mod features;
pub mod flowcontrol;
mod handlers;
pub mod health;
pub mod http;
mod impersonation;
pub mod kinds;
pub mod listener;
mod metrics;
pub mod object;
pub mod openapi;
pub mod options;
pub mod outbound;
pub mod printers;
pub mod registry;
pub mod server;
pub mod service;
pub mod tls;
pub mod version;

use std::sync::Arc;

use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;
use steersman_machinery::status::Status;
use steersman_store::{MemoryStore, Store};

use crate::audit::{Audit, History};
use crate::authentication::request_header::{self, FrontProxy};
use crate::authentication::{Authentication, Identity, Tokens, UserInfo};
use crate::features::{Features, RuntimeConfig};
use crate::registry::catalog::Catalog;
use crate::server::{Parts, Server};
use crate::service::ApiService;

/// An API server. Clones share everything; it lives as long as one of them, or a service made from it, does.
#[derive(Clone)]
pub struct ApiServer {
    server: Arc<Server>,
}

/// What an [`ApiServer`] is made of.
pub struct Builder {
    clock: SharedClock,
    random: Random,
    store: Option<Arc<dyn Store>>,
    authentication: authentication::Options,
    enabled_admission: Vec<String>,
    disabled_admission: Vec<String>,
    admission: admission::Configuration,
    audit: Audit,
    flow: flowcontrol::Options,
    refuse_privileged: bool,
    features: Features,
    runtime_config: RuntimeConfig,
}

/// Why an [`ApiServer`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An admission plugin is named that does not exist.
    #[error("{0}")]
    Admission(String),
    /// The objects that must always be there could not be written.
    #[error("the system's own objects could not be written")]
    Bootstrap(#[source] Status),
}

impl ApiServer {
    /// Begins an API server with that clock and that source of uids and names. Without further settings its store is in
    /// memory, no bearer token is known and all admission plugins are on.
    pub fn builder(clock: SharedClock, random: Random) -> Builder {
        Builder {
            clock,
            random,
            store: None,
            authentication: authentication::Options::default(),
            enabled_admission: Vec::new(),
            disabled_admission: Vec::new(),
            admission: admission::Configuration::default(),
            audit: Audit::default(),
            flow: flowcontrol::Options::default(),
            refuse_privileged: false,
            features: Features::default(),
            runtime_config: RuntimeConfig::default(),
        }
    }

    /// A service whose requests come from `user`, who needs no credentials.
    pub fn service_as(&self, user: UserInfo) -> ApiService {
        self.service_for(Identity::Known(user))
    }

    /// A service whose requests come from the administrator.
    pub fn service(&self) -> ApiService {
        self.service_as(UserInfo::admin())
    }

    /// A service whose requests must carry credentials.
    pub fn public_service(&self) -> ApiService {
        self.service_for(Identity::Unknown)
    }

    pub(crate) fn service_for(&self, identity: Identity) -> ApiService {
        ApiService::new(self.server.clone(), identity)
    }

    /// What a validating admission policy gets wrong about the types of the objects that it is about: the fields of its
    /// expressions, such as `spec.validations[0].expression`, each with what is wrong with it, kind by kind.
    pub fn type_check(&self, policy: &serde_json::Value) -> Vec<(String, String)> {
        admission::policy::type_checking::check(&self.server.catalog(), policy)
    }

    /// A token of a service account that is accepted as long as the secret of that name, in the namespace of the account,
    /// holds it. `None` if there is no key to sign it with.
    pub async fn sign_for_secret(&self, account: &serde_json::Value, secret: &str) -> Option<String> {
        authentication::service_account::issue_for_secret(&self.server.authentication.issuer, account, secret).await
    }

    /// Passes requests on to other API servers as that proxy, and believes that proxy over connections that are served
    /// [with it](listener::Tls::with_front_proxy). Others are told whom to believe by the object
    /// `extension-apiserver-authentication` in `kube-system`; `client_authority` are the certificates, PEM, of whoever signs
    /// those of clients. What was said first stays.
    ///
    /// # Errors
    /// If the object cannot be written.
    pub async fn be_front_proxy(&self, client_authority: &str, proxy: FrontProxy) -> Result<&FrontProxy, Status> {
        let proxy = self.server.front_proxy.get_or_init(|| proxy);
        request_header::publish(&self.server, client_authority, proxy).await?;
        Ok(proxy)
    }

    /// The requests so far; `None` unless [`Builder::record_requests`] was called.
    pub fn history(&self) -> Option<&History> {
        self.server.audit.history.as_ref()
    }

    /// The state that requests share.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Builder {
    /// Keeps the objects in that store.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Accepts these bearer tokens.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.authentication.tokens = tokens;
        self
    }

    /// Authenticates requests in that way. Replaces what [`Builder::tokens`] said.
    #[must_use]
    pub fn authentication(mut self, options: authentication::Options) -> Self {
        self.authentication = options;
        self
    }

    /// Switches admission plugins on that are off by default, by upstream's names.
    #[must_use]
    pub fn enable_admission(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.enabled_admission.extend(names);
        self
    }

    /// Switches admission plugins off, by upstream's names.
    #[must_use]
    pub fn disable_admission(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.disabled_admission.extend(names);
        self
    }

    /// Configures single admission plugins.
    #[must_use]
    pub fn admission_configuration(mut self, configuration: admission::Configuration) -> Self {
        self.admission = configuration;
        self
    }

    /// Refuses pods with privileged containers, as kube-apiserver does that was started without `--allow-privileged`.
    #[must_use]
    pub fn refuse_privileged(mut self, refuse: bool) -> Self {
        self.refuse_privileged = refuse;
        self
    }

    /// Switches features on that are off by default, as kube-apiserver's `--feature-gates` does.
    #[must_use]
    pub fn features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Serves versions that are not served by default, or leaves out others, as kube-apiserver's `--runtime-config` does.
    #[must_use]
    pub fn runtime_config(mut self, config: RuntimeConfig) -> Self {
        self.runtime_config = config;
        self
    }

    /// Keeps clients from starving each other in that way.
    #[must_use]
    pub fn flow_control(mut self, options: flowcontrol::Options) -> Self {
        self.flow = options;
        self
    }

    /// Remembers every request, up to a bound, for [`ApiServer::history`].
    #[must_use]
    pub fn record_requests(mut self) -> Self {
        self.audit.history = Some(History::default());
        self
    }

    /// Logs requests as a policy wants it.
    #[must_use]
    pub fn audit_log(mut self, log: audit::Log) -> Self {
        self.audit.log = Some(log);
        self
    }

    /// Makes the server and writes the objects that must always be there.
    pub async fn build(self) -> Result<ApiServer, Error> {
        let admission = admission::Chain::new(&self.enabled_admission, &self.disabled_admission, &self.admission);
        let admission = admission.map_err(Error::Admission)?;
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new(steersman_store::Options::default())));
        let authentication = Authentication::new(self.authentication);
        let catalog = Catalog::builtin_with(&self.features, &self.runtime_config);
        let Self { clock, random, audit, flow, refuse_privileged, features, .. } = self;
        let parts = Parts {
            store,
            clock,
            random,
            admission,
            authentication,
            audit,
            flow,
            refuse_privileged,
            catalog,
            features,
        };
        let server = Arc::new(Server::new(parts));
        bootstrap::run(&server).await.map_err(Error::Bootstrap)?;
        server.ready_at.store(server.store.revision(), std::sync::atomic::Ordering::Relaxed);
        Ok(ApiServer { server })
    }
}
