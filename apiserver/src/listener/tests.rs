//! Clients that are slow or silent, in virtual time over a pipe.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::tls::Authority;

const NOW: &str = "2026-05-01T10:00:00Z";

/// Lets every server pass: what is looked at here is the server.
fn client_config(authority: &Authority, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// A client's end of a connection, and its server.
struct Pipe {
    end: DuplexStream,
    server: tokio::task::JoinHandle<()>,
    authority: Authority,
}

impl Pipe {
    async fn open() -> Self {
        let clock = Arc::new(FixedClock(NOW.parse().unwrap()));
        let api_server = ApiServer::builder(clock, Random::seeded(1)).build().await.unwrap();
        let authority = Authority::generate().unwrap();
        let server = authority.server(&[[127, 0, 0, 1].into()]).unwrap();
        let tls = tls_config(&authority.certificate(), &server).unwrap();
        let (end, other) = tokio::io::duplex(64 * 1024);
        let peer = ([127, 0, 0, 1], 1).into();
        let connection = Connection { api_server, tls, limits: Arc::default(), peer };
        let server = tokio::spawn(connection.serve(other, Arc::new(GracefulShutdown::new())));
        Self { end, server, authority }
    }

    async fn secure(self, protocol: &[u8]) -> (ClientStream<DuplexStream>, tokio::task::JoinHandle<()>) {
        let connector = TlsConnector::from(client_config(&self.authority, protocol));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        (connector.connect(name, self.end).await.unwrap(), self.server)
    }
}

/// Waits until the server is done with the connection; says after how many seconds, and what it said.
async fn closed(
    mut stream: impl AsyncRead + Unpin,
    server: tokio::task::JoinHandle<()>,
    since: Instant,
) -> (u64, String) {
    let mut said = Vec::new();
    // A connection that is cut off without a word is an error; what was said before counts.
    let _ = stream.read_to_end(&mut said).await;
    server.await.unwrap();
    (since.elapsed().as_secs(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let start = Instant::now();
    let pipe = Pipe::open().await;
    assert_eq!(closed(pipe.end, pipe.server, start).await, (10, String::new()));
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let (stream, server) = Pipe::open().await.secure(protocol).await;
        let (after, _) = closed(stream, server, Instant::now()).await;
        assert_eq!(after, 32, "{}", String::from_utf8_lossy(protocol));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_half_way_is_not_waited_for() {
    let start = Instant::now();
    let mut pipe = Pipe::open().await;
    // The head of a record of 256 bytes of which nothing follows.
    pipe.end.write_all(&[22, 3, 1, 1, 0]).await.unwrap();
    assert_eq!(closed(pipe.end, pipe.server, start).await.0, 10);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_without_tls_is_told_so() {
    let start = Instant::now();
    let mut pipe = Pipe::open().await;
    pipe.end.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (after, said) = closed(pipe.end, pipe.server, start).await;
    assert_eq!(said, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
    assert_eq!(after, 0);
    let mut pipe = Pipe::open().await;
    pipe.end.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
    assert_eq!(closed(pipe.end, pipe.server, start).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn headers_that_come_byte_by_byte_are_not_waited_for() {
    let (stream, server) = Pipe::open().await.secure(b"http/1.1").await;
    let start = Instant::now();
    let (reader, mut writer) = tokio::io::split(stream);
    let slow = tokio::spawn(async move {
        let _ = writer.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n").await;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let sent = writer.write_all(b"x-slow: 1\r\n").await;
            if sent.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    });
    assert_eq!(closed(reader, server, start).await.0, 32);
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_byte_by_byte_is_not_waited_for() {
    let (stream, server) = Pipe::open().await.secure(b"http/1.1").await;
    let start = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let head = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: a\r\n\
                Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let slow = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut said = [0; 12];
    reader.read_exact(&mut said).await.unwrap();
    // The anonymous may not ask, or their body took too long: in either case they are answered within a minute.
    assert!(start.elapsed().as_secs() <= 60, "{:?}", start.elapsed());
    assert!(said.starts_with(b"HTTP/1.1 4") || said.starts_with(b"HTTP/1.1 5"), "{said:?}");
    slow.abort();
    drop(reader);
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn who_speaks_in_time_may_stay() {
    let (mut stream, _server) = Pipe::open().await.secure(b"http/1.1").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(31)).await;
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut said = vec![0; 15];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(said, b"HTTP/1.1 200 OK");
        // The rest of the answer.
        let mut rest = vec![0; 4096];
        while tokio::time::timeout(Duration::from_millis(1), stream.read(&mut rest)).await.is_ok() {}
    }
}
