//! Reviews: an object that is posted to a webhook, which sends it back with a response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde_json::Value;
use steersman_machinery::decode;
use steersman_machinery::field::go_quote;

use super::target::Target;
use super::{exchange, status};
use crate::server::Server;

/// How the server calls itself.
const AGENT: &str = "kube-apiserver-admission";

/// Posts a review and reads the answer, within `seconds`.
///
/// # Errors
/// Why there is no answer that could be read, in the words of Go's client.
pub(crate) async fn post(server: &Arc<Server>, target: &Target, seconds: u64, review: &Value) -> Result<Value, String> {
    let url = format!("https://{}{}?timeout={seconds}s", target.authority, target.path);
    let request = Request::post(&url)
        .header(ACCEPT, "application/json, */*")
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .body(Bytes::from(review.to_string()))
        .map_err(|error| error.to_string())?;
    let call = exchange::call(server, target, request);
    let answer = match tokio::time::timeout(Duration::from_secs(seconds), call).await {
        Ok(answer) => answer,
        Err(_) => Err("context deadline exceeded".to_owned()),
    };
    let answer = answer.map_err(|why| format!("Post {}: {why}", go_quote(&url)))?;
    if let Some(why) = status::failure(&answer) {
        return Err(why);
    }
    if answer.body().is_empty() {
        let code = answer.status().as_u16();
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        return Err(format!("0-length response with status code: {code} and content type: {content_type}"));
    }
    let parsed = decode::parse_json(answer.body());
    parsed.map(|it| it.value).map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))
}
