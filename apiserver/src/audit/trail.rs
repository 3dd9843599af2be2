//! One request on its way through the server, as far as the audit log cares.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Annotations, Audit, Needed, Record};
use crate::authentication::UserInfo;
use crate::http::request_info::RequestInfo;

/// What is known of a request before anybody looked at it.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) audit_id: String,
    pub(crate) received: Timestamp,
    pub(crate) info: RequestInfo,
    pub(crate) user_agent: String,
    pub(crate) annotations: Annotations,
    pub(crate) source_ips: Vec<IpAddr>,
    /// As it was asked for, with the query.
    pub(crate) uri: String,
}

/// Where a request came from: the client first, then the proxies as far as they say so, the connection last.
/// Source: `k8s.io/apimachinery/pkg/util/net.SourceIPs`.
pub(crate) fn source_ips(headers: &HeaderMap, peer: Option<SocketAddr>) -> Vec<IpAddr> {
    let texts = |name: &str| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let forwarded = texts("X-Forwarded-For").flat_map(|value| value.split(','));
    let mut ips: Vec<IpAddr> = forwarded.filter_map(|ip| ip.trim().parse().ok()).collect();
    let real = texts("X-Real-Ip").filter_map(|ip| ip.parse().ok());
    for ip in real.chain(peer.map(|peer| peer.ip().to_canonical())) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips
}

/// The trail that a request leaves. Clones are the same one; it is nothing if nobody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Trail(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    audit: Arc<Audit>,
    about: About,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    user: Option<UserInfo>,
    impersonated: Option<UserInfo>,
    needed: Vec<Needed>,
}

impl Trail {
    /// Begins one if somebody wants to know; `about` is not called otherwise.
    pub(crate) fn begin(audit: &Arc<Audit>, about: impl FnOnce() -> About) -> Self {
        let begin = || Arc::new(Inner { audit: audit.clone(), about: about(), notes: Mutex::default() });
        Self(audit.is_on().then(begin))
    }

    /// The sender is known.
    pub(crate) fn authenticated(&self, user: &UserInfo) {
        self.note(|notes| notes.user = Some(user.clone()));
    }

    /// From here on the request is done as `user`.
    pub fn impersonated(&self, user: &UserInfo) {
        self.note(|notes| notes.impersonated = Some(user.clone()));
    }

    /// Besides what the request says, its user needed to be allowed this.
    pub(crate) fn needed(&self, user: &UserInfo, info: impl FnOnce() -> RequestInfo) {
        self.note(|notes| notes.needed.push(Needed { user: user.name.clone(), info: info() }));
    }

    /// The answer is there.
    pub(crate) fn answered(&self, code: u16) {
        let Some(inner) = &self.0 else { return };
        if let Some(history) = &inner.audit.history {
            history.push(inner.record(code));
        }
    }

    fn note(&self, take: impl FnOnce(&mut Notes)) {
        if let Some(inner) = &self.0 {
            take(&mut inner.notes.lock());
        }
    }
}

impl Inner {
    fn record(&self, code: u16) -> Record {
        let notes = self.notes.lock();
        let sender = notes.user.clone().unwrap_or_else(UserInfo::anonymous);
        let (user, impersonator) = match notes.impersonated.clone() {
            Some(impersonated) => (impersonated, Some(sender)),
            None => (sender, None),
        };
        Record {
            audit_id: self.about.audit_id.clone(),
            received: self.about.received,
            user,
            impersonator,
            info: self.about.info.clone(),
            user_agent: self.about.user_agent.clone(),
            uri: self.about.uri.clone(),
            source_ips: self.about.source_ips.clone(),
            code,
            annotations: self.about.annotations.get(),
            needed: notes.needed.clone(),
        }
    }
}
