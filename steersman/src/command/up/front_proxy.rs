//! The flags of kube-apiserver about proxies in front of it, and about this server in front of others.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use steersman_apiserver::authentication::request_header::{FrontProxy, HeaderNames};
use steersman_apiserver::tls::Identity;

use super::read;

/// Source: Kubernetes docs "kube-apiserver", "Configure the Aggregation Layer".
#[derive(Args, Debug)]
#[group(id = "front-proxy")]
pub(crate) struct Flags {
    /// The certificates (PEM) of whoever signs the certificates of proxies, who may say in headers for whom they ask. Never
    /// those of who signs the certificates of users.
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// The common names that a proxy may have, separated by commas; any if nothing is said.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    requestheader_allowed_names: Vec<String>,
    /// The headers in which proxies name the user, separated by commas. The first that is not empty counts.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "X-Remote-User")]
    requestheader_username_headers: Vec<String>,
    /// The headers in which they tell the user's uid.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "X-Remote-Uid")]
    requestheader_uid_headers: Vec<String>,
    /// The headers in which they tell the user's groups.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "X-Remote-Group")]
    requestheader_group_headers: Vec<String>,
    /// What the headers begin with in which they tell anything else of the user.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "X-Remote-Extra-")]
    requestheader_extra_headers_prefix: Vec<String>,
    /// The certificate (PEM) by which other API servers know that it is this one that passes a request on. It is to be signed
    /// by an authority of --requestheader-client-ca-file.
    #[arg(long, value_name = "FILE", requires_all = ["proxy_client_key_file", "requestheader_client_ca_file"])]
    proxy_client_cert_file: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "proxy_client_cert_file")]
    proxy_client_key_file: Option<PathBuf>,
}

impl Flags {
    /// The proxy, with the files read; `None` if nobody is named.
    pub(super) fn read(&self) -> Result<Option<FrontProxy>> {
        let Some(authority) = &self.requestheader_client_ca_file else { return Ok(None) };
        let client = match (&self.proxy_client_cert_file, &self.proxy_client_key_file) {
            (Some(certificate), Some(key)) => Some(Identity { certificate: read(certificate)?, key: read(key)? }),
            _ => None,
        };
        let names = |list: &[String]| list.iter().filter(|name| !name.is_empty()).cloned().collect();
        Ok(Some(FrontProxy {
            authority: read(authority)?,
            allowed_names: names(&self.requestheader_allowed_names),
            headers: HeaderNames {
                user: names(&self.requestheader_username_headers),
                uid: names(&self.requestheader_uid_headers),
                group: names(&self.requestheader_group_headers),
                extra_prefixes: names(&self.requestheader_extra_headers_prefix),
            },
            client,
        }))
    }
}
