//! Attacks at the socket: floods of headers, connections and frames, clients that say nothing or the wrong thing. Each ends in a
//! clear refusal or a closed connection after a bounded number of bytes, changes nothing, and another client is served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use steersman_apiserver::ApiServer;
use steersman_apiserver::listener::{self, Limits};
use steersman_apiserver::tls::{Authority, Identity};
use steersman_framework::clock::SystemClock;
use steersman_machinery::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whatever has not ended by then is waited for in vain.
const PATIENCE: Duration = Duration::from_secs(60);
/// A write that is not taken for so long is not taken at all: the server reads nothing more.
const STUCK: Duration = Duration::from_millis(500);

/// A server that is attacked.
struct Castle {
    api_server: ApiServer,
    address: SocketAddr,
    authority: Authority,
    revision: u64,
    _task: tokio::task::JoinHandle<()>,
}

type Stream = TlsStream<TcpStream>;

impl Castle {
    async fn build(limits: Limits) -> Self {
        let api_server = ApiServer::builder(Arc::new(SystemClock), Random::seeded(1)).build().await.unwrap();
        let authority = Authority::generate().unwrap();
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let certificate = authority.server(&[address.ip()]).unwrap();
        let tls = listener::tls_config(&authority.certificate(), &certificate).unwrap();
        let serving = listener::serve_within(limits, api_server.clone(), socket, tls, std::future::pending());
        let task = tokio::spawn(serving);
        let revision = api_server.server().store.revision();
        Self { api_server, address, authority, revision, _task: task }
    }

    async fn secure(&self, protocol: &[u8]) -> std::io::Result<Stream> {
        self.secure_as(protocol, None).await
    }

