//! Who owns whom: which objects a controller may claim, which it has to adopt and which to release.
//! Source: `k8s.io/kubernetes/pkg/controller/controller_ref_manager.go`.
//!
//! ```
//! use serde_json::json;
//! use steersman_framework::meta::Meta;
//! use steersman_framework::ownership::{Claim, claim};
//! use steersman_framework::selector::LabelSelector;
//!
//! let owner: Meta = serde_json::from_value(json!({"namespace": "default", "name": "web", "uid": "1"}))?;
//! let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"app": "web"}}))?;
//! let orphan: Meta = serde_json::from_value(json!({"namespace": "default", "name": "web-x", "labels": {"app": "web"}}))?;
//! // Nobody's, and what we select: adopt it, after having looked past the cache that we are not being deleted ourselves.
//! assert_eq!(claim(&owner, &selector, &orphan), Claim::Adopt);
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde_json::{Value, json};

use crate::api::Resource;
use crate::meta::{Meta, OwnerReference};
use crate::selector::LabelSelector;

/// What to do about one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours and stays ours.
    Owned,
    /// It has no controller and our selector matches: take it.
    Adopt,
    /// It is ours but our selector does not match any more: let it go.
    Release,
    /// It is none of our business.
    Ignore,
}

/// Decides about one candidate; `owner` is the would-be controller. Owners in a namespace own nothing elsewhere, whatever
/// a reference there says.
pub fn claim(owner: &Meta, selector: &LabelSelector, candidate: &Meta) -> Claim {
    if !owner.namespace.is_empty() && candidate.namespace != owner.namespace {
        return Claim::Ignore;
    }
    let matches = selector.matches(&candidate.labels);
    match candidate.controller() {
        Some(controller) if controller.uid != owner.uid => Claim::Ignore,
        Some(_) if matches => Claim::Owned,
        Some(_) if owner.is_deleting() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if !matches || owner.is_deleting() || candidate.is_deleting() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// The reference with which `owner` controls an object.
pub fn controller_reference(resource: &Resource, owner: &Meta) -> OwnerReference {
    OwnerReference {
        api_version: resource.api_version(),
        kind: resource.kind.to_string(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The strategic merge patch that adopts `candidate`; its uid makes sure that it is still the same object.
pub fn adopt_patch(reference: &OwnerReference, candidate: &Meta) -> Value {
    json!({"metadata": {"uid": candidate.uid, "ownerReferences": [reference]}})
}

/// The strategic merge patch that takes `owner_uid` out of the owners of `candidate`.
pub fn release_patch(owner_uid: &str, candidate: &Meta) -> Value {
    json!({"metadata": {
        "uid": candidate.uid,
        "ownerReferences": [{"$patch": "delete", "uid": owner_uid}],
    }})
}

/// The key under which the default index of an informer keeps the objects that the owner with this uid controls.
pub fn owned_by(uid: &str) -> String {
    uid.to_owned()
}

/// The key under which the default index of an informer keeps the objects of a namespace that nobody controls.
pub fn orphans_of(namespace: &str) -> String {
    format!("/{namespace}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, deleting: bool) -> Meta {
        Meta {
            uid: uid.to_owned(),
            namespace: "ns".to_owned(),
            deletion_timestamp: deleting.then_some(jiff::Timestamp::UNIX_EPOCH),
            ..Meta::default()
        }
    }

    #[test]
    fn the_decision_table() {
        let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"a": "1"}})).unwrap();
        let check = |controller: Option<&str>, matches: bool, owner_deleting: bool, deleting: bool, expect: Claim| {
            let mut candidate = meta("pod", deleting);
            if matches {
                candidate.labels.insert("a", "1");
            }
            candidate.owner_references = controller
                .map(|uid| OwnerReference { uid: uid.to_owned(), controller: Some(true), ..OwnerReference::default() })
                .into_iter()
                .collect();
            let got = claim(&meta("me", owner_deleting), &selector, &candidate);
            assert_eq!(got, expect, "{controller:?} {matches} {owner_deleting} {deleting}");
        };
        check(Some("other"), true, false, false, Claim::Ignore);
        check(Some("me"), true, false, false, Claim::Owned);
        check(Some("me"), true, true, false, Claim::Owned);
        check(Some("me"), false, true, false, Claim::Ignore);
        check(Some("me"), false, false, false, Claim::Release);
        check(None, false, false, false, Claim::Ignore);
        check(None, true, true, false, Claim::Ignore);
        check(None, true, false, true, Claim::Ignore);
        check(None, true, false, false, Claim::Adopt);
    }

    #[test]
    fn an_object_of_another_namespace_is_neither_adopted_nor_owned() {
        let owner = Meta { namespace: "other".to_owned(), ..meta("me", false) };
        let mut candidate = meta("pod", false);
        assert_eq!(claim(&owner, &LabelSelector::default(), &candidate), Claim::Ignore);
        candidate.owner_references =
            vec![OwnerReference { uid: "me".to_owned(), controller: Some(true), ..OwnerReference::default() }];
        assert_eq!(claim(&owner, &LabelSelector::default(), &candidate), Claim::Ignore);
    }
}
