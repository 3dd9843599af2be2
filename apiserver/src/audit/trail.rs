//! One request on its way through the server, as far as the audit log cares.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_machinery::clock::SharedClock;
use steersman_machinery::status::Status;

use super::log::{Known, Log};
use super::policy::{Decision, Level, Stage};
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
    /// How much of the request is logged; nothing is decided before it is known who sends it.
    decision: Option<Decision>,
}

/// What became of a request.
pub(crate) struct Answered<'a> {
    pub(crate) code: u16,
    /// The failure, if it is one.
    pub(crate) failure: Option<&'a Status>,
    /// Whether the answer goes on for as long as the client wants.
    pub(crate) goes_on: bool,
    pub(crate) now: Timestamp,
}

/// Logs the end of an answer that goes on, when it is dropped.
pub(crate) struct End(Arc<Inner>, SharedClock, Value);

impl Drop for End {
    fn drop(&mut self) {
        self.0.log(Stage::ResponseComplete, self.1.now(), Some(&self.2), (None, None));
    }
}

impl Trail {
    /// Begins one if somebody wants to know; `about` is not called otherwise.
    pub(crate) fn begin(audit: &Arc<Audit>, about: impl FnOnce() -> About) -> Self {
        let begin = || Arc::new(Inner { audit: audit.clone(), about: about(), notes: Mutex::default() });
        Self(audit.is_on().then(begin))
    }

    /// The sender is known.
    pub(crate) fn authenticated(&self, user: &UserInfo, now: Timestamp) {
        self.note(|notes| notes.user = Some(user.clone()));
        let Some((inner, log)) = self.log() else { return };
        inner.notes.lock().decision = Some(log.policy.decide(user, &inner.about.info));
        inner.log(Stage::RequestReceived, now, None, (None, None));
    }

    /// How much of the request is logged.
    pub(crate) fn level(&self) -> Level {
        let decided = self.0.as_ref().and_then(|inner| inner.notes.lock().decision.as_ref().map(|it| it.level));
        decided.unwrap_or(Level::None)
    }

    fn log(&self) -> Option<(&Arc<Inner>, &Log)> {
        let inner = self.0.as_ref()?;
        Some((inner, inner.audit.log.as_ref()?))
    }

    /// From here on the request is done as `user`.
    pub fn impersonated(&self, user: &UserInfo) {
        self.note(|notes| notes.impersonated = Some(user.clone()));
    }

    /// Besides what the request says, its user needed to be allowed this.
    pub(crate) fn needed(&self, user: &UserInfo, info: impl FnOnce() -> RequestInfo) {
        self.note(|notes| notes.needed.push(Needed { user: user.name.clone(), info: info() }));
    }

    /// The answer is there. `bodies` are those of the request and of the answer, as far as [`Trail::level`] wants them.
    pub(crate) fn answered(&self, answered: &Answered<'_>, bodies: (Option<Value>, Option<Value>)) {
        let Some(inner) = &self.0 else { return };
        if let Some(history) = &inner.audit.history {
            history.push(inner.record(answered.code));
        }
        let Some(log) = &inner.audit.log else { return };
        let mut outcome = outcome(answered);
        // Who sent it is not known: somebody without a name or group.
        let refused = inner.notes.lock().decision.is_none();
        if refused {
            inner.notes.lock().decision = Some(log.policy.decide(&UserInfo::default(), &inner.about.info));
            outcome["message"] = json!("Authentication failed");
        }
        let stage = if answered.goes_on || refused { Stage::ResponseStarted } else { Stage::ResponseComplete };
        inner.log(stage, answered.now, Some(&outcome), (bodies.0.as_ref(), bodies.1.as_ref()));
    }

    /// What has to be dropped when an answer ends that goes on.
    pub(crate) fn end(&self, code: u16, clock: &SharedClock) -> Option<End> {
        let (inner, _) = self.log()?;
        Some(End(inner.clone(), clock.clone(), json!({"metadata": {}, "code": code})))
    }

    fn note(&self, take: impl FnOnce(&mut Notes)) {
        if let Some(inner) = &self.0 {
            take(&mut inner.notes.lock());
        }
    }
}

/// The failure without what every failure has, or the code alone.
fn outcome(answered: &Answered<'_>) -> Value {
    let failure = answered.failure.and_then(|failure| serde_json::to_value(failure).ok());
    let mut outcome = failure.unwrap_or_else(|| json!({"metadata": {}, "code": answered.code}));
    if let Some(outcome) = outcome.as_object_mut() {
        outcome.remove("kind");
        outcome.remove("apiVersion");
    }
    outcome
}

impl Inner {
    fn log(
        &self,
        stage: Stage,
        now: Timestamp,
        outcome: Option<&Value>,
        (request, response): (Option<&Value>, Option<&Value>),
    ) {
        let (Some(log), notes) = (&self.audit.log, self.notes.lock()) else { return };
        let Some(decision) = notes.decision.as_ref().filter(|decision| decision.level > Level::None) else { return };
        let (nobody, about) = (UserInfo::default(), &self.about);
        let (user, impersonated) = (notes.user.as_ref().unwrap_or(&nobody), notes.impersonated.as_ref());
        log.write(stage, now, &Known { about, decision, user, impersonated, outcome, request, response });
    }

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
