//! One webhook is asked about one request.

use serde_json::Value;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::configuration::Webhook;
use super::review::{self, Fault, Objects, Response, Version};
use crate::admission::expressions::Input;
use crate::admission::matching::Matched;
use crate::admission::{Attributes, Operation};
use crate::conversion;
use crate::outbound;

/// Why a webhook did not let a request pass.
pub(super) enum Refusal {
    /// It could not be asked; what that means is a matter of its configuration.
    Failed(String),
    /// It said no, or the request could not be shown to it.
    Refused(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// A failure in upstream's words.
pub(super) fn failed(webhook: &Webhook, why: &str) -> Status {
    Status::internal(format!("failed calling webhook {}: {why}", go_quote(&webhook.name)))
}

/// Whether a webhook is asked about a request, and in which version.
pub(super) async fn concerns(
    webhook: &Webhook,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<Option<Matched>, Status> {
    let Some(matched) = webhook.criteria.matches(attributes, object).await? else { return Ok(None) };
    if webhook.conditions.is_empty() {
        return Ok(Some(matched));
    }
    let new = shown(attributes, &matched, object).await?;
    let old = shown(attributes, &matched, attributes.old).await?;
    let asks = webhook.conditions.ask_the_authorizer();
    let input = Input::new(attributes, &matched, (new, old), asks).await?;
    match webhook.conditions.hold(&input, None) {
        Ok(hold) => Ok(hold.then_some(matched)),
        Err(_) if webhook.ignores_failures => Ok(None),
        Err(why) => Err(Status::forbidden(&attributes.resource.group_resource(), attributes.name, why)),
    }
}

/// The object of the request for webhooks: a delete has none.
pub(in crate::admission) fn subject<'a>(attributes: &Attributes<'_>, object: &'a Value) -> Option<&'a Value> {
    (attributes.operation != Operation::Delete).then_some(object)
}

/// Asks a webhook. What it says besides yes or no is noted.
pub(super) async fn ask(
    webhook: &Webhook,
    mutating: bool,
    (attributes, matched): (&Attributes<'_>, &Matched),
    objects: Objects<'_>,
) -> Result<Response, Refusal> {
    if attributes.dry_run && !webhook.knows_dry_runs {
        let name = go_quote(&webhook.name);
        return Err(Status::bad_request(format!("admission webhook {name} does not support dry run")).into());
    }
    let version = Version::choose(&webhook.review_versions).ok_or_else(|| {
        let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        Refusal::Failed(format!("could not create admission objects: {why}"))
    })?;
    let client = |why: String| Refusal::Failed(format!("could not get REST client: {why}"));
    let target = webhook.target.as_ref().map_err(|why| client(why.clone()))?;
    attributes.server.outbound.tls.get(&target.trust, None).map_err(client)?;
    let uid = attributes.server.random.uuid();
    let request = review::request(version, &uid, attributes, matched, objects);
    let call = |why: String| Refusal::Failed(format!("failed to call webhook: {why}"));
    let answer =
        outbound::review::post(attributes.server, target, webhook.timeout_seconds, &request).await.map_err(call)?;
    let response = review::response(version, &uid, mutating, &answer).map_err(|fault| match fault {
        Fault::Undecodable(why) => call(why),
        Fault::Invalid(why) => Refusal::Failed(format!("received invalid webhook response: {why}")),
    })?;
    for (key, value) in &response.annotations {
        attributes.origin.annotations.add(format!("{}/{key}", webhook.name), value.as_str());
    }
    attributes.origin.warnings.extend(response.warnings.iter().cloned());
    match response.allowed {
        true => Ok(response),
        false => Err(response.refusal(&webhook.name).into()),
    }
}

/// An object in the version that was asked for. What is no version of the resource itself (a Scale) stays as it is.
pub(in crate::admission) async fn shown(
    attributes: &Attributes<'_>,
    matched: &Matched,
    object: Option<&Value>,
) -> Result<Option<Value>, Status> {
    let Some(object) = object else { return Ok(None) };
    let wanted = matched.other.as_deref().filter(|_| meta::gvk(object) != matched.kind);
    let Some(wanted) = wanted else { return Ok(Some(object.clone())) };
    let converted = conversion::convert(attributes.server, attributes.resource, wanted, object.clone()).await;
    converted.map(Some).map_err(Status::internal)
}
