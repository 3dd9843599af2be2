//! The flags of kube-apiserver that say whom the server believes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use jiff::SignedDuration;
use steersman_apiserver::authentication::keys::{PublicKey, SigningKey};
use steersman_apiserver::authentication::{KeyChoice, Options, Tokens};

use super::read;

/// Source: Kubernetes doc "kube-apiserver".
#[derive(Args, Debug)]
#[group(id = "authentication")]
pub(crate) struct Flags {
    /// Bearer tokens to accept: lines of `token,user,uid,"group1,group2"`.
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// Who issues the tokens of service accounts. Given several times, the first issues and all are accepted.
    #[arg(long, value_name = "NAME")]
    service_account_issuer: Vec<String>,
    /// The private key (PEM) that signs the tokens of service accounts, RSA or on the curve P-256 or P-384. Without it, a new
    /// RSA key is made when the first token is asked for.
    #[arg(long, value_name = "FILE")]
    service_account_signing_key_file: Option<PathBuf>,
    /// A key (PEM) whose tokens of service accounts are accepted, besides the one that signs. May be given several times.
    #[arg(long, value_name = "FILE")]
    service_account_key_file: Vec<PathBuf>,
    /// The longest life of a token of a service account, such as `24h`.
    #[arg(long, value_name = "DURATION")]
    service_account_max_token_expiration: Option<SignedDuration>,
    /// Where clients find the keys for tokens of service accounts, if not at this server.
    #[arg(long, value_name = "URL")]
    service_account_jwks_uri: Option<String>,
    /// Whom tokens have to be meant for, separated by commas; the issuer if nothing is said.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    api_audiences: Vec<String>,
    /// Whether requests without credentials are those of the user `system:anonymous`, or refused.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    anonymous_auth: bool,
    /// Accept secrets of the type `bootstrap.kubernetes.io/token` in `kube-system` as bearer tokens.
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set)]
    enable_bootstrap_token_auth: bool,
}

impl Flags {
    /// What the flags say, with the files read.
    pub(super) fn options(&self) -> Result<Options> {
        let mut options = Options {
            issuers: self.service_account_issuer.clone(),
            signing_key: KeyChoice::Rsa,
            api_audiences: self.api_audiences.clone(),
            max_token_seconds: self.max_seconds()?,
            jwks_uri: self.service_account_jwks_uri.clone(),
            refuse_anonymous: !self.anonymous_auth,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            ..Options::default()
        };
        if options.issuers.iter().any(String::is_empty) {
            bail!("--service-account-issuer must not be empty");
        }
        if let Some(path) = &self.token_auth_file {
            let tokens = Tokens::parse(&read(path)?).map_err(anyhow::Error::msg);
            options.tokens = tokens.with_context(|| path.display().to_string())?;
        }
        if let Some(path) = &self.service_account_signing_key_file {
            let key = SigningKey::read_pem(&read(path)?).with_context(|| path.display().to_string())?;
            options.signing_key = KeyChoice::Given(key);
        }
        for path in &self.service_account_key_file {
            options.keys.extend(PublicKey::read_pem(&read(path)?).with_context(|| path.display().to_string())?);
        }
        Ok(options)
    }

    /// Source: `k8s.io/kubernetes/pkg/kubeapiserver/options` (between an hour and 2^32 seconds).
    fn max_seconds(&self) -> Result<Option<i64>> {
        let seconds = self.service_account_max_token_expiration.map(|longest| longest.as_secs());
        match seconds {
            Some(seconds) if !(3600..=1 << 32).contains(&seconds) => {
                bail!("--service-account-max-token-expiration must be at least an hour and at most 2^32 seconds")
            }
            seconds => Ok(seconds),
        }
    }
}
