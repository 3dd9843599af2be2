//! `tokenreviews`: whose token it is. Source: `k8s.io/kubernetes/pkg/registry/authentication/tokenreview`.

use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::audit::Annotations;
use crate::authentication;
use crate::service::Call;

/// The status of the review.
pub(super) async fn status(call: &Call, review: &Value) -> Result<Value, Status> {
    let token = meta::text(review, &["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = meta::items(review, &["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned);
    let mut audiences: Vec<String> = asked.collect();
    if audiences.is_empty() {
        audiences.clone_from(&call.server.authentication.api_audiences);
    }
    // What is noted about a token that is reviewed is not about the request.
    let notes = (&Annotations::default(), &call.warnings);
    Ok(match authentication::find(&call.server, token, &audiences, notes).await {
        Ok(found) => json!({"authenticated": true, "user": found.user.to_json(), "audiences": found.audiences}),
        Err(why) => json!({"user": {}, "error": why}),
    })
}
