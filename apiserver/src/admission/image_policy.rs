//! `ImagePolicyWebhook` (off by default): a server elsewhere says whether the images of a pod may be used.
//! Source: Kubernetes doc "Admission Control in Kubernetes"; `kubernetes/plugin/pkg/admission/imagepolicy`,
//! `imagepolicy.k8s.io/v1alpha1`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_machinery::meta;

use super::configuration::{Configuration, data};
use super::{Attributes, Operation, Plugin, Verdict};
use crate::outbound;
use crate::outbound::target::{Target, Trust};
use crate::server::Server;
use crate::tls::Identity;

pub(super) const NAME: &str = "ImagePolicyWebhook";
/// Before the keys of what is noted for the audit log.
const NOTES: &str = "imagepolicywebhook.image-policy.k8s.io/";
/// How often the server is asked if it cannot be reached, each time after a wait that is half as long again.
/// Source: `k8s.io/apiserver/pkg/util/webhook` (`DefaultRetryBackoffWithInitialDelay`).
const ATTEMPTS: u32 = 5;
/// How many answers are remembered.
const REMEMBERED: usize = 1024;
/// The longest wait for an answer in seconds. Source: there (`DefaultRequestTimeout`).
const TIMEOUT_SECONDS: u64 = 30;

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(crate) struct ImagePolicy {
    target: Target,
    allow: SignedDuration,
    deny: SignedDuration,
    retry: Duration,
    default_allow: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    image_policy: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    kube_config_file: String,
    #[serde(default, rename = "allowTTL")]
    allow: i64,
    #[serde(default, rename = "denyTTL")]
    deny: i64,
    #[serde(default)]
    retry_backoff: i64,
    #[serde(default)]
    default_allow: bool,
}

impl ImagePolicy {
    /// Reads the configuration and the kubeconfig that it names.
    pub(super) fn read(configuration: &Value, read: &dyn Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let File { image_policy: settings } = File::deserialize(configuration).map_err(|error| error.to_string())?;
        let kubeconfig: Value = serde_saphyr::from_str(&read(&settings.kube_config_file)?)
            .map_err(|error| format!("{}: {error}", settings.kube_config_file))?;
        let seconds = |name, value, default| within(name, value, (1, default, 1800)).map(SignedDuration::from_secs);
        let retry = within("retryBackoff", settings.retry_backoff, (1, 500, 300_000))?;
        Ok(Self {
            target: target(&kubeconfig, read).map_err(|why| format!("{}: {why}", settings.kube_config_file))?,
            allow: seconds("allowTTL", settings.allow, 300)?,
            deny: seconds("denyTTL", settings.deny, 30)?,
            retry: Duration::from_millis(retry.unsigned_abs()),
            default_allow: settings.default_allow,
        })
    }
}

/// A setting; 0 means the default and a negative one none at all.
fn within(name: &str, value: i64, (least, default, most): (i64, i64, i64)) -> Result<i64, String> {
    match value {
        0 => Ok(default),
        value if value < 0 => Ok(0),
        value if (least..=most).contains(&value) => Ok(value),
        value => Err(format!("valid value is between {least} and {most}, got {value} for {name}")),
    }
}

/// The server of the present context, or of the only cluster.
fn target(kubeconfig: &Value, read: &dyn Fn(&str) -> Result<String, String>) -> Result<Target, String> {
    let named = |list: &str, name: &str| {
        let items = meta::items(kubeconfig, &[list]);
        items.iter().find(|item| meta::text(item, &["name"]) == name || (name.is_empty() && items.len() == 1)).cloned()
    };
    let context = named("contexts", meta::text(kubeconfig, &["current-context"])).unwrap_or_default();
    let cluster = named("clusters", meta::text(&context, &["context", "cluster"])).ok_or("it names no cluster")?;
    let cluster = cluster.get("cluster").unwrap_or(&Value::Null);
    let user = named("users", meta::text(&context, &["context", "user"])).unwrap_or_default();
    let user = user.get("user").unwrap_or(&Value::Null);
    let trust = match data(cluster, ("certificate-authority", read))? {
        Some(bundle) => Trust::Bundle(bundle.into_bytes()),
        None => Trust::System,
    };
    let server = meta::text(cluster, &["server"]);
    if !server.starts_with("https://") {
        return Err(format!("the server {server:?} is none with https"));
    }
    let mut target = Target::from_client_config(&json!({"url": server}))?;
    target.trust = trust;
    if let (Some(certificate), Some(key)) =
        (data(user, ("client-certificate", read))?, data(user, ("client-key", read))?)
    {
        target.identity = Some(Arc::new(Identity { certificate, key }));
    }
    Ok(target)
}

