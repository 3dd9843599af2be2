//! The little of the WebSocket protocol that a server needs that has something to say and then hangs up.
//! Source: RFC 6455.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use ring::digest;

use crate::http::body::Body;

/// What the key of the client is hashed together with.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;

/// Whether a request wants to become a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    upgrade.eq_ignore_ascii_case("websocket") && headers.contains_key(KEY)
}

/// The first of our protocols that the client offers.
pub(super) fn protocol<'a>(headers: &HeaderMap, ours: &[&'a str]) -> Option<&'a str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|it| it.to_str().ok());
    let mut offered = offered.flat_map(|line| line.split(',')).map(str::trim);
    offered.find_map(|protocol| ours.iter().find(|it| **it == protocol).copied())
}

/// The answer that makes a WebSocket of the connection.
pub(super) fn accept(headers: &HeaderMap, protocol: Option<&str>) -> Response<Body> {
    let key = headers.get(KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC.as_bytes()].concat());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for (name, text) in [
        (header::SEC_WEBSOCKET_ACCEPT, Some(STANDARD.encode(hash.as_ref()))),
        (header::SEC_WEBSOCKET_PROTOCOL, protocol.map(str::to_owned)),
    ] {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// A message of a channel: its number, then its bytes.
pub(super) fn message(channel: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x82, &[&[channel], payload].concat())
}

/// The end, without an error.
pub(super) fn close() -> Vec<u8> {
    frame(0x88, &1000u16.to_be_bytes())
}

fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => frame.push(length as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_standard() {
        let mut headers = HeaderMap::new();
        headers.insert(KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let response = accept(&headers, Some("v5.channel.k8s.io"));
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn messages_carry_their_length() {
        assert_eq!(message(2, b"ab"), [0x82, 3, 2, b'a', b'b']);
        assert_eq!(message(2, &[0; 200])[..4], [0x82, 126, 0, 201]);
        assert_eq!(close(), [0x88, 2, 0x03, 0xe8]);
    }
}
