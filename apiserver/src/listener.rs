//! The HTTPS listener: TLS, client certificates, HTTP/1.1 and HTTP/2.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::ApiServer;
use crate::authentication::UserInfo;
use crate::service::ApiService;
use crate::tls::{Authority, Identity};

/// How long open requests may take to end after the word to stop. Watches end at once.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most concurrent streams of an HTTP/2 connection.
/// Source: kube-apiserver's `--http2-max-streams-per-connection` as upstream advertises it.
const MAX_STREAMS: u32 = 250;

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

/// A TLS configuration: the server's certificate, and the authority whose client certificates are accepted.
pub fn tls_config(authority: &Authority, server: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes())?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until `shutdown` resolves; then lets open requests end for two seconds and closes what is left.
pub async fn serve(
    api_server: ApiServer,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let graceful = Arc::new(GracefulShutdown::new());
    let mut connections = tokio::task::JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(api_server.clone(), acceptor.clone(), stream, graceful.clone()));
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

async fn connection(api_server: ApiServer, acceptor: TlsAcceptor, stream: TcpStream, graceful: Arc<GracefulShutdown>) {
    // Small writes (watch events) must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake timed out"),
    };
    let service = service_for(&api_server, stream.get_ref().1.peer_certificates());
    drop(api_server);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    let watched = graceful.watch(connection);
    drop(graceful);
    if let Err(error) = watched.await {
        tracing::debug!(%error, "connection ended");
    }
}

fn service_for(api_server: &ApiServer, certificates: Option<&[CertificateDer<'_>]>) -> ApiService {
    let user = certificates.and_then(<[_]>::first).and_then(|certificate| user_of(certificate));
    match user {
        Some(user) => api_server.service_as(user),
        None => api_server.public_service(),
    }
}

/// The user whom a verified client certificate names: the common name, and the organizations as groups.
fn user_of(certificate: &[u8]) -> Option<UserInfo> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|it| it.as_str().ok()).collect();
    Some(UserInfo::known(name, &groups))
}
