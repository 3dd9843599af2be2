//! Programs beside the scheduler that take part in decisions over HTTP.
//! Source: `pkg/scheduler/extender.go`, `k8s.io/kube-scheduler/extender/v1`.

mod protocol;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::configuration::ExtenderConfiguration;
use crate::pod::Pod;
use protocol::{BindingArgs, BindingResult, FilterArgs, FilterResult, HostPriority, PreemptionArgs, PreemptionResult};
pub(crate) use protocol::{MetaPod, MetaVictims};

/// The name under which extenders are remembered as those who rejected a pod.
pub(crate) const NAME: &str = "Extender";
/// Scores of extenders go from 0 to 10, those of plugins to 100.
const SCALE: i64 = 10;

/// Why an extender can't be asked.
#[derive(Debug, thiserror::Error)]
#[error("extender {url:?}: {message}")]
pub struct ExtenderError {
    /// Its URL.
    pub url: String,
    /// What is wrong.
    pub message: String,
}

/// An extender.
#[derive(Clone)]
pub(crate) struct Extender {
    configuration: ExtenderConfiguration,
    client: Client,
}

/// A pod and the nodes that are feasible for it, as the API server shows them.
pub(crate) struct Question<'a> {
    pub(crate) pod: &'a Value,
    /// All nodes by name; only those are sent that are asked about, and only to whom names do not suffice.
    pub(crate) nodes: &'a BTreeMap<String, Value>,
}

/// What an extender made of the nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filtered {
    pub(crate) feasible: Vec<String>,
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) unresolvable: BTreeMap<String, String>,
}

/// Extenders in the order in which they are asked: those that may be ignored come last.
pub(crate) async fn extenders(configurations: &[ExtenderConfiguration]) -> Result<Vec<Arc<Extender>>, ExtenderError> {
    let mut all = Vec::new();
    for configuration in configurations {
        let failed = |message| ExtenderError { url: configuration.url_prefix.clone(), message };
        let client = client(configuration).await.map_err(failed)?;
        all.push(Arc::new(Extender::new(configuration.clone(), client)));
    }
    all.sort_by_key(|extender| extender.configuration.ignorable);
    Ok(all)
}

async fn client(configuration: &ExtenderConfiguration) -> Result<Client, String> {
    let url = configuration.url_prefix.trim_end_matches('/');
    let uri: http::Uri = url.parse().map_err(|error| format!("parse {url:?}: {error}"))?;
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(format!("parse {url:?}: no scheme or host"));
    }
    // A kubeconfig says all that there is to be said about TLS.
    let (cluster, user) = tls(url, configuration);
    let kubeconfig = json!({
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    });
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).map_err(|error| error.to_string())?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| error.to_string())?;
    config.connect_timeout = Some(configuration.http_timeout);
    Client::try_from(config).map_err(|error| error.to_string())
}

/// The fields of a kubeconfig's cluster and user.
fn tls(url: &str, configuration: &ExtenderConfiguration) -> (Value, Value) {
    let (mut cluster, mut user) = (json!({"server": url}), json!({}));
    let tls = &configuration.tls;
    if configuration.enable_https {
        // What stands in place counts more than what a file says.
        let set = |into: &mut Value, key: &str, (path, data): (&String, &Vec<u8>)| {
            if !data.is_empty() {
                into[format!("{key}-data")] = json!(k8s_openapi::ByteString(data.clone()));
            } else if !path.is_empty() {
                into[key] = json!(path);
            }
        };
        set(&mut cluster, "certificate-authority", (&tls.ca_file, &tls.ca_data));
        set(&mut user, "client-certificate", (&tls.cert_file, &tls.cert_data));
        set(&mut user, "client-key", (&tls.key_file, &tls.key_data));
        // As upstream: without an authority to ask, nobody is asked.
        let unchecked = tls.ca_file.is_empty() && tls.ca_data.is_empty();
        cluster["insecure-skip-tls-verify"] = json!(tls.insecure || unchecked);
        if !tls.server_name.is_empty() {
            cluster["tls-server-name"] = json!(tls.server_name);
        }
    }
    (cluster, user)
}

impl Extender {
    pub(crate) fn new(configuration: ExtenderConfiguration, client: Client) -> Self {
        Self { configuration, client }
    }

    /// Whether pods are scheduled without it while it does not answer.
    pub(crate) fn is_ignorable(&self) -> bool {
        self.configuration.ignorable
    }

    /// Whether it has a say on this pod.
    pub(crate) fn is_interested(&self, pod: &Value) -> bool {
        let managed = &self.configuration.managed_resources;
        let names = |list: &Value| managed.iter().any(|resource| !list[&resource.name].is_null());
        let containers = ["containers", "initContainers"].into_iter();
        let mut containers = containers.flat_map(|key| pod["spec"][key].as_array().into_iter().flatten());
        managed.is_empty()
            || containers
                .any(|container| names(&container["resources"]["requests"]) || names(&container["resources"]["limits"]))
    }

