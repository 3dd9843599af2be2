//! `steersman ready`: waits until components say that they are; the test of the Helm chart.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a component says about its health.
const MAX_ANSWER: u64 = 64 << 10;

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
    let rest = url.strip_prefix("http://").with_context(|| format!("{url:?} is no http:// URL"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut stream = TcpStream::connect(&address).await.with_context(|| address.clone())?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    ensure!(!status.is_empty(), "{address} does not speak HTTP");
    if status != "200" {
        bail!("{}", answer.lines().last().filter(|line| !line.is_empty()).unwrap_or(status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let url = server(&["HTTP/1.1 503 Service Unavailable\r\n\r\nno", "HTTP/1.1 200 OK\r\n\r\nok"]).await;
        run(&Ready { urls: vec![url], timeout: 30 }).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_never_ready_is_named_with_its_reason() {
        let url = server(&["HTTP/1.1 503 Service Unavailable\r\n\r\nno lease"]).await;
        let error = run(&Ready { urls: vec![url.clone()], timeout: 0 }).await.unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{url} is not ready: no lease"));
        let error = run(&Ready { urls: vec!["ftp://x".to_owned()], timeout: 0 }).await.unwrap_err();
        assert!(format!("{error:#}").contains("no http:// URL"));
    }
}
