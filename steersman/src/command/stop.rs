//! The word to stop, from a person or from the system.

use anyhow::{Context, Result};

/// Waits for Ctrl-C or SIGTERM.
#[cfg(unix)]
pub(crate) async fn requested() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn requested() -> Result<()> {
    tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")
}
