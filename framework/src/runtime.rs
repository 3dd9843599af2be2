//! What every component is given when it starts: a client, the time, randomness, and the word to stop.
//!
//! ```no_run
//! use std::sync::Arc;
//! use steersman_framework::clock::SystemClock;
//! use steersman_framework::metrics::Metrics;
//! use steersman_framework::runtime::{Context, Shutdown};
//! use steersman_machinery::random::Random;
//!
//! # async fn example() -> Result<(), kube::Error> {
//! let (trigger, shutdown) = Shutdown::new();
//! let client = kube::Client::try_default().await?;
//! let context = Context {
//!     metrics: Metrics::recording(),
//!     ..Context::new(client, Arc::new(SystemClock), Random::seeded(42), shutdown)
//! };
//! let controller = tokio::spawn(async move {
//!     // my_controller::run(context).await
//!     context.shutdown.requested().await;
//! });
//! trigger.trigger();
//! # let _ = controller.await;
//! # Ok(())
//! # }
//! ```

use kube::Client;
use steersman_machinery::clock::SharedClock;
use steersman_machinery::random::Random;
use tokio::sync::watch;

use crate::health::Health;
use crate::metrics::Metrics;

/// The inputs of a component. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// Speaks to the API server; the only way in which a component acts on the world.
    pub client: Client,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for jitter and names.
    pub random: Random,
    /// Resolves when the component is to finish what is in flight and return.
    pub shutdown: Shutdown,
    /// Where it counts what it does; nowhere by default.
    pub metrics: Metrics,
    /// Where it says how it is.
    pub health: Health,
}

/// The receiving side of the word to stop.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// The sending side of the word to stop; dropping it stops as well.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl Shutdown {
    /// A pair of both sides.
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Self(receiver))
    }

    /// Waits for the word; returns at once if it was given.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger was dropped, which stops as well.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Waits for something, for instance until caches are filled, but not when the word was given: a server that does not
    /// answer must not hold up the end. Whether it came.
    pub async fn wait_for(&self, something: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.requested() => false,
            () = something => true,
        }
    }

    /// Whether the word was given.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Gives the word.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}

impl Context {
    /// A context of these, without metrics.
    pub fn new(client: Client, clock: SharedClock, random: Random, shutdown: Shutdown) -> Self {
        Self { client, clock, random, shutdown, metrics: Metrics::default(), health: Health::default() }
    }

    /// The same context with randomness of its own, so that components don't draw from each other's sequence.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { random: self.random.fork(), ..self.clone() }
    }
}
