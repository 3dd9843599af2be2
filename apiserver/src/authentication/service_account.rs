//! Tokens of service accounts: what is claimed in them, and whether it is still true.
//! Source: `k8s.io/kubernetes/pkg/serviceaccount`; Kubernetes doc "Managing Service Accounts".

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use steersman_machinery::clock::parse_time;
use steersman_machinery::meta;

use super::jwt::{self, LEEWAY_SECONDS, Token};
use super::keys::{self, PublicKey, SigningKey};
use super::{CREDENTIAL_ID, Found, SERVICE_ACCOUNTS, Signer, UserInfo, audience_error, legacy_token};
use crate::audit::Annotations;
use crate::http::warnings::Warnings;
use crate::server::Server;

/// The issuer of tokens that are kept in secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// What the claims of those begin with.
const LEGACY_CLAIM: &str = "kubernetes.io/serviceaccount/";
/// Upstream's complaint about a token whose object is gone.
const INVALIDATED: &str = "service account token has been invalidated";

/// Who issues tokens, and which are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// The names under which tokens are accepted; the first is that of new ones.
    pub names: Vec<String>,
    /// What signs.
    pub signer: Signer,
    /// Keys whose tokens are accepted besides.
    pub others: Vec<PublicKey>,
    /// The longest life of a token in seconds, if there is one.
    /// Source: `--service-account-max-token-expiration`.
    pub max_seconds: Option<i64>,
    /// Whether the tokens of pods live longer than they say, so that old clients have time to read new ones.
    /// Source: `--service-account-extend-token-expiration`.
    pub extends: bool,
}

impl Issuer {
    /// An issuer of that name who accepts what he signs.
    pub fn new(name: &str, signer: Signer) -> Self {
        Self { names: vec![name.to_owned()], signer, others: Vec::new(), max_seconds: None, extends: true }
    }

    /// The name of the issuer of new tokens.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The keys that can have signed what is accepted.
    fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.signer.if_made().map(SigningKey::public).into_iter().chain(&self.others)
    }

    /// All keys that others need, that of tokens to come first.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn published(&self) -> Result<Vec<&PublicKey>, keys::Error> {
        let own = self.signer.key().await?.public();
        Ok([own].into_iter().chain(self.others.iter().filter(|key| key.id() != own.id())).collect())
    }
}

/// The user name of a service account.
pub fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The service account of a user name, as namespace and name.
pub fn split_user_name(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':').filter(|(namespace, name)| {
        let bad = |part: &str| part.is_empty() || part.contains(':');
        !bad(namespace) && !bad(name)
    })
}

/// The user that a service account is, as far as its name tells.
pub fn user(namespace: &str, name: &str, uid: &str) -> UserInfo {
    UserInfo {
        name: user_name(namespace, name),
        uid: uid.to_owned(),
        groups: vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")],
        extra: BTreeMap::new(),
    }
}

/// What a new token is about.
pub(crate) struct Claims<'a> {
    /// The service account.
    pub(crate) account: &'a Value,
    /// What it is bound to, as the names of claims: `pod`, `secret`, `node`, and the object.
    pub(crate) bound: &'a [(&'static str, Value)],
    /// Who it is meant for.
    pub(crate) audiences: &'a Value,
    /// How long it lives.
    pub(crate) seconds: i64,
    /// After how many seconds its use is noted.
    pub(crate) warn_after: Option<i64>,
    /// Its id.
    pub(crate) id: &'a str,
}

/// The text of a new token; `None` if it cannot be signed.
pub(crate) async fn issue(issuer: &Issuer, now: Timestamp, claims: &Claims<'_>) -> Option<String> {
    let now = now.as_second();
    let (namespace, name) = (meta::namespace(claims.account), meta::name(claims.account));
    let mut kubernetes = json!({
        "namespace": namespace,
        "serviceaccount": reference(claims.account),
    });
    for (kind, object) in claims.bound {
        kubernetes[*kind] = reference(object);
    }
    if let Some(seconds) = claims.warn_after {
        kubernetes["warnafter"] = json!(now.saturating_add(seconds));
    }
    let token = json!({
        "iss": issuer.name(), "sub": user_name(namespace, name), "aud": claims.audiences,
        "iat": now, "nbf": now, "exp": now.saturating_add(claims.seconds),
        "jti": claims.id, "kubernetes.io": kubernetes,
    });
    jwt::sign(&token, issuer.signer.key().await.ok()?)
}

