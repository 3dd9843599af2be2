//! What the server serves: every resource in its preferred version, with its verbs.
//!
//! ```no_run
//! # async fn example(client: kube::Client) -> Result<(), kube::Error> {
//! for served in steersman_framework::discovery::discover(&client).await? {
//!     if served.can(&["list", "watch"]) {
//!         println!("{}", served.resource);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use kube::core::discovery::v2::APIGroupDiscoveryList;
use kube::{Client, Error};

use crate::api::{Resource, message};

/// A resource and what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The resource, in the preferred version of its group.
    pub resource: Resource,
    /// All versions in which it is served, that one included.
    pub versions: BTreeSet<String>,
    /// `get`, `list`, `watch`, `delete`, …
    pub verbs: BTreeSet<String>,
}

impl Served {
    /// Whether all of `verbs` are offered.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.contains(*verb))
    }
}

/// What a server serves, as far as it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The resources, in the order of their groups.
    pub served: Vec<Served>,
    /// The versions of groups (`group/version`) of which nothing could be learnt, and why: a resource of theirs that is
    /// missing above may not be taken for gone.
    pub failed: BTreeMap<String, String>,
}

impl Discovery {
    /// What went wrong, in the words of client-go; `None` if the answer is complete.
    pub fn failure(&self) -> Option<String> {
        let each: Vec<String> = self.failed.iter().map(|(version, why)| format!("{version}: {why}")).collect();
        let text = || format!("unable to retrieve the complete list of server APIs: {}", each.join(", "));
        (!each.is_empty()).then(text)
    }
}

/// Asks the server for everything it serves, in the order of its groups, and leaves out what does not answer: see
/// [`discover_groups`].
///
/// # Errors
/// If the server does not answer at all.
pub async fn discover(client: &Client) -> Result<Vec<Served>, Error> {
    Ok(discover_groups(client).await?.served)
}

/// Asks the server for everything it serves, and which groups do not answer, for instance since the server behind them is
/// away. Two requests; many where the server does not know aggregated discovery.
///
/// # Errors
/// If the server does not answer at all.
pub async fn discover_groups(client: &Client) -> Result<Discovery, Error> {
    let aggregated = async {
        let core = client.list_core_api_versions_aggregated().await?;
        let groups = client.list_api_groups_aggregated().await?;
        Ok::<_, Error>([core, groups])
    };
    match aggregated.await {
        Ok([core, groups]) if !core.items.is_empty() => {
            let mut discovery = Discovery::default();
            for list in [core, groups] {
                discovery.failed.extend(stale(&list));
                discovery.served.extend(from_aggregated(list));
            }
            Ok(discovery)
        }
        _ => from_legacy(client).await,
    }
}

/// The versions whose servers could not be asked.
fn stale(list: &APIGroupDiscoveryList) -> BTreeMap<String, String> {
    let mut stale = BTreeMap::new();
    for group in &list.items {
        let name = group.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default();
        for version in group.versions.iter().filter(|version| version.freshness.as_deref() == Some("Stale")) {
            let version = format!("{name}/{}", version.version.as_deref().unwrap_or_default());
            let why = format!("stale GroupVersion discovery: {version}");
            stale.insert(version, why);
        }
    }
    stale
}

fn from_aggregated(list: APIGroupDiscoveryList) -> Vec<Served> {
    let mut served = Vec::new();
    for group in list.items {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        // The preferred version comes first; later ones add only what it does not have.
        for version in group.versions.into_iter().filter(|version| version.freshness.as_deref() != Some("Stale")) {
            let version_name = version.version.unwrap_or_default();
            for resource in version.resources {
                let plural = resource.resource.unwrap_or_default();
                let kind = resource.response_kind.and_then(|kind| kind.kind).unwrap_or_default();
                if plural.is_empty() {
                    continue;
                }
                if let Some(known) = seen.get(&plural).and_then(|place| served.get_mut(*place)) {
                    let known: &mut Served = known;
                    known.versions.insert(version_name.clone());
                    continue;
                }
                seen.insert(plural.clone(), served.len());
                served.push(Served {
                    versions: BTreeSet::from([version_name.clone()]),
                    resource: Resource {
                        group: Cow::Owned(name.clone()),
                        version: Cow::Owned(version_name.clone()),
                        kind: Cow::Owned(kind),
                        plural: Cow::Owned(plural),
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    },
                    verbs: resource.verbs.into_iter().collect(),
                });
            }
        }
    }
    served
}

