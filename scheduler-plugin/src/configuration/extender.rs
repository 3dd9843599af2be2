//! What the configuration says of a program beside the scheduler that takes part in decisions.

use std::time::Duration;

/// An extender: an HTTP server that is asked about nodes. Source: `Extender` of `kubescheduler.config.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtenderConfiguration {
    /// Where it is; verbs are appended.
    pub url_prefix: String,
    /// The path of the call that filters nodes; none if empty.
    pub filter_verb: String,
    /// The path of the call that scores nodes; none if empty.
    pub prioritize_verb: String,
    /// The path of the call that looks over who is to be preempted; none if empty.
    pub preempt_verb: String,
    /// The path of the call that binds pods; none if empty.
    pub bind_verb: String,
    /// How much its scores count.
    pub weight: i64,
    /// Whether it is spoken to over TLS.
    pub enable_https: bool,
    /// How.
    pub tls: ExtenderTls,
    /// How long an answer may take.
    pub http_timeout: Duration,
    /// Whether it knows the nodes itself, so that names are enough.
    pub node_cache_capable: bool,
    /// The resources for whose sake pods concern it; all pods do if there are none.
    pub managed_resources: Vec<ManagedResource>,
    /// Whether pods are scheduled without it while it does not answer.
    pub ignorable: bool,
}

/// A resource that an extender looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedResource {
    /// Its name.
    pub name: String,
    /// Whether NodeResourcesFit is to leave it alone.
    pub ignored_by_scheduler: bool,
}

/// `ExtenderTLSConfig`: certificates are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtenderTls {
    /// Whether any certificate of the server will do.
    pub insecure: bool,
    /// The name that the certificate must have, if not the host's.
    pub server_name: String,
    /// A file with our certificate.
    pub cert_file: String,
    /// A file with our key.
    pub key_file: String,
    /// A file with those who may have signed the server's certificate.
    pub ca_file: String,
    /// The same in place.
    pub cert_data: Vec<u8>,
    /// The same in place.
    pub key_data: Vec<u8>,
    /// The same in place.
    pub ca_data: Vec<u8>,
}