/// The text of a token that is kept in a secret and never expires; `None` if it cannot be signed.
pub(crate) async fn issue_for_secret(issuer: &Issuer, account: &Value, secret: &str) -> Option<String> {
    let (namespace, name) = (meta::namespace(account), meta::name(account));
    let mut token = json!({"iss": LEGACY_ISSUER, "sub": user_name(namespace, name)});
    for (claim, value) in [
        ("namespace", namespace),
        ("secret.name", secret),
        ("service-account.name", name),
        ("service-account.uid", meta::uid(account)),
    ] {
        token[format!("{LEGACY_CLAIM}{claim}")] = json!(value);
    }
    jwt::sign(&token, issuer.signer.key().await.ok()?)
}

fn reference(object: &Value) -> Value {
    let mut reference = json!({"name": meta::name(object)});
    if !meta::uid(object).is_empty() {
        reference["uid"] = json!(meta::uid(object));
    }
    reference
}

/// Whose token it is; `None` if it is none of a service account.
///
/// # Errors
/// Why it is not accepted, in upstream's words.
pub(super) async fn authenticate(
    server: &Arc<Server>,
    text: &str,
    audiences: &[String],
    (annotations, warnings): (&Annotations, &Warnings),
) -> Result<Option<Found>, String> {
    let Some(token) = Token::parse(text) else { return Ok(None) };
    let issuer = &server.authentication.issuer;
    let claimed = token.text("iss");
    let legacy = claimed == LEGACY_ISSUER;
    if !legacy && !issuer.names.iter().any(|name| name == claimed) {
        return Ok(None);
    }
    token.verify(issuer.keys())?;
    let api = &server.authentication.api_audiences;
    let mut meant = token.audiences();
    if meant.is_empty() {
        annotations.add("authentication.k8s.io/legacy-token", token.text("sub"));
        meant.clone_from(api);
    }
    let accepted: Vec<String> = meant.iter().filter(|audience| audiences.contains(audience)).cloned().collect();
    if accepted.is_empty() {
        return Err(audience_error(&meant, audiences));
    }
    let objects = Objects { server, now: server.clock.now() };
    let user = if legacy {
        objects.legacy(text, &token, (annotations, warnings)).await
    } else {
        objects.bound(&token, annotations).await
    };
    user.map(|user| Some(Found { user, audiences: accepted }))
}

/// The objects that a token speaks of, as they are now.
struct Objects<'a> {
    server: &'a Arc<Server>,
    now: Timestamp,
}

