//! What flags, configuration file and defaults come to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::flags::Flags;
use crate::leader_election::Election;

/// What a component's configuration file says about the things that all components have; the same words as in a
/// `KubeSchedulerConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FileSettings {
    /// How to reach the API server.
    pub client_connection: ClientConnection,
    /// Whether, and how, replicas agree on who works.
    pub leader_election: LeaderElection,
}

/// `clientConnection`. Source: `k8s.io/component-base/config/v1alpha1`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientConnection {
    /// The path of a kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Accepted, without effect: the components speak JSON.
    pub accept_content_types: Option<String>,
    /// Accepted, without effect: the components speak JSON.
    pub content_type: Option<String>,
    /// Requests a second on the long run.
    pub qps: Option<f64>,
    /// Requests at once.
    pub burst: Option<u32>,
}

/// `leaderElection`. Source: `k8s.io/component-base/config/v1alpha1`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LeaderElection {
    /// Whether to work only while holding the lease.
    pub leader_elect: Option<bool>,
    /// How long others wait.
    #[serde(deserialize_with = "duration")]
    pub lease_duration: Option<SignedDuration>,
    /// How long the leader tries.
    #[serde(deserialize_with = "duration")]
    pub renew_deadline: Option<SignedDuration>,
    /// The time between two attempts.
    #[serde(deserialize_with = "duration")]
    pub retry_period: Option<SignedDuration>,
    /// Has to be `leases`.
    pub resource_lock: Option<String>,
    /// The name of the lease.
    pub resource_name: Option<String>,
    /// The namespace of the lease.
    pub resource_namespace: Option<String>,
}

/// What a component is called, and which port it takes, if nobody says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The name: of its lease, and in what it tells the API server.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// The port for health and metrics.
    pub port: u16,
}

/// What flags, configuration file and defaults come to, in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// How to reach the API server.
    pub client: ClientSettings,
    /// How replicas agree on who works; `None`: this one works.
    pub leader_election: Option<ElectionSettings>,
    /// Where health and metrics are served.
    pub serving: SocketAddr,
}

/// How to reach the API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClientSettings {
    /// The path of a kubeconfig; without one, the service account of the pod is used.
    pub kubeconfig: Option<PathBuf>,
    /// The URL, if not that of the kubeconfig.
    pub master: Option<String>,
    /// Requests a second on the long run; without a limit if it is not positive.
    pub qps: f64,
    /// Requests at once.
    pub burst: u32,
}

/// How replicas agree on who works.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ElectionSettings {
    /// The name of the lease.
    pub resource_name: String,
    /// Its namespace.
    pub resource_namespace: String,
    /// How long others wait.
    #[serde(serialize_with = "seconds")]
    pub lease_duration: Duration,
    /// How long the leader tries.
    #[serde(serialize_with = "seconds")]
    pub renew_deadline: Duration,
    /// The time between two attempts.
    #[serde(serialize_with = "seconds")]
    pub retry_period: Duration,
}

/// Upstream's bucket, if a rate is given without one.
const BURST_OF_A_RATE: u32 = 30;

impl Settings {
    /// Puts together what is said in several places: flags count most, then the file.
    ///
    /// # Errors
    /// If a value makes no sense; the error names it.
    pub fn new(identity: Identity, flags: &Flags, file: &FileSettings) -> Result<Self> {
        let (client, connection) = (&flags.client, &file.client_connection);
        let qps = client.kube_api_qps.or(connection.qps).unwrap_or_default();
        let address = flags.serving.bind_address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let elect = flags.election.leader_elect.or(file.leader_election.leader_elect).unwrap_or(true);
        Ok(Self {
            client: ClientSettings {
                kubeconfig: client.kubeconfig.clone().or_else(|| connection.kubeconfig.clone()),
                master: client.master.clone(),
                qps,
                burst: client.kube_api_burst.or(connection.burst).unwrap_or(BURST_OF_A_RATE),
            },
            leader_election: if elect { Some(election(identity, flags, &file.leader_election)?) } else { None },
            serving: SocketAddr::new(address, flags.serving.port.unwrap_or(identity.port)),
        })
    }
}

