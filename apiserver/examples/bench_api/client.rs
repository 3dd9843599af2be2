//! An HTTP/1.1 client that costs as little as can be: requests are bytes made beforehand, answers are counted, not read.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is read from a connection at once.
const BUFFER: usize = 256 * 1024;

/// An open connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// What of the buffer was not looked at yet.
    start: usize,
    end: usize,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) bytes: u64,
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: bench\r\n\
         Authorization: Bearer {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        super::target::TOKEN,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusting = Arc::new(Trusting(provider.clone()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(trusting)
            .with_no_client_auth();
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, tcp).await?;
        Ok(Self { stream, buffer: vec![0; BUFFER], start: 0, end: 0 })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request).await?;
        let (code, length) = self.head().await?;
        let bytes = match length {
            Some(length) => self.skip(length).await?,
            None => self.chunks().await?,
        };
        Ok(Answer { code, bytes })
    }

    /// Sends a request that is answered with a stream, and reads the head of the answer.
    pub(crate) async fn watch(&mut self, request: &[u8]) -> Result<()> {
        self.send(request).await?;
        let (code, _) = self.head().await?;
        ensure!(code == 200, "a watch is answered with {code}");
        Ok(())
    }

    /// Waits for the next chunk of a stream; returns its size.
    pub(crate) async fn chunk(&mut self) -> Result<u64> {
        let line = self.line().await?;
        let length = u64::from_str_radix(line.trim(), 16).with_context(|| format!("no chunk: {line:?}"))?;
        self.skip(length + 2).await?;
        Ok(length)
    }

    async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        Ok(self.stream.flush().await?)
    }

    async fn head(&mut self) -> Result<(u16, Option<u64>)> {
        let status = self.line().await?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
        let mut length = None;
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((code, length));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
    }

    async fn chunks(&mut self) -> Result<u64> {
        let mut bytes = 0;
        loop {
            match self.chunk().await? {
                0 => return Ok(bytes),
                length => bytes += length,
            }
        }
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            if self.start == self.end {
                self.fill().await?;
            }
            let ready = &self.buffer[self.start..self.end];
            if let Some(at) = ready.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&ready[..at]);
                self.start += at + 1;
                return Ok(String::from_utf8(line)?.trim_end().to_owned());
            }
            line.extend_from_slice(ready);
            self.start = self.end;
        }
    }

    async fn skip(&mut self, length: u64) -> Result<u64> {
        let mut left = length;
        loop {
            let ready = left.min((self.end - self.start) as u64);
            self.start += ready as usize;
            left -= ready;
            if left == 0 {
                return Ok(length);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        (self.start, self.end) = (0, self.stream.read(&mut self.buffer).await?);
        if self.end == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// Believes any server: it was started a moment ago by this very process.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
