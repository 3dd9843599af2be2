//! Whom a call goes to, from the `clientConfig` of a webhook or the `service` of an API service.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use steersman_machinery::meta;

use crate::tls::Identity;

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// Whom a call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host and port as they show in URLs.
    pub(crate) authority: String,
    /// The path, with its leading slash.
    pub(crate) path: String,
    /// The name that the certificate must have.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// The service behind which the other end stands; `None` if the host is an address or a name that DNS knows.
    pub(crate) service: Option<ServicePort>,
    /// Whose certificates are accepted.
    pub(crate) trust: Trust,
    /// Whether the other end is told by a certificate that it is this server who asks.
    pub(crate) as_front_proxy: bool,
    /// The certificate by which the other end is told who asks, if it is another one.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// Whose certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Those that these authorities signed, in PEM.
    Bundle(Vec<u8>),
    /// Those that an authority signed that the machine trusts.
    System,
    /// Everybody's.
    Anybody,
}

impl Target {
    /// Reads a `clientConfig`.
    ///
    /// # Errors
    /// If it names neither a service nor a URL that can be read.
    pub(crate) fn from_client_config(config: &Value) -> Result<Self, String> {
        let trust = match STANDARD.decode(meta::text(config, &["caBundle"])) {
            Ok(bundle) if bundle.is_empty() => Trust::System,
            Ok(bundle) => Trust::Bundle(bundle),
            Err(_) => Trust::Bundle(vec![0]),
        };
        if let Some(service) = config.get("service").filter(|service| service.is_object()) {
            return Ok(Self { path: clean(meta::text(service, &["path"])), ..Self::service(service, trust) });
        }
        match meta::text(config, &["url"]) {
            "" => Err("webhook configuration must have either service or URL".to_owned()),
            url => Self::url(url, trust).ok_or_else(|| format!("Unparsable URL: {url}")),
        }
    }

    /// A reference to a service, as webhooks and API services have it.
    pub(crate) fn service(service: &Value, trust: Trust) -> Self {
        let (name, namespace) =
            (meta::text(service, &["name"]).to_owned(), meta::text(service, &["namespace"]).to_owned());
        let port = meta::at(service, &["port"]).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port = port.unwrap_or(HTTPS);
        let host = format!("{name}.{namespace}.svc");
        Self {
            authority: format!("{host}:{port}"),
            path: "/".to_owned(),
            host,
            port,
            service: Some(ServicePort { namespace, name, port }),
            trust,
            as_front_proxy: false,
            identity: None,
        }
    }

    fn url(url: &str, trust: Trust) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self {
            authority: authority.to_string(),
            path: clean(uri.path()),
            host,
            port: authority.port_u16().unwrap_or(HTTPS),
            service: None,
            trust,
            as_front_proxy: false,
            identity: None,
        })
    }
}

/// A path as Go's `path.Join` leaves it: with a slash in front, without empty steps, steps back and a slash at the end.
fn clean(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    format!("/{}", steps.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_a_service_or_a_url() {
        let check = |config: Value, expect: &str| {
            let got = match Target::from_client_config(&config) {
                Ok(target) => format!("{}{} {} {}", target.authority, target.path, target.host, target.port),
                Err(why) => why,
            };
            assert_eq!(got, expect);
        };
        check(
            json!({"service": {"name": "s", "namespace": "n", "path": "/a/b/", "port": 8443}}),
            "s.n.svc:8443/a/b s.n.svc 8443",
        );
        check(json!({"service": {"name": "s", "namespace": "n"}}), "s.n.svc:443/ s.n.svc 443");
        check(json!({"url": "https://example.com/hook"}), "example.com/hook example.com 443");
        check(json!({"url": "https://127.0.0.1:1"}), "127.0.0.1:1/ 127.0.0.1 1");
        check(json!({"url": "https://[::1]:8443/x/../y"}), "[::1]:8443/y ::1 8443");
        check(json!({}), "webhook configuration must have either service or URL");
        check(json!({"url": "https://"}), "Unparsable URL: https://");
    }
}
