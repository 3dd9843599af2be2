//! A running cluster.

pub(crate) mod builder;

use std::fmt;
use std::net::SocketAddr;

use kube::Client;
use parking_lot::Mutex;
use steersman_apiserver::ApiServer;
use steersman_apiserver::audit::History;
use steersman_apiserver::authentication::UserInfo;
use steersman_apiserver::authentication::request_header::FrontProxy;
use steersman_apiserver::outbound::Registration;
use steersman_apiserver::tls::Authority;
use steersman_framework::runtime::{Shutdown, ShutdownTrigger};
use steersman_machinery::clock::SharedClock;

use crate::cluster::builder::ClusterBuilder;
use crate::components::Components;
use crate::serve::{Believed, Served};
use crate::trace::{Write, WriteTrace};
use crate::{Error, client};

/// What a client calls itself that does not say otherwise.
const CLIENT_AGENT: &str = concat!("steersman/", env!("CARGO_PKG_VERSION"));

/// A Kubernetes cluster in this process. When it is dropped, everything that belongs to it stops and is freed.
pub struct Cluster {
    pub(crate) api_server: ApiServer,
    authority: Authority,
    /// Who may say for whom they ask; if nobody was named, a proxy that is made when the API is first served.
    front_proxy: Option<FrontProxy>,
    clock: SharedClock,
    trace: Option<WriteTrace>,
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
    components: Components,
    /// What answers in this process in the place of servers elsewhere. It may hold clients of this cluster, so that the
    /// cluster has to let go of it.
    pub(crate) in_process: Mutex<Vec<Registration>>,
}

impl Cluster {
    /// Chooses what the cluster is made of; [`ClusterBuilder::start`] starts it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// A client that acts as an administrator (group `system:masters`) and needs no socket. Its default namespace is
    /// `default`. Each call makes a client of its own; clone one to share it.
    pub fn client(&self) -> Client {
        self.client_of(CLIENT_AGENT)
    }

    /// The same for a client that calls itself `user_agent`: what stands before the first slash becomes the field
    /// manager of what it writes.
    ///
    /// # Panics
    /// If `user_agent` has characters that no HTTP header may have.
    pub fn client_of(&self, user_agent: &str) -> Client {
        client::in_process(&self.api_server, user_agent, self.trace.as_ref())
    }

    pub(crate) fn client_as(&self, user: UserInfo, namespace: &str) -> Client {
        let identity = client::Identity { user, namespace };
        client::in_process_as(&self.api_server, identity, CLIENT_AGENT, self.trace.as_ref())
    }

    /// The requests so far.
    ///
    /// # Panics
    /// If they are not recorded.
    pub(crate) fn recorded(&self) -> &History {
        self.api_server.history().expect("ClusterBuilder::record_requests has to be called to ask for requests")
    }

    /// Serves the API at `address` over HTTPS, with certificates made for the purpose; port 0 takes a free one. Ends when
    /// the answer is dropped, or the cluster.
    ///
    /// # Errors
    /// If nobody can listen at the address: [`Error::AddressInUse`], [`Error::Listen`].
    pub async fn serve(&self, address: impl Into<SocketAddr>) -> Result<Served, Error> {
        let believed = Believed { authority: &self.authority, front_proxy: self.front_proxy.as_ref() };
        Served::start(&self.api_server, believed, address.into(), self.shutdown.clone()).await
    }

    /// The time that the cluster goes by.
    pub fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// Every write to the API so far, by components and by clients in this process, in the order in which they were
    /// answered. Empty unless [`ClusterBuilder::record_writes`] was called.
    pub fn writes(&self) -> Vec<Write> {
        self.trace.as_ref().map(WriteTrace::writes).unwrap_or_default()
    }

    /// Who asked the API for what, in person or as somebody else, and with what success: every request so far, of
    /// components and of clients in this process and elsewhere, in the order in which they were answered. Empty unless
    /// [`ClusterBuilder::record_requests`] was called.
    pub fn audit(&self) -> History {
        self.api_server.history().cloned().unwrap_or_default()
    }

    /// Waits until a component stops although nobody told it to, and returns why. Most users need not care: a component
    /// retries whatever may pass.
    pub async fn failed(&mut self) -> Error {
        self.components.failed().await
    }

    /// Stops everything and waits until what was in flight is finished. Dropping the cluster does not wait.
    pub async fn stop(mut self) {
        self.trigger.trigger();
        self.components.finish().await;
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").finish_non_exhaustive()
    }
}
