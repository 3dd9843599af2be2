//! Webhooks as their configurations describe them.

use std::collections::BTreeMap;

use serde_json::Value;
use steersman_machinery::meta;

use crate::admission::expressions::Conditions;
use crate::admission::matching::Criteria;
use crate::outbound::target::Target;

/// The seconds that a webhook has whose configuration does not say.
const TIMEOUT_SECONDS: u64 = 10;

/// One webhook of a configuration.
pub(super) struct Webhook {
    /// The name of the configuration.
    pub(super) configuration: String,
    /// The webhook's own name.
    pub(super) name: String,
    /// What tells it from all others, of the same name too.
    pub(super) id: String,
    /// Which requests it is asked about.
    pub(super) criteria: Criteria,
    /// What must hold besides.
    pub(super) conditions: Conditions,
    /// Whether a request passes if the webhook cannot be asked.
    pub(super) ignores_failures: bool,
    /// Whether it may be asked about what is not going to happen.
    pub(super) knows_dry_runs: bool,
    /// Whether it is asked again if others change the object after it.
    pub(super) may_be_reinvoked: bool,
    /// How long it may take.
    pub(super) timeout_seconds: u64,
    /// Which versions of reviews it understands, the preferred first.
    pub(super) review_versions: Vec<String>,
    /// Where it is.
    pub(super) target: Result<Target, String>,
}

/// The webhooks of a configuration, in its order.
pub(super) fn read(configuration: &Value) -> Vec<Webhook> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let webhooks = meta::items(configuration, &["webhooks"]).iter();
    let read = |webhook| {
        let name = meta::text(webhook, &["name"]);
        let count = seen.entry(name).or_default();
        let id = format!("{}/{name}/{count}", meta::name(configuration));
        *count += 1;
        Webhook { configuration: meta::name(configuration).to_owned(), id, ..read_webhook(webhook) }
    };
    webhooks.map(read).collect()
}

fn read_webhook(webhook: &Value) -> Webhook {
    let versions = meta::items(webhook, &["admissionReviewVersions"]).iter();
    Webhook {
        configuration: String::new(),
        name: meta::text(webhook, &["name"]).to_owned(),
        id: String::new(),
        criteria: Criteria::webhook(webhook),
        conditions: Conditions::read(meta::items(webhook, &["matchConditions"]), false),
        ignores_failures: meta::text(webhook, &["failurePolicy"]) == "Ignore",
        knows_dry_runs: matches!(meta::text(webhook, &["sideEffects"]), "None" | "NoneOnDryRun"),
        may_be_reinvoked: meta::text(webhook, &["reinvocationPolicy"]) == "IfNeeded",
        timeout_seconds: webhook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(TIMEOUT_SECONDS),
        review_versions: versions.filter_map(Value::as_str).map(str::to_owned).collect(),
        target: Target::from_client_config(webhook.get("clientConfig").unwrap_or(&Value::Null)),
    }
}
