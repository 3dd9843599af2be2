//! A controller of a custom resource with everything that one needs in earnest: a `Token` gets a Secret of its own, which is
//! registered with a service outside of the cluster. So there is a plan apart from the acts, a guard against a cache that has
//! not seen the last write, a finalizer, an owner reference, a status and events.
//!
//! ```sh
//! cargo run -p steersman-framework --features component --example tokens -- --definition | kubectl apply -f -
//! cargo run -p steersman-framework --features component --example tokens -- --kubeconfig ~/.kube/config
//! kubectl create -f - <<< '{"apiVersion": "example.com/v1", "kind": "Token", "metadata": {"name": "mine"}}'
//! kubectl get token mine -o yaml; kubectl describe token mine; kubectl delete token mine
//! ```

use std::process::ExitCode;

use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, Written, message};
use steersman_framework::component::{self, Component, FileSettings, Flags, Identity, Settings};
use steersman_framework::consistency::Consistency;
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::events::{EventType, Involved, Recorder, broadcaster};
use steersman_framework::finalizer;
use steersman_framework::informer::{Cached, Delta, Informer, Informers};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::ownership::controller_reference;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Context;

const IDENTITY: Identity = Identity { name: "token-controller", version: env!("CARGO_PKG_VERSION"), port: 8080 };
const FINALIZER: &str = "example.com/registration";

static TOKENS: Resource = Resource::namespaced("example.com", "v1", "Token", "tokens");
static SECRETS: Resource = Resource::namespaced("", "v1", "Secret", "secrets");

/// What is read of a token: no more than is needed, since the cache holds one of these for each.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Token {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    status: TokenStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenStatus {
    secret: String,
}

impl Cached for Token {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What is to be done about a token. All decisions are in [`plan`], which needs no server to be tested.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    /// Before anything is made that has to be cleaned up.
    Hold,
    Make,
    Tell,
    CleanUp,
}

fn plan(token: &Token, has_secret: bool) -> Plan {
    let meta = &token.metadata;
    match (meta.is_deleting(), meta.has_finalizer(FINALIZER)) {
        (true, true) => Plan::CleanUp,
        (true, false) => Plan::Nothing,
        (false, false) => Plan::Hold,
        (false, true) if !has_secret => Plan::Make,
        (false, true) if token.status.secret != meta.name => Plan::Tell,
        (false, true) => Plan::Nothing,
    }
}

struct TokenController {
    api: Api,
    recorder: Recorder,
    tokens: Informer<Token>,
    secrets: Informer<Partial>,
    consistency: Consistency,
}

impl TokenController {
    async fn sync(&self, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(token) = self.tokens.get(&key) else { return Ok(Outcome::Done) };
        let meta = &token.metadata;
        // Not before the caches have seen what was written for this token the last time.
        let seen = |resource| match resource {
            "secrets" => self.secrets.resource_version(),
            _ => self.tokens.resource_version(),
        };
        if !self.consistency.is_current(&meta.uid, seen) {
            return Ok(Outcome::Soon);
        }
        match plan(&token, self.secrets.get(&key).is_some()) {
            Plan::Nothing => {}
            Plan::Hold => {
                let held = finalizer::add(&self.api, &TOKENS, meta, FINALIZER).await?;
                held.iter().for_each(|held| self.consistency.wrote(&meta.uid, "tokens", &held.resource_version));
            }
            // Here it would be registered with the service first.
            Plan::Make => self.make(meta).await?,
            Plan::Tell => {
                let body = json!({
                    "apiVersion": TOKENS.api_version(), "kind": TOKENS.kind, "metadata": meta.for_update(),
                    "status": {"secret": key.name},
                });
                let told: Written = self.api.replace_subresource(&TOKENS, &key, "status", &body).await?;
                self.consistency.wrote(&meta.uid, "tokens", &told.metadata.resource_version);
            }
            // Here the registration would be cancelled first. The Secret goes by way of the garbage collector.
            Plan::CleanUp => drop(finalizer::remove(&self.api, &TOKENS, meta, FINALIZER).await?),
        }
        Ok(Outcome::Done)
    }

