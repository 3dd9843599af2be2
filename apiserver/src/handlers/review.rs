//! Kinds that are only ever sent: reviews of who one is and what one may do, and bindings.
//! Source: `authentication.k8s.io/v1`, `authorization.k8s.io/v1`.

use serde_json::json;
use steersman_machinery::clock::format_time;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Answer, access_review, binding, input, output, token_review, write};
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
    let mut review = input::object(call, resource, options.field_validation)?;
    write::check_namespace(call, resource, &mut review)?;
    let mut review = write::writer(call, "", &options).record(resource, None, review);
    write::admit_posted(call, (resource, ""), &mut review, &options).await?;
    let status = match resource.name.as_str() {
        "selfsubjectreviews" => {
            let now = format_time(call.server.clock.now());
            meta::set(&mut review, &["metadata", "creationTimestamp"], now);
            json!({"userInfo": call.user.to_json()})
        }
        "tokenreviews" => token_review::status(call, &review).await?,
        "selfsubjectrulesreviews" => {
            let answer = access_review::rules(call, &review).await?;
            return output::object(call, resource, (201, &answer), output);
        }
        _ => access_review::access(call, resource, &review).await?,
    };
    meta::set(&mut review, &["status"], status);
    output::object(call, resource, (201, &review), output)
}
