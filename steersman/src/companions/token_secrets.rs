//! Secrets of the type `kubernetes.io/service-account-token`: each gets a token of its account that never expires, and goes
//! with the account. Source: `k8s.io/kubernetes/pkg/controller/serviceaccount` (`TokensController`); Kubernetes doc
//! "Managing Service Accounts".

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_framework::api::{Api, Resource, is_conflict, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Delta, Informer, Informers};
use steersman_framework::meta::{ObjectKey, Partial};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::meta;

use super::Synced;

const COMPONENT: &str = "serviceaccount-token-controller";
const TYPE: &str = "kubernetes.io/service-account-token";
const SELECTED: &str = "type=kubernetes.io/service-account-token";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";
static SECRETS: Resource = Resource::namespaced("", "v1", "Secret", "secrets");
static ACCOUNTS: Resource = Resource::namespaced("", "v1", "ServiceAccount", "serviceaccounts");

/// A secret, and whose token it says to be: what is gone cannot be asked any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    secret: ObjectKey,
    account: String,
    uid: String,
}

impl Token {
    fn of(secret: &Partial) -> Self {
        let meta = &secret.metadata;
        let says = |key: &str| meta.annotations.get(key).unwrap_or_default().to_owned();
        Self { secret: meta.key(), account: says(NAME), uid: says(UID) }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(formatter)
    }
}

/// What the controller needs of the server.
pub(crate) struct TokenSecrets {
    /// Signs tokens.
    pub(crate) api_server: ApiServer,
    /// The certificates, PEM, by which clients know the server.
    pub(crate) root_ca: String,
}

impl TokenSecrets {
    /// Works until shutdown; registers with the informers before it waits for anything.
    pub(super) fn run(self, context: &Context, informers: &Informers, shutdown: Shutdown) -> impl Future<Output = ()> {
        let secrets: Informer<Partial> = informers.selected(&SECRETS, SELECTED);
        let accounts: Informer<Partial> = informers.informer(&ACCOUNTS);
        let queue: WorkQueue<Token> = WorkQueue::default();
        let changed = queue.clone();
        secrets.on_change(move |delta: &Delta<Partial>| {
            delta.new.iter().chain(&delta.old).take(1).for_each(|secret| changed.add(Token::of(secret)));
        });
        let (changed, all) = (queue.clone(), secrets.downgrade());
        accounts.on_change(move |delta: &Delta<Partial>| {
            let (Some(old), Some(secrets)) = (&delta.old, all.upgrade()) else { return };
            let same = delta.new.as_ref().is_some_and(|new| new.metadata.uid == old.metadata.uid);
            let of_it = |secret: &&Arc<Partial>| {
                secret.metadata.namespace == old.metadata.namespace
                    && secret.metadata.annotations.get(NAME) == Some(old.metadata.name.as_str())
            };
            if !same {
                secrets.all().iter().filter(of_it).for_each(|secret| changed.add(Token::of(secret)));
            }
        });
        let worker = Worker { api: Api::new(context.client.clone(), COMPONENT), with: self };
        async move {
            let synced = async {
                secrets.synced().await;
                accounts.synced().await;
            };
            let workers = Workers { name: COMPONENT, concurrency: 1, max_retries: None };
            run_when(synced, workers, &queue, shutdown, |token| worker.sync(token)).await;
        }
    }
}

struct Worker {
    api: Api,
    with: TokenSecrets,
}

impl Worker {
    async fn sync(&self, token: Token) -> Synced {
        let key = &token.secret;
        let Some(secret) = self.get(&SECRETS, key).await? else { return self.disown(&token).await };
        let name = meta::annotation(&secret, NAME).unwrap_or_default().to_owned();
        if meta::text(&secret, &["type"]) != TYPE || name.is_empty() || meta::deletion_timestamp(&secret).is_some() {
            return Ok(Outcome::Done);
        }
        let account = self.get(&ACCOUNTS, &ObjectKey::new(&key.namespace, &name)).await?;
        let known = meta::annotation(&secret, UID).unwrap_or_default();
        let account = account.filter(|account| known.is_empty() || meta::uid(account) == known);
        let Some(account) = account else { return self.delete(key, &secret).await };
        let mut filled = secret.clone();
        self.fill(&mut filled, &account).await;
        if filled == secret { Ok(Outcome::Done) } else { self.replace(&SECRETS, key, &filled).await }
    }

    /// What a client needs to be the account: a token, whom to trust, and where it is. What somebody has filled in stays, but
    /// for whom to trust.
    async fn fill(&self, secret: &mut Value, account: &Value) {
        let before = secret.clone();
        let root_ca = STANDARD.encode(&self.with.root_ca);
        if meta::text(secret, &["data", "ca.crt"]) != root_ca {
            meta::set(secret, &["data", "ca.crt"], root_ca);
        }
        if meta::text(secret, &["data", "namespace"]).is_empty() {
            let namespace = STANDARD.encode(meta::namespace(secret));
            meta::set(secret, &["data", "namespace"], namespace);
        }
        if meta::text(secret, &["data", "token"]).is_empty()
            && let Some(token) = self.with.api_server.sign_for_secret(account, meta::name(secret)).await
        {
            meta::set(secret, &["data", "token"], json!(STANDARD.encode(token)));
        }
        if *secret != before {
            meta::set(secret, &["metadata", "annotations", UID], meta::uid(account));
        }
    }

    /// The account of a secret that is gone does not refer to it any more.
    async fn disown(&self, token: &Token) -> Synced {
        let key = ObjectKey::new(&token.secret.namespace, &token.account);
        let account = if token.account.is_empty() { None } else { self.get(&ACCOUNTS, &key).await? };
        let Some(mut account) = account.filter(|it| token.uid.is_empty() || meta::uid(it) == token.uid) else {
            return Ok(Outcome::Done);
        };
        let all = meta::items(&account, &["secrets"]);
        let left = all.iter().filter(|kept| meta::text(kept, &["name"]) != token.secret.name);
        let left: Vec<Value> = left.cloned().collect();
        if left.len() == all.len() {
            return Ok(Outcome::Done);
        }
        meta::set(&mut account, &["secrets"], left);
        self.replace(&ACCOUNTS, &key, &account).await
    }

    /// Writes an object; who has changed or deleted it meanwhile is right.
    async fn replace(&self, resource: &Resource, key: &ObjectKey, object: &Value) -> Synced {
        match self.api.replace::<Partial>(resource, key, object).await {
            Err(error) if is_conflict(&error) => Ok(Outcome::Soon),
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }

    async fn delete(&self, key: &ObjectKey, secret: &Value) -> Synced {
        let preconditions = Preconditions { uid: Some(meta::uid(secret).to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api.delete(&SECRETS, key, &params).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }

    async fn get(&self, resource: &Resource, key: &ObjectKey) -> kube::Result<Option<Value>> {
        match self.api.get(resource, key).await {
            Err(error) if is_not_found(&error) => Ok(None),
            found => found.map(Some),
        }
    }
}
