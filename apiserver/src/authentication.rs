//! Who sends a request: a client certificate, a bearer token, or nobody.
//! Source: Kubernetes doc "Authenticating".

mod bearer;
mod bootstrap_token;
mod jwt;
pub mod keys;
mod legacy_token;
pub mod request_header;
mod rsa;
pub mod service_account;
mod signer;
mod token_file;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use steersman_machinery::field::go_quote;
use steersman_machinery::status::Status;

use self::keys::PublicKey;
use self::service_account::Issuer;
pub use self::signer::{KeyChoice, Signer};
pub use self::token_file::Tokens;
use crate::audit::Annotations;
use crate::http::warnings::Warnings;
use crate::server::Server;
use crate::service::Call;

/// The group whose members may do everything.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// The group of every service account.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// The group of those who did not say who they are.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The key of what identifies the credentials, in [`UserInfo::extra`].
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// The name of those who issue tokens unless another one is chosen.
pub const DEFAULT_ISSUER: &str = "https://localhost";

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name.
    pub name: String,
    /// A stable identifier; may be empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the authenticator said, by lower-case key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user who is known, member of these groups and of `system:authenticated`.
    pub fn known(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain([&AUTHENTICATED]).map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// The administrator as whom in-process clients act.
    pub fn admin() -> Self {
        Self::known("kubernetes-admin", &[SYSTEM_MASTERS])
    }

    /// Somebody who did not say who they are.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// The form of `authentication.k8s.io/v1` `UserInfo`, as in reviews and admission requests.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            json["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            json["extra"] = json!(self.extra);
        }
        json
    }

    /// Whether nobody is known to have sent the request.
    pub fn is_anonymous(&self) -> bool {
        self.name == "system:anonymous"
    }
}

/// How requests are authenticated. The default accepts no static token, issues tokens of service accounts with a new key
/// under the name [`DEFAULT_ISSUER`], and lets in who says nothing as anonymous.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Bearer tokens that are known beforehand.
    pub tokens: Tokens,
    /// The names under which tokens of service accounts are accepted; the first is that of new ones.
    pub issuers: Vec<String>,
    /// The key that signs them.
    pub signing_key: KeyChoice,
    /// Keys whose tokens are accepted besides those of `signing_key`.
    pub keys: Vec<PublicKey>,
    /// The audiences of the API server; if there are none, the first issuer.
    pub api_audiences: Vec<String>,
    /// The longest life of a token in seconds, if there is one.
    pub max_token_seconds: Option<i64>,
    /// Where the keys can be had, if not at this server.
    pub jwks_uri: Option<String>,
    /// Whether whoever says nothing is refused rather than anonymous.
    pub refuse_anonymous: bool,
    /// Whether nodes that are to join may say who they are by a secret in `kube-system`.
    pub bootstrap_tokens: bool,
}

/// How requests are authenticated, ready to be used.
#[derive(Debug)]
pub struct Authentication {
    /// Bearer tokens that are known beforehand.
    pub tokens: Tokens,
    /// Who issues tokens of service accounts, and which are accepted.
    pub issuer: Issuer,
    /// The audiences of the API server.
    pub api_audiences: Vec<String>,
    /// Where the keys can be had, if not at this server.
    pub jwks_uri: Option<String>,
    refuse_anonymous: bool,
    bootstrap_tokens: bool,
}

impl Authentication {
    /// Fills in what is left open.
    pub fn new(options: Options) -> Self {
        let mut issuer = Issuer::new(DEFAULT_ISSUER, Signer::new(options.signing_key));
        if !options.issuers.is_empty() {
            issuer.names = options.issuers;
        }
        issuer.others = options.keys;
        issuer.max_seconds = options.max_token_seconds;
        let default_audiences = || vec![issuer.name().to_owned()];
        Self {
            api_audiences: if options.api_audiences.is_empty() { default_audiences() } else { options.api_audiences },
            tokens: options.tokens,
            issuer,
            jwks_uri: options.jwks_uri,
            refuse_anonymous: options.refuse_anonymous,
            bootstrap_tokens: options.bootstrap_tokens,
        }
    }
}