fn election(identity: Identity, flags: &Flags, file: &LeaderElection) -> Result<ElectionSettings> {
    let flags = &flags.election;
    if let Some(lock) = file.resource_lock.as_deref().filter(|lock| !matches!(*lock, "leases" | "")) {
        anyhow::bail!("leaderElection.resourceLock: Invalid value: {lock:?}: resourceLock value must be \"leases\"");
    }
    let defaults = Election::new("", "", "");
    let duration = |flag: Option<SignedDuration>, file: Option<SignedDuration>, default, name: &str| {
        let Some(given) = flag.or(file) else { return Ok(default) };
        Duration::try_from(given).ok().with_context(|| format!("{name}: {given} is negative"))
    };
    let settings = ElectionSettings {
        resource_name: text(&flags.leader_elect_resource_name, &file.resource_name, identity.name),
        resource_namespace: text(&flags.leader_elect_resource_namespace, &file.resource_namespace, "kube-system"),
        lease_duration: duration(
            flags.leader_elect_lease_duration,
            file.lease_duration,
            defaults.lease_duration,
            "leaseDuration",
        )?,
        renew_deadline: duration(
            flags.leader_elect_renew_deadline,
            file.renew_deadline,
            defaults.renew_deadline,
            "renewDeadline",
        )?,
        retry_period: duration(
            flags.leader_elect_retry_period,
            file.retry_period,
            defaults.retry_period,
            "retryPeriod",
        )?,
    };
    settings.election("").check()?;
    Ok(settings)
}

/// The flag, the file's word, or the default; empty counts as not said.
fn text(flag: &Option<String>, file: &Option<String>, default: &str) -> String {
    let said = [flag, file].into_iter().flatten().find(|text| !text.is_empty());
    said.map_or_else(|| default.to_owned(), Clone::clone)
}

impl ElectionSettings {
    /// The election in which a replica calls itself `identity`.
    pub fn election(&self, identity: impl Into<String>) -> Election {
        Election {
            namespace: self.resource_namespace.clone(),
            name: self.resource_name.clone(),
            identity: identity.into(),
            lease_duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SignedDuration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{}s", duration.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        flags: Flags,
    }

    const IDENTITY: Identity = Identity { name: "test", version: "1", port: 10257 };

    fn settings(arguments: &str, file: &str) -> Result<Settings> {
        let words = ["test"].into_iter().chain(arguments.split_whitespace());
        let flags = Program::try_parse_from(words)?.flags;
        let file: FileSettings = serde_saphyr::from_str(file).map_err(|error| anyhow::anyhow!("{error}"))?;
        Settings::new(IDENTITY, &flags, &file)
    }

    #[test]
    fn without_words_there_are_upstreams_defaults_and_no_limit() {
        let settings = settings("", "{}").unwrap();
        assert_eq!(settings.serving.to_string(), "127.0.0.1:10257");
        assert!(settings.client.qps <= 0.0);
        let election = settings.leader_election.unwrap();
        assert_eq!((election.resource_namespace.as_str(), election.resource_name.as_str()), ("kube-system", "test"));
        assert_eq!((election.lease_duration.as_secs(), election.retry_period.as_secs()), (15, 2));
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let file = "clientConnection: {kubeconfig: /a, qps: 50, burst: 100}\n\
                    leaderElection: {leaderElect: true, leaseDuration: 20s, resourceName: x, resourceLock: leases}\n";
        let from_file = settings("", file).unwrap();
        assert_eq!((from_file.client.qps, from_file.client.burst), (50.0, 100));
        assert_eq!(from_file.leader_election.unwrap().lease_duration.as_secs(), 20);
        let flags = "--kubeconfig /b --kube-api-qps -1 --leader-elect-resource-name y --bind-address :: --port 0";
        let both = settings(flags, file).unwrap();
        assert_eq!((both.client.kubeconfig, both.client.qps), (Some("/b".into()), -1.0));
        assert_eq!(both.leader_election.unwrap().resource_name, "y");
        assert_eq!(both.serving.to_string(), "[::]:0");
        assert_eq!(settings("--leader-elect=false", file).unwrap().leader_election, None);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |flags: &str, file: &str, expect: &str| {
            let error = settings(flags, file).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("--leader-elect-lease-duration 5s", "{}", "lease_duration must be longer than renew_deadline");
        check("", "leaderElection: {resourceLock: endpoints}", "resourceLock");
        check("", "leaderElection: {leaseDuration: soon}", "leaseDuration");
        check("", "clientConnection: {speed: 1}", "speed");
    }
}
