//! `MutatingAdmissionWebhook`: webhooks are asked one after the other, each about what the others before it made of the
//! object.

use futures::future::FutureExt;
use serde_json::{Value, json};
use steersman_machinery::field::go_quote;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::patch;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;
use steersman_machinery::{decode, meta};

use super::call::{self, Refusal};
use super::configuration::{self, Webhook};
use super::review::{self, Objects};
use crate::admission::cached::Cached;
use crate::admission::matching::{self, Matched};
use crate::admission::{Attributes, Plugin, Verdict};
use crate::conversion;
use crate::handlers;
use crate::registry::resource::Resource;

/// The name, under which rounds are remembered too.
const NAME: &str = "MutatingAdmissionWebhook";

pub(in crate::admission) struct MutatingAdmissionWebhook(Cached<Vec<Webhook>>);

impl Default for MutatingAdmissionWebhook {
    fn default() -> Self {
        Self(Cached::new("mutatingwebhookconfigurations.admissionregistration.k8s.io", configuration::read))
    }
}

impl Plugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        async move {
            let configurations = self.0.get(attributes.server).await?;
            if configurations.is_empty() || matching::is_exempt(attributes) {
                return Ok(());
            }
            let rounds = &attributes.origin.rounds;
            rounds.begin(NAME, object);
            for (index, webhook) in configurations.iter().flat_map(|webhooks| webhooks.iter()).enumerate() {
                let subject = call::subject(attributes, object);
                let Some(matched) = call::concerns(webhook, attributes, subject).boxed().await? else {
                    continue;
                };
                // Who was not asked in the first round is not asked in the second either.
                if rounds.is_due(NAME, &webhook.id) {
                    Turn { attributes, index, webhook, matched: &matched }.run(object).boxed().await?;
                }
            }
            rounds.end(NAME, object);
            Ok(())
        }
        .boxed()
        .right_future()
    }
}

/// One webhook's turn.
struct Turn<'a> {
    attributes: &'a Attributes<'a>,
    index: usize,
    webhook: &'a Webhook,
    matched: &'a Matched,
}

impl Turn<'_> {
    async fn run(&self, object: &mut Value) -> Result<(), Status> {
        let rounds = &self.attributes.origin.rounds;
        let changed = self.ask(object).await;
        self.note_mutation(matches!(changed, Ok(true)));
        if matches!(changed, Ok(true)) {
            rounds.changed(NAME);
        }
        if self.webhook.may_be_reinvoked {
            rounds.asked(NAME, &self.webhook.id);
        }
        match changed {
            Ok(_) => Ok(()),
            Err(Refusal::Refused(status)) => Err(status),
            Err(Refusal::Failed(why)) if self.webhook.ignores_failures => {
                tracing::warn!(webhook = self.webhook.name, why, "a webhook could not be called, and is ignored");
                self.note("failed-open.mutation.webhook.admission.k8s.io", self.webhook.name.clone());
                Ok(())
            }
            Err(Refusal::Failed(why)) => Err(call::failed(self.webhook, &why)),
        }
    }

    /// Whether the webhook changed the object.
    async fn ask(&self, object: &mut Value) -> Result<bool, Refusal> {
        let Self { attributes, matched, webhook, .. } = self;
        let new = call::shown(attributes, matched, call::subject(attributes, object)).await?;
        let old = call::shown(attributes, matched, attributes.old).await?;
        let objects = Objects { new: new.as_ref(), old: old.as_ref() };
        let response = call::ask(webhook, true, (attributes, matched), objects).await?;
        if response.patch.is_empty() {
            return Ok(false);
        }
        let operations: Vec<Value> = serde_json::from_slice(&response.patch).map_err(|_| {
            let why = decode::parse_json(&response.patch)
                .map_or_else(|error| error.to_string(), |_| no_list(&response.patch));
            Refusal::Failed(format!("received undecodable patch in webhook response: {why}"))
        })?;
        if operations.is_empty() {
            return Ok(false);
        }
        let Some(new) = new else {
            let name = go_quote(&webhook.name);
            let why = format!(
                "admission webhook {name} attempted to modify the object, which is not supported for this operation"
            );
            return Err(Status::internal(why).into());
        };
        let patched = patch::json::apply(&new, &response.patch).map_err(Status::internal)?;
        let patched = self.decode(patched)?;
        let changed = patched != new;
        self.note_patch(&operations);
        *object = self.original(patched).await?;
        Ok(changed)
    }

    /// The patched object in the form of its kind, with its defaults.
    fn decode(&self, patched: Value) -> Result<Value, Status> {
        let resource = self.matched.other.as_deref().unwrap_or(self.attributes.resource);
        let found = meta::gvk(&patched);
        if found != self.matched.kind && !resource.custom {
            let (found, expected) = (review::go_kind(&found), review::go_kind(&self.matched.kind));
            return Err(Status::internal(format!("converting ({found}) to ({expected}): unknown conversion")));
        }
        typed(resource, &self.matched.kind, patched).map_err(Status::internal)
    }

    /// The object in the version of the request again.
    async fn original(&self, object: Value) -> Result<Value, Status> {
        let requested = self.attributes.resource;
        match self.matched.other.as_deref() {
            Some(other) if meta::gvk(&object) == other.gvk() => {
                let converted = conversion::convert(self.attributes.server, other, requested, object).await;
                converted.map_err(Status::internal)
            }
            _ => Ok(object),
        }
    }

    fn note(&self, prefix: &str, value: String) {
        let round = u8::from(self.attributes.origin.rounds.is_second_round());
        self.attributes.origin.annotations.add(format!("{prefix}/round_{round}_index_{}", self.index), value);
    }

    fn note_mutation(&self, mutated: bool) {
        let (configuration, webhook) = (&self.webhook.configuration, &self.webhook.name);
        let note = json!({"configuration": configuration, "webhook": webhook, "mutated": mutated});
        self.note("mutation.webhook.admission.k8s.io", note.to_string());
    }

    fn note_patch(&self, patch: &[Value]) {
        let (configuration, webhook) = (&self.webhook.configuration, &self.webhook.name);
        let note =
            json!({"configuration": configuration, "webhook": webhook, "patch": patch, "patchType": "JSONPatch"});
        self.note("patch.webhook.admission.k8s.io", note.to_string());
    }
}

fn no_list(patch: &[u8]) -> String {
    let found = match patch.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => "object",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
}

/// An object that somebody changed, in the form of its kind and with its defaults.
pub(in crate::admission) fn typed(
    resource: &Resource,
    kind: &GroupVersionKind,
    object: Value,
) -> Result<Value, decode::TypeError> {
    if *kind == resource.gvk() {
        let (mut object, _) = handlers::shape(resource, object)?;
        resource.default(&mut object);
        return Ok(object);
    }
    let Some(ty) = builtin::type_ref(kind) else { return Ok(object) };
    let mut object = decode::convert(object, ty, &kind.kind)?.object;
    crate::object::set_type(&mut object, &kind.api_version(), &kind.kind);
    Ok(object)
}
