//! Who may do what: the Node authorizer and RBAC, one after the other; members of `system:masters` pass before both.
//! Source: Kubernetes doc "Authorization"; `k8s.io/apiserver/pkg/authorization/{authorizer,union}`.
//!
//! A decision is made on snapshots of the store that are taken for the request, so that a role that was changed counts
//! from the next request on. What was read of the roles is kept as long as the store shows the same objects.

pub mod bootstrap;
pub(crate) mod escalation;
pub mod node;
pub(crate) mod parameters;
pub mod rbac;
mod refusal;
pub mod rule;

use std::sync::Arc;

use arc_swap::ArcSwap;
use steersman_machinery::status::Status;
use steersman_store::{At, Snapshot, Store};

use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::http::request_info::RequestInfo;
use crate::server::{Server, unavailable};
use crate::service::Call;

use self::node::Relations;
use self::rbac::Index;
use self::rule::PolicyRule;

pub use refusal::forbidden;

/// What is to be decided: whether a user may do something.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who wants to.
    pub user: &'a UserInfo,
    /// What they want to do; for paths the method in lower case.
    pub verb: &'a str,
    /// To what.
    pub target: Target<'a>,
    /// The field selector of a list, watch or deletecollection as text; empty if there is none.
    pub field_selector: &'a str,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A resource, or an object of it.
    Resource {
        /// The API group.
        group: &'a str,
        /// The resource.
        resource: &'a str,
        /// The subresource; may be empty.
        subresource: &'a str,
        /// The namespace; empty at the cluster scope.
        namespace: &'a str,
        /// The name; may be empty.
        name: &'a str,
    },
    /// A path that is no resource.
    Path(&'a str),
}

impl<'a> Attributes<'a> {
    /// What a request is about, done by `user`.
    pub fn of(user: &'a UserInfo, info: &'a RequestInfo) -> Self {
        let target = match info.is_resource {
            false => Target::Path(&info.path),
            true => Target::Resource {
                group: &info.group,
                resource: &info.resource,
                subresource: &info.subresource,
                namespace: &info.namespace,
                name: &info.name,
            },
        };
        Self { user, verb: &info.verb, target, field_selector: &info.field_selector }
    }

    /// The same with another verb.
    #[must_use]
    pub fn with_verb<'b>(self, verb: &'b str) -> Attributes<'b>
    where
        'a: 'b,
    {
        Attributes { verb, ..self }
    }

    fn namespace(&self) -> &'a str {
        match self.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        }
    }
}

/// What authorizers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, whatever others say. None of the authorizers that there are says so.
    Deny,
    /// Not yes. If nobody says yes, it is no.
    #[default]
    NoOpinion,
}

/// A decision and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Why, for people; may be empty.
    pub reason: String,
}

impl Verdict {
    /// Yes, because of that.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Allow, reason: reason.into() }
    }

    /// Not yes, because of that.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: reason.into() }
    }

    /// Whether it is yes.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}

/// Decides on behalf of a server.
#[derive(Debug, Default)]
pub struct Authorizer {
    rbac: ArcSwap<Index>,
}

/// Everything that decisions need, as of one moment. Deciding on it waits for nothing.
#[derive(Clone, Debug)]
pub struct View {
    rbac: Arc<Index>,
    relations: Option<Relations>,
}

/// What a user may do in a namespace, as far as it can be told.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<PolicyRule>,
    /// Whether there are authorizers that cannot list what they allow.
    pub incomplete: bool,
    /// What could not be found out.
    pub errors: Vec<String>,
}

impl Authorizer {
    /// A view for decisions about any user.
    pub async fn view(&self, store: &dyn Store) -> Result<View, Status> {
        let relations = Some(Relations::take(store).await?);
        Ok(View { relations, rbac: self.roles(store).await? })
    }

    /// A view for decisions about that user.
    async fn view_for(&self, user: &UserInfo, store: &dyn Store) -> Result<View, Status> {
        match node::identity(user) {
            Some(_) => self.view(store).await,
            None => Ok(View { relations: None, rbac: self.roles(store).await? }),
        }
    }

    async fn roles(&self, store: &dyn Store) -> Result<Arc<Index>, Status> {
        let snapshots = rbac::Snapshots {
            cluster_roles: latest(store, rbac::CLUSTER_ROLES).await?,
            roles: latest(store, rbac::ROLES).await?,
            cluster_role_bindings: latest(store, rbac::CLUSTER_ROLE_BINDINGS).await?,
            role_bindings: latest(store, rbac::ROLE_BINDINGS).await?,
        };
        let known = self.rbac.load();
        if known.is_current(&snapshots) {
            return Ok(Arc::clone(&known));
        }
        let index = Arc::new(known.renewed(snapshots));
        // Of two that renew it at a time the later to finish may have the older snapshots. Each decides on its own, and
        // whoever comes next compares again.
        self.rbac.store(Arc::clone(&index));
        Ok(index)
    }
}

async fn latest(store: &dyn Store, resource: &str) -> Result<Snapshot, Status> {
    store.snapshot(resource, At::Latest).await.map_err(|error| unavailable(&error))
}

impl View {
    /// Whether it is allowed: the first authorizer that says yes decides. If none does, the reasons of all are told.
    pub fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.is_master() {
            return Verdict::allow("");
        }
        let node = node::decide(self.relations.as_ref(), attributes);
        if node.is_allowed() {
            return node;
        }
        let rbac = self.rbac.decide(attributes);
        if rbac.is_allowed() {
            return rbac;
        }
        let reasons = [node.reason, rbac.reason];
        Verdict::no_opinion(reasons.into_iter().filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("\n"))
    }

    /// What a user may do in a namespace.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Rules {
        let mut rules = self.rbac.rules_for(user, namespace);
        if node::identity(user).is_some() {
            rules.incomplete = true;
            rules.errors.insert(0, "node authorizer does not support user rule resolution".to_owned());
        }
        rules
    }
}

/// Decides whether a user may do something.
pub async fn decide(server: &Server, attributes: &Attributes<'_>) -> Result<Verdict, Status> {
    if attributes.user.is_master() {
        return Ok(Verdict::allow(""));
    }
    Ok(server.authorizer.view_for(attributes.user, &*server.store).await?.decide(attributes))
}

/// Lets the request of a user pass, or refuses it with 403 in upstream's words.
pub async fn require(server: &Server, attributes: &Attributes<'_>) -> Result<(), Status> {
    let verdict = decide(server, attributes).await?;
    if verdict.is_allowed() { Ok(()) } else { Err(forbidden(attributes, &verdict.reason)) }
}

/// Lets a request pass that does more than its verb says: its user needs `verb` as well.
pub async fn require_verb(call: &Call, verb: &str) -> Result<(), Status> {
    call.trail.needed(&call.user, || RequestInfo { verb: verb.to_owned(), ..call.info.clone() });
    require(&call.server, &Attributes::of(&call.user, &call.info).with_verb(verb)).await
}

/// The stage of a request between authentication and everything else.
pub(crate) async fn authorize(call: &Call) -> Result<(), Status> {
    let attributes = Attributes::of(&call.user, &call.info);
    let verdict = decide(&call.server, &attributes).await?;
    let allowed = verdict.is_allowed();
    if call.server.audit.is_on() {
        call.annotations.add("authorization.k8s.io/decision", if allowed { "allow" } else { "forbid" });
        call.annotations.add("authorization.k8s.io/reason", verdict.reason.as_str());
    }
    if allowed { Ok(()) } else { Err(forbidden(&attributes, &verdict.reason)) }
}

impl UserInfo {
    /// Whether the user may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == SYSTEM_MASTERS)
    }
}