impl Objects<'_> {
    async fn bound(&self, token: &Token<'_>, annotations: &Annotations) -> Result<UserInfo, String> {
        check_times(token, self.now)?;
        let nothing = Map::new();
        let claims = token.claims.get("kubernetes.io").and_then(Value::as_object).unwrap_or(&nothing);
        let namespace = claims.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let (name, uid) = reference_of(claims.get("serviceaccount").unwrap_or(&Value::Null));
        self.account(namespace, name, uid).await?;
        let mut user = user(namespace, name, uid);
        let id = token.text("jti");
        if !id.is_empty() {
            user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        if let Some(secret) = claims.get("secret") {
            self.check("secret", ("secrets", namespace), secret).await?;
        }
        let mut note = |kind: &str, reference: &Value| {
            let (name, uid) = reference_of(reference);
            for (field, value) in [("name", name), ("uid", uid)].into_iter().filter(|(_, value)| !value.is_empty()) {
                user.extra.insert(format!("authentication.kubernetes.io/{kind}-{field}"), vec![value.to_owned()]);
            }
        };
        let pod = claims.get("pod");
        if let Some(pod) = pod {
            self.check("pod", ("pods", namespace), pod).await?;
            note("pod", pod);
        }
        if let Some(node) = claims.get("node") {
            // The node of a pod is told, and lives as long as the pod needs it.
            if pod.is_none() {
                self.check("node", ("nodes", ""), node).await?;
            }
            note("node", node);
        }
        if let Some(warn) = claims.get("warnafter").and_then(jwt::seconds)
            && self.now.as_second() > warn
        {
            let late = self.now.as_second() - warn;
            let note = format!("subject: {}, seconds after warning threshold: {late}", token.text("sub"));
            annotations.add("authentication.k8s.io/stale-token", note);
        }
        Ok(user)
    }

    async fn legacy(
        &self,
        text: &str,
        token: &Token<'_>,
        notes: (&Annotations, &Warnings),
    ) -> Result<UserInfo, String> {
        let claim = |name: &str| token.text(&format!("{LEGACY_CLAIM}{name}")).to_owned();
        let (namespace, secret) = (claim("namespace"), claim("secret.name"));
        let (name, uid) = (claim("service-account.name"), claim("service-account.uid"));
        for (value, what) in [
            (token.text("sub"), "sub"),
            (&namespace, "namespace"),
            (&secret, "secretName"),
            (&name, "serviceAccountName"),
            (&uid, "serviceAccountUID"),
        ] {
            if value.is_empty() {
                return Err(format!("{what} claim is missing"));
            }
        }
        if token.text("sub") != user_name(&namespace, &name) {
            return Err("sub claim is invalid".to_owned());
        }
        let kept = self.read("secrets", &namespace, &secret).await;
        let kept = kept.filter(|secret| meta::deletion_timestamp(secret).is_none());
        let kept = kept.ok_or(INVALIDATED)?;
        if super::decode_base64(meta::text(&kept, &["data", "token"])).as_deref() != Some(text.as_bytes()) {
            return Err("service account token does not match server's copy".to_owned());
        }
        let account = self.account(&namespace, &name, &uid).await?;
        legacy_token::used(self.server, (&account, &kept), notes).await?;
        Ok(user(&namespace, &name, &uid))
    }

    async fn account(&self, namespace: &str, name: &str, uid: &str) -> Result<Value, String> {
        let account = self.read("serviceaccounts", namespace, name).await;
        let account = account.ok_or_else(|| format!("serviceaccounts \"{name}\" not found"))?;
        if self.is_gone(&account) {
            return Err(format!("service account {namespace}/{name} has been deleted"));
        }
        if meta::uid(&account) != uid {
            return Err(format!("service account UID ({}) does not match claim ({uid})", meta::uid(&account)));
        }
        Ok(account)
    }

    /// Whether what a token is bound to is still there.
    async fn check(&self, kind: &str, (resource, namespace): (&str, &str), claim: &Value) -> Result<(), String> {
        let (name, uid) = reference_of(claim);
        let object = self.read(resource, namespace, name).await.ok_or(INVALIDATED)?;
        if self.is_gone(&object) {
            return Err(INVALIDATED.to_owned());
        }
        match meta::uid(&object) {
            found if found == uid => Ok(()),
            found => Err(format!("{kind} UID ({found}) does not match service account {kind} ref claim ({uid})")),
        }
    }

    async fn read(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.server.read(resource, namespace, name).await.ok().flatten()
    }

    /// Whether an object was deleted so long ago that every server must know.
    fn is_gone(&self, object: &Value) -> bool {
        let deleted = meta::deletion_timestamp(object).and_then(parse_time);
        deleted.is_some_and(|deleted| deleted.as_second() < self.now.as_second() - LEEWAY_SECONDS)
    }
}

fn reference_of(claim: &Value) -> (&str, &str) {
    (meta::text(claim, &["name"]), meta::text(claim, &["uid"]))
}

fn check_times(token: &Token<'_>, now: Timestamp) -> Result<(), &'static str> {
    let now = now.as_second();
    if token.seconds("nbf").is_some_and(|from| now + LEEWAY_SECONDS < from) {
        return Err("service account token is not valid yet");
    }
    if token.seconds("exp").is_some_and(|until| now - LEEWAY_SECONDS > until) {
        return Err("service account token has expired");
    }
    if token.seconds("iat").is_some_and(|issued| now + LEEWAY_SECONDS < issued) {
        return Err("service account token is issued in the future");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::KeyChoice;

    #[test]
    fn user_names_of_accounts_are_taken_apart() {
        assert_eq!(split_user_name(&user_name("a", "b")), Some(("a", "b")));
        for bad in ["jane", "system:serviceaccount:a", "system:serviceaccount::b", "system:serviceaccount:a:b:c"] {
            assert_eq!(split_user_name(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn tokens_are_valid_in_their_time_give_or_take_a_minute() {
        let issuer = Issuer::new("me", Signer::new(KeyChoice::Curve));
        let account = json!({"metadata": {"namespace": "a", "name": "b", "uid": "u"}});
        let at = |second| Timestamp::from_second(second).unwrap();
        let claims = Claims {
            account: &account,
            bound: &[],
            audiences: &json!(["me"]),
            seconds: 600,
            warn_after: None,
            id: "j",
        };
        let text = issue(&issuer, at(1000), &claims).await.unwrap();
        let token = Token::parse(&text).unwrap();
        let check = |second| check_times(&token, at(second));
        assert_eq!(check(939), Err("service account token is not valid yet"));
        assert_eq!((check(940), check(1660)), (Ok(()), Ok(())));
        assert_eq!(check(1661), Err("service account token has expired"));
    }
}
