//! What others need in order to verify the tokens of service accounts.
//! Source: OpenID Connect Discovery 1.0; Kubernetes doc "Managing Service Accounts", "ServiceAccount issuer discovery".

use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};
use steersman_machinery::status::Status;

use super::{Answer, nonresource};
use crate::http::body::Body;
use crate::http::respond;
use crate::service::Call;

const CONFIGURATION_TYPE: &str = "application/json";
const KEYS_TYPE: &str = "application/jwk-set+json";

/// Where the keys are.
pub(super) async fn configuration(call: &Call) -> Answer {
    let authentication = &call.server.authentication;
    let here = || format!("https://{}/openid/v1/jwks", nonresource::host(call));
    let keys = authentication.issuer.published().await.map_err(Status::internal)?;
    let mut algorithms: Vec<&str> = keys.iter().map(|key| key.algorithm()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let document = json!({
        "issuer": authentication.issuer.name(),
        "jwks_uri": authentication.jwks_uri.clone().unwrap_or_else(here),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    answer(call, CONFIGURATION_TYPE, &document)
}

/// The keys.
pub(super) async fn keys(call: &Call) -> Answer {
    let keys = call.server.authentication.issuer.published().await.map_err(Status::internal)?;
    let keys: Vec<Value> = keys.into_iter().map(|key| key.to_jwk()).collect();
    answer(call, KEYS_TYPE, &json!({"keys": keys}))
}

/// An issuer whose name is no URL cannot be discovered.
fn answer(call: &Call, content_type: &'static str, document: &Value) -> Answer {
    if !call.server.authentication.issuer.name().starts_with("https://") {
        return nonresource::not_found();
    }
    let body = serde_json::to_vec(document).expect("a JSON value can always be written");
    let mut response = respond::with_body(200, content_type, Body::from(body));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}
