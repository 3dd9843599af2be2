//! Rules of roles: what they allow, which of them cover others, and how they are shown.
//! Source: `kubernetes/pkg/apis/rbac/v1` (evaluation helpers), `k8s.io/component-helpers/auth/rbac/validation`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use steersman_machinery::field::go_quote;

use super::{Attributes, Target};

/// Stands for everything in a rule.
pub const ALL: &str = "*";

/// One rule of a Role or ClusterRole, in the form of `rbac.authorization.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// The API groups; `*` is all of them.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The resources: `pods`, `pods/log`, `*`, `*/scale`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The names of objects; none means all.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths that are no resource; a `*` at the end matches any rest.
    #[serde(rename = "nonResourceURLs", deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
    /// The verbs; `*` is all of them.
    #[serde(deserialize_with = "list")]
    pub verbs: Vec<String>,
}

/// A list in which null means empty.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl PolicyRule {
    /// The rule that allows every verb on every resource, and the one for every path.
    pub fn everything() -> [Self; 2] {
        let all = || vec![ALL.to_owned()];
        let resources = Self { api_groups: all(), resources: all(), verbs: all(), ..Self::default() };
        [resources, Self { non_resource_urls: all(), verbs: all(), ..Self::default() }]
    }

    /// Whether a request is allowed by this rule alone.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !matches(&self.verbs, attributes.verb) {
            return false;
        }
        match attributes.target {
            Target::Path(path) => self.non_resource_urls.iter().any(|url| url_matches(url, path)),
            Target::Resource { group, resource, subresource, name, .. } => {
                matches(&self.api_groups, group)
                    && self.resources.iter().any(|entry| resource_matches(entry, resource, subresource))
                    && (self.resource_names.is_empty() || self.resource_names.iter().any(|entry| entry == name))
            }
        }
    }

    /// The rule as rules that are each about one thing: a verb on a resource or a path.
    pub fn broken_down(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut rules = vec![];
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let (api_groups, resources) = (one(group), one(resource));
                    let rule = Self { api_groups, resources, verbs: one(verb), ..Self::default() };
                    match self.resource_names.as_slice() {
                        [] => rules.push(rule),
                        names => {
                            rules.extend(names.iter().map(|name| Self { resource_names: one(name), ..rule.clone() }))
                        }
                    }
                }
            }
        }
        for url in &self.non_resource_urls {
            let paths = |verb| Self { non_resource_urls: one(url), verbs: one(verb), ..Self::default() };
            rules.extend(self.verbs.iter().map(paths));
        }
        rules
    }

    /// How many bytes [`broken_down`](Self::broken_down) takes, at most and roughly.
    fn broken_down_size(&self) -> usize {
        const RULE: usize = 5 * size_of::<Vec<String>>() + 3 * size_of::<String>();
        let longest = |list: &[String]| list.iter().map(String::len).max().unwrap_or_default();
        let named = |lists: &[&[String]]| {
            let singles = lists.iter().fold(1_usize, |product, list| product.saturating_mul(list.len()));
            singles.saturating_mul(lists.iter().map(|list| longest(list)).sum::<usize>() + RULE)
        };
        let any = [String::new()];
        let names = if self.resource_names.is_empty() { &any[..] } else { &self.resource_names };
        let resources = named(&[&self.api_groups, &self.resources, &self.verbs, names]);
        resources.saturating_add(named(&[&self.non_resource_urls, &self.verbs]))
    }

    /// Whether this rule alone allows all that the other does.
    pub fn covers(&self, other: &Self) -> bool {
        let names = match (self.resource_names.as_slice(), other.resource_names.as_slice()) {
            ([], _) => true,
            (_, []) => false,
            (have, want) => contains_all(have, want),
        };
        names
            && has_all(&self.verbs, &other.verbs)
            && has_all(&self.api_groups, &other.api_groups)
            && other.resources.iter().all(|resource| self.covers_resource(resource))
            && other.non_resource_urls.iter().all(|url| self.non_resource_urls.iter().any(|own| url_matches(own, url)))
    }

    fn covers_resource(&self, wanted: &str) -> bool {
        let any_parent = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        self.resources.iter().any(|own| own == ALL || own == wanted || Some(own) == any_parent.as_ref())
    }

    /// The rule as upstream's messages show it.
    pub fn describe(&self) -> String {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let shown = lists.iter().filter(|(_, list)| !list.is_empty());
        let shown: Vec<String> = shown.map(|(name, list)| format!("{name}:{}", quote_all(list))).collect();
        format!("{{{}}}", shown.join(", "))
    }
}

