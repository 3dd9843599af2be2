//! Connections: TCP, perhaps through a proxy, and TLS with HTTP/2 where the server speaks it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use kube::Config;
use kube::client::ConfigExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::{BoxError, Service, ServiceExt};

/// How long a connection may take to be made, all in all. Source: `k8s.io/client-go/transport` (dialer).
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the system asks whether an idle connection is still there. Source: the same.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// And how soon, and how many times, it asks again if there is no answer. Source: Go's `net.KeepAliveConfig`, with fewer times:
/// HTTP/1.1 has no pings, and whoever is silent for a minute is gone.
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMES: u32 = 3;
/// More than the head of any answer of a proxy.
const PROXY_HEAD_MAX: usize = 16 << 10;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
    /// The name in the server's certificate, if not that of the URL.
    server_name: Option<ServerName<'static>>,
    proxy: Option<Arc<Proxy>>,
}

/// A proxy that passes connections on.
struct Proxy {
    url: Uri,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// What bytes go through.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection.
pub(super) struct Link {
    io: TokioIo<Box<dyn Duplex>>,
    is_http2: bool,
}

impl Connector {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE_AGAIN));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_TIMES));
        let mut tls = config.rustls_client_config().context("the certificates cannot be used")?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server_name = config.tls_server_name.clone().map(ServerName::try_from).transpose();
        Ok(Self {
            tcp,
            tls: TlsConnector::from(Arc::new(tls)),
            server_name: server_name.context("tls-server-name is not a name")?,
            proxy: config.proxy_url.as_ref().map(Proxy::new).transpose()?.map(Arc::new),
        })
    }

    async fn connect(mut self, url: Uri) -> Result<Link, BoxError> {
        let stream: Box<dyn Duplex> = match self.proxy.clone() {
            None => Box::new(self.reach(url.clone()).await?),
            Some(proxy) => {
                let stream = self.reach(proxy.url.clone()).await?;
                if proxy.url.scheme_str() == Some("https") {
                    let name = server_name(&proxy.url)?;
                    // The proxy is spoken to in HTTP/1.1, whatever else it knows.
                    let stream = self.tls.connect(name, stream).await?;
                    Box::new(proxy.tunnel(stream, &url).await?)
                } else {
                    Box::new(proxy.tunnel(stream, &url).await?)
                }
            }
        };
        if url.scheme_str() != Some("https") {
            return Ok(Link { io: TokioIo::new(stream), is_http2: false });
        }
        let name = self.server_name.take().map_or_else(|| server_name(&url), Ok)?;
        let stream = self.tls.connect(name, stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Link { io: TokioIo::new(Box::new(stream)), is_http2 })
    }

    async fn reach(&mut self, url: Uri) -> Result<impl Duplex + use<>, BoxError> {
        Ok(self.tcp.ready().await?.call(url).await?.into_inner())
    }
}

fn server_name(url: &Uri) -> Result<ServerName<'static>, BoxError> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    Ok(ServerName::try_from(host.to_owned())?)
}

impl Proxy {
    fn new(url: &Uri) -> Result<Self> {
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
            bail!("the proxy has to be an http or https URL, not {:?}", url.scheme_str().unwrap_or_default());
        }
        let user = url.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
        let authorization = user.map(|user| {
            let user = percent_encoding::percent_decode_str(user).collect::<Vec<u8>>();
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
        });
        Ok(Self { url: url.clone(), authorization })
    }

    /// Asks to be connected to the host of `url`. Source: RFC 9110, section 9.3.6.
    async fn tunnel<S: Duplex>(&self, mut stream: S, url: &Uri) -> Result<S, BoxError> {
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let target = format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(default));
        let credentials = self.authorization.as_ref().map(|value| format!("Proxy-Authorization: {value}\r\n"));
        let credentials = credentials.unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // Behind the head nothing comes before we speak, so that nothing is read too far.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > PROXY_HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
                return Err("the proxy did not answer as one".into());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let first = head.lines().next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
        if status.len() == 3 && status.starts_with('2') {
            Ok(stream)
        } else {
            Err(format!("the proxy refused to connect to {target}: {first}").into())
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.clone().connect(url);
        Box::pin(async move {
            let in_time = tokio::time::timeout(PATIENCE, connecting).await;
            in_time.unwrap_or_else(|_| Err(BoxError::from("the connection was not made in 30 seconds")))
        })
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        if self.is_http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl hyper::rt::Read for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(proxy: &str, answer: &str) -> (String, Result<(), String>) {
        let proxy = Proxy::new(&proxy.parse().unwrap()).unwrap();
        let (near, mut far) = tokio::io::duplex(1024);
        let url: Uri = "https://api.example.com:6443".parse().unwrap();
        let serve = async {
            let mut head = vec![0; 1024];
            let count = far.read(&mut head).await.unwrap();
            far.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..count]).into_owned()
        };
        let (tunnel, request) = futures::join!(proxy.tunnel(near, &url), serve);
        (request, tunnel.map(|_| ()).map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel() {
        let (request, result) = asked("http://me:p%40ss@proxy:3128", "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n").await;
        let expect = "CONNECT api.example.com:6443 HTTP/1.1\r\nHost: api.example.com:6443\r\n\
                      Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n";
        assert_eq!((request.as_str(), result), (expect, Ok(())));
    }

    #[tokio::test]
    async fn what_a_proxy_refuses_is_told() {
        let (_, result) = asked("http://proxy", "HTTP/1.0 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(result.unwrap_err().contains("407 Proxy Authentication Required"));
        assert!(Proxy::new(&"socks5://proxy:1080".parse().unwrap()).is_err());
    }
}