async fn from_legacy(client: &Client) -> Result<Discovery, Error> {
    let mut versions = vec!["v1".to_owned()];
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.into_iter().chain(group.versions);
        versions.extend(preferred.map(|version| version.group_version));
    }
    let mut served: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all = Vec::new();
    let mut failed = BTreeMap::new();
    for (place, version) in versions.iter().enumerate() {
        if versions[..place].contains(version) {
            continue;
        }
        let list = match version.as_str() {
            "v1" => client.list_core_api_resources("v1").await?,
            version => match client.list_api_group_resources(version).await {
                Ok(list) => list,
                Err(error) => {
                    failed.insert(version.to_owned(), message(&error));
                    continue;
                }
            },
        };
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        for resource in list.resources {
            if resource.name.contains('/') {
                continue;
            }
            let place = (group.to_owned(), resource.name.clone());
            if let Some(known) = served.get(&place).and_then(|place| all.get_mut(*place)) {
                let known: &mut Served = known;
                known.versions.insert(version.to_owned());
                continue;
            }
            served.insert(place, all.len());
            all.push(Served {
                versions: BTreeSet::from([version.to_owned()]),
                resource: Resource {
                    group: Cow::Owned(group.to_owned()),
                    version: Cow::Owned(version.to_owned()),
                    kind: Cow::Owned(resource.kind),
                    plural: Cow::Owned(resource.name),
                    namespaced: resource.namespaced,
                },
                verbs: resource.verbs.into_iter().collect(),
            });
        }
    }
    Ok(Discovery { served: all, failed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_resource_comes_once_in_its_preferred_version() {
        let resource = |plural: &str, kind: &str, scope: &str| {
            json!({
                "resource": plural, "scope": scope, "verbs": ["list", "delete"],
                "responseKind": {"group": "", "version": "", "kind": kind},
            })
        };
        let list = json!({"items": [{
            "metadata": {"name": "g.io"},
            "versions": [
                {"version": "v1", "resources": [resource("as", "A", "Namespaced")]},
                {"version": "v1beta1", "resources": [resource("as", "A", "Namespaced"), resource("bs", "B", "Cluster")]},
            ],
        }]});
        let served = from_aggregated(serde_json::from_value(list).unwrap());
        let paths: Vec<String> = served.iter().map(|served| served.resource.path("ns")).collect();
        assert_eq!(paths, ["/apis/g.io/v1/namespaces/ns/as", "/apis/g.io/v1beta1/bs"]);
        assert!(served[0].can(&["list", "delete"]) && !served[0].can(&["watch"]));
        assert_eq!(served[0].versions.iter().collect::<Vec<_>>(), ["v1", "v1beta1"]);
        assert_eq!(served[1].versions.iter().collect::<Vec<_>>(), ["v1beta1"]);
    }

    #[test]
    fn what_does_not_answer_is_not_taken_for_gone() {
        let version = |freshness: &str| json!({"version": "v1", "freshness": freshness, "resources": []});
        let list = json!({"items": [
            {"metadata": {"name": "a.io"}, "versions": [version("Current")]},
            {"metadata": {"name": "b.io"}, "versions": [version("Stale")]},
        ]});
        let failed = stale(&serde_json::from_value(list).unwrap());
        let discovery = Discovery { failed, ..Discovery::default() };
        let expect =
            "unable to retrieve the complete list of server APIs: b.io/v1: stale GroupVersion discovery: b.io/v1";
        assert_eq!(discovery.failure().as_deref(), Some(expect));
        assert_eq!(Discovery::default().failure(), None);
    }
}
