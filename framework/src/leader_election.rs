//! Leader election on a Lease: of several replicas one works, and another takes over when it is gone.
//!
//! [`lead`] waits for the lease, runs the work, and keeps renewing. The work is given a client that refuses to write as soon
//! as the lease has not been renewed in time: a leader that was paused, or cut off, and comes back finds that out before its
//! first late write, not after it. (What it had sent before the pause is not late: the server has long answered it.) What
//! remains is a pause between that look and the socket; the preconditions of writes make those harmless.
//!
//! Times and records are those of `k8s.io/client-go/tools/leaderelection`, so replicas of both kinds can share a lease.
//!
//! ```no_run
//! use steersman_framework::leader_election::{Election, LeadError, lead};
//! use steersman_framework::runtime::Context;
//!
//! async fn run(context: Context, pod_name: String) -> Result<(), LeadError> {
//!     let election = Election::new("kube-system", "my-controller", pod_name);
//!     lead(context, election, |context| async move {
//!         // Only one replica at a time is here. Write with `context.client`: it refuses what would be too late.
//!         context.shutdown.requested().await;
//!     })
//!     .await
//! }
//! ```

mod fence;
mod record;

use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Error};
use steersman_machinery::random::Random;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Api, Resource, is_already_exists, is_conflict, is_not_found, message};
use crate::meta::ObjectKey;
use crate::metrics::{Family, Gauge};
use crate::runtime::{Context, Shutdown};
use fence::{Leadership, fenced};
use record::{Lease, LeaseSpec};

static LEASES: Resource = Resource::namespaced("coordination.k8s.io", "v1", "Lease", "leases");
/// How long the work may take to end once the lease is lost: it cannot write any more, and others may have begun.
const LOST_GRACE: Duration = Duration::from_secs(5);
/// Source: `k8s.io/client-go/tools/leaderelection` (`HealthzAdaptor`).
const HEALTH_GRACE: Duration = Duration::from_secs(20);
/// Source: `k8s.io/component-base/metrics/prometheus/clientgo/leaderelection`.
static MASTER: Family = Family::gauge("leader_election_master_status", "1 while this replica holds the lease, else 0.");
/// How many times sooner than usual a failed renewal is tried again.
const HASTE: u32 = 4;
/// A wait is up to this share longer, so that replicas don't ask in step.
const JITTER: f64 = 1.2;

/// Which lease, for whom, and how long it lasts. The durations are upstream's by default.
#[derive(Clone, Debug)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who runs: unique among the replicas, for instance the pod's name and a random suffix.
    pub identity: String,
    /// How long others wait after the last renewal that they saw: 15 s.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up: 10 s. Shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// The time between two attempts: 2 s.
    pub retry_period: Duration,
}

impl Election {
    /// An election with upstream's durations.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// What is wrong with the durations.
    pub(crate) fn check(&self) -> Result<(), LeadError> {
        if self.lease_duration <= self.renew_deadline {
            return Err(LeadError::Durations("lease_duration must be longer than renew_deadline"));
        }
        if self.renew_deadline <= self.retry_period.mul_f64(JITTER) {
            return Err(LeadError::Durations("renew_deadline must be longer than retry_period with its jitter (1.2)"));
        }
        if self.lease_duration.subsec_nanos() != 0 || self.retry_period.is_zero() {
            return Err(LeadError::Durations("lease_duration must be whole seconds, and retry_period not zero"));
        }
        Ok(())
    }
}

/// Why leading ended.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeadError {
    /// The durations make no sense together.
    #[error("leader election: {0}")]
    Durations(&'static str),
    /// The lease could not be renewed in time. The work was told to stop; the process should end and begin anew.
    #[error("leader election lost: lease {0} was not renewed in time")]
    Lost(String),
}

/// Waits until this replica is the leader, runs `work` and renews the lease until the work ends. When the context's
/// shutdown is requested, the work is told, waited for, and the lease is given back, so that another can take over at once.
///
/// # Errors
/// [`LeadError::Lost`] if the lease could not be renewed in time.
pub async fn lead<F>(context: Context, election: Election, work: impl FnOnce(Context) -> F) -> Result<(), LeadError>
where
    F: Future<Output = ()>,
{
    let client = context.client.clone();
    lead_by(client, context, election, work).await
}

