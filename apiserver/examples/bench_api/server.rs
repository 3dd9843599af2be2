//! The API server as a process of its own: `bench_api serve PORT`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use steersman_apiserver::authentication::Tokens;
use steersman_apiserver::tls::Authority;
use steersman_apiserver::{ApiServer, listener};
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tokio::net::TcpListener;

use super::target::TOKEN;

/// A server that knows one administrator.
pub(crate) async fn api_server() -> Result<ApiServer> {
    let tokens = Tokens::parse(&format!("{TOKEN},bench,bench,system:masters\n")).map_err(anyhow::Error::msg)?;
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().context("a time")?));
    let builder = ApiServer::builder(clock, Random::seeded(1)).tokens(tokens);
    Ok(builder.disable_admission(["ServiceAccount".to_owned()]).build().await?)
}

/// Serves until the process ends.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let authority = Authority::generate()?;
    let address = Ipv4Addr::LOCALHOST;
    let tls = listener::tls_config(&authority.certificate(), &authority.server(&[address.into()])?)?;
    let socket = TcpListener::bind((address, port)).await?;
    listener::serve(api_server().await?, socket, tls, std::future::pending()).await;
    Ok(())
}
