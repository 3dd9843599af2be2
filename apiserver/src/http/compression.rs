//! Large answers are compressed for clients that accept it.
//! Source: KEP-156 (`APIResponseCompression`), `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response};

use super::body::Body;

/// Answers up to this size are left as they are.
const THRESHOLD: u64 = 128 * 1024;

/// Whether the client takes gzip. As upstream does it, a quality is not understood.
pub fn is_accepted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|encoding| encoding.trim() == "gzip")
}

/// Compresses what is large and not a stream.
pub fn compress(response: Response<Body>) -> Response<Body> {
    if response.body().known_length().is_none_or(|length| length <= THRESHOLD) {
        return response;
    }
    let mut response = response.map(Body::gzip);
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn clients_say_what_they_accept() {
        let check = |value: &'static str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(is_accepted(&headers), expect, "{value}");
        };
        check("gzip", true);
        check("deflate, gzip", true);
        check("gzip;q=1", false);
        check("identity", false);
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn only_what_is_large_is_compressed() {
        let small = compress(Response::new(Body::from(vec![b'x'; 128 * 1024])));
        assert!(small.headers().is_empty());
        let pieces = (0..200_u32).map(|n| Bytes::from(n.to_string().repeat(500)));
        let expect: Vec<u8> = pieces.clone().flatten().collect();
        let large = compress(Response::new(Body::pieces(pieces)));
        assert_eq!(large.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(large.headers()[VARY], "Accept-Encoding");
        let body = large.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() < expect.len() / 10);
        let mut read = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, expect);
    }
}
