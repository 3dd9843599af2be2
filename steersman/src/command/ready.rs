//! `steersman ready`: waits until components say that they are; the test of the Helm chart.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep, timeout};

/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a component says about its health.
const MAX_ANSWER: usize = 64 << 10;

/// Whom to ask.
#[derive(Args, Debug)]
pub(crate) struct Ready {
    /// Where they tell, such as `http://steersman-scheduler/readyz`.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// How many seconds to wait for each.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// Fails if one of them is not ready in time, with what it said last.
pub(crate) async fn run(ready: &Ready) -> Result<()> {
    for url in &ready.urls {
        let end = Instant::now() + Duration::from_secs(ready.timeout);
        loop {
            let asked = timeout(PATIENCE, ask(url)).await.context("no answer").flatten();
            match asked {
                Ok(()) => break,
                Err(error) if Instant::now() >= end => return Err(error.context(format!("{url} is not ready"))),
                Err(_) => sleep(PAUSE).await,
            }
        }
        let _ = writeln!(std::io::stdout(), "{url} is ready");
    }
    Ok(())
}

/// Asks once. Plain HTTP: components have nothing to hide there.
async fn ask(url: &str) -> Result<()> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    ensure!(uri.scheme_str() == Some("http"), "{url:?} is no http:// URL");
    // One for each attempt: whoever is asked again may be another by then.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(uri).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|error| anyhow!(error))?;
    if status != StatusCode::OK {
        let said = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        bail!("{}", said.lines().last().filter(|line| !line.is_empty()).unwrap_or(status.as_str()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers once with each of these.
    async fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 512];
                let _ = stream.read(&mut head).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}/readyz")
    }

    #[tokio::test]
    async fn who_is_not_ready_yet_is_asked_again() {
        let url = server(&[
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nno",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        ])
        .await;
        run(&Ready { urls: vec![url], timeout: 30 }).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_never_ready_is_named_with_its_reason() {
        let url = server(&["HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nno lease"]).await;
        let error = run(&Ready { urls: vec![url.clone()], timeout: 0 }).await.unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{url} is not ready: no lease"));
        let error = run(&Ready { urls: vec!["ftp://x".to_owned()], timeout: 0 }).await.unwrap_err();
        assert!(format!("{error:#}").contains("no http:// URL"));
    }
}