/// The plugin.
pub(super) struct ImagePolicyWebhook {
    policy: Option<ImagePolicy>,
    answers: Mutex<BTreeMap<String, (Timestamp, Value)>>,
}

impl ImagePolicyWebhook {
    /// Without a configuration it does nothing, and is refused if it is switched on.
    pub(super) fn new(configuration: &Configuration) -> Self {
        Self { policy: configuration.image_policy.clone(), answers: Mutex::default() }
    }

    /// The status of a review, asked for or remembered.
    async fn review(&self, server: &Arc<Server>, policy: &ImagePolicy, spec: Value) -> Result<Value, String> {
        let key = spec.to_string();
        let now = server.clock.now();
        if let Some((until, status)) = self.answers.lock().get(&key)
            && *until > now
        {
            return Ok(status.clone());
        }
        let review = json!({"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "spec": spec});
        let mut wait = policy.retry;
        let mut attempt = 1;
        let answer = loop {
            match outbound::review::post(server, &policy.target, TIMEOUT_SECONDS, &review).await {
                Err(_) if attempt < ATTEMPTS => tokio::time::sleep(wait).await,
                answer => break answer?,
            }
            attempt += 1;
            wait = wait * 3 / 2;
        };
        let status = answer.get("status").cloned().unwrap_or_default();
        let lives = if is_allowed(&status) { policy.allow } else { policy.deny };
        let until = now.saturating_add(lives).unwrap_or(now);
        let mut answers = self.answers.lock();
        answers.retain(|_, (until, _)| *until > now);
        if answers.len() >= REMEMBERED {
            answers.pop_first();
        }
        answers.insert(key, (until, status.clone()));
        Ok(status)
    }
}

fn is_allowed(status: &Value) -> bool {
    status.get("allowed").and_then(Value::as_bool).unwrap_or_default()
}

/// What is asked about a pod; `None` if this is no way to use an image.
fn spec(attributes: &Attributes<'_>, pod: &Value) -> Option<Value> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let is_pod = attributes.resource.group.is_empty() && attributes.resource.name == "pods";
    let lists: &[&str] = match attributes.subresource {
        _ if !writes || !is_pod => return None,
        "" => &["containers", "initContainers", "ephemeralContainers"],
        "ephemeralcontainers" => &["ephemeralContainers"],
        _ => return None,
    };
    let containers = lists.iter().flat_map(|list| meta::items(pod, &["spec", list]));
    let images: Vec<Value> = containers.map(|container| json!({"image": meta::text(container, &["image"])})).collect();
    let mut spec = json!({"containers": images, "namespace": attributes.namespace});
    let annotations = meta::at(pod, &["metadata", "annotations"]).and_then(Value::as_object);
    let told: serde_json::Map<_, _> = annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .filter(|(key, _)| key.contains(".image-policy.k8s.io/"))
        .collect();
    if !told.is_empty() {
        spec["annotations"] = Value::Object(told);
    }
    Some(spec)
}

impl Plugin for ImagePolicyWebhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn missing(&self) -> Option<&'static str> {
        self.policy.is_none().then_some("no config specified")
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let (Some(policy), Some(pod)) = (&self.policy, object) else { return Ok(()) };
            let Some(spec) = spec(attributes, pod) else { return Ok(()) };
            let status = match self.review(attributes.server, policy, spec).await {
                Ok(status) => status,
                Err(_) if policy.default_allow => {
                    attributes.origin.annotations.add(format!("{NOTES}failed-open"), "true");
                    return Ok(());
                }
                Err(why) => return Err(attributes.forbidden(pod, why)),
            };
            let notes = status.get("auditAnnotations").and_then(Value::as_object);
            for (key, value) in notes.into_iter().flatten() {
                attributes.origin.annotations.add(format!("{NOTES}{key}"), value.as_str().unwrap_or_default());
            }
            let denied = match meta::text(&status, &["reason"]) {
                _ if is_allowed(&status) => return Ok(()),
                "" => "one or more images rejected by webhook backend".to_owned(),
                reason => format!("image policy webhook backend denied one or more images: {reason}"),
            };
            Err(attributes.forbidden(pod, denied))
        }
        .boxed()
        .right_future()
    }
}
