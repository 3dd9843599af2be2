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
        let server = tokio::spawn(async move {
            // If it were dropped the connection would be told to end.
            let graceful = Arc::new(GracefulShutdown::new());
            connection.serve(other, graceful.clone()).await;
        });
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
    let patience = Duration::from_secs(1000);
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut said)).await.expect("the connection is closed");
    tokio::time::timeout(patience, server).await.expect("the server is done with it").unwrap();
    (since.elapsed().as_secs(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let start = Instant::now();
    let pipe = Pipe::open().await;
    assert_eq!(closed(pipe.end, pipe.server, start).await, (10, String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_after_the_handshake_is_not_waited_for() {
    let (stream, server) = Pipe::open().await.secure(b"http/1.1").await;
    assert_eq!(closed(stream, server, Instant::now()).await.0, 32);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_say_the_first_words_of_http2_is_not_waited_for() {
    let (stream, server) = Pipe::open().await.secure(b"h2").await;
    assert_eq!(closed(stream, server, Instant::now()).await.0, 32);
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
async fn who_speaks_in_time_may_stay_and_who_does_not_may_not() {
    let (mut stream, server) = Pipe::open().await.secure(b"http/1.1").await;
    for wait in [31, 89, 89] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        while !said.trim_ascii_end().ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "the connection was closed");
        }
        assert!(said.starts_with(b"HTTP/1.1 200 OK"));
    }
    assert_eq!(closed(stream, server, Instant::now()).await.0, 90);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_may_be_silent() {
    let requests = Requests::default();
    let under_way = requests.begin();
    let (mut end, other) = tokio::io::duplex(64);
    let second = Duration::from_secs(1);
    let times = Times { first: second, head: Some(second), idle: 2 * second };
    let mut patient = Patient::for_words(other, 1, times, requests);
    end.write_all(b"a").await.unwrap();
    let mut byte = [0; 1];
    patient.read_exact(&mut byte).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1000), patient.read(&mut byte)).await.is_err());
    drop(under_way);
    let start = Instant::now();
    assert_eq!(patient.read(&mut byte).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[test]
fn only_certificates_of_the_proxys_authority_and_name_are_those_of_a_proxy() {
    let (clients, fronts) = (Authority::generate().unwrap(), Authority::generate().unwrap());
    let proxy = FrontProxy::generate(&fronts).unwrap();
    let server = clients.server(&[]).unwrap();
    let tls = tls_config(&clients.certificate(), &server).unwrap().with_front_proxy(&proxy).unwrap();
    let mut anybody = proxy.clone();
    anybody.allowed_names.clear();
    let anybody = tls.clone().with_front_proxy(&anybody).unwrap();
    let check = |tls: &Tls, identity: &crate::tls::Identity, expect: bool| {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        assert_eq!(tls.proxies.as_ref().unwrap().have(&[certificate], NOW.parse().unwrap()), expect);
    };
    let other = fronts.client("somebody", &["system:masters"]).unwrap();
    check(&tls, proxy.client.as_ref().unwrap(), true);
    check(&tls, &other, false);
    check(&anybody, &other, true);
    for tls in [&tls, &anybody] {
        check(tls, &clients.client("front-proxy-client", &[]).unwrap(), false);
        check(tls, &fronts.server(&[]).unwrap(), false);
    }
    assert!(!tls.proxies.as_ref().unwrap().have(&[], NOW.parse().unwrap()));
}