/// The same with a client of its own for the lease, so that the lease does not wait behind what the work asks for, or on a
/// connection that hangs.
///
/// # Errors
/// [`LeadError::Lost`] if the lease could not be renewed in time.
pub async fn lead_by<F>(
    client: Client,
    context: Context,
    election: Election,
    work: impl FnOnce(Context) -> F,
) -> Result<(), LeadError>
where
    F: Future<Output = ()>,
{
    election.check()?;
    let mut elector = Elector::new(client, &context, election);
    tokio::select! {
        biased;
        () = context.shutdown.requested() => return Ok(()),
        () = elector.acquire() => {}
    }
    tracing::info!(lease = elector.lease(), identity = elector.election.identity, "became leader");
    elector.watch_over(&context);
    let (trigger, shutdown) = Shutdown::new();
    let client = fenced(&context.client, elector.leadership.clone());
    let work = work(Context { client, shutdown, ..context.fork() });
    let mut work = std::pin::pin!(work);
    let lost = {
        let renewing = elector.renew();
        let mut renewing = std::pin::pin!(renewing);
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = &mut renewing => break true,
                () = &mut work => break false,
                () = context.shutdown.requested(), if !told => {
                    told = true;
                    trigger.trigger();
                }
            }
        }
    };
    if lost {
        tracing::error!(lease = elector.lease(), "leader election lost");
        trigger.trigger();
        if timeout(LOST_GRACE, work).await.is_err() {
            tracing::warn!(lease = elector.lease(), "the work did not end in time");
        }
        return Err(LeadError::Lost(elector.lease()));
    }
    elector.release().await;
    Ok(())
}

/// One replica's view of the lease.
struct Elector {
    api: Api,
    context: Context,
    random: Random,
    election: Election,
    leadership: Arc<Leadership>,
    master: Gauge,
    /// The last record seen, and when it was first seen: other clocks are not trusted.
    observed: Option<(Lease, Instant)>,
}

impl Elector {
    fn new(client: Client, context: &Context, election: Election) -> Self {
        Self {
            api: Api::new(client, "leader-election"),
            context: context.clone(),
            random: context.random.fork(),
            leadership: Arc::new(Leadership::new(election.renew_deadline)),
            master: context.metrics.gauge(&MASTER, &[("name", &election.name)]),
            election,
            observed: None,
        }
    }

