//! `tokenreviews`: whose token it is. Source: `k8s.io/kubernetes/pkg/registry/authentication/tokenreview`.

use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::service::Call;

/// The status of the review.
pub(super) fn status(call: &Call, review: &Value) -> Result<Value, Status> {
    let token = meta::text(review, &["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    Ok(match call.server.tokens.find(token) {
        Some(user) => json!({"authenticated": true, "user": user.to_json()}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    })
}
