//! The word to stop from the system: the first time gracefully, the second time at once.

use std::process;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::runtime::ShutdownTrigger;

/// Listens for SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on the signals don't end the process by themselves.
    pub(super) fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Gives the word at the first signal and ends the process at the second. Never returns.
    pub(super) async fn obey(mut self, trigger: ShutdownTrigger) {
        self.next().await;
        tracing::info!("told to stop; finishing what is in flight");
        trigger.trigger();
        self.next().await;
        tracing::warn!("told to stop again; stopping at once");
        process::exit(1);
    }
}