    /// A connection of somebody who says by a certificate who they are.
    async fn secure_as(&self, protocol: &[u8], who: Option<&Identity>) -> std::io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match who {
            None => builder.with_no_client_auth(),
            Some(who) => {
                let certificate = CertificateDer::from_pem_slice(who.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(who.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::from(self.address.ip()), stream).await
    }

    async fn http1(&self) -> Stream {
        self.secure(b"http/1.1").await.unwrap()
    }

    /// A connection of HTTP/2 whose first words were said.
    async fn http2(&self) -> Stream {
        let mut stream = self.secure(b"h2").await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        stream
    }

    /// Another client is served, and nothing was changed.
    async fn stands(&self) {
        let served = async {
            let mut stream = self.http1().await;
            stream.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            said(&mut stream).await
        };
        let answer = timeout(PATIENCE, served).await.expect("another client is served");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(self.api_server.server().store.revision(), self.revision);
    }
}

/// What the server says until it closes the connection.
async fn said(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // A connection that is cut off is an error; what was said before counts.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&all).into_owned()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET https://a/version`, compressed. Source: RFC 7541, appendix A.
const GET_VERSION: &[u8] = b"\x82\x87\x04\x08/version\x01\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What became of a flood.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// The server takes no more until the client reads what it was told.
    NotTaken,
    Taken,
}

/// Sends without reading, at most `times` times.
async fn flood(stream: &mut Stream, times: u32, mut what: impl FnMut(u32) -> Vec<u8>) -> End {
    for number in 0..times {
        match timeout(STUCK, stream.write_all(&what(number))).await {
            Err(_) => return End::NotTaken,
            Ok(Err(_)) => return End::Closed,
            Ok(Ok(())) => {}
        }
        if timeout(STUCK, stream.flush()).await.is_err() {
            return End::NotTaken;
        }
    }
    End::Taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_headers_are_refused() {
    let castle = Castle::build(Limits::default()).await;
    let attempts = [
        ("many", "x-flood: 1\r\n".repeat(5_000), "HTTP/1.1 431 "),
        ("large", format!("x-flood: {}\r\n", "a".repeat(3 << 20)), "HTTP/1.1 431 "),
    ];
    for (what, headers, expect) in attempts {
        let mut stream = castle.http1().await;
        let request = format!("GET /version HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        // The server need not take all of it.
        let _ = timeout(PATIENCE, stream.write_all(request.as_bytes())).await.expect("it is taken or refused");
        let answer = said(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(expect), "{what}: {answer}");
        castle.stands().await;
    }
    let mut stream = castle.http1().await;
    let long = format!("GET /api/v1/namespaces/{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000));
    stream.write_all(long.as_bytes()).await.unwrap();
    let answer = said(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    castle.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_of_the_authority_lets_nobody_in() {
    let castle = Castle::build(Limits::default()).await;
    let theirs = Authority::generate().unwrap();
    let ask = async |who: &Identity, method: &str| {
        let mut stream = castle.secure_as(b"http/1.1", Some(who)).await.unwrap();
        let path = "/api/v1/namespaces/kube-node-lease";
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        said(&mut stream).await
    };
    for (what, who) in [
        ("of another authority", theirs.client("kubernetes-admin", &["system:masters"]).unwrap()),
        ("of another authority, for nobody", theirs.client("", &["system:masters"]).unwrap()),
        ("another authority itself", theirs.identity()),
        ("for servers", castle.authority.server(&[castle.address.ip()]).unwrap()),
        ("for servers of another authority", theirs.server(&[castle.address.ip()]).unwrap()),
    ] {
        for method in ["GET", "DELETE"] {
            let answer = ask(&who, method).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{what}: {method}: {answer}");
        }
        castle.stands().await;
    }
    let nobody = castle.authority.client("", &["system:masters"]).unwrap();
    let answer = ask(&nobody, "DELETE").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("system:anonymous"), "{answer}");
    castle.stands().await;
    let admin = castle.authority.client("admin", &["system:masters"]).unwrap();
    assert!(ask(&admin, "GET").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused() {
    let castle = Castle::build(Limits::default()).await;
    let two_lengths = "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    let both = "GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\
                Connection: close\r\n\r\n0\r\n\r\n";
    for (what, text, expect) in [
        ("no HTTP", "\x00\x01\x02\x03\r\n\r\n", "HTTP/1.1 400 "),
        ("two lengths", two_lengths, "HTTP/1.1 400 "),
        ("a length and chunks", both, "HTTP/1.1 "),
    ] {
        let mut stream = castle.http1().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = said(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(expect), "{what}: {answer}");
    }
    let mut stream = castle.secure(b"h2").await.unwrap();
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answer = said(&mut stream).await;
    assert!(!answer.contains("HTTP/1.1"), "they agreed on HTTP/2: {answer}");
    let mut plain = TcpStream::connect(castle.address).await.unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(said(&mut plain).await.contains("Client sent an HTTP request to an HTTPS server."));
    castle.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let castle = Castle::build(Limits::default()).await;
    let mut stream = castle.http2().await;
    let end = flood(&mut stream, 100_000, |number| {
        let id = 2 * number + 1;
        let open = frame(HEADERS, END_STREAM | END_HEADERS, id, GET_VERSION);
        [open, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
    });
    assert_ne!(end.await, End::Taken);
    castle.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_go_on_for_ever_end_the_connection() {
    let castle = Castle::build(Limits::default()).await;
    let mut stream = castle.http2().await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, GET_VERSION)).await.unwrap();
    // A header that is never indexed, again and again: 16 KiB a frame, 1.6 GiB in all.
    let header = [&b"\x10\x01x\x7f\x81\x01"[..], &[b'a'; 256]].concat();
    let more = frame(CONTINUATION, 0, 1, &header.repeat(60));
    assert_eq!(flood(&mut stream, 100_000, |_| more.clone()).await, End::Closed);
    castle.stands().await;
    let mut stream = castle.http2().await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, GET_VERSION)).await.unwrap();
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(100);
    assert_eq!(flood(&mut stream, 100_000, |_| empty.clone()).await, End::Closed);
    castle.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_want_an_answer_are_not_taken_from_who_reads_none() {
    let castle = Castle::build(Limits::default()).await;
    for (what, one) in [("settings", frame(SETTINGS, 0, 0, &[])), ("pings", frame(PING, 0, 0, &[0; 8]))] {
        let mut stream = castle.http2().await;
        let many = one.repeat(5_000);
        // Until the buffers of both sockets are full of answers that nobody reads, and of what is not read any more.
        let end = flood(&mut stream, 20_000, |_| many.clone()).await;
        assert_ne!(end, End::Taken, "{what}");
        castle.stands().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_are_allowed_are_refused() {
    let castle = Castle::build(Limits { max_streams: 10, ..Limits::default() }).await;
    let mut stream = castle.http2().await;
    // Requests that do not end: each keeps its stream.
    let end = flood(&mut stream, 100_000, |number| frame(HEADERS, END_HEADERS, 2 * number + 1, GET_VERSION)).await;
    assert_ne!(end, End::Taken);
    castle.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_all_connections_and_says_nothing_keeps_nobody_out_for_long() {
    let limits = Limits {
        max_connections: 8,
        handshake_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let castle = Castle::build(limits).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(castle.address).await.unwrap());
    }
    castle.stands().await;
    for mut stream in silent {
        assert_eq!(said(&mut stream).await, "");
    }
    let mut slow = Vec::new();
    for protocol in [&b"h2"[..], b"http/1.1", b"h2", b"http/1.1"] {
        slow.push(castle.secure(protocol).await.unwrap());
    }
    castle.stands().await;
    for mut stream in slow {
        said(&mut stream).await;
    }
}
