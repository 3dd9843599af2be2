//! The HTTPS listener: TLS, client certificates, HTTP/1.1 and HTTP/2.

mod certificate;
mod patient;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use self::patient::Requests;
use self::patient::{Patient, Times};
use crate::ApiServer;
use crate::authentication::Identity;
use crate::authentication::request_header::FrontProxy;
use crate::flowcontrol::turns::{self, Flow};
use crate::service::ApiService;
use crate::tls;

/// How long open requests may take to end after the word to stop. Watches end at once.
const GRACE: Duration = Duration::from_secs(2);
/// What a client and the server agree on that speak HTTP/2.
const HTTP2: &[u8] = b"h2";
/// The bytes with which a connection of HTTP/2 begins: 24 and the head of a frame. Source: RFC 9113, section 3.4.
const PREFACE: usize = 24 + 9;
/// The least buffer that hyper works with.
const MIN_BUFFER: usize = 8192;
/// The most bytes that a client may send of a request's body, and of one frame, before somebody reads them.
/// Source: `k8s.io/apiserver/pkg/server` (`resourceBody99Percentile`).
const UPLOAD_WINDOW: u32 = 256 * 1024;

/// How much a client may take: of time before it is known, and of everything that is kept for it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the TLS handshake, from the moment of the connection.
    pub handshake_timeout: Duration,
    /// For the headers of a request, and for the first words of a connection.
    pub header_timeout: Duration,
    /// For the next request, while none is under way.
    pub idle_timeout: Duration,
    /// The bytes of the headers of a request over HTTP/1.1.
    pub max_header_bytes: usize,
    /// How many headers that may be.
    pub max_headers: usize,
    /// The bytes of the headers of a request over HTTP/2, where each counts 32 more.
    pub max_header_list_bytes: u32,
    /// Requests at a time over one connection of HTTP/2.
    pub max_streams: u32,
    /// Connections at a time; others wait until one ends.
    pub max_connections: usize,
}

impl Default for Limits {
    /// Those of kube-apiserver, where it has such limits.
    /// Source: `k8s.io/apiserver/pkg/server` (`secure_serving.go`); Go's `net/http`.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(32),
            idle_timeout: Duration::from_secs(90),
            max_header_bytes: 1 << 20,
            // Whoever acts as a member of many groups sends a header for each.
            max_headers: 2048,
            // A quarter of the above is ample.
            max_header_list_bytes: 1 << 18,
            max_streams: 100,
            // A few times what a cluster of 5,000 nodes needs, and at 64 KiB each no more than 1 GiB.
            max_connections: 16_384,
        }
    }
}

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
    proxies: Option<certificate::Proxies>,
}

impl Tls {
    /// The same; whoever shows a certificate of that proxy's may say for whom they ask.
    ///
    /// # Errors
    /// If the certificates of its authority are not valid.
    pub fn with_front_proxy(self, proxy: &FrontProxy) -> Result<Self, Error> {
        let clients = verifier(&proxy.authority)?;
        let proxies = certificate::Proxies { clients, allowed_names: proxy.allowed_names.clone().into() };
        Ok(Self { proxies: Some(proxies), ..self })
    }
}

/// Judges client certificates by these authorities.
fn verifier(authorities: &str) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate?)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(builder.allow_unauthenticated().build()?)
}

/// A TLS configuration: the server's certificate, and the authority whose client certificates are accepted.
///
/// # Errors
/// If the certificates are not valid.
pub fn tls_config(authority: &str, server: &tls::Identity) -> Result<Tls, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = verifier(authority)?;
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(certificate::Any(clients.clone())))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), clients, proxies: None })
}

/// Serves until `shutdown` resolves; then lets open requests end for two seconds and closes what is left.
pub async fn serve(api_server: ApiServer, listener: TcpListener, tls: Tls, shutdown: impl Future<Output = ()>) {
    serve_within(Limits::default(), api_server, listener, tls, shutdown).await;
}

/// [`serve`] with limits of one's own.
pub async fn serve_within(
    limits: Limits,
    api_server: ApiServer,
    listener: TcpListener,
    tls: Tls,
    shutdown: impl Future<Output = ()>,
) {
    let limits = Arc::new(limits);
    let graceful = Arc::new(GracefulShutdown::new());
    let mut connections = tokio::task::JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < limits.max_connections => match accepted {
                Ok((stream, peer)) => {
                    // Small writes (watch events) must not wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    let (api_server, tls, limits) = (api_server.clone(), tls.clone(), limits.clone());
                    let connection = Connection { api_server, tls, limits, peer };
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
    limits: Arc<Limits>,
    peer: SocketAddr,
}

impl Connection {
    async fn serve<S>(self, stream: S, graceful: Arc<GracefulShutdown>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = match tokio::time::timeout(self.limits.handshake_timeout, self.secure(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake timed out"),
        };
        let session = stream.get_ref().1;
        let requests = Requests::default();
        let service = self.service(session.peer_certificates()).over(requests.clone());
        let service = TowerToHyperService::new(service);
        let is_http2 = session.alpn_protocol() == Some(HTTP2);
        let limits = self.limits.clone();
        drop(self);
        let times = |head| Times { first: limits.header_timeout, head, idle: limits.idle_timeout };
        let ended = if is_http2 {
            let stream = TokioIo::new(Patient::for_words(stream, PREFACE, times(None), requests));
            let connection = graceful.watch(http2(&limits).serve_connection(stream, service));
            drop(graceful);
            connection.await.map_err(Into::into)
        } else {
            let stream = Patient::for_words(stream, 1, times(Some(limits.header_timeout)), requests);
            let builder = http1(&limits);
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let connection = graceful.watch(connection.into_owned());
            drop(graceful);
            connection.await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// The handshake. Whoever speaks plain HTTP is told so, in Go's words.
    async fn secure<S>(&self, mut stream: S) -> io::Result<TlsStream<Patient<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut first = [0; 5];
        stream.read_exact(&mut first).await?;
        if matches!(&first, b"GET /" | b"HEAD " | b"POST " | b"PUT /" | b"OPTIO") {
            let refusal = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
            stream.write_all(refusal).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks HTTP without TLS"));
        }
        // A handshake costs as much as several requests.
        self.api_server.server().turns.turn(Flow::default(), turns::PIECE).await;
        self.tls.acceptor.accept(Patient::with(stream, first.to_vec())).await
    }

    fn service(&self, certificates: Option<&[CertificateDer<'_>]>) -> ApiService {
        let now = self.api_server.server().clock.now();
        let identity = match certificates {
            Some(certificates) => {
                let own = certificate::identity(&*self.tls.clients, certificates, now);
                let proxies = self.tls.proxies.as_ref();
                match proxies.is_some_and(|proxies| proxies.have(certificates, now)) {
                    true => Identity::Proxy(Box::new(own)),
                    false => own,
                }
            }
            None => Identity::Unknown,
        };
        self.api_server.service_for(identity).at_peer(self.peer)
    }
}

/// How connections of HTTP/1.1 are served within limits. Only this builder lets them change their protocol and end them when
/// the server does; who speaks HTTP/2 although nothing was agreed on is understood, too.
fn http1(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // It would count the wait for a request, too: the stream does that better.
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER));
    builder.http2().max_concurrent_streams(limits.max_streams).max_header_list_size(limits.max_header_list_bytes);
    builder
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_list_bytes)
        .max_frame_size(UPLOAD_WINDOW)
        .initial_stream_window_size(UPLOAD_WINDOW)
        .initial_connection_window_size(UPLOAD_WINDOW.saturating_mul(limits.max_streams));
    builder
}

#[cfg(test)]
mod tests;
