//! JSON Web Tokens in their compact form. Source: RFC 7515 and 7519.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::keys::{PublicKey, SigningKey, base64url};

/// How far the clocks of two machines may be apart. Source: go-jose's `jwt.DefaultLeeway`.
pub(super) const LEEWAY_SECONDS: i64 = 60;

/// A token that was taken apart. Nothing in it is to be trusted before [`Token::verify`].
pub(super) struct Token<'a> {
    /// Which key is said to have signed it; may be empty.
    pub(super) key_id: String,
    /// What is claimed.
    pub(super) claims: Map<String, Value>,
    algorithm: String,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart; `None` if it is no JSON Web Token.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let header = object(header)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Extensions that have to be understood are not.
        if header.contains_key("crit") {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { key_id: text("kid"), algorithm: text("alg"), claims: object(claims)?, signed, signature })
    }

    /// Whether one of the keys signed it: the one that the token names, or if it names none, any.
    pub(super) fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey>) -> Result<(), &'static str> {
        let mut keys = keys.into_iter().filter(|key| self.key_id.is_empty() || key.id() == self.key_id).peekable();
        if keys.peek().is_none() {
            return Err("invalid signature, no keys found");
        }
        match keys.any(|key| key.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature)) {
            true => Ok(()),
            false => Err("go-jose/go-jose: error in cryptographic primitive"),
        }
    }

    /// A claim that is a text; empty if it is not.
    pub(super) fn text(&self, claim: &str) -> &str {
        self.claims.get(claim).and_then(Value::as_str).unwrap_or_default()
    }

    /// The audiences: a list, or one alone.
    pub(super) fn audiences(&self) -> Vec<String> {
        texts(self.claims.get("aud"))
    }

    /// A claim that is a moment, in seconds.
    pub(super) fn seconds(&self, claim: &str) -> Option<i64> {
        seconds(self.claims.get(claim)?)
    }
}

/// A moment in seconds; a fraction of a second is cut off.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit saturates")]
pub(super) fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// A list of texts, or one text alone.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A token with these claims; `None` if it could not be signed.
pub(super) fn sign(claims: &Value, key: &SigningKey) -> Option<String> {
    let header = json!({"alg": key.public().algorithm(), "kid": key.public().id()});
    let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", base64url(&signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_verified() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let text = sign(&json!({"iss": "me", "aud": "you", "exp": 12.5}), &key).unwrap();
        let token = Token::parse(&text).unwrap();
        assert_eq!(
            (token.text("iss"), token.audiences(), token.seconds("exp")),
            ("me", vec!["you".to_owned()], Some(12))
        );
        assert!(token.verify([key.public(), other.public()]).is_ok());
        assert_eq!(token.verify([other.public()]).unwrap_err(), "invalid signature, no keys found");
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let key = SigningKey::generate().unwrap();
        let text = sign(&json!({"iss": "me"}), &key).unwrap();
        let [header, claims, signature] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
        let none = base64url(br#"{"alg":"none"}"#);
        let hmac = base64url(br#"{"alg":"HS256"}"#);
        let changed = base64url(br#"{"iss":"you"}"#);
        for bad in [
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{hmac}.{claims}.{signature}"),
            format!("{header}.{changed}.{signature}"),
            format!("{header}.{claims}."),
        ] {
            assert!(Token::parse(&bad).unwrap().verify([key.public()]).is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "a.b", "a.b.c.d", &format!("{header}.{claims}"), &format!("x{text}")] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }
}
