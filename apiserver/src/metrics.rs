//! What the server counts, in Prometheus' text format and with upstream's names.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The labels of `apiserver_request_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The verb in upper case, such as `LIST`.
    pub verb: String,
    /// `All` for a dry run; empty otherwise.
    pub dry_run: String,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// `cluster`, `namespace` or `resource`.
    pub scope: String,
    /// Always `apiserver`.
    pub component: String,
    /// The HTTP status code.
    pub code: u16,
}

/// The metrics of one server.
pub struct Metrics {
    registry: Registry,
    /// Requests that were answered.
    pub requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    /// Watches that are open.
    pub watches: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let watches = Gauge::default();
        registry.register("apiserver_request", "Requests that were answered", requests.clone());
        registry.register("apiserver_longrunning_requests", "Watches that are open", watches.clone());
        Self { registry, requests, watches }
    }
}

impl Metrics {
    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}