/// Whose credentials are known before the request is read.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identity {
    /// The request says itself who sends it.
    #[default]
    Unknown,
    /// A verified certificate or the process itself says who sends it.
    Known(UserInfo),
    /// Somebody who may say for whom they ask; if they do not, they are who comes with it.
    Proxy(Box<Identity>),
    /// There is a certificate, but not one that is accepted.
    Refused,
}

/// Whose token it is, and which of the audiences that were asked for it is meant for.
pub(crate) struct Found {
    pub(crate) user: UserInfo,
    pub(crate) audiences: Vec<String>,
}

/// Finds out who sends a request. Credentials that were used are taken out of it.
///
/// # Errors
/// 401 for credentials that are not accepted: they never make somebody anonymous.
pub(crate) async fn authenticate(call: &mut Call, identity: &Identity) -> Result<UserInfo, Status> {
    let identity = match identity {
        Identity::Proxy(own) => {
            let names = call.server.front_proxy.get().map(|proxy| &proxy.headers);
            if let Some(user) = names.and_then(|names| names.take_user(&mut call.headers)) {
                return Ok(known(user));
            }
            own
        }
        identity => identity,
    };
    if let Identity::Known(user) = identity {
        call.headers.remove(AUTHORIZATION);
        return Ok(known(user.clone()));
    }
    let refused = |why: String| {
        tracing::debug!(reason = %why, "unable to authenticate the request");
        Status::unauthorized()
    };
    let token = bearer::token(&call.headers, &call.warnings).map_err(|why| refused(why.to_owned()))?;
    let Some(token) = token else {
        let anonymous = !call.server.authentication.refuse_anonymous && !matches!(identity, Identity::Refused);
        return if anonymous { Ok(UserInfo::anonymous()) } else { Err(Status::unauthorized()) };
    };
    let audiences = &call.server.authentication.api_audiences;
    let found =
        find(&call.server, &token.text, audiences, (&call.annotations, &call.warnings)).await.map_err(refused)?;
    token.take_out(&mut call.headers);
    Ok(found.user)
}

/// Finds out whose token it is, and for which of `audiences`.
///
/// # Errors
/// Why it is not accepted, in upstream's words.
pub(crate) async fn find(
    server: &Arc<Server>,
    token: &str,
    audiences: &[String],
    notes: (&Annotations, &Warnings),
) -> Result<Found, String> {
    let authentication = &server.authentication;
    // Who knows nothing of audiences speaks for those of the API server.
    let api = authentication.api_audiences.iter();
    let meant: Vec<String> = api.filter(|audience| audiences.contains(audience)).cloned().collect();
    let here = |user: UserInfo| Found { user: known(user), audiences: meant.clone() };
    if let Some(user) = authentication.tokens.find(token).filter(|_| !meant.is_empty()) {
        return Ok(here(user.clone()));
    }
    let failure = match service_account::authenticate(server, token, audiences, notes).await {
        Ok(Some(found)) => return Ok(Found { user: known(found.user), ..found }),
        Ok(None) => bearer::INVALID.to_owned(),
        Err(why) => format!("[{}, {why}]", bearer::INVALID),
    };
    if authentication.bootstrap_tokens
        && !meant.is_empty()
        && let Some(user) = bootstrap_token::authenticate(server, token).await
    {
        return Ok(here(user));
    }
    Err(failure)
}

/// Somebody who is known is a member of a group that says so.
fn known(mut user: UserInfo) -> UserInfo {
    if !user.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// Upstream's complaint about a token that is meant for others.
fn audience_error(meant: &[String], wanted: &[String]) -> String {
    let list = |items: &[String]| items.iter().map(|item| go_quote(item)).collect::<Vec<_>>().join(" ");
    format!("token audiences [{}] is invalid for the target audiences [{}]", list(meant), list(wanted))
}

/// The bytes of a value of a secret.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
