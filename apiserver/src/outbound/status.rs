//! What an HTTP status says to a client that expected an object.
//! Source: `k8s.io/apimachinery/pkg/api/errors.NewGenericServerResponse`, `k8s.io/client-go/rest.Request`.

use http::Response;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use steersman_machinery::field::go_quote;
use steersman_machinery::meta;

/// How much of an unexpected answer is shown.
const SHOWN_MAX: usize = 2048;

/// The text of the error that an answer is, if it is one.
pub(super) fn failure(answer: &Response<impl AsRef<[u8]>>) -> Option<String> {
    let code = answer.status().as_u16();
    if (200..=206).contains(&code) {
        return None;
    }
    let body = answer.body().as_ref();
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    if meta::text(&status, &["kind"]) == "Status" && meta::text(&status, &["status"]) == "Failure" {
        return Some(meta::text(&status, &["message"]).to_owned());
    }
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or("text/plain");
    let shown = match content_type.starts_with("text/") {
        true => String::from_utf8_lossy(&body[..body.len().min(SHOWN_MAX)]).trim().to_owned(),
        false => "unknown".to_owned(),
    };
    Some(text(code, &shown))
}

fn text(code: u16, shown: &str) -> String {
    let fixed = match code {
        409 => "the server reported a conflict",
        404 => "the server could not find the requested resource",
        400 => "the server rejected our request for an unknown reason",
        401 => "the server has asked for the client to provide credentials",
        403 | 415 => shown,
        406 if matches!(shown, "" | "unknown") => {
            "the server was unable to respond with a content type that the client supports"
        }
        406 => shown,
        405 => "the server does not allow this method on the requested resource",
        422 => "the server rejected our request due to an error in our request",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        429 => "the server has received too many requests and has asked us to try again later",
        500.. => {
            return format!("an error on the server ({}) has prevented the request from succeeding", go_quote(shown));
        }
        _ => return format!("the server responded with the status code {code} but did not return more information"),
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_texts_of_clients() {
        let check = |code: u16, body: &str, expect: &str| {
            let answer = Response::builder().status(code).body(body.to_owned()).unwrap();
            assert_eq!(failure(&answer).unwrap_or_default(), expect);
        };
        check(200, "x", "");
        check(500, "boom\n", "an error on the server (\"boom\") has prevented the request from succeeding");
        check(404, "", "the server could not find the requested resource");
        check(302, "", "the server responded with the status code 302 but did not return more information");
        check(403, r#"{"kind":"Status","status":"Failure","message":"no"}"#, "no");
    }
}
