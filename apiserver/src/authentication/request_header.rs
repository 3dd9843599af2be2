//! A proxy in front that says in headers for whom it asks: whom this server believes, and as whom it asks others itself.
//! Source: Kubernetes doc "Configure the Aggregation Layer"; `k8s.io/apiserver/pkg/authentication/request/headerrequest`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use steersman_machinery::status::Status;

use super::{SYSTEM_MASTERS, UserInfo};
use crate::handlers;
use crate::server::Server;
use crate::tls;

/// The object in `kube-system` by which other API servers learn whom to believe.
const PUBLISHED: &str = "extension-apiserver-authentication";

/// Where the headers are in which a proxy says for whom it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// Those of the user name; the first that is there and not empty counts.
    pub user: Vec<String>,
    /// Those of the uid; likewise.
    pub uid: Vec<String>,
    /// Those of the groups; all of them count.
    pub group: Vec<String>,
    /// What the names begin with of those of anything else; the rest of the name is its key.
    pub extra_prefixes: Vec<String>,
}

impl Default for HeaderNames {
    /// Those that kube-apiserver itself sends, and that kubeadm configures.
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            user: one("X-Remote-User"),
            uid: one("X-Remote-Uid"),
            group: one("X-Remote-Group"),
            extra_prefixes: one("X-Remote-Extra-"),
        }
    }
}

/// A proxy in front of API servers: who it is, and whom to believe that they are it.
#[derive(Clone)]
pub struct FrontProxy {
    /// The certificates, PEM, of whoever signs the certificates of proxies. Anybody whom they sign may be anybody: never give
    /// the authority of clients.
    pub authority: String,
    /// The common names that a proxy may have; any, if there are none.
    pub allowed_names: Vec<String>,
    /// Where a proxy says for whom it asks.
    pub headers: HeaderNames,
    /// As whom this server asks other API servers, if it shows a certificate.
    pub client: Option<tls::Identity>,
}

impl FrontProxy {
    /// A new proxy, with an authority of its own that signs nobody else. The common name is the one that kubeadm gives it.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn generate(authority: &tls::Authority) -> Result<Self, tls::Error> {
        const NAME: &str = "front-proxy-client";
        Ok(Self {
            authority: authority.certificate(),
            allowed_names: vec![NAME.to_owned()],
            headers: HeaderNames::default(),
            client: Some(authority.client(NAME, &[])?),
        })
    }
}

impl std::fmt::Debug for FrontProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FrontProxy").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl HeaderNames {
    /// For whom the proxy asks; the headers that say it are taken out. `None` if it does not say it.
    pub(super) fn take_user(&self, headers: &mut HeaderMap) -> Option<UserInfo> {
        let name = first(headers, &self.user)?;
        let groups = self.group.iter().flat_map(|name| texts(headers, name)).collect();
        let mut user =
            UserInfo { name, uid: first(headers, &self.uid).unwrap_or_default(), groups, ..UserInfo::default() };
        user.extra = self.extra(headers);
        self.take_out(headers);
        Some(user)
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in self.extra_prefixes.iter().map(|prefix| prefix.to_ascii_lowercase()) {
            for name in headers.keys() {
                let Some(key) = name.as_str().strip_prefix(&prefix) else { continue };
                // A key that is no text stays as it was sent.
                let key = percent_decode(key.as_bytes())
                    .decode_utf8()
                    .map_or_else(|_| key.to_owned(), |key| key.into_owned());
                extra.entry(key.to_lowercase()).or_default().extend(texts(headers, name.as_str()));
            }
        }
        extra
    }

    fn take_out(&self, headers: &mut HeaderMap) {
        let prefixes: Vec<String> = self.extra_prefixes.iter().map(|prefix| prefix.to_ascii_lowercase()).collect();
        let known = [&self.user, &self.uid, &self.group].into_iter().flatten().map(|name| name.to_ascii_lowercase());
        let known: Vec<String> = known.collect();
        let said = |name: &HeaderName| {
            known.iter().any(|it| it == name.as_str())
                || prefixes.iter().any(|prefix| name.as_str().starts_with(prefix))
        };
        let names: Vec<HeaderName> = headers.keys().filter(|name| said(name)).cloned().collect();
        names.into_iter().for_each(|name| drop(headers.remove(name)));
    }
}

fn texts(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// The first value of the first of these headers that has one.
fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    names.iter().filter_map(|name| texts(headers, name).into_iter().next()).find(|text| !text.is_empty())
}

/// Tells other API servers whom to believe: who signs the certificates of clients, and of proxies. What somebody else wrote
/// beside it stays.
///
/// # Errors
/// If it cannot be written.
pub(crate) async fn publish(server: &Arc<Server>, client_authority: &str, proxy: &FrontProxy) -> Result<(), Status> {
    let list = |names: &[String]| json!(names).to_string();
    let data = json!({
        "client-ca-file": client_authority,
        "requestheader-allowed-names": list(&proxy.allowed_names),
        "requestheader-client-ca-file": proxy.authority,
        "requestheader-extra-headers-prefix": list(&proxy.headers.extra_prefixes),
        "requestheader-group-headers": list(&proxy.headers.group),
        "requestheader-uid-headers": list(&proxy.headers.uid),
        "requestheader-username-headers": list(&proxy.headers.user),
    });
    let place = "/api/v1/namespaces/kube-system/configmaps";
    let user = || UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
    let Some(mut found) = server.read("configmaps", "kube-system", PUBLISHED).await? else {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": PUBLISHED, "namespace": "kube-system"}, "data": data,
        });
        return handlers::perform(server, user(), (Method::POST, place), &object).await;
    };
    let before = found.clone();
    for (key, value) in data.as_object().into_iter().flatten() {
        steersman_machinery::meta::set(&mut found, &["data", key], value.clone());
    }
    if found == before {
        return Ok(());
    }
    found["apiVersion"] = Value::from("v1");
    found["kind"] = Value::from("ConfigMap");
    handlers::perform(server, user(), (Method::PUT, &format!("{place}/{PUBLISHED}")), &found).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_proxy_says_in_headers_for_whom_it_asks() {
        let mut said = headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-user", "joe"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-extra-acme.com%2Fproject", "a"),
            ("x-remote-extra-acme.com%2fproject", "b"),
            ("x-remote-extra-scopes", ""),
            ("x-remote-extra-%zz", "c"),
            ("accept", "application/json"),
        ]);
        let user = HeaderNames::default().take_user(&mut said).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str(), user.groups.join(" ")), ("jane", "7", "dev ops".to_owned()));
        let extra = json!({"acme.com/project": ["a", "b"], "scopes": [""], "%zz": ["c"]});
        assert_eq!(json!(user.extra), extra);
        assert_eq!(said, headers(&[("accept", "application/json")]), "nobody is told twice");
    }

    #[test]
    fn without_a_name_nobody_is_meant() {
        let names = HeaderNames::default();
        for said in [&[("x-remote-group", "system:masters")][..], &[("x-remote-user", "")], &[]] {
            let mut said = headers(said);
            let before = said.clone();
            assert_eq!(names.take_user(&mut said), None);
            assert_eq!(said, before);
        }
        let others = HeaderNames { user: vec!["X-A".to_owned(), "X-B".to_owned()], ..names };
        let mut said = headers(&[("x-a", ""), ("x-b", "jane"), ("x-remote-user", "joe")]);
        assert_eq!(others.take_user(&mut said).unwrap().name, "jane");
    }
}
