//! The cluster at a port, for kubectl, helm and clients of every language.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use steersman_apiserver::authentication::request_header::FrontProxy;
use steersman_apiserver::tls::{self, Authority};
use steersman_apiserver::{ApiServer, listener};
use steersman_framework::runtime::{Shutdown, ShutdownTrigger};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Error;
use crate::kubeconfig::{self, Contents};
use crate::private_file;

/// The user of the kubeconfig, and the group that may do everything.
const ADMINISTRATOR: (&str, &str) = ("kubernetes-admin", "system:masters");

/// The API at a port. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    kubeconfig: String,
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// Whom the served API believes.
#[derive(Clone, Copy)]
pub(crate) struct Believed<'a> {
    /// Who signs the certificates of the server and of its clients.
    pub(crate) authority: &'a Authority,
    /// Who may say for whom they ask, if somebody was named.
    pub(crate) front_proxy: Option<&'a FrontProxy>,
}

impl Served {
    /// Listens until it is dropped or `cluster` is told to stop.
    pub(crate) async fn start(
        api_server: &ApiServer,
        Believed { authority, front_proxy }: Believed<'_>,
        address: SocketAddr,
        cluster: Shutdown,
    ) -> Result<Self, Error> {
        // The port first: whoever waits for it to be taken need not wait for keys to be made.
        let listener = TcpListener::bind(address).await.map_err(|source| Error::listen(address, source))?;
        let address = listener.local_addr().map_err(|source| Error::listen(address, source))?;
        let certificate = authority.server(&[address.ip()])?;
        // Nobody in this process asks another API server over TLS, so that the proxy is made for the first port.
        let proxy = match front_proxy {
            Some(proxy) => proxy.clone(),
            None => FrontProxy::generate(&Authority::generate()?)?,
        };
        let proxy = api_server.be_front_proxy(&authority.certificate(), proxy).await;
        let proxy = proxy.map_err(|status| Error::FrontProxy(status.message))?;
        let configuration = listener::tls_config(&authority.certificate(), &certificate)
            .and_then(|tls| tls.with_front_proxy(proxy))
            .map_err(|error| Error::Certificates(Box::new(error)))?;
        let kubeconfig = kubeconfig_for(address, authority)?;
        let (trigger, dropped) = Shutdown::new();
        let stop = async move {
            tokio::select! {
                biased;
                () = dropped.requested() => {}
                () = cluster.requested() => {}
            }
        };
        let task = tokio::spawn(listener::serve(api_server.clone(), listener, configuration, stop));
        Ok(Self { address, kubeconfig, trigger, task })
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL at which clients reach it: that of this machine if every address is listened at.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    /// The text of a kubeconfig for an administrator. It holds a private key.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Writes the kubeconfig to a file that only its owner may read. A file that is there is replaced.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] if it cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), Error> {
        private_file::write(path, &self.kubeconfig)
            .map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })
    }

    /// Closes the port, lets open requests end, and waits for it.
    pub async fn stop(mut self) {
        self.trigger.trigger();
        // A panic in there was reported where it happened.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn kubeconfig_for(address: SocketAddr, authority: &Authority) -> Result<String, tls::Error> {
    let (user, group) = ADMINISTRATOR;
    let client = authority.client(user, &[group])?;
    Ok(kubeconfig::render(Contents {
        server: &url_of(address),
        authority: &authority.certificate(),
        certificate: &client.certificate,
        key: &client.key,
    }))
}

fn url_of(address: SocketAddr) -> String {
    let reachable = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(reachable, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_can_be_reached() {
        let check = |address: &str, expect: &str| assert_eq!(url_of(address.parse().unwrap()), expect);
        check("127.0.0.1:6443", "https://127.0.0.1:6443");
        check("0.0.0.0:6443", "https://127.0.0.1:6443");
        check("[::]:1", "https://127.0.0.1:1");
        check("[::1]:443", "https://[::1]:443");
    }
}
