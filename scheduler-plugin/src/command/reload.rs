//! The scheduler under a configuration that may change while it runs: it is stopped, and started anew with the new one. The
//! lease is kept meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use steersman_framework::component;
use steersman_framework::runtime::{Context, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Gates, options};
use crate::Options;
use crate::registry::Registry;

/// How often the file is looked at: a ConfigMap in a pod changes about as slowly.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// Schedules until shutdown, each time with the newest configuration that makes sense.
pub(super) async fn run(
    context: Context,
    mut options: Options,
    file: Option<(PathBuf, String)>,
    (plugins, gates): (Registry, Gates),
) -> Result<()> {
    let explanations = options.explanations.clone();
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut watched = Watched { file, hangup, plugins, gates };
    loop {
        let (trigger, shutdown) = Shutdown::new();
        let mut running = std::pin::pin!(crate::run(Context { shutdown, ..context.fork() }, options));
        let changed = tokio::select! {
            biased;
            ended = &mut running => return Ok(ended?),
            () = context.shutdown.requested() => None,
            changed = watched.changed() => Some(changed),
        };
        trigger.trigger();
        running.await?;
        match changed {
            None => return Ok(()),
            Some(changed) => options = Options { explanations: explanations.clone(), ..changed },
        }
        tracing::info!("the configuration was read again");
    }
}

struct Watched {
    file: Option<(PathBuf, String)>,
    hangup: Signal,
    plugins: Registry,
    gates: Gates,
}

impl Watched {
    /// Waits until the file is another that makes sense. One that makes none is told of, and nothing changes.
    async fn changed(&mut self) -> Options {
        loop {
            tokio::select! {
                biased;
                _ = self.hangup.recv() => {}
                () = tokio::time::sleep(LOOK_AFTER) => {}
            }
            let Some((path, text)) = &mut self.file else { continue };
            match newer(path, text, (&self.plugins, self.gates)) {
                Ok(None) => {}
                Ok(Some(options)) => return options,
                Err(error) => {
                    tracing::error!(file = %path.display(), error = format!("{error:#}"), "the configuration stays as it is");
                }
            }
        }
    }
}

/// The options of a file, if it is another than `text`, which becomes what it is now.
fn newer(path: &Path, text: &mut String, (plugins, gates): (&Registry, Gates)) -> Result<Option<Options>> {
    let now = component::read(path)?;
    if now == *text {
        return Ok(None);
    }
    *text = now;
    options(text, plugins, gates).map(Some)
}
