//! Kinds that are only ever sent: reviews of who one is and what one may do, and bindings.
//! Source: `authentication.k8s.io/v1`, `authorization.k8s.io/v1`.

use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Answer, binding, input, output, token_review, write};
use crate::authentication::AUTHENTICATED;
use crate::options::{WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

/// Answers a review with its status; performs a binding.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    if resource.name == "bindings" {
        let catalog = call.server.catalog();
        let pods = catalog.find("", "v1", "pods").cloned().ok_or_else(Status::no_such_resource)?;
        return binding::handle(call, &pods).await;
    }
    let options = WriteOptions::read(&call.query, WriteKind::Create, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let review = input::object(call, resource, options.field_validation)?;
    let mut review = write::writer(call, "", &options).record(resource, None, review);
    write::admit_posted(call, (resource, ""), &mut review, &options).await?;
    let status = match resource.name.as_str() {
        "selfsubjectreviews" => {
            let now = format_time(call.server.clock.now());
            meta::set(&mut review, &["metadata", "creationTimestamp"], now);
            json!({"userInfo": call.user.to_json()})
        }
        "tokenreviews" => token_review::status(call, &review).await?,
        "selfsubjectrulesreviews" => everything(),
        "selfsubjectaccessreviews" => verdict(&call.user.groups),
        _ => verdict(&subject_groups(&review)?),
    };
    meta::set(&mut review, &["status"], status);
    output::object(call, resource, (201, &review), output)
}

/// The groups of the subject of a review; somebody with a name is taken as known.
fn subject_groups(review: &Value) -> Result<Vec<String>, Status> {
    let spec = |field: &str| meta::items(review, &["spec", field]).iter().filter_map(Value::as_str);
    let mut groups: Vec<String> = spec("groups").map(str::to_owned).collect();
    let user = meta::text(review, &["spec", "user"]);
    if user.is_empty() && groups.is_empty() {
        return Err(Status::bad_request(
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ));
    }
    if !user.is_empty() && user != "system:anonymous" {
        groups.push(AUTHENTICATED.to_owned());
    }
    Ok(groups)
}

fn verdict(groups: &[String]) -> Value {
    let known = groups.iter().any(|group| group == AUTHENTICATED);
    match known {
        true => json!({"allowed": true, "reason": "everybody who is authenticated may do everything"}),
        false => json!({"allowed": false}),
    }
}

fn everything() -> Value {
    json!({
        "incomplete": false,
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}