    /// Says in the process' health and metrics that it leads, and whether it still should.
    fn watch_over(&self, context: &Context) {
        self.master.set(1);
        let leadership = Arc::clone(&self.leadership);
        context.health.live("leaderElection", move || match leadership.ended_since() {
            Some(since) if since > HEALTH_GRACE => Err(format!("the lease ended {} seconds ago", since.as_secs())),
            _ => Ok(()),
        });
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.election.namespace, self.election.name)
    }

    /// Tries until this replica holds the lease.
    async fn acquire(&mut self) {
        while !self.attempt().await {
            let longer = 1.0 + (JITTER - 1.0) * self.random.unit();
            sleep(self.election.retry_period.mul_f64(longer)).await;
        }
    }

    /// Renews until that fails for too long. After a failure it does not wait as long as otherwise: of the little time that is
    /// left, as much as possible is used.
    async fn renew(&mut self) {
        loop {
            sleep(self.election.retry_period).await;
            let left = self.leadership.valid_until().saturating_duration_since(Instant::now());
            let again = async {
                while !self.attempt().await {
                    if self.is_taken() {
                        return false;
                    }
                    sleep(self.election.retry_period / HASTE).await;
                }
                true
            };
            if !timeout(left, again).await.unwrap_or(false) {
                self.leadership.end();
                self.master.set(0);
                return;
            }
        }
    }

    /// Whether somebody else holds the lease for certain.
    fn is_taken(&self) -> bool {
        self.observed.as_ref().is_some_and(|(lease, _)| {
            let holder = lease.spec.holder();
            !holder.is_empty() && holder != self.election.identity
        })
    }

    /// Takes or renews the lease if that is possible now; whether it is held afterwards.
    async fn attempt(&mut self) -> bool {
        let begun = Instant::now();
        // A server that does not answer must not keep this replica from asking again.
        let patience = self.election.renew_deadline / 2;
        let Ok(result) = timeout(patience, self.try_acquire_or_renew(begun)).await else {
            tracing::warn!(lease = self.lease(), "lease could not be read or written in time");
            return false;
        };
        match result {
            Ok(held) => {
                if held {
                    self.leadership.renewed(begun);
                }
                held
            }
            Err(error) => {
                tracing::warn!(lease = self.lease(), error = message(&error), "lease could not be read or written");
                false
            }
        }
    }

    async fn try_acquire_or_renew(&mut self, begun: Instant) -> Result<bool, Error> {
        let own = |(lease, _): &(Lease, Instant)| lease.spec.holder() == self.election.identity;
        // The leader's own last record is good enough to renew; a conflict shows if it is not.
        if let Some((lease, _)) = self.observed.as_ref().filter(|observed| own(observed)) {
            let renewed = self.record(Some(&lease.spec));
            if let Ok(written) = self.write(lease, renewed).await {
                self.observed = Some((written, begun));
                return Ok(true);
            }
        }
        let key = self.key();
        let found = match self.api.get::<Lease>(&LEASES, &key).await {
            Ok(lease) => lease,
            Err(error) if is_not_found(&error) => return self.create(begun).await,
            Err(error) => return Err(error),
        };
        let changed = self.observed.as_ref().is_none_or(|(seen, _)| seen.spec != found.spec);
        if changed {
            self.observed = Some((found.clone(), begun));
        }
        let seen_at = self.observed.as_ref().map_or(begun, |(_, at)| *at);
        let holder = found.spec.holder();
        let valid = seen_at + found.spec.duration(self.election.lease_duration) > begun;
        if !holder.is_empty() && holder != self.election.identity && valid {
            return Ok(false);
        }
        let record = self.record(Some(&found.spec));
        match self.write(&found, record).await {
            Ok(written) => {
                self.observed = Some((written, begun));
                Ok(true)
            }
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self, begun: Instant) -> Result<bool, Error> {
        let lease = Lease::new(&self.election.name, self.record(None));
        match self.api.create::<Lease>(&LEASES, &self.election.namespace, &lease).await {
            Ok(made) => {
                self.observed = Some((made, begun));
                Ok(true)
            }
            Err(error) if is_already_exists(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, lease: &Lease, spec: LeaseSpec) -> Result<Lease, Error> {
        self.api.replace(&LEASES, &self.key(), &lease.with(spec)).await
    }

    fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.election.namespace.clone(), name: self.election.name.clone() }
    }

    /// The record that says that this replica holds the lease now.
    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        LeaseSpec::held_by(&self.election.identity, self.election.lease_duration, self.context.clock.now(), before)
    }

    async fn give_back(&mut self) -> Result<(), Error> {
        let Some((lease, _)) = self.observed.take() else { return Ok(()) };
        let now = self.context.clock.now();
        match self.write(&lease, lease.spec.released(now)).await {
            // A renewal was under way when the work ended, and nobody waited for the answer.
            Err(error) if is_conflict(&error) => {
                let found: Lease = self.api.get(&LEASES, &self.key()).await?;
                if found.spec.holder() == self.election.identity {
                    self.write(&found, found.spec.released(now)).await?;
                }
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Gives the lease back, so that nobody has to wait until it ends. If that fails others wait.
    async fn release(&mut self) {
        self.leadership.end();
        self.master.set(0);
        match timeout(self.election.renew_deadline / 2, self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = self.lease(), error = message(&error), "lease could not be given back");
            }
            Err(_) => tracing::warn!(lease = self.lease(), "lease could not be given back in time"),
        }
    }
}

#[cfg(test)]
mod tests;