    pub(crate) fn filters(&self) -> bool {
        !self.configuration.filter_verb.is_empty()
    }

    pub(crate) fn prioritizes(&self) -> bool {
        !self.configuration.prioritize_verb.is_empty()
    }

    pub(crate) fn binds(&self) -> bool {
        !self.configuration.bind_verb.is_empty()
    }

    pub(crate) fn preempts(&self) -> bool {
        !self.configuration.preempt_verb.is_empty()
    }

    /// Whether names of nodes suffice it.
    pub(crate) fn knows_nodes(&self) -> bool {
        self.configuration.node_cache_capable
    }

    fn args<'a>(&self, question: &Question<'a>, names: &'a [String]) -> FilterArgs<'a> {
        if self.knows_nodes() {
            return FilterArgs { pod: question.pod, nodes: None, node_names: Some(names) };
        }
        let nodes = names.iter().filter_map(|name| question.nodes.get(name));
        FilterArgs { pod: question.pod, nodes: Some(protocol::NodeList::of(nodes)), node_names: None }
    }

    /// Which of these nodes it lets pass.
    pub(crate) async fn filter(&self, question: &Question<'_>, names: &[String]) -> Result<Filtered, String> {
        let result: FilterResult = self.send(&self.configuration.filter_verb, &self.args(question, names)).await?;
        if !result.error.is_empty() {
            return Err(result.error);
        }
        let known: BTreeSet<&String> = names.iter().collect();
        let named = match (result.node_names.filter(|_| self.knows_nodes()), result.nodes) {
            (Some(named), _) => named,
            (None, Some(list)) => list.names(),
            (None, None) => Vec::new(),
        };
        if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
            let url = &self.configuration.url_prefix;
            return Err(format!(
                "extender {url:?} claims a filtered node {unknown:?} which is not found in the input node list"
            ));
        }
        // As they came, whatever the order of the answer.
        let feasible = names.iter().filter(|name| named.contains(name)).cloned().collect();
        Ok(Filtered {
            feasible,
            failed: result.failed_nodes.unwrap_or_default(),
            unresolvable: result.failed_and_unresolvable_nodes.unwrap_or_default(),
        })
    }

    /// What it adds to the total of each node.
    pub(crate) async fn prioritize(
        &self,
        question: &Question<'_>,
        names: &[String],
    ) -> Result<BTreeMap<String, i64>, String> {
        let scores: Option<Vec<HostPriority>> =
            self.send(&self.configuration.prioritize_verb, &self.args(question, names)).await?;
        let weighted = |one: HostPriority| (one.host, one.score * self.configuration.weight * SCALE);
        Ok(scores.unwrap_or_default().into_iter().map(weighted).collect())
    }

    /// Binds the pod.
    pub(crate) async fn bind(&self, pod: &Pod, node: &str) -> Result<(), String> {
        let args = BindingArgs { pod_name: &pod.name, pod_namespace: &pod.spec.namespace, pod_uid: &pod.uid, node };
        let result: BindingResult = self.send(&self.configuration.bind_verb, &args).await?;
        if result.error.is_empty() { Ok(()) } else { Err(result.error) }
    }

    /// The nodes on which it agrees to preemption, each with the uids of those who would have to go.
    pub(crate) async fn process_preemption(
        &self,
        pod: &Value,
        candidates: &BTreeMap<String, MetaVictims>,
        whole: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, MetaVictims>, String> {
        let args = if self.knows_nodes() {
            PreemptionArgs { pod, victims: None, meta_victims: Some(candidates) }
        } else {
            PreemptionArgs { pod, victims: Some(whole), meta_victims: None }
        };
        let result: PreemptionResult = self.send(&self.configuration.preempt_verb, &args).await?;
        Ok(result.meta_victims.unwrap_or_default())
    }

    async fn send<T: DeserializeOwned>(&self, verb: &str, args: &impl Serialize) -> Result<T, String> {
        let timeout = self.configuration.http_timeout;
        match tokio::time::timeout(timeout, self.exchange(verb, args)).await {
            Ok(result) => result,
            Err(_) => Err(self.too_late(verb, timeout)),
        }
    }

    fn url(&self, verb: &str) -> String {
        format!("{}/{verb}", self.configuration.url_prefix.trim_end_matches('/'))
    }

    fn too_late(&self, verb: &str, timeout: Duration) -> String {
        format!("Post {:?}: no answer within {timeout:?}", self.url(verb))
    }

    async fn exchange<T: DeserializeOwned>(&self, verb: &str, args: &impl Serialize) -> Result<T, String> {
        let body = serde_json::to_vec(args).map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/{}", verb.trim_start_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|error| error.to_string())?;
        let failed = |error: kube::Error| format!("Post {:?}: {error}", self.url(verb));
        let response = self.client.send(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            let code = response.status().as_u16();
            return Err(format!("failed {verb} with extender at URL {}, code {code}", self.url(verb)));
        }
        let bytes = response.into_body().collect_bytes().await.map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
