//! Where a request carries its token: in a header or, from a browser, among the subprotocols of a websocket.
//! Source: `k8s.io/apiserver/pkg/authentication/request/{bearertoken,websocket}`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};

use crate::http::warnings::Warnings;

/// Upstream's complaint about a token that nobody has.
pub(super) const INVALID: &str = "invalid bearer token";
/// What the subprotocol begins with that is a token.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
const SPACE: &str = "the provided Authorization header contains extra space before the bearer token, and is ignored";

/// A token, and where it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) text: String,
    /// The subprotocols that remain; `None` for a token in the header `Authorization`.
    protocols: Option<String>,
}

impl Bearer {
    /// Takes the token out of the request, so that nobody is tempted to pass it on.
    pub(super) fn take_out(self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        if let Some(protocols) = self.protocols.and_then(|protocols| HeaderValue::from_str(&protocols).ok()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        }
    }
}

/// The token of a request, if it has one.
pub(super) fn token(headers: &HeaderMap, warnings: &Warnings) -> Result<Option<Bearer>, &'static str> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut parts = value.trim().splitn(3, ' ');
        let bearer = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        match parts.next() {
            Some("") if bearer => warnings.extend(parts.next().map(|_| SPACE.to_owned())),
            Some(token) if bearer => return Ok(Some(Bearer { text: token.to_owned(), protocols: None })),
            _ => {}
        }
    }
    if is_websocket(headers) { subprotocol(headers) } else { Ok(None) }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    has(UPGRADE, "websocket") && has(CONNECTION, "upgrade")
}

fn subprotocol(headers: &HeaderMap) -> Result<Option<Bearer>, &'static str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = values.flat_map(|value| value.split(',')).map(str::trim);
    let (tokens, others): (Vec<&str>, Vec<&str>) = offered.partition(|protocol| protocol.starts_with(PROTOCOL));
    let encoded = match tokens.as_slice() {
        [] => return Ok(None),
        [one] => &one[PROTOCOL.len()..],
        _ => return Err("multiple base64.bearer.authorization tokens specified"),
    };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "invalid base64.bearer.authorization token encoding")?;
    let text = String::from_utf8(bytes).map_err(|_| "invalid base64.bearer.authorization token")?;
    match (text.is_empty(), others.is_empty()) {
        (true, _) => Ok(None),
        (false, true) => Err("missing additional subprotocol"),
        (false, false) => Ok(Some(Bearer { text, protocols: Some(others.join(",")) })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_header_is_read_as_upstream_reads_it() {
        let check = |value: &str, expect: Option<&str>| {
            let warnings = Warnings::default();
            let got = token(&headers(&[("authorization", value)]), &warnings).unwrap();
            assert_eq!(got.map(|token| token.text).as_deref(), expect, "{value:?}");
        };
        check("Bearer secret", Some("secret"));
        check("  bearer secret  ", Some("secret"));
        check("BEARER secret more", Some("secret"));
        check("Bearer  secret", None);
        check("Bearer", None);
        check("Basic c2VjcmV0", None);
        check("", None);
    }

    #[test]
    fn a_websocket_may_carry_the_token_among_its_subprotocols() {
        let check = |protocols: &str, expect: Result<Option<(&str, &str)>, &str>| {
            let headers = headers(&[
                ("upgrade", "WebSocket"),
                ("connection", "keep-alive, Upgrade"),
                ("sec-websocket-protocol", protocols),
            ]);
            let got = token(&headers, &Warnings::default());
            let got = got.map(|token| token.map(|token| (token.text, token.protocols.unwrap_or_default())));
            assert_eq!(got, expect.map(|some| some.map(|(a, b)| (a.to_owned(), b.to_owned()))), "{protocols}");
        };
        check("v5.channel.k8s.io", Ok(None));
        check("a, base64url.bearer.authorization.k8s.io.c2VjcmV0, b", Ok(Some(("secret", "a,b"))));
        check("base64url.bearer.authorization.k8s.io.c2VjcmV0", Err("missing additional subprotocol"));
        check("a,base64url.bearer.authorization.k8s.io.!", Err("invalid base64.bearer.authorization token encoding"));
        let twice = "a,base64url.bearer.authorization.k8s.io.c2Vj,base64url.bearer.authorization.k8s.io.c2Vj";
        check(twice, Err("multiple base64.bearer.authorization tokens specified"));
        let plain = headers(&[("sec-websocket-protocol", "a,base64url.bearer.authorization.k8s.io.c2Vj")]);
        assert_eq!(token(&plain, &Warnings::default()), Ok(None));
    }
}
