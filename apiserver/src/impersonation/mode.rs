//! The ways in which somebody may be allowed to act as somebody else. The constrained ones need two permissions: to do
//! what is asked for while acting as somebody else, and to act as that one. The classic one needs the second alone.

use std::collections::BTreeMap;

use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::names;
use steersman_machinery::status::Status;

use crate::authentication::{AUTHENTICATED, SYSTEM_MASTERS, UserInfo};
use crate::authorization::{Attributes, Target, View, forbidden};
use crate::http::request_info::RequestInfo;

const UNAUTHENTICATED: &str = "system:unauthenticated";
const NODES: &str = "system:nodes";
/// The group of users, groups and so on in constrained modes, and of the rest in all.
const GROUP: &str = "authentication.k8s.io";
/// Where the authenticator says on which node the pod of a service account runs.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From how many values on a permission for all of them is looked for first.
const MANY: usize = 4;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A service account acts as the node on which its pod runs.
    AssociatedNode,
    /// As any node.
    ArbitraryNode,
    /// As a service account.
    ServiceAccount,
    /// As anybody who is neither.
    UserInfo,
    /// As anybody, for everything.
    Classic,
}

/// A check of the second permission: a verb on a part of the identity.
#[derive(Clone, Copy)]
struct Part<'a> {
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl Mode {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 5] =
        [Self::AssociatedNode, Self::ArbitraryNode, Self::ServiceAccount, Self::UserInfo, Self::Classic];

    fn name(self) -> Option<&'static str> {
        match self {
            Self::AssociatedNode => Some("associated-node"),
            Self::ArbitraryNode => Some("arbitrary-node"),
            Self::ServiceAccount => Some("serviceaccount"),
            Self::UserInfo => Some("user-info"),
            Self::Classic => None,
        }
    }

    /// Whether it is about such users at all.
    fn concerns(self, sender: &UserInfo, wanted: &UserInfo) -> bool {
        let only_named = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        match self {
            Self::AssociatedNode => {
                let own = sender.extra.get(NODE_NAME).map(Vec::as_slice);
                let is_own = node(&wanted.name).is_some_and(|node| own.is_some_and(|own| own == [node]));
                only_named && is_own && account(&sender.name).is_some()
            }
            Self::ArbitraryNode => only_named && node(&wanted.name).is_some(),
            Self::ServiceAccount => only_named && account(&wanted.name).is_some(),
            Self::UserInfo => node(&wanted.name).is_none() && account(&wanted.name).is_none(),
            Self::Classic => true,
        }
    }

    /// The user that the sender becomes; `None` if the mode is not about such users. Writes down what was needed.
    pub(super) fn check(
        self,
        view: &View,
        attributes: &Attributes<'_>,
        wanted: &UserInfo,
        needed: &mut Vec<RequestInfo>,
    ) -> Result<Option<UserInfo>, Status> {
        let sender = attributes.user;
        if !self.concerns(sender, wanted) {
            return Ok(None);
        }
        let associated = (self == Self::AssociatedNode).then(|| without_extra(sender));
        let mut checks = Checks { view, sender: associated.as_ref().unwrap_or(sender), needed };
        let Some(name) = self.name() else {
            return checks.identity(self, "impersonate", wanted).map(Some);
        };
        let on = format!("impersonate-on:{name}:{}", attributes.verb);
        checks.require(&Attributes { user: checks.sender, ..attributes.with_verb(&on) })?;
        checks.identity(self, &format!("impersonate:{name}"), wanted).map(Some)
    }
}

