//! The HTTPS listener: TLS, client certificates, HTTP/1.1 and HTTP/2.

mod certificate;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::ApiServer;
use crate::authentication::Identity;
use crate::service::ApiService;
use crate::tls;

/// How long open requests may take to end after the word to stop. Watches end at once.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most concurrent streams of an HTTP/2 connection.
/// Source: kube-apiserver's `--http2-max-streams-per-connection` as upstream advertises it.
const MAX_STREAMS: u32 = 250;

/// How long a client may take for the headers of a request. Source: `k8s.io/apiserver/pkg/server` (`ReadHeaderTimeout`).
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// The most bytes of the headers of a request over HTTP/1.1. Source: Go's `http.DefaultMaxHeaderBytes`.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// The same over HTTP/2, where every header counts 32 bytes more: what Go's server says, a quarter of the above, is ample.
const MAX_HEADER_LIST: u32 = 1 << 18;
/// The most connections at a time; others wait until one ends. A few times what a cluster of 5,000 nodes needs, and at 64 KiB
/// each no more than 1 GiB.
const MAX_CONNECTIONS: usize = 16_384;

/// Why a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates do not make a TLS configuration.
    #[error("the TLS configuration is not valid")]
    Tls(#[from] rustls::Error),
    /// A certificate or key is not PEM.
    #[error("a certificate or key is not valid PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The client certificates cannot be verified.
    #[error("the verifier of client certificates could not be made")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// How connections are secured, and whose client certificates are accepted.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    clients: Arc<dyn ClientCertVerifier>,
}

/// A TLS configuration: the server's certificate, and the authority whose client certificates are accepted.
///
/// # Errors
/// If the certificates are not valid.
pub fn tls_config(authority: &str, server: &tls::Identity) -> Result<Tls, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(certificate::Any(clients.clone())))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), clients })
}

/// Serves until `shutdown` resolves; then lets open requests end for two seconds and closes what is left.
pub async fn serve(api_server: ApiServer, listener: TcpListener, tls: Tls, shutdown: impl Future<Output = ()>) {
    let graceful = Arc::new(GracefulShutdown::new());
    let mut connections = tokio::task::JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection { api_server: api_server.clone(), tls: tls.clone(), peer };
                    connections.spawn(connection.serve(stream, graceful.clone()));
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listener);
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    } else {
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, all).await;
    }
    connections.shutdown().await;
}

/// Too many open files and the like: waiting lets connections end.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A connection that was accepted.
struct Connection {
    api_server: ApiServer,
    tls: Tls,
    peer: SocketAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream, graceful: Arc<GracefulShutdown>) {
        // Small writes (watch events) must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake timed out"),
        };
        let service = self.service(stream.get_ref().1.peer_certificates());
        drop(self);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
        builder.http2().max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADER_LIST);
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let watched = graceful.watch(connection.into_owned());
        drop(graceful);
        if let Err(error) = watched.await {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn service(&self, certificates: Option<&[CertificateDer<'_>]>) -> ApiService {
        let now = self.api_server.server().clock.now();
        let identity = match certificates {
            Some(certificates) => certificate::identity(&*self.tls.clients, certificates, now),
            None => Identity::Unknown,
        };
        self.api_server.service_for(identity).at_peer(self.peer)
    }
}