/// The most bytes that rules are taken apart into: some forty thousand of usual ones. All that is built in has two thousand. What
/// somebody writes into a few kilobytes may stand for billions.
const BROKEN_DOWN_MAX: usize = 8 << 20;

/// Rules stand for more than is looked at, and what they stand for is not all held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// What of `wanted` none of `held` covers, each about one thing.
///
/// # Errors
/// If what is not covered at a glance stands for too much.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Result<Vec<PolicyRule>, TooMuch> {
    let is_held = |rule: &PolicyRule| held.iter().any(|own| own.covers(rule));
    let open: Vec<&PolicyRule> = wanted.iter().filter(|rule| !is_held(rule)).collect();
    let size = open.iter().fold(0_usize, |size, rule| size.saturating_add(rule.broken_down_size()));
    if size > BROKEN_DOWN_MAX {
        return Err(TooMuch);
    }
    Ok(open.into_iter().flat_map(PolicyRule::broken_down).filter(|rule| !is_held(rule)).collect())
}

/// Joins the verbs of rules that are about the same single resource; the others stay as they are. Sorted as they are
/// described.
pub(super) fn described(rules: Vec<PolicyRule>) -> BTreeSet<String> {
    let mut joined: BTreeMap<(String, String, Option<String>), PolicyRule> = BTreeMap::new();
    let (mut shown, mut known) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        let key = match (rule.api_groups.as_slice(), rule.resources.as_slice(), rule.resource_names.as_slice()) {
            ([group], [resource], []) => (group.clone(), resource.clone(), None),
            ([group], [resource], [name]) => (group.clone(), resource.clone(), Some(name.clone())),
            _ => {
                shown.insert(rule.describe());
                continue;
            }
        };
        let new = |verb: &&String| known.insert((key.clone(), (*verb).clone()));
        let verbs: Vec<String> = rule.verbs.iter().filter(new).cloned().collect();
        joined.entry(key).or_insert_with(|| PolicyRule { verbs: vec![], ..rule }).verbs.extend(verbs);
    }
    shown.extend(joined.values().map(PolicyRule::describe));
    shown
}

/// Texts as Go's `%q` prints a list of them.
pub(super) fn quote_all(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| go_quote(text)).collect::<Vec<_>>().join(" "))
}

fn matches(entries: &[String], wanted: &str) -> bool {
    entries.iter().any(|entry| entry == ALL || entry == wanted)
}

fn resource_matches(entry: &str, resource: &str, subresource: &str) -> bool {
    if entry == ALL {
        return true;
    }
    if subresource.is_empty() {
        return entry == resource;
    }
    let sub = entry.strip_prefix(resource).or_else(|| entry.strip_prefix(ALL)).and_then(|rest| rest.strip_prefix('/'));
    sub == Some(subresource)
}

fn url_matches(entry: &str, path: &str) -> bool {
    entry == path || entry.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}

fn contains_all(have: &[String], want: &[String]) -> bool {
    want.iter().all(|entry| have.contains(entry))
}

fn has_all(have: &[String], want: &[String]) -> bool {
    have.iter().any(|entry| entry == ALL) || contains_all(have, want)
}

#[cfg(test)]
mod tests;
