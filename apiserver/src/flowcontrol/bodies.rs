//! What large bodies may cost together. An object in memory is up to sixty times as large as it was written, and some are two
//! hundred and fifty times as large; what one may cost is bounded where it is decoded, and here, how many there are at a time.

use std::sync::Arc;

use steersman_machinery::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::timeout::REQUEST_TIMEOUT;
use crate::service::BODY_MAX;

/// Up to this size a body never waits: a pod with all that controllers note about it has less.
const SMALL: usize = 32 * 1024;
/// How many bytes of larger bodies are handled at a time: one of the largest.
const AT_ONCE: usize = BODY_MAX;

/// Counts the bytes of large bodies that are being handled.
#[derive(Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A large body that is being handled.
#[derive(Debug)]
pub(crate) struct Handled {
    _bytes: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Bodies {
    /// Waits until a body of that size may be handled; `None` if it is one that nobody counts. Whoever came first is first.
    ///
    /// # Errors
    /// If that takes longer than a request may take.
    pub(crate) async fn take(&self, size: usize) -> Result<Option<Handled>, Status> {
        if size <= SMALL {
            return Ok(None);
        }
        let bytes = u32::try_from(size.min(AT_ONCE)).expect("the largest body has less than four gigabytes");
        let bytes = tokio::time::timeout(REQUEST_TIMEOUT, self.0.clone().acquire_many_owned(bytes)).await;
        let bytes = bytes.map_err(|_| Status::timeout())?.map_err(|_| Status::timeout())?;
        Ok(Some(Handled { _bytes: bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let bodies = Bodies::default();
        let first = bodies.take(BODY_MAX).await.unwrap();
        assert!(first.is_some());
        assert!(bodies.take(SMALL).await.unwrap().is_none());
        assert_eq!(bodies.take(SMALL + 1).await.unwrap_err().code, 504);
        let (waiting, ()) = tokio::join!(bodies.take(SMALL + 1), async { drop(first) });
        assert!(waiting.unwrap().is_some());
        let halves = (bodies.take(BODY_MAX / 2).await.unwrap(), bodies.take(BODY_MAX / 2).await.unwrap());
        assert!(halves.0.is_some() && halves.1.is_some());
    }
}