    async fn make(&self, token: &Meta) -> Result<(), kube::Error> {
        let owners = [controller_reference(&TOKENS, token)];
        let body = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": token.name, "ownerReferences": owners},
            "stringData": {"token": token.uid},
        });
        let involved = Involved::new(&TOKENS, token);
        match self.api.create::<Written>(&SECRETS, &token.namespace, &body).await {
            Ok(made) => {
                self.consistency.wrote(&token.uid, "secrets", &made.metadata.resource_version);
                let text = format!("Created secret: {}", token.name);
                self.recorder.record(&involved, EventType::Normal, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) => {
                let text = format!("Error creating: {}", message(&error));
                self.recorder.record(&involved, EventType::Warning, "FailedCreate", text);
                Err(error)
            }
        }
    }
}

async fn tokens(context: Context) {
    let api = Api::new(context.client.clone(), IDENTITY.name);
    let (recorder, events) = broadcaster(api.clone(), IDENTITY.name, context.clock.clone(), context.random.fork());
    let informers = Informers::new(api.clone(), context.shutdown.clone());
    let controller = TokenController {
        api,
        recorder,
        tokens: informers.informer(&TOKENS),
        secrets: informers.informer(&SECRETS),
        consistency: Consistency::default(),
    };
    informers.tell(&context.health);
    let queue = WorkQueue::named("token", &context.metrics);
    let changed = queue.clone();
    controller.tokens.on_change(move |delta: &Delta<Token>| {
        delta.new.iter().for_each(|token| changed.add(token.metadata.key()));
    });
    let lost = queue.clone();
    controller.secrets.on_change(move |delta: &Delta<Partial>| {
        let gone = delta.old.as_ref().filter(|_| delta.new.is_none());
        let owner = gone.and_then(|secret| secret.metadata.controller().map(|owner| (&secret.metadata, owner)));
        if let Some((secret, owner)) = owner.filter(|(_, owner)| owner.kind == TOKENS.kind) {
            lost.add(ObjectKey::new(&secret.namespace, &owner.name));
        }
    });
    let shutdown = context.shutdown.clone();
    let work = async move {
        let synced = async {
            controller.tokens.synced().await;
            controller.secrets.synced().await;
        };
        let workers = Workers { name: IDENTITY.name, concurrency: 5, max_retries: None };
        run_when(synced, workers, &queue, shutdown, |key| controller.sync(key)).await;
        // With the controller goes its recorder, and so the broadcaster ends when all events are delivered.
    };
    tokio::join!(informers.run(), work, events.run());
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tokens.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Token", "plural": "tokens"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "status": {"type": "object", "properties": {"secret": {"type": "string"}}},
                }}},
            }],
        },
    })
}

/// Gives every token a secret.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Prints the definition of the resource, and ends.
    #[arg(long)]
    definition: bool,
}

#[expect(clippy::print_stdout, reason = "that is what was asked for")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.definition {
        println!("{}", definition());
        return ExitCode::SUCCESS;
    }
    component::start(&arguments.flags.log.clone(), async move {
        let settings = Settings::new(IDENTITY, &arguments.flags, &FileSettings::default())?;
        component::run(Component::new(IDENTITY, settings), |context| async move {
            tokens(context).await;
            Ok(())
        })
        .await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_held_before_anything_is_made_for_it_and_cleaned_up_before_it_goes() {
        let token = |finalizers: Value, deleted: Value, secret: &str| -> Token {
            let metadata = json!({"name": "mine", "finalizers": finalizers, "deletionTimestamp": deleted});
            serde_json::from_value(json!({"metadata": metadata, "status": {"secret": secret}})).unwrap()
        };
        let (held, gone) = (json!([FINALIZER]), json!("2026-05-01T10:00:00Z"));
        for (token, has_secret, expect) in [
            (token(json!([]), Value::Null, ""), false, Plan::Hold),
            (token(held.clone(), Value::Null, ""), false, Plan::Make),
            (token(held.clone(), Value::Null, ""), true, Plan::Tell),
            (token(held.clone(), Value::Null, "mine"), true, Plan::Nothing),
            (token(held, gone.clone(), "mine"), true, Plan::CleanUp),
            (token(json!(["other"]), gone, "mine"), true, Plan::Nothing),
        ] {
            assert_eq!(plan(&token, has_secret), expect, "{token:?}");
        }
    }
}