/// The sender as authorizers see it whose pod's node was compared already: of the extras only the keys are left.
fn without_extra(sender: &UserInfo) -> UserInfo {
    let keys = sender.extra.keys().cloned().collect();
    let extra = BTreeMap::from([("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)]);
    UserInfo { extra, ..sender.clone() }
}

struct Checks<'a> {
    view: &'a View,
    sender: &'a UserInfo,
    needed: &'a mut Vec<RequestInfo>,
}

impl Checks<'_> {
    fn require(&mut self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let verdict = self.view.decide(attributes);
        if !verdict.is_allowed() {
            return Err(forbidden(attributes, &verdict.reason));
        }
        self.needed.push(owned(attributes));
        Ok(())
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), Status> {
        let sender = self.sender;
        self.require(&part.attributes(sender))
    }

    /// Checks every part of the identity, and completes it.
    fn identity(&mut self, mode: Mode, verb: &str, wanted: &UserInfo) -> Result<UserInfo, Status> {
        let mut user = wanted.clone();
        let named = if mode == Mode::Classic { "" } else { GROUP };
        let part = |resource, name| Part { verb, group: named, resource, subresource: "", namespace: "", name };
        let mut who = part("users", wanted.name.as_str());
        if let Some(node) = node(&wanted.name).filter(|_| mode != Mode::Classic) {
            // An account may act as the node of whichever of its pods it is.
            who = part("nodes", if mode == Mode::AssociatedNode { "*" } else { node });
            user.groups = vec![NODES.to_owned()];
        }
        if let Some((namespace, name)) = account(&wanted.name) {
            who = Part { namespace, ..part("serviceaccounts", name) };
            if wanted.groups.is_empty() {
                let of_namespace = format!("system:serviceaccounts:{namespace}");
                user.groups = vec!["system:serviceaccounts".to_owned(), of_namespace];
            }
        }
        self.part(&who)?;
        if !wanted.uid.is_empty() {
            self.part(&Part { group: GROUP, ..part("uids", &wanted.uid) })?;
        }
        self.groups(mode, part("groups", ""), &wanted.groups)?;
        self.extra(mode, Part { group: GROUP, ..part("userextras", "") }, &wanted.extra)?;
        complete(&mut user);
        Ok(user)
    }

    fn groups(&mut self, mode: Mode, part: Part<'_>, groups: &[String]) -> Result<(), Status> {
        if mode != Mode::Classic {
            let refuse = |part: &Part<'_>, why| Err(forbidden(&part.attributes(self.sender), why));
            if groups.iter().any(String::is_empty) {
                return refuse(&part, "impersonating the empty string group is not allowed");
            }
            if groups.iter().any(|group| group == SYSTEM_MASTERS) {
                let part = Part { name: SYSTEM_MASTERS, ..part };
                return refuse(&part, "impersonating the system:masters group is not allowed");
            }
            if groups.len() >= MANY && self.part(&Part { name: "*", ..part }).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.part(&Part { name: group, ..part }))
    }

    fn extra(&mut self, mode: Mode, part: Part<'_>, extra: &BTreeMap<String, Vec<String>>) -> Result<(), Status> {
        if mode != Mode::Classic {
            if let Some(why) = extra.iter().find_map(|(key, values)| odd_extra(key, values)) {
                return Err(forbidden(&part.attributes(self.sender), &why));
            }
            let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if many && self.part(&Part { subresource: "*", name: "*", ..part }).is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.part(&Part { subresource: key, name: value, ..part })?;
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    fn attributes<'a>(&'a self, user: &'a UserInfo) -> Attributes<'a> {
        let Self { verb, group, resource, subresource, namespace, name } = *self;
        let target = Target::Resource { group, resource, subresource, namespace, name };
        Attributes { user, verb, target, field_selector: "" }
    }
}

/// Nobody is in both of the groups of those who are known and of those who are not.
fn complete(user: &mut UserInfo) {
    let unknown = user.groups.iter().any(|group| group == UNAUTHENTICATED);
    let group = match user.is_anonymous() {
        true => UNAUTHENTICATED,
        false if unknown => return,
        false => AUTHENTICATED,
    };
    if !user.groups.iter().any(|known| known == group) {
        user.groups.push(group.to_owned());
    }
}

/// What is wrong with an extra that the classic mode would have accepted.
fn odd_extra(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    let prefixed = key.split_once('/').is_some_and(|(domain, path)| {
        names::dns1123_subdomain(domain).is_empty() && !path.is_empty() && path.bytes().all(may_be_in_path)
    });
    if !prefixed {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        let error = FieldError::invalid_str(&Path::from("extra.key"), key, detail);
        return Some(format!("impersonating an invalid key in extra is not allowed: {error}"));
    }
    if key.chars().any(char::is_uppercase) {
        return Some(format!("impersonating a non-lowercase key in extra is not allowed: {key:?}"));
    }
    let empty = values.iter().any(String::is_empty);
    empty.then(|| "impersonating the empty string value in extra is not allowed".to_owned())
}

fn may_be_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)
}

fn node(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| names::dns1123_subdomain(name).is_empty())
}

/// Namespace and name, if a user is a service account.
fn account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let legal = names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
    legal.then_some((namespace, name))
}

fn owned(attributes: &Attributes<'_>) -> RequestInfo {
    let verb = attributes.verb.to_owned();
    match attributes.target {
        Target::Path(path) => RequestInfo { verb, path: path.to_owned(), ..RequestInfo::default() },
        Target::Resource { group, resource, subresource, namespace, name } => RequestInfo {
            verb,
            is_resource: true,
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..RequestInfo::default()
        },
    }
}
